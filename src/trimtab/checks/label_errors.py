"""Labels that are likely wrong, in the rows of all splits, by models that did not learn the row they answer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from trimtab import registry
from trimtab.audit import label_errors
from trimtab.audit.label_errors import Doubts
from trimtab.bundle import store
from trimtab.bundle.manifest import Manifest
from trimtab.checks import Context, Finding
from trimtab.checks.data import share
from trimtab.columns import dense, encode_rows
from trimtab.data.table import Table, joined
from trimtab.metrics import OneOf, shortened
from trimtab.page import Block, Section, Text, figures
from trimtab.page import Table as Grid

PLACE = 3.1
NAME = "data.label_errors"
LIKELIEST = "likely_label_errors"  # rows: only where the bundle may quote them
_ROWS = 5_000  # whose labels are looked at
_ROWS_OF_FILES = 1_000  # where each has a picture or a sound to decode
_STEPS = 80_000  # that the network reads in all: fewer rows are looked at, or cheap models judge alone
_LISTED_SHARE = 0.1  # of the rows that are listed at least: some that do not look wrong are
_QUOTED = 20
_SHOWN = 10
_FEWEST = 2  # rows of each of two classes at least
_SAYS = (
    "Confident learning (Northcutt et al. 2021) on the chances that {model} gave to {rows:,} of {of:,} rows of all "
    "splits, none of which it had learnt. {count:,} labels look wrong{listed}. Rows that are hard to tell are "
    "among them: the figure is rather too high than too low."
)
_LISTED = "; `label_errors.csv` in the run's folder lists the rows, the likeliest errors first"


def check(context: Context) -> Finding:
    """The estimated share of wrong labels, the likeliest of them, and all of them for the run's folder."""
    if not issubclass(context.output.answers, OneOf) or not isinstance(context.targets, np.ndarray):
        return Finding()
    if not registry.available("sklearn"):
        return Finding(remarks={NAME: "models that judge labels need the train extra"})
    table, parts = _looked_at(context)
    labels = dense(context.output.targets(table.values[context.output.name]))
    classes = len(context.output.classes)
    if (np.bincount(labels, minlength=classes) >= _FEWEST).sum() < 2:
        return Finding(remarks={NAME: "too few rows to tell"})
    vectors = _vectors(context, table)
    if vectors is not None and len(vectors.rows) < len(table):
        table, parts, labels = table.take(vectors.rows), [parts[row] for row in vectors.rows], labels[vectors.rows]
    model, chances = _judged(context, table, labels, classes, None if vectors is None else vectors.values)
    found = label_errors.doubts(labels, chances)
    wrong, least = int(found.wrong.sum()), math.ceil(_LISTED_SHARE * len(table))
    listed = found.order[: max(least, int(np.flatnonzero(found.wrong[found.order]).max(initial=-1)) + 1)].tolist()
    lines = [_line(context, table, parts, labels, chances, found, row) for row in listed]
    rows = sum(map(len, context.splits.values()))
    told = {"model": model, "rows": len(table), "of": rows, "count": wrong}
    likeliest = [line for line in lines if line["looks wrong"] == "yes"][:_QUOTED]
    quoted = [{**line, "inputs": shortened(line["inputs"])} for line in likeliest]
    return Finding(
        {NAME: share(found.wrong, context.seed)},
        {NAME: told} | ({LIKELIEST: quoted} if quoted and context.quotes else {}),
        listed={
            "label_errors": [{**{k: v for k, v in line.items() if k != "inputs"}, **line["inputs"]} for line in lines]
        },
    )


def _looked_at(context: Context) -> tuple[Table, list[str]]:
    """Rows of all splits, at most 5,000 by the seed, and of which split each is."""
    whole = joined(list(context.splits.values()))
    parts = [name for name, rows in context.splits.items() for _ in range(len(rows))]
    most = _ROWS_OF_FILES if any(column.from_files for column in context.inputs) else _ROWS
    if len(whole) <= most:
        return whole, parts
    picked = np.sort(np.random.default_rng(context.seed).choice(len(whole), most, replace=False))
    return whole.take(picked), [parts[row] for row in picked.tolist()]


def _judged(
    context: Context, table: Table, labels: np.ndarray, classes: int, vectors: np.ndarray | None
) -> tuple[str, np.ndarray]:
    """The name and the chances, (rows, classes), of the model that fits the labels best."""
    models = registry.attribute("trimtab.audit.cross_fitted", "models")
    found: dict[str, np.ndarray] = models(context.inputs, table, labels, classes, context.seed, vectors)
    given = {name: np.maximum(chances[np.arange(len(labels)), labels], 1e-6) for name, chances in found.items()}
    best = max(found, key=lambda name: float(np.log(given[name]).mean()))
    return best, found[best]


class _Vectors(NamedTuple):
    """The network's own vectors, (rows, width), and of which rows."""

    values: np.ndarray
    rows: np.ndarray


def _vectors(context: Context, table: Table) -> _Vectors | None:
    """Of all rows, or of half of them at least; None where that costs too much, or the bundle has no weights."""
    folder = context.model.folder
    if folder is None or not (folder / store.WEIGHTS).is_file() or not registry.available("torch"):
        return None
    network = context.network
    rows = encode_rows(network.inputs, {column.name: table.values[column.name] for column in network.inputs})
    mixed = np.random.default_rng(context.seed).permutation(len(rows))
    read = np.sort(mixed[np.cumsum(rows.costs[mixed]) <= _STEPS])
    if 2 * len(read) < len(rows):
        return None
    found: np.ndarray | None = registry.attribute("trimtab.nets.fitted", "vectors")(network, rows.take(read))
    return None if found is None or not np.isfinite(found).all() else _Vectors(found, read)


def _line(
    context: Context,
    table: Table,
    parts: Sequence[str],
    labels: np.ndarray,
    chances: np.ndarray,
    found: Doubts,
    row: int,
) -> dict[str, Any]:
    """Where a row stands, its label, the one that is likelier, and its inputs."""
    classes, origin = context.output.classes, table.origins[row]
    given, suggested = int(labels[row]), int(found.suggested[row])
    return {
        "file": origin.file,
        "line": origin.line,
        "split": parts[row],
        "looks wrong": "yes" if found.wrong[row] else "no",
        "given": classes[given],
        "suggested": classes[suggested],
        "chance of given": round(float(chances[row, given]), 4),
        "chance of suggested": round(float(chances[row, suggested]), 4),
        "inputs": {column.name: table.values[column.name][row] for column in context.inputs},
    }


def sections(manifest: Manifest) -> Iterator[Section]:
    """The estimate, and the likeliest errors."""
    yield Section("Data", tuple(_blocks(manifest)))


def _blocks(manifest: Manifest) -> Iterator[Block]:
    told = manifest.evidence.get(NAME)
    if not told or NAME not in manifest.measured:
        return
    yield figures.table({NAME: manifest.measured[NAME]})
    yield Text(_SAYS.format(**told, listed=_LISTED))
    lines = manifest.evidence.get(LIKELIEST, [])[:_SHOWN]
    if lines:
        yield Grid(
            ("where", "inputs", "label", "likelier"),
            tuple(map(_row, lines)),
            title="Likeliest label errors",
            folded=True,
        )


def _row(line: Mapping[str, Any]) -> tuple[str, ...]:
    inputs = "; ".join(f"{name}: {value}" for name, value in line["inputs"].items())
    return f"{line['file']}:{line['line']}", inputs, line["given"], line["suggested"]
