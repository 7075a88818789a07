"""What is kept of answered rows: features by which drift is told, none of which gives a text or a picture away."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.bundle import reference, store
from trimtab.columns import OUTPUTS, EncodedRows, InputColumn, OutputColumn, Outputs, Ragged
from trimtab.runtime import Model
from trimtab.values import many

# Features of rows by name, `<column's key>.<feature>`: (rows,) float64 for amounts, NaN for none; (rows,) int64 for
# ids; (rows, width) int64 for counts.
Sketches = Mapping[str, np.ndarray]

_CONFIDENCES = ("confidence", "probability", "score", "share")  # what it is called: see the types of outputs
_MOST_CLASSES = 64  # of several labels, that are counted one by one
NO_CLASS = -1  # the answer was withheld
NO_ID = -2  # the row was not asked for it
_LARGEST = 3e38


@dataclass(frozen=True)
class Sketcher:
    """Sketches the rows that one bundle answers. Holds what it needs of the bundle; make it once."""

    inputs: tuple[InputColumn, ...]
    output: OutputColumn
    log_shares: Mapping[str, np.ndarray]  # of a column's ids among those of training, by the column's key

    @classmethod
    def of(cls, model: Model) -> Sketcher:
        """For the rows of a bundle."""
        path = None if model.folder is None else model.folder / store.REFERENCE
        kept = {column.key: {} if path is None else reference.of(path, column.key) for column in model.inputs}
        many_ids = {key: found["counts"] for key, found in kept.items() if {"counts", "lengths"} <= found.keys()}
        log_shares = {}
        for key, counts in many_ids.items():
            smooth = np.append(counts, 0) + 0.5  # the last place is that of any other id
            log_shares[key] = np.log(smooth / smooth.sum())
        return cls(model.inputs, model.output, log_shares)

    def sketches(
        self,
        values: Mapping[str, Sequence[Any]],
        rows: EncodedRows,
        outputs: Outputs,
        answers: Mapping[str, Sequence[Any]],
    ) -> dict[str, np.ndarray]:
        """Of rows: their raw values by column, what these became, the network's outputs and the answers."""
        found: dict[str, np.ndarray] = {}
        for column, encoded in zip(self.inputs, rows.encoded, strict=True):
            raw = values[column.name]
            features = column.sketched(raw, encoded)
            if column.key in self.log_shares and isinstance(encoded, Ragged):
                features["typicality"] = _mean_log_share(self.log_shares[column.key], encoded)
            if not column.begins:  # rows of training have none
                features["missing"] = many.missing(raw, column.is_text).astype(np.int64)
            found |= {f"{column.key}.{name}": array for name, array in features.items()}
        answered = self.output.looks(outputs) or _answer_features(self.output, answers)
        if self.output.familiarity_word:
            answered["familiarity"] = self.output.familiarity(outputs)
        found |= {f"{OUTPUTS}.{name}": array for name, array in answered.items()}
        return {name: _kept(array) for name, array in found.items()}


def confidences(output: OutputColumn, answers: Mapping[str, Sequence[Any]]) -> list[float | None]:
    """How sure each answer is; None where that is not one number."""
    word = _confidence(output, answers)
    found = [None] * len(next(iter(answers.values()), ())) if word is None else answers[word]
    return [None if one is None or not math.isfinite(one) else float(one) for one in found]


def _confidence(output: OutputColumn, answers: Mapping[str, Any]) -> str | None:
    """What the answers call how sure they are, where each has one such number."""
    return next((word for word in _CONFIDENCES if word in answers and word != output.name and not output.several), None)


def by_row(sketches: Sketches, rows: int) -> list[dict[str, Any]]:
    """The sketch of each row as the log keeps it: plain JSON, None for an amount that is not there."""
    listed = {}
    for name, array in sketches.items():
        values = array.tolist()
        if np.issubdtype(array.dtype, np.floating):
            values = [float(f"{one:.9g}") if math.isfinite(one) else None for one in values]
        listed[name] = values
    return [{name: own[row] for name, own in listed.items()} for row in range(rows)]


def stacked(sketches: Sequence[Mapping[str, Any]], kinds: Mapping[str, str]) -> dict[str, np.ndarray]:
    """What `by_row` took apart, of the features of these kinds (`Feature.kind`); what a row lacks is missing."""
    found: dict[str, np.ndarray] = {}
    for name, kind in kinds.items():
        values = [sketch.get(name) for sketch in sketches]
        if kind == "amount":
            found[name] = _kept(_amounts([value if type(value) in (int, float) else None for value in values]))
        elif kind == "id":
            found[name] = np.array([value if type(value) is int else NO_ID for value in values], np.int64)
        else:
            width = max((len(value) for value in values if isinstance(value, list)), default=0)
            rows = [value if isinstance(value, list) and len(value) == width else [0] * width for value in values]
            found[name] = np.array(rows, np.int64).reshape(len(rows), width)
    return found


def kinds(sketches: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The kind of each feature that any of these rows have, by how it is written."""
    words = {bool: "id", int: "id", float: "amount", list: "share", type(None): "amount"}
    found: dict[str, str] = {}
    for sketch in sketches:
        for name, value in sketch.items():
            if name not in found or value is not None:
                found[name] = words.get(type(value), "amount")
    return found


def _kept(array: np.ndarray) -> np.ndarray:
    """Amounts as they are read back from a log: of single precision."""
    if not np.issubdtype(array.dtype, np.floating):
        return array
    kept: np.ndarray = np.clip(array, -_LARGEST, _LARGEST).astype(np.float32).astype(np.float64)
    return kept


def _mean_log_share(log_shares: np.ndarray, rows: Ragged) -> np.ndarray:
    """How usual the ids of each row are, (rows,): the mean logarithm of their shares in training."""
    known = log_shares[np.minimum(rows.values, len(log_shares) - 1)]
    row = np.repeat(np.arange(len(rows)), rows.lengths)
    sums = np.bincount(row, known, minlength=len(rows))
    return np.asarray(sums / np.maximum(rows.lengths, 1))


def _answer_features(output: OutputColumn, answers: Mapping[str, Sequence[Any]]) -> dict[str, np.ndarray]:
    """The answers themselves, and how sure they are."""
    places = {name: place for place, name in enumerate(output.classes)}
    found: dict[str, np.ndarray] = {}
    for name in (output.name, *output.sources):
        values = answers.get(name)
        if values is None:
            continue
        if not output.several and places:
            found[name] = np.array([places.get(value, NO_CLASS) for value in values], np.int64)
        elif name == output.name and output.several:
            found |= _several(values, places)
        elif all(value is None or isinstance(value, (int, float, np.number)) for value in values):
            found[name] = _amounts(values)
        elif name == output.name:  # a type of its own: texts, lists
            found |= _several(values, {})
    if _confidence(output, answers):
        found["confidence"] = _amounts(confidences(output, answers))
    return found


def _several(values: Sequence[Any], places: Mapping[str, int]) -> dict[str, np.ndarray]:
    """How many there are in each answer, and how often each class; of numbers their mean."""
    size = np.array([len(value or ()) for value in values], np.float64)
    if places:
        counts = np.zeros((len(values), min(len(places), _MOST_CLASSES)), np.int64)
        for row, value in enumerate(values):
            for one in value or ():
                if places.get(one, _MOST_CLASSES) < counts.shape[1]:
                    counts[row, places[one]] += 1
        return {"size": size, "classes": counts}
    sums = np.array([sum(x for x in value or () if isinstance(x, (int, float))) for value in values], np.float64)
    return {"size": size, "mean": sums / np.maximum(size, 1)}


def _amounts(values: Sequence[Any]) -> np.ndarray:
    return np.array([np.nan if one is None else float(one) for one in values], np.float64)
