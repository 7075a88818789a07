"""What a search tries where its space is left open, and the specs and requests of its trials."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trimtab import columns, pretrained, registry
from trimtab.errors import TrimtabError, nearest, problem, several
from trimtab.nets.network import Network, encoder_kind, part
from trimtab.request import Request, filled, variant
from trimtab.spec import Dimension, Spec, Train, dimension

_WHERE = "search.space"
_OF_INPUTS = ("encoder", "base")  # beside the options of a column's own type
_MOST_KEPT = 6  # sets of encoded rows

# Factors of what is chosen by default: bases and methods differ in it by tenfold, and the best lies near it for each.
_RATE = Dimension("train.learning_rate", low=0.2, high=5.0, log=True, relative=True)
_EPOCHS = Dimension("train.epochs", low=0.5, high=2.0, log=True, relative=True)
_FUSIONS = ("deepfm", "dcn", "concat", "ft_transformer")
_LAYERED = ("deepfm", "dcn", "concat")  # those that have hidden layers
# By what is trained (`Chosen.kind`); the methods, the bases and the widths are told by the request.
_SUGGESTED: dict[str, tuple[Dimension, ...]] = {
    "pretrained": (
        _RATE,
        _EPOCHS,
        Dimension("train.warmup", low=0.0, high=0.3),
        Dimension("train.dropout", low=0.0, high=0.5),
    ),
    "table": (
        _RATE,
        _EPOCHS,
        Dimension("fusion", _FUSIONS),
        Dimension("fusion.hidden", ([64, 32], [256, 128], [512, 256]), when=(("fusion", _LAYERED),)),
        Dimension("fusion.dropout", low=0.0, high=0.4, when=(("fusion", _FUSIONS),)),
        Dimension("inputs.*.bins", (0, 16, 48)),
        Dimension("train.weight_decay", low=1e-3, high=0.3, log=True),
        Dimension("train.ema_decay", (0.0, 0.99, 0.998)),
    ),
    "pictures": (
        _RATE,
        _EPOCHS,
        Dimension("train.dropout", low=0.0, high=0.5),
        Dimension("train.weight_decay", low=1e-3, high=0.3, log=True),
    ),
    "sequences": (
        _RATE,
        _EPOCHS,
        Dimension("train.dropout", low=0.0, high=0.5),
        Dimension("train.weight_decay", low=1e-3, high=0.3, log=True),
        Dimension("train.ema_decay", (0.0, 0.99, 0.998)),
    ),
}
_SMOOTHING = Dimension("train.label_smoothing", low=0.0, high=0.15)
_RANK = Dimension("train.lora.rank", (8, 16, 32), when=(("train.method", ("lora",)),))
_WIDTHS = ("filters", "channels", "hidden")  # of encoders from scratch: how their options call it


def dimensions(request: Request) -> list[Dimension]:
    """The space of the spec, or the one that fits what is trained; a key stands behind those that it depends on."""
    search = request.spec.search
    found = [dimension(key, said) for key, said in search.space.items()] if search else []
    return sorted(found or _suggested(request), key=lambda one: bool(one.when))


def check(variants: Variants, space: Sequence[Dimension]) -> None:
    """Refuse what no network can be made of: each value of each key on its own. Raises TrimtabError with all of it."""
    errors: dict[str, TrimtabError] = {}
    for one in space:
        given = {key: values[0] for key, values in one.when}
        for value in () if one.relative else one.ends:
            try:
                _made(variants.of(spec_with(variants.request, {**given, one.key: value})), one.key)
            except TrimtabError as error:
                text = f"{_WHERE}: {one.key}: {value!r}: {error}"
                errors.setdefault(str(error), TrimtabError(str(error) if _WHERE in str(error) else text))
    if errors:
        raise several(errors.values())


def _made(request: Request, key: str) -> None:
    """Build what reads the options that a key sets; an encoder with a base has none."""
    architecture = request.architecture
    if not any(plan.base for plan in request.chosen.plans) and key.startswith(("inputs.", "fusion")):
        Network(architecture, request.inputs, request.output)
    elif key.startswith("fusion"):
        part("fusions", architecture.fusion, "fusion")(
            architecture.width, len(architecture.encoders), architecture.fusion_config
        )


# ------------------------------------------------------------------------------------------------------- suggested


def _suggested(request: Request) -> list[Dimension]:
    found = [*_bases(request), *_methods(request), *_SUGGESTED[request.chosen.kind], *_widths(request)]
    found += [_SMOOTHING] if request.output.one_class else []
    found += [_RANK] if any(one.key == "train.method" and "lora" in one.values for one in found) else []
    return [one for one in found if _is_open(request, one.key)]


def _is_open(request: Request, key: str) -> bool:
    """Whether the spec leaves a key open, and there is something that it would change."""
    top, _, rest = key.partition(".")
    if top == "train":
        of, default = value_at(request.spec.train.model_dump(), rest), value_at(Train().model_dump(), rest)
        return bool(of == default)
    if top == "fusion":
        return request.spec.fusion is None and len(request.chosen.plans) > 1
    if top == "inputs":
        try:
            return all(path[-1] not in request.prepared.inputs[path[1]].options for path in _paths(request, key))
        except TrimtabError:  # no column has such an option
            return False
    return True


def _bases(request: Request) -> Iterator[Dimension]:
    """Other encoders that are installed, where the usual one was taken and the spec names none."""
    named = request.spec.base or any(kind.base or kind.encoder for kind in request.prepared.inputs.values())
    base, plans = request.chosen.base, request.chosen.plans
    if base is None or named or request.chosen.language_model:
        return
    usual = encoder_kind(base.encoder, "encoder").default_base
    others = [name for name in pretrained.encoders(base.reads) if name != base.name]
    if base.name == usual and others and sum(plan.base is not None for plan in plans) == 1:
        yield Dimension("base", (base.name, *others))


def _methods(request: Request) -> Iterator[Dimension]:
    """Which weights learn, where some are pretrained and nothing is said of it."""
    base = request.chosen.base
    if base is None or request.chosen.language_model or request.settings.training_method:
        return
    methods = ("full", "lora", "frozen") if pretrained.leads(base.reads) else ("full", "frozen")
    yield Dimension("train.method", tuple(dict.fromkeys((request.settings.method, *methods))))


def _widths(request: Request) -> Iterator[Dimension]:
    """Half and twice the width of an encoder from scratch, of those that name it in their options."""
    for plan in request.chosen.plans:
        module = registry.module("trimtab.nets.encoders", plan.encoder, "encoder")
        options = getattr(module, "Options", None)
        fields = options.model_fields if options else {}
        for name in (name for name in _WIDTHS if isinstance(getattr(fields.get(name), "default", None), int)):
            usual = int(fields[name].default)
            if plan.base is None and name not in plan.config and len(plan.inputs) == 1:
                yield Dimension(f"inputs.{plan.inputs[0]}.encoder.{name}", (usual // 2, usual, usual * 2))
                break


# ---------------------------------------------------------------------------------------------------------- trials


class Variants:
    """The requests of trials on the same rows: what is read alike is fitted and encoded once."""

    def __init__(self, request: Request, folder: Path, workspace: Path) -> None:
        self.request, self.folder, self.workspace = request, folder, workspace
        self._known = {self._columns(request.spec): request}

    def of(self, spec: Spec) -> Request:
        """The request of a spec. Raises TrimtabError where no network can be made of it."""
        columns = self._columns(spec)
        known = self._known.get(columns, self.request)
        found = variant(known, spec, self.folder, self.workspace / columns[:12])
        if columns not in self._known:
            while len(self._known) >= _MOST_KEPT:  # the first one is that of the spec as it is
                del self._known[list(self._known)[1]]
            self._known[columns] = found
        return found

    def _columns(self, spec: Spec) -> str:
        said = spec.model_dump(mode="json", include={"base", "inputs"})
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def resolved(variants: Variants, space: Sequence[Dimension], taken: Mapping[str, Any]) -> dict[str, Any]:
    """What a trial sets, by key of the spec: factors are multiplied with what is chosen without them."""
    relative = [one.key for one in space if one.relative and one.key in taken]
    values = {key: value for key, value in taken.items() if key not in relative}
    if relative:
        usual = variants.of(spec_with(variants.request, values)).settings
        for key in relative:
            before = getattr(usual, key.removeprefix("train."))
            value = before * taken[key]
            values[key] = max(1, round(value)) if isinstance(before, int) else min(value, 1.0)
    return {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in values.items()}


def as_it_is(request: Request, space: Sequence[Dimension]) -> dict[str, Any]:
    """What the spec takes without a search, for the keys of a space where that is known and lies in it."""
    said = filled(request)
    taken: dict[str, Any] = {}
    for one in space:
        value = 1.0 if one.relative else value_at(said, one.key)
        if one.applies(taken) and one.holds(value):
            taken[one.key] = value
    return taken


def spec_with(request: Request, values: Mapping[str, Any]) -> Spec:
    """The spec of a request with other values of some keys. Raises TrimtabError for inputs and options it lacks."""
    said = request.spec.model_dump(exclude_unset=True)
    if any(key.startswith("inputs.") for key in values):
        said["inputs"] = {name: kind.model_dump(exclude_unset=True) for name, kind in request.prepared.inputs.items()}
    encoders = {name: plan.encoder for plan in request.chosen.plans for name in plan.inputs}
    for key in sorted(values, key=lambda key: key.count(".")):  # a part before its options
        for path in _paths(request, key):
            named = request.architecture.fusion if path[0] == "fusion" else encoders.get(path[1]) if path[1:] else None
            _put(said, path, values[key], named)
    try:
        return Spec.model_validate(said)
    except ValidationError as invalid:
        first = invalid.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise problem(_WHERE, f"{where}: {first['input']!r} ({first['msg']})") from None


def _put(said: dict[str, Any], path: Sequence[str], value: Any, named: str | None) -> None:
    """Set a value deep in a spec; a part that has options now is called as it was, or `named`."""
    for step in path[:-1]:
        below = said.get(step)
        if not isinstance(below, dict):
            name = below if isinstance(below, str) else named
            below = {"name": name} if step in ("fusion", "encoder", "method") else {}
        said[step] = dict(below)
        said = said[step]
    said[path[-1]] = value


def _paths(request: Request, key: str) -> list[list[str]]:
    """Where a key stands in a spec: `inputs.*.bins` in each input that has this option."""
    top, _, rest = key.partition(".")
    if top != "inputs":
        return [key.split(".")]
    inputs = request.prepared.inputs
    if rest.startswith("*."):
        option = rest[2:].split(".")
        names = [name for name in inputs if option[0] in _options(request, name)]
        if not names:
            known = {option for name in inputs for option in _options(request, name)}
            raise problem(f"{_WHERE}: {key}", f"no input has the option {option[0]!r}", nearest(option[0], known))
        return [["inputs", name, *option] for name in names]
    column = max((name for name in inputs if rest.startswith(f"{name}.")), key=len, default="")
    if not column:
        raise problem(f"{_WHERE}: {key}", "no such input", nearest(rest.rpartition(".")[0], inputs))
    option = rest[len(column) + 1 :].split(".")
    allowed = _options(request, column)
    if option[0] not in allowed:
        raise problem(f"{_WHERE}: {key}", f"no option named {option[0]!r}", nearest(option[0], allowed))
    return [["inputs", column, *option]]


def _options(request: Request, name: str) -> list[str]:
    """What may be set on an input."""
    kind = request.prepared.inputs[name].type
    return [*columns.options(kind, f"inputs.{name}").model_fields, *_OF_INPUTS]


def value_at(said: Any, key: str) -> Any:
    """The value of a key deep in a spec, None where it says nothing of it; a part with options by its name."""
    for step in key.split("."):
        if not isinstance(said, Mapping) or step not in said:
            return None
        said = said[step]
    return said["name"] if isinstance(said, Mapping) and set(said) == {"name"} else said
