"""From a file, or plain values, to a Spec: every problem is found at once, each with its line."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from trimtab.errors import TrimtabError, nearest, problem, several
from trimtab.spec import space
from trimtab.spec.gates import parse_gate
from trimtab.spec.model import FORMER_KEYS, Spec, folder_name

_USUAL = "trimtab"  # how a spec file is called that has no name of its own
_MOST_VALUES = 100_000  # of a spec, with its aliases written out


def read(path: Path, overrides: Sequence[str] = ()) -> Spec:
    """Read a spec file and apply `--set key=value` overrides; it is named after its file, unless that says nothing.

    Raises TrimtabError that lists every problem with its line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise problem(str(path), "no such file", do="trimtab init DATA writes a spec from your data") from None
    except (OSError, UnicodeDecodeError) as error:
        raise problem(str(path), f"cannot be read ({error})", "a YAML file in UTF-8") from None
    values, node = _loaded(text, str(path))
    if not isinstance(values, dict):
        found = "nothing" if values is None else f"a {type(values).__name__}"
        raise problem(str(path), f"found {found}", "keys and values, such as `data: reviews.csv`")
    lines = {} if node is None else dict(_lines(node, ()))
    spec = parse(override(values, overrides), str(path), lines)
    own = path.stem != _USUAL and path.is_file()  # /dev/stdin says nothing of a spec
    return spec if spec.name or not own else spec.model_copy(update={"name": folder_name(path.stem) or None})


def override(values: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Apply settings like `train.epochs=1`; the value is YAML, a gate's bound is taken as it stands."""
    result: dict[str, Any] = copy.deepcopy(dict(values))
    for setting in settings:
        key, equals, text = setting.partition("=")
        path = _setting_path(key.strip(), result)
        if not equals or not all(path):
            raise problem(f"--set {setting}", "cannot be read", "key=value, such as train.epochs=1")
        value = text.strip() if path[0] == "gates" and len(path) == 2 else _loaded(text, f"--set {setting}")[0]
        part = result
        for step in path[:-1]:
            below = part.get(step)
            short = isinstance(below, str) and part is result.get(path[0]) and path[0] in ("inputs", "output")
            part[step] = below if isinstance(below, dict) else {"type": below} if short else {}
            part = part[step]
        part[path[-1]] = value
    return result


def _loaded(text: str, where: str) -> tuple[Any, yaml.Node | None]:
    """The values of a YAML text, and where each stands. Raises TrimtabError, also for aliases without end."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        count = _written_out(node, {})
        if count > _MOST_VALUES:
            raise problem(where, f"its aliases stand for {count:,} values", f"at most {_MOST_VALUES:,}")
        return yaml.safe_load(text), node
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise problem(where, f"not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise problem(where, "values inside of values without end", "YAML of a few levels") from None


def _written_out(node: yaml.Node | None, known: dict[int, int]) -> int:
    """How many values a node stands for, its aliases written out. Raises ValueError for one that holds itself."""
    if isinstance(node, yaml.MappingNode):
        below = [part for pair in node.value for part in pair]
    else:
        below = list(node.value) if isinstance(node, yaml.SequenceNode) else []
    if known.setdefault(id(node), 0 if below else 1):
        return known[id(node)]
    counts = []
    for part in below:
        if known.get(id(part)) == 0:
            raise ValueError("an alias stands inside of what it names")
        counts.append(_written_out(part, known))
    known[id(node)] = 1 + sum(counts)
    return known[id(node)]


# What may be set of an input by a path; all else behind `inputs.` is the name of a column, which may have dots.
_OF_INPUTS = frozenset({"encoder", "base", "augment"})


def _setting_path(key: str, values: Mapping[str, Any]) -> list[str]:
    """`gates.recall.spam` names one gate, `inputs.price.1` a column that is called so; other dots go one level down."""
    top, _, rest = key.partition(".")
    if top not in ("gates", "inputs", "output") or not rest:
        return key.split(".")
    said = values.get(top)
    names = [said] if isinstance(said, str) else list(map(str, said)) if isinstance(said, Mapping) else []
    known = max((name for name in names if f"{rest}.".startswith(f"{name}.")), key=len, default=rest)
    option = rest[len(known) + 1 :]
    is_option = option.partition(".")[0].isidentifier() if top == "output" else option in _OF_INPUTS
    return [top, known, *option.split(".")] if top != "gates" and is_option else [top, rest]


def parse(values: Mapping[str, Any], where: str = "spec", lines: Mapping[tuple[str, ...], int] | None = None) -> Spec:
    """Check plain values. Raises TrimtabError with all problems: place, found, allowed, nearest name."""
    try:
        spec = Spec.model_validate(values)
        errors = []
    except ValidationError as invalid:
        spec = None
        seen: dict[tuple[str, ...], TrimtabError] = {}
        for detail in invalid.errors():
            path = _known_path(detail, values)
            if path not in seen or isinstance(detail["input"], Mapping):  # then the last says what is wrong in it
                seen[path] = _explain(detail, path, where, lines or {})
        # a mapping where a word is allowed too is wrong in its keys, not for being no word
        errors = [
            error for path, error in seen.items() if not any(path == other[: len(path)] != other for other in seen)
        ]
    gates = values.get("gates")
    for name, bound in gates.items() if isinstance(gates, Mapping) else ():
        try:
            parse_gate(str(name), str(bound))
        except TrimtabError as error:
            errors.append(TrimtabError(f"{_place(('gates', str(name)), where, lines or {})}{error}"))
    search = values.get("search")
    asked = search.get("space") if isinstance(search, Mapping) else None
    for key, wrong in space.problems(asked) if isinstance(asked, Mapping) else ():
        errors.append(TrimtabError(f"{_place(('search', 'space', key), where, lines or {})}{wrong}"))
    if errors or spec is None:
        raise several(errors)
    spec._notes = tuple(_renamed(spec, former) for former in FORMER_KEYS if _stands(values, former))
    return spec


def _stands(values: Any, path: Sequence[str]) -> bool:
    """Whether a key is among the values, as the user wrote them."""
    for step in path:
        if not isinstance(values, Mapping) or step not in values:
            return False
        values = values[step]
    return True


def _renamed(spec: Spec, former: tuple[str, ...]) -> str:
    """What a key is called now, with its value where that is said otherwise too."""
    present = (*former[:-1], FORMER_KEYS[former])
    value = f": {spec.quotes}" if present == ("quotes",) else ""
    return f"{'.'.join(former)} is called {'.'.join(present)} now{value and f', `{present[0]}{value}`'}"


def _explain(detail: Any, path: tuple[str, ...], where: str, lines: Mapping[tuple[str, ...], int]) -> TrimtabError:
    place = f"{_place(path, where, lines)}{'.'.join(path)}"
    found = detail["input"]
    match detail["type"]:
        case "missing":
            return problem(place, "this key is needed", _describe(path))
        case "extra_forbidden":
            model = _model_at(path[:-1])
            return problem(place, f"no key named {path[-1]!r}", nearest(path[-1], model.model_fields if model else []))
        case _:
            return problem(place, f"found {found!r} ({detail['msg']})", _describe(path))


def _place(path: tuple[str, ...], where: str, lines: Mapping[tuple[str, ...], int]) -> str:
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return f"{where}:{lines[path[:length]]}: "
    return f"{where}: "


def _known_path(detail: Any, values: Any) -> tuple[str, ...]:
    """The keys that lead to a problem, without what pydantic adds for the members of a union (`str`, `Compress`).

    A step is a key where the values have it, so that a column may be called `str` too; a key that the user wrote by its
    former name is told by that one.
    """
    *_, last = detail["loc"] or ("",)
    path: list[str] = []
    for step in detail["loc"]:
        step = _as_written(step, path, values)
        listed = isinstance(values, (list, tuple)) and isinstance(step, int) and step < len(values)
        if listed or (isinstance(values, Mapping) and step in values):
            values = values[step]
            path.append(str(step))
    return (*path, str(last)) if detail["type"] == "missing" or not path else tuple(path)  # else the key is no text


def _as_written(step: str | int, path: Sequence[str], values: Any) -> str | int:
    """A key as the values have it: by its former name, where they do not have it by its present one."""
    formers = [former[-1] for former, present in FORMER_KEYS.items() if (*former[:-1], present) == (*path, step)]
    known = values if isinstance(values, Mapping) else {}
    return step if step in known else next((former for former in formers if former in known), step)


def _model_at(path: tuple[str, ...]) -> type[BaseModel] | None:
    """The model whose keys stand at `path`, if that is a model."""
    model: type[BaseModel] = Spec
    for step in path:
        field = model.model_fields.get(step)
        if field is None:
            return None
        candidates = [field.annotation, *get_args(field.annotation)]
        models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not models:
            return None
        model = models[0]
    return model


def _describe(path: tuple[str, ...]) -> str:
    model = _model_at(path[:-1])
    key = FORMER_KEYS.get(path, path[-1])
    field = model.model_fields.get(key) if model else None
    return " ".join((field.description or "").split()) if field else ""


def _lines(node: yaml.Node, path: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], int]]:
    """Each key's path and the line that it stands on."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, str(key.value))
            yield below, key.start_mark.line + 1
            yield from _lines(value, below)
