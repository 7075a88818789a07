"""From a bundle, its old rows and new ones to a request with nothing left open, and the network that is to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import rows, runtime
from trimtab import spec as specs
from trimtab.adapt import new_rows, source, splits
from trimtab.adapt.source import OldRows, Source
from trimtab.adapt.splits import Mixed
from trimtab.audit.paired import Adapted
from trimtab.bundle.manifest import Ancestor
from trimtab.columns import InputColumn, OutputColumn
from trimtab.data import dedup
from trimtab.data.prepare import prepare
from trimtab.data.table import Table
from trimtab.nets import growing
from trimtab.nets.fitted import FittedNetwork
from trimtab.progress import Progress, Quiet
from trimtab.request import Request, check, encoding
from trimtab.spec import Spec, Split

FORGETTING = "forgetting"
_BOUND = "<= 0.01"  # of forgetting, where the spec says none
_CHOSEN_ANEW = ("learning_rate", "epochs", "batch_tokens", "patience", "frozen_blocks", "ema_decay", "label_smoothing")
_SHOWN = 8  # new names that are told


@dataclass(frozen=True)
class Asked:
    """What is to be learnt, by which network, and which of the rows are new."""

    request: Request
    network: FittedNetwork  # grown, and not yet taught
    source: Source
    mixed: Mixed


def asked(
    bundle: Path,
    data: str,
    overrides: Sequence[str],
    old: str | None,
    folder: Path | None,
    home: Path,
    progress: Progress,
) -> Asked:
    """Find everything that is wrong with the request, before anything is learnt. Raises TrimtabError."""
    origin = source.opened(bundle, progress)
    said = specs.parse(specs.override(_reopened(origin), overrides))
    before = source.old_rows(origin, old, folder, progress)
    new_rows.check(origin, data, said.model_copy(update={"data": before.files, "test": None}), before.folder, progress)
    of_events = origin.network.output.user is not None
    spec = _spec(said, origin, before, data, of_events)
    request = check(spec, before.folder, home, _OfRows(progress))
    if of_events and before.files:
        more = prepare(_with_data(spec, (_named(data, before.folder),)), before.folder, Quiet())
        mixed = splits.beside(request.prepared, more)
    elif of_events:
        mixed = splits.beside(None, request.prepared)
    else:
        mixed = splits.mixed(request.prepared, origin, spec, _shown(data, before.folder), data)
    spec = _with_data(spec, tuple(dict.fromkeys((*before.files, _named(data, before.folder)))))
    inputs, output = _extended(origin, mixed, progress)
    mixed = _answerable(mixed, output)
    network = growing.grown(origin.network, inputs, output)
    return Asked(_requested(request, spec, origin, mixed, network), network, origin, mixed)


def _spec(said: Spec, origin: Source, before: OldRows, data: str, of_events: bool) -> Spec:
    """The bundle's spec over old and new files; what is cut is settled here, and which weights learn by the rows."""
    output = origin.network.output
    values = said.model_dump(mode="json")
    kind = values["output"][output.name] if isinstance(values["output"], dict) else {"type": output.type}
    options = output.open_options({"type": kind} if isinstance(kind, str) else kind)
    words = getattr(output, "not_missing", None)
    values["output"] = {output.name: {**options, **({} if words is None else {"not_missing": list(words)})}}
    files = before.files if of_events and before.files else (*before.files, _named(data, before.folder))
    values |= {"data": list(files), "test": None}
    if isinstance(said.split, str):
        values["split"] = Split().model_dump()
    method = said.train.weights
    values["train"] = values["train"] | {"method": method if method in ("frozen", "scratch") else "full"}
    if before.files:
        values["gates"].setdefault(FORGETTING, _BOUND)
    elif values["gates"].get(FORGETTING) == _BOUND:  # nothing is there that it could be measured on
        del values["gates"][FORGETTING]
    return specs.parse(values)


@dataclass(frozen=True)
class _OfRows(Progress):
    """Tells what is found in the rows; not how a launch would train, for another way is chosen here."""

    progress: Progress

    def stage(self, name: str, detail: str = "") -> None:
        """See `Progress.stage`."""
        self.progress.stage(name, detail)

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        if not text.startswith(("train.", "checkpoint:")):
            self.progress.note(text)

    def tick(self, done: int, total: int, figures: Mapping[str, float | str]) -> None:
        """See `Progress.tick`."""
        self.progress.tick(done, total, figures)


def _reopened(origin: Source) -> dict[str, Any]:
    """A bundle's spec without what was chosen of its training, which now begins elsewhere; the network is there."""
    said = origin.manifest.spec
    train = {key: value for key, value in said.get("train", {}).items() if key not in _CHOSEN_ANEW}
    fusion = said.get("fusion") if origin.network.network.fusion is not None else None
    return {**said, "train": train, "fusion": fusion}


def _with_data(spec: Spec, files: tuple[str, ...]) -> Spec:
    return spec.model_copy(update={"data": files})


def _named(data: str, folder: Path) -> str:
    """The new file as the spec names it: relative to its folder where it lies below."""
    place, home = Path(data).absolute(), folder.absolute()
    return str(place.relative_to(home)) if place.is_relative_to(home) else str(place)


def _shown(data: str, folder: Path) -> list[str]:
    """How the rows of the new files say where they stand."""
    found = rows.find((_named(data, folder),), folder)
    return [str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path) for path in found]


# --------------------------------------------------------------------------------------------------------- columns


def _extended(origin: Source, mixed: Mixed, progress: Progress) -> tuple[tuple[InputColumn, ...], OutputColumn]:
    """The bundle's columns, that also know what is new in the new training rows; what is new is told."""
    values = mixed.splits.train.take(np.flatnonzero(mixed.new["train"])).values
    network = origin.network
    output = network.output.extended(values[network.output.name])
    first = {output.events: output.classes} if output.events else {}
    inputs = tuple(c.extended(values[c.name], first.get(c.type, ())) for c in network.inputs)
    for before, after in zip((network.output, *network.inputs), (output, *inputs), strict=True):
        if after != before:
            progress.note(f"{after.name}: {_new(before, after)}")
    return inputs, output


def _new(before: Any, after: Any) -> str:
    """What a column knows more."""
    names = [f"{name!r}" for name in _names(after) if name not in set(_names(before))]
    if not names:
        return f"{after.step_size - before.step_size:,} new tokens"
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"new: {', '.join(names[:_SHOWN])}{more}"


def _names(column: Any) -> tuple[str, ...]:
    kept = (getattr(column, name, ()) for name in ("classes", "answer_names", "categories", "items"))
    return next((names for names in kept if names), ())


def _answerable(mixed: Mixed, output: OutputColumn) -> Mixed:
    """Without rows to choose by, and to measure on, whose answer no row teaches."""
    tables, new = {"train": mixed.splits.train}, dict(mixed.new)
    for part, table in (("valid", mixed.splits.valid), ("test", mixed.splits.test)):
        keep = np.flatnonzero([output.usable(value) is None for value in table.values[output.name]])
        tables[part], new[part] = table.take(keep), mixed.new[part][keep]
    return replace(mixed, splits=replace(mixed.splits, **tables), new=new)


# --------------------------------------------------------------------------------------------------------- request


def _requested(request: Request, spec: Spec, origin: Source, mixed: Mixed, network: FittedNetwork) -> Request:
    """The request over these rows and columns, which knows what it is to be held against."""
    inputs, output = network.inputs, network.output
    train, found = encoding.read(inputs, mixed.splits.train)
    counts = mixed.counts
    report = {
        **request.prepared.report,
        "rows": {part: len(table) for part, table in _tables(mixed).items()},
        "split": "old rows as the bundle had them, new ones by content hash",
        "balance": {part: output.balance(table.values[output.name]) for part, table in _tables(mixed).items()},
        "problems": found.tally.as_json(),
        "adapted": {**counts, "known before, left out": mixed.known},
    }
    prepared = replace(
        request.prepared, splits=mixed.splits, classes=list(output.classes), parts=list(output.parts), report=report
    )
    manifest = origin.manifest
    parent = Ancestor(
        name=manifest.name,
        hash=manifest.hash,
        created=manifest.created,
        trimtab=manifest.trimtab,
        learnt={kind: own["train"] for kind, own in counts.items()},
    )
    seen = {part: np.union1d(origin.seen.get(part, found), found) for part, found in _seen(request, mixed).items()}
    return replace(
        request,
        spec=spec,
        prepared=prepared,
        inputs=inputs,
        output=output,
        architecture=network.architecture,
        train=train,
        valid=encoding.encode(inputs, mixed.splits.valid),
        augmentation=None,
        seen=seen,
        ways=(),
        adapted=Adapted(runtime.load(origin.folder), mixed.new["test"]),
        lineage=(*manifest.lineage, parent),
    )


def _tables(mixed: Mixed) -> dict[str, Table]:
    return {"train": mixed.splits.train, "valid": mixed.splits.valid, "test": mixed.splits.test}


def _seen(request: Request, mixed: Mixed) -> dict[str, np.ndarray]:
    """Fingerprints of the rows that are learnt from, and chosen by; of histories, which grow, none."""
    kinds = {name: kind.type for name, kind in request.prepared.inputs.items()}
    if not request.seen:
        return {}
    return {part: dedup.fingerprints(table, kinds) for part, table in _tables(mixed).items() if part != "test"}
