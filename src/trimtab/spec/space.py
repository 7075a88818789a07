"""The space of a hyper-parameter search: for each key of the spec the values that trials may take."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from trimtab.errors import TrimtabError, nearest, problem
from trimtab.spec.model import Lora, Spec, Train

_WHERE = "search.space"
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")  # YAML takes 1e-5 for a text
_FORMS = (
    "[low, high], [low, high, log], a list of values, or {low, high, log, relative, when} or {values, when}; "
    "see search.md"
)
# What may differ between trials: all of them learn from the same rows and are measured alike.
_TOP = ("train", "base", "fusion", "inputs")
_EXAMPLES = ("base", "fusion", "fusion.hidden", "inputs.COLUMN.encoder", "inputs.*.bins")
# They change no weight, or hold keys.
_NOT_SEARCHED = frozenset({"checkpoint_seconds", "threads", "attention", "shard", "gradient_checkpointing", "lora"})
_RELATIVE = ("learning_rate", "epochs", "batch_tokens", "patience")  # numbers that are chosen where they are left open
_OPTIONS = frozenset({"low", "high", "log", "relative", "values", "when"})


@dataclass(frozen=True)
class Dimension:
    """A key of the spec, and what a trial may set it to: one of `values`, or a number between `low` and `high`."""

    key: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    relative: bool = False  # a factor, by which what would be chosen without it is multiplied
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()  # other keys and values of them, without which it is left open

    @property
    def ends(self) -> tuple[Any, ...]:
        """All values, or the least and the largest one."""
        if self.values:
            return self.values
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    def applies(self, taken: Mapping[str, Any]) -> bool:
        """Whether a trial that took these values takes one of this key."""
        return all(key in taken and taken[key] in values for key, values in self.when)

    def holds(self, value: Any) -> bool:
        """Whether a trial may take this value."""
        if self.values:
            return value in self.values
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return self.low <= value <= self.high and (not self.whole or float(value).is_integer())

    def __str__(self) -> str:
        if self.values:
            return ", ".join(map(written, self.values))
        times = " times what is chosen otherwise" if self.relative else ""
        return f"{self.ends[0]:g} to {self.ends[1]:g}{', log' if self.log else ''}{times}"


def written(value: Any) -> str:
    """A value as a short text: in JSON where it is neither a text nor a number."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def searched_keys() -> list[str]:
    """The keys of `train` that a space may name, and how the others are written."""
    own = [f"train.{key}" for key in Train.model_fields if key not in _NOT_SEARCHED]
    return [*own, *(f"train.lora.{key}" for key in Lora.model_fields), *_EXAMPLES]


def problems(space: Mapping[str, Any]) -> Iterator[tuple[str, TrimtabError]]:
    """All that is wrong with a space, by key, as far as it can be told without the data."""
    found: dict[str, Dimension] = {}
    for key, said in space.items():
        try:
            found[str(key)] = dimension(str(key), said)
        except TrimtabError as error:
            yield str(key), error
    for one in found.values():
        try:
            _check_values(one)
            _check_when(one, found if len(found) == len(space) else None)
        except TrimtabError as error:
            yield one.key, error


def dimension(key: str, said: Any) -> Dimension:
    """One key of a space. Raises TrimtabError for a key that cannot be searched, and for what is no range or list."""
    where = f"{_WHERE}: {key}"
    _check_key(where, key)
    if isinstance(said, Mapping):
        return _from_mapping(where, key, said)
    if not isinstance(said, (list, tuple)) or not said:
        raise problem(where, f"found {said!r}", _FORMS)
    said = [_number(value) for value in said]
    if said[-1] == "log":
        return _range(where, key, said[:-1], log=True)
    if len(said) == 2 and all(map(_is_number, said)):
        return _range(where, key, said)
    return _choice(where, key, said)


def _from_mapping(where: str, key: str, said: Mapping[str, Any]) -> Dimension:
    if unknown := [str(name) for name in said if name not in _OPTIONS]:
        raise problem(where, f"no option named {unknown[0]!r}", nearest(unknown[0], _OPTIONS))
    when = said.get("when", {})
    if not isinstance(when, Mapping):
        raise problem(f"{where}: when", f"found {when!r}", "keys of the space with their values: {train.method: lora}")
    many = {str(name): value if isinstance(value, (list, tuple)) else [value] for name, value in when.items()}
    conditions = tuple((name, tuple(map(_number, values))) for name, values in many.items())
    if "values" in said:
        if len(said.keys() & _OPTIONS) > 1 + ("when" in said):
            raise problem(where, "has values and a range", _FORMS, "name one of them")
        values = said["values"] if isinstance(said["values"], (list, tuple)) else []
        return _choice(where, key, [_number(value) for value in values], conditions)
    flags = {name: said.get(name, False) for name in ("log", "relative")}
    if wrong := [name for name, value in flags.items() if not isinstance(value, bool)]:
        raise problem(f"{where}: {wrong[0]}", f"found {flags[wrong[0]]!r}", "true or false")
    if flags["relative"] and key.removeprefix("train.") not in _RELATIVE:
        raise problem(f"{where}: relative", "nothing is chosen here", ", ".join(f"train.{name}" for name in _RELATIVE))
    ends = [_number(said.get(name)) for name in ("low", "high")]
    return _range(where, key, ends, flags["log"], flags["relative"], conditions)


def _range(
    where: str,
    key: str,
    ends: Sequence[Any],
    log: bool = False,
    relative: bool = False,
    when: tuple[tuple[str, tuple[Any, ...]], ...] = (),
) -> Dimension:
    if len(ends) != 2 or not all(map(_is_number, ends)):
        raise problem(where, f"found {[*ends, *(['log'] if log else [])]}", _FORMS, "give two numbers: low, high")
    low, high = ends
    if not low < high:
        raise problem(where, f"its range goes from {low} to {high}", "low below high")
    if log and low <= 0:
        raise problem(where, f"log, and its range begins at {low}", "a number above 0")
    whole = not relative and isinstance(low, int) and isinstance(high, int) and _is_whole(key)
    return Dimension(key, (), float(low), float(high), log, whole, relative, when)


def _choice(
    where: str, key: str, values: Sequence[Any], when: tuple[tuple[str, tuple[Any, ...]], ...] = ()
) -> Dimension:
    if len(values) < 2:
        raise problem(where, f"found {list(values)!r}", "two values or more", f"set {key} itself where there is one")
    told = [written(value) for value in values]
    if twice := [name for name in told if told.count(name) > 1]:
        raise problem(where, f"{twice[0]} stands there twice", "each value once")
    return Dimension(key, tuple(values), when=when)


def _number(value: Any) -> Any:
    """The number that a text is, whole where it is written so; any other value as it is."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return value
    return int(value) if re.fullmatch(r"[-+]?\d+", value) else float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check_key(where: str, key: str) -> None:
    top, _, rest = key.partition(".")
    known = searched_keys()
    if top in ("fusion", "inputs") or key == "base":
        if top == "inputs" and "." not in rest:
            raise problem(
                where, "no option of an input", "inputs.COLUMN.encoder, inputs.COLUMN.OPTION, inputs.*.OPTION"
            )
        return
    if key in known or (top == "train" and key.startswith("train.method.")):
        return
    if top in Spec.model_fields and top not in _TOP:
        found = f"{top} is the same for all trials, so that they can be compared"
        raise problem(where, found, ", ".join(f"{name}.*" if name != "base" else name for name in _TOP))
    raise problem(where, "no such key can be searched", nearest(key, known))


def _is_whole(key: str) -> bool:
    """Whether the spec takes whole numbers alone for a key; of an option that is not known here, yes."""
    model: type[BaseModel] = Lora if key.startswith("train.lora.") else Train
    field = model.model_fields.get(key.rpartition(".")[2]) if key.startswith("train.") else None
    return field is None or float not in (field.annotation, *get_args(field.annotation))


def _check_values(one: Dimension) -> None:
    """Raises TrimtabError for the first value that the spec does not take."""
    top, *path = one.key.split(".")
    if one.relative or top in ("fusion", "inputs") or path[:1] == ["method"]:
        return
    for value in one.ends:
        nested: Any = value
        for step in reversed(path):
            nested = {step: nested}
        try:
            Spec.model_validate({"data": "-", "output": "-", top: nested})
        except ValidationError as invalid:
            raise problem(f"{_WHERE}: {one.key}", f"{value!r}: {invalid.errors()[0]['msg']}") from None


def _check_when(one: Dimension, others: Mapping[str, Dimension] | None) -> None:
    where = f"{_WHERE}: {one.key}: when"
    for key, values in () if others is None else one.when:
        assert others is not None
        if key not in others or key == one.key:
            raise problem(where, f"{key!r} is not searched", nearest(key, [name for name in others if name != one.key]))
        if others[key].when:
            raise problem(where, f"{key!r} itself has a `when`", "keys without one")
        if wrong := [value for value in values if not others[key].holds(value)]:
            raise problem(where, f"{key} never is {wrong[0]!r}", str(others[key]))
