"""What rows are held against: how the features of rows that the bundle did not learn from are spread.

Every feature is cut into a few bins, whose edges stay as they are, so that all that is ever kept of rows are counts:
those of several servers, or of several days, add up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trimtab.bundle import reference
from trimtab.columns import OUTPUTS, OutputColumn
from trimtab.watch.sketch import Sketches

FEWEST = 20  # rows that a baseline needs to say anything
_BINS, _COUNT_BINS = 8, 4  # of an amount; of one bucket of counts
_MOST_IDS = 20  # that have a bin of their own; the others share one
_CONTRAST = 600  # rows whose bins are kept, for a classifier to tell new rows from
MOST_CLASSES = 50  # of which a confusion matrix is kept
_HELD_OUT = "held_out"

Kind = Literal["amount", "id", "share"]


@dataclass(frozen=True)
class Feature:
    """One thing about a row that may move, and its bins.

    An amount has those between `edges`, and one for a missing one; an id one each for `ids`, and one for all others; a
    share, of what is counted in a row, as an amount, `place` says of which count.
    """

    name: str  # of the sketch, `<column's key>.<feature>`
    kind: Kind
    edges: tuple[float, ...] = ()
    ids: tuple[int, ...] = ()
    place: int = -1

    @property
    def column(self) -> str:
        """The key of its column."""
        return self.name.partition(".")[0]

    @property
    def bins(self) -> int:
        """How many there are."""
        return len(self.ids) + 1 if self.kind == "id" else len(self.edges) + 2

    def binned(self, sketches: Sketches, rows: int) -> np.ndarray:
        """The bin of each row, (rows,); of a feature that the rows were not asked for, that of what is missing."""
        array = sketches.get(self.name)
        if array is None or (self.kind == "share" and self.place >= array.shape[1]):
            return np.full(rows, self.bins - 1, np.uint8)
        if self.kind == "id":
            order = np.argsort(self.ids)
            known = np.asarray(self.ids, np.int64)[order]
            place = np.minimum(np.searchsorted(known, array), len(known) - 1)
            return np.where(known[place] == array, order[place], len(known)).astype(np.uint8)
        amounts = _shares(array)[:, self.place] if self.kind == "share" else array
        found = np.searchsorted(self.edges, amounts, side="left")
        return np.where(np.isnan(amounts), len(self.edges) + 1, found).astype(np.uint8)


@dataclass(frozen=True)
class Baseline:
    """The spread of features over held-out rows, and what the answers to them were worth."""

    features: tuple[Feature, ...]
    counts: np.ndarray  # (features, most bins) int64
    rows: int
    binned: np.ndarray  # (some rows, features) uint8; no rows where none may be quoted
    confusion: np.ndarray  # (classes, classes) int64: right class down, answered class across; (0, 0): not known
    right: np.ndarray  # (bins of confidence, 2) int64: answers, right ones; (0, 2): not known

    def bins_of(self, sketches: Sketches, rows: int) -> np.ndarray:
        """The bins of rows, (rows, features) uint8."""
        found = [feature.binned(sketches, rows) for feature in self.features]
        return np.stack(found, axis=1) if found else np.zeros((rows, 0), np.uint8)

    def counted(self, binned: np.ndarray) -> np.ndarray:
        """How many of some rows are in each bin, (features, most bins) int64."""
        return counted(binned, self.counts.shape[1])

    @property
    def sizes(self) -> np.ndarray:
        """Bins of each feature, (features,)."""
        return np.array([feature.bins for feature in self.features], np.int64)

    def place(self, name: str) -> int | None:
        """Where a feature stands; None where there is none of that name."""
        return next((place for place, feature in enumerate(self.features) if feature.name == name), None)


def counted(binned: np.ndarray, width: int) -> np.ndarray:
    """How many rows are in each bin, (features, width) int64."""
    count = binned.shape[1]
    flat = binned.astype(np.int64) + np.arange(count) * width
    return np.bincount(flat.reshape(-1), minlength=count * width).reshape(count, width)


def fitted(sketches: Sketches, rows: int, quotes: bool = True) -> Baseline:
    """The baseline of some rows, without what their answers were worth."""
    features = tuple(feature for name, array in sketches.items() for feature in _features(name, array))
    width = max((feature.bins for feature in features), default=1)
    nothing = np.zeros((0, len(features)), np.uint8), np.zeros((0, 0), np.int64), np.zeros((0, 2), np.int64)
    empty = Baseline(features, np.zeros((len(features), width), np.int64), rows, *nothing)
    binned = empty.bins_of(sketches, rows)
    kept = np.linspace(0, rows - 1, min(rows, _CONTRAST)).astype(int) if quotes and rows else np.zeros(0, int)
    return Baseline(features, counted(binned, width), rows, binned[kept], empty.confusion, empty.right)


def with_labels(baseline: Baseline, sketches: Sketches, output: OutputColumn, right: Sequence[Any]) -> Baseline:
    """The baseline with what the answers to its rows were worth; `right` are the right answers, raw."""
    truth = classes_of(output, right)
    answered = sketches.get(f"{OUTPUTS}.{output.name}")
    if truth is None or answered is None:
        return baseline
    known = (truth >= 0) & (answered >= 0)
    size = len(output.classes)
    confusion = np.bincount(truth[known] * size + answered[known], minlength=size * size).reshape(size, size)
    confusion = confusion if size <= MOST_CLASSES else np.zeros((0, 0), np.int64)
    place = baseline.place(f"{OUTPUTS}.confidence")
    levels = np.zeros((0, 2), np.int64)
    if place is not None:
        feature = baseline.features[place]
        found = feature.binned(sketches, len(truth))[known]
        good = (truth == answered)[known]
        levels = np.stack(
            [np.bincount(found, minlength=feature.bins), np.bincount(found[good], minlength=feature.bins)], 1
        )
    parts = asdict(baseline) | {"features": baseline.features, "confusion": confusion, "right": levels}
    return Baseline(**parts)


def classes_of(output: OutputColumn, values: Sequence[Any]) -> np.ndarray | None:
    """The class of each right answer, (rows,), -1 for what is none; None where an answer is not one class."""
    if not output.classes or output.several or output.events:
        return None
    found = np.full(len(values), -1, np.int64)
    usable = [row for row, value in enumerate(values) if output.usable(value) is None]
    if usable:
        targets = np.asarray(output.targets([values[row] for row in usable]))
        if targets.ndim != 1:
            return None
        found[usable] = targets
    return found


# ------------------------------------------------------------------------------------------------- in the bundle


def write(path: Path, baseline: Baseline) -> None:
    """Put it into a bundle's `reference.npz`."""
    told = json.dumps([asdict(feature) for feature in baseline.features])
    arrays: dict[str, np.ndarray] = {
        "features": np.frombuffer(told.encode(), np.uint8),
        "counts": baseline.counts.astype(np.int32),
        "rows": np.array([baseline.rows]),
        "binned": baseline.binned,
        "confusion": baseline.confusion.astype(np.int32),
        "right": baseline.right.astype(np.int32),
    }
    reference.put(path, _HELD_OUT, arrays)


def read(path: Path) -> Baseline | None:
    """That of a bundle's `reference.npz`; None of one that was made before there was any, or of a copy without it."""
    found = reference.of(path, f"{reference.BESIDE}{_HELD_OUT}")
    if "features" not in found:
        return None
    told: list[Mapping[str, Any]] = json.loads(found["features"].tobytes())
    features = tuple(Feature(**{**one, "edges": tuple(one["edges"]), "ids": tuple(one["ids"])}) for one in told)
    counts, confusion, right = (found[name].astype(np.int64) for name in ("counts", "confusion", "right"))
    return Baseline(features, counts, int(found["rows"][0]), found["binned"], confusion, right)


def _features(name: str, array: np.ndarray) -> list[Feature]:
    if np.issubdtype(array.dtype, np.floating):
        return [Feature(name, "amount", _edges(array, _BINS))]
    if array.ndim == 1:
        ids, counts = np.unique(array, return_counts=True)
        kept = ids[np.argsort(-counts, kind="stable")[:_MOST_IDS]]
        return [Feature(name, "id", ids=tuple(kept.tolist()))] if len(kept) else []
    shares = _shares(array)
    return [
        Feature(name, "share", _edges(shares[:, place], _COUNT_BINS), (), place) for place in range(shares.shape[1])
    ]


def _edges(amounts: np.ndarray, bins: int) -> tuple[float, ...]:
    """Quantiles that part the amounts evenly, each once; an amount that is an edge is below it."""
    known = amounts[np.isfinite(amounts)]
    if not len(known):
        return ()
    bins = max(2, min(bins, len(known) // 10))
    found = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1], method="lower"))
    return tuple(found.tolist())


def _shares(counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
