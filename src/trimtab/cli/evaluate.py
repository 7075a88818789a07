"""`trimtab evaluate`: the audit's quality numbers on other labelled rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from trimtab import rows, runtime
from trimtab.audit import conformal, quality, selective
from trimtab.bundle import store
from trimtab.bundle.manifest import Measured
from trimtab.cli._options import AsJson, Bundle, Device, Encoding, Format, LabelledRows, Threads
from trimtab.cli._problems import MostUnread, Told, share
from trimtab.cli._view import console, print_json, result
from trimtab.cli.predict import beside
from trimtab.columns import NO_ASSURANCE, Outputs, Targets, joined, taken
from trimtab.errors import brief, problem
from trimtab.reaudit import labelled
from trimtab.reaudit.labelled import Aside
from trimtab.rows import Row

_CHUNK = 2048


def command(
    bundle: Bundle,
    data: LabelledRows,
    json: AsJson = False,
    format: Format = None,
    encoding: Encoding = None,
    threads: Threads = None,
    device: Device = "cpu",
    most_unread: MostUnread = None,
) -> None:
    """Measure a bundle on other labelled rows: every quality metric, with its 95% interval where it has one.

    Rows without a usable answer, such as a class that the bundle never learned, are set aside and counted; so are rows
    whose text, picture or sound cannot be read. Of a bundle made from events, the rows may be events: each user's last
    is the answer, and the earlier ones are the history.

    Example: trimtab evaluate runs/reviews/bundle march.csv --json
    """
    most = share(most_unread)
    model = runtime.load(bundle, threads, device=device)
    aside = Aside.of(model)
    told = Told()
    source = labelled.opened(model, data, aside, _note, format, encoding)
    answered = _answer(model, source, data, aside, told)
    manifest = store.read_manifest(bundle) if store.is_whole(bundle) else None
    seed = int(manifest.spec.get("seed", 0)) if manifest else 0
    found = quality.measure(model.output, answered.targets, answered.outputs, seed, users=answered.users)
    found |= _promised(model, answered, seed)
    if aside.count:
        _note(aside.summary())
    told.tell(_note)
    if json:
        metrics = {name: one.model_dump(include={"value", "low", "high"}) for name, one in found.items()}
        counts = {"rows": len(answered.targets), "rejected": aside.count, "problems": told.tally.as_json()}
        print_json({**counts, "metrics": metrics})
    else:
        result.print(_table(found, manifest.measured if manifest else {}, len(answered.targets)))
    told.hold(most, _note)


def _promised(model: runtime.Model, answered: _Answered, seed: int) -> dict[str, Measured]:
    """What the bundle promises of its answers, on these rows: those given and withheld, sets and intervals."""
    promised = model.output.assurance
    if promised == NO_ASSURANCE:
        return {}
    answers, rows = model.output.answered(answered.targets, answered.outputs), len(answered.targets)
    made = {**selective.statistics(answers, promised), **conformal.statistics(answers, promised)}
    return quality.intervals(made, rows, 1, seed, quality.RESAMPLES, answered.users)


def _note(text: str) -> None:
    console.print(brief(text), soft_wrap=True)


@dataclass(frozen=True)
class _Answered:
    """Targets and the network's outputs of the same rows, and whose they are, where the output says so."""

    targets: Targets
    outputs: Outputs
    users: list[Any] | None


def _answer(model: runtime.Model, source: rows.Rows, name: str, aside: Aside, told: Told) -> _Answered:
    """Answer the usable rows chunk by chunk; only numbers are kept."""
    usable = (list(labelled.usable(model, chunk, aside)) for chunk in _chunks(source, model, name))
    parts = [_answer_chunk(model, kept, beside(name), aside, told) for kept in usable if kept]
    parts = [part for part in parts if len(part.targets)]
    if not parts:
        why = f"{aside.summary()}" if aside.count else "the file has no rows"
        raise problem(name, f"no row can be measured: {why}", f"rows with a value of {model.output.name!r}")
    users = None if model.output.user is None else [user for part in parts for user in part.users or ()]
    return _Answered(joined([p.targets for p in parts]), joined([p.outputs for p in parts]), users)


def _chunks(source: rows.Rows, model: runtime.Model, name: str) -> Iterator[list[Row]]:
    """Rows in lists; where the format names no columns, those of the first list are checked."""
    first = source.names is None
    while chunk := list(islice(source, _CHUNK)):
        if first:
            labelled.check_columns(model, dict.fromkeys(key for row in chunk for key in row.values), name, _note)
            first = False
        yield chunk


def _answer_chunk(model: runtime.Model, kept: Sequence[Row], folder: Path, aside: Aside, told: Told) -> _Answered:
    """Answer rows; those of which an input cannot be read that is needed are set aside, and not measured."""
    values = runtime.gathered(model.inputs, [row.values for row in kept], folder)
    found = model.answered(values)
    told.add(kept, found.problems)
    needed = {column.name for column in model.inputs if not column.imputes}
    lost = {one.row: one for one in found.problems if one.kind == "unreadable" and one.column in needed}
    for one in lost.values():
        aside.reasons[str(one)] += 1
    read = [number for number in range(len(kept)) if number not in lost]
    users = None if model.output.user is None else [kept[number].values.get(model.output.user) for number in read]
    targets = model.output.targets([model.output.gathered(kept[number].values) for number in read])
    outputs = taken(found.outputs, np.array(read, np.int64))
    if read:
        asked = {name: [column[number] for number in read] for name, column in values.items()}
        outputs = model.judged(outputs, asked, targets)
    return _Answered(targets, outputs, users)


def _table(found: Mapping[str, Measured], released: Mapping[str, Measured], count: int) -> Table:
    """Each metric here, with its interval, beside what was measured when the bundle was made."""
    table = Table(title=f"{count:,} rows", title_justify="left")
    table.add_column("metric")
    for head in ("value", "95% interval", "when made"):
        table.add_column(head, justify="right")
    for name, here in found.items():
        known = here.low is not None and here.high is not None
        interval = f"{_figure(here.low)} to {_figure(here.high)}" if known else ""
        before = _figure(released[name].value) if name in released else ""
        table.add_row(name, _figure(here.value), interval, before)
    return table


def _figure(value: float | None) -> str:
    """In four decimals; what they would make nothing of, in three digits."""
    value = value or 0.0
    return f"{value:.3g}" if 0 < abs(value) < 0.001 else f"{value:.4f}"
