"""What drives each answer over many rows: words, events and cells that come again, and what leaving them out does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from trimtab import runtime
from trimtab.columns import Outputs
from trimtab.explain._question import Parts, apart

FEWEST_ROWS = 5  # in which something says the same
_CANDIDATES = 8  # of an answer, by how its score differs between rows with and without them
_ANSWERS, _TRIED = 4, 4  # answers that are looked at; rows in which a candidate is left out
_LARGEST = 10_000  # units of a value: single words, however long a text is


class _Key(NamedTuple):
    """What says the same in several rows: `lovely` in the column `review`."""

    column: int
    said: str


@dataclass(frozen=True)
class Driver:
    """Something that rows say, and what it adds to the score of an answer: the mean over rows where it was left out."""

    answer: str
    column: str
    said: str
    rows: int  # that say it
    added: float


def drivers(
    model: runtime.Model,
    values: Mapping[str, Sequence[Any]],
    outputs: Outputs,
    seen: Mapping[str, Mapping[str, np.ndarray]],
    columns: Sequence[str],
) -> list[Driver]:
    """For the most frequent answers, the strongest first; of numbers what raises and what lowers them.

    `outputs` are those of the rows whose `values` are given by column; only `columns` are looked at.
    """
    made = {
        place: list(map(apart(column, _LARGEST, seen.get(column.name, {})), values[column.name]))
        for place, column in enumerate(model.inputs)
        if column.name in columns
    }
    holders = _holders(made)
    scores = model.output.additive_scores(outputs)
    asked = [
        (answer, key)
        for answer in _answers(model, scores)
        for key in _candidates(holders, scores[:, answer], both=not model.output.classes)
    ]
    added = _added(model, values, made, holders, scores, asked)
    found = [
        Driver(model.output.score_names[answer], model.inputs[key.column].name, key.said, len(holders[key]), one)
        for (answer, key), one in zip(asked, added, strict=True)
        if one > 0 or not model.output.classes
    ]
    order = list(dict.fromkeys(one.answer for one in found))
    return sorted(found, key=lambda one: (order.index(one.answer), -one.added))


def _holders(made: Mapping[int, Sequence[Parts]]) -> dict[_Key, np.ndarray]:
    """The rows that say each thing, of what enough rows say and not all."""
    rows: dict[_Key, list[int]] = defaultdict(list)
    for column, each in made.items():
        for row, parts in enumerate(each):
            for said in dict.fromkeys(unit.said for unit in parts.units if unit.said):
                rows[_Key(column, said)].append(row)
    count = max(map(len, made.values()), default=0)
    return {key: np.array(found) for key, found in rows.items() if FEWEST_ROWS <= len(found) < count}


def _answers(model: runtime.Model, scores: np.ndarray) -> list[int]:
    """Places of the answers that are looked at: the classes that are likeliest in the most rows, or all numbers."""
    if not model.output.classes:
        return list(range(scores.shape[1]))[:_ANSWERS]
    counts = np.bincount(scores.argmax(axis=1), minlength=scores.shape[1])
    return [place for place in np.argsort(-counts, kind="stable").tolist() if counts[place]][:_ANSWERS]


def _candidates(holders: Mapping[_Key, np.ndarray], score: np.ndarray, both: bool) -> list[_Key]:
    """What is said where a score is high, for its spread and the number of rows; with `both` also where it is low."""
    spread = float(score.std()) or 1.0
    apart = {key: float(score[rows].mean() - score.mean()) / spread * len(rows) ** 0.5 for key, rows in holders.items()}
    ranked = sorted(apart, key=lambda key: (-apart[key], key))
    if not both:
        return [key for key in ranked[:_CANDIDATES] if apart[key] > 0]
    half = _CANDIDATES // 2
    return list(dict.fromkeys([*ranked[:half], *ranked[-half:]]))


def _added(
    model: runtime.Model,
    values: Mapping[str, Sequence[Any]],
    made: Mapping[int, Sequence[Parts]],
    holders: Mapping[_Key, np.ndarray],
    scores: np.ndarray,
    asked: Sequence[tuple[int, _Key]],
) -> list[float]:
    """How far each score falls where each thing is left out of some of the rows that say it, all answered at once."""
    if not asked:
        return []
    tried = [rows[:: -(-len(rows) // _TRIED)] for rows in (holders[key] for _, key in asked)]
    changed: dict[str, list[Any]] = {column.name: [] for column in model.inputs}
    for (_, key), rows in zip(asked, tried, strict=True):
        for row in rows.tolist():
            for place, column in enumerate(model.inputs):
                value = values[column.name][row]
                if place == key.column:
                    parts = made[place][row]
                    value = parts.of(np.array([unit.said != key.said for unit in parts.units]))
                changed[column.name].append(value)
    without = model.output.additive_scores(model.outputs(changed))
    found, start = [], 0
    for (answer, _), rows in zip(asked, tried, strict=True):
        end = start + len(rows)
        found.append(float((scores[rows, answer] - without[start:end, answer]).mean()))
        start = end
    return found
