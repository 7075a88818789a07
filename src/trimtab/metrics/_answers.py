"""Answers beside what is right: the kinds that there are of them, whatever type of output gave them.

A metric says how it is computed of each kind; what stands behind the numbers (`evidence`) is said by the kind itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from trimtab.metrics import _evidence, _texts
from trimtab.metrics._evidence import Rows

_BLOCK_CELLS = 20_000_000  # scores that are compared at a time
PLACES = 10  # of a right item that are counted one by one


@dataclass(frozen=True)
class Answers:
    """What a kind of answers has in common with all others."""

    @property
    def parts(self) -> Sequence[str]:
        """What some metrics are measured of one by one: classes, or numbers."""
        return ()

    def evidence(self, inputs: Rows) -> dict[str, Any]:
        """What the card and the plots show beside the metrics, as plain JSON; nothing where the kind says nothing.

        `inputs` holds each row's input values, shown shortened beside the hardest mistakes.
        """
        return {}


@dataclass(frozen=True)
class OneOf(Answers):
    """One class of several."""

    classes: Sequence[str]
    true: np.ndarray  # (rows,) the place of the right class
    chances: np.ndarray  # (rows, classes)
    temperature: float = 1.0  # that the chances were softened by

    @property
    def parts(self) -> Sequence[str]:
        """The classes."""
        return self.classes

    @cached_property
    def chosen(self) -> np.ndarray:
        """The place of the class that is answered, (rows,): the likeliest one."""
        return self.chances.argmax(axis=1) if len(self.chances) else np.zeros(0, np.int64)

    @property
    def confidence(self) -> np.ndarray:
        """The chance of what is answered, (rows,)."""
        return np.asarray(self.chances[np.arange(len(self.chances)), self.chosen])

    @property
    def chance_of_true(self) -> np.ndarray:
        """The chance of the right class, (rows,)."""
        return np.asarray(self.chances[np.arange(len(self.chances)), self.true])

    def evidence(self, inputs: Rows) -> dict[str, Any]:
        """Confusion matrix, curves, reliability, histogram of confidence and the hardest mistakes."""
        right = self.chosen == self.true
        worst = np.lexsort((-self.confidence, right))[: _evidence.HARDEST]
        return {
            "confusion": _evidence.confusion(self.classes, self.true, self.chosen),
            "curves": _evidence.curves_of_classes(self.classes, self.true, self.chances),
            "reliability": _evidence.reliability(self.confidence, right, self.temperature),
            "histogram": _evidence.confidence_histogram(self.confidence, right),
            "hardest": self.mistakes(worst[~right[worst]], inputs),
        }

    def mistakes(self, rows: np.ndarray, inputs: Rows) -> list[dict[str, Any]]:
        """Some rows, with what is right, what was answered and how sure that was."""
        return [
            {
                "inputs": _evidence.shortened(inputs[row]),
                "true": self.classes[self.true[row]],
                "predicted": self.classes[self.chosen[row]],
                "confidence": _evidence.rounded(self.confidence[row]),
            }
            for row in rows
        ]


@dataclass(frozen=True)
class Levels(OneOf):
    """One of several levels in an order: a near miss is better than a far one."""

    answered: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # (rows,)
    units: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (levels,) how far up each one lies

    @cached_property
    def chosen(self) -> np.ndarray:
        """The level that is answered, (rows,)."""
        return self.answered

    def evidence(self, inputs: Rows) -> dict[str, Any]:
        """Confusion matrix, reliability, and the answers that are the most levels away."""
        apart = np.abs(self.chosen - self.true)
        worst = np.lexsort((-self.confidence, -apart))[: _evidence.HARDEST]
        return {
            "confusion": _evidence.confusion(self.classes, self.true, self.chosen),
            "reliability": _evidence.reliability(self.confidence, apart == 0, 1.0),
            "hardest": self.mistakes(worst[apart[worst] > 0], inputs),
        }


@dataclass(frozen=True)
class AnyOf(Answers):
    """Any number of classes at once."""

    classes: Sequence[str]
    true: np.ndarray  # (rows, classes) 1, 0, or NaN where it is not known
    chances: np.ndarray  # (rows, classes)
    chosen: np.ndarray  # (rows, classes) bool
    thresholds: Sequence[float] = ()  # the chance from which each class is answered

    @property
    def parts(self) -> Sequence[str]:
        """The classes."""
        return self.classes

    @cached_property
    def known(self) -> np.ndarray:
        """Where it is known whether a class is there, (rows, classes) bool."""
        return np.asarray(~np.isnan(self.true))

    @cached_property
    def is_true(self) -> np.ndarray:
        """Which classes are there, (rows, classes) bool."""
        return np.asarray(self.true == 1)

    @cached_property
    def is_chosen(self) -> np.ndarray:
        """Which classes are answered, of those that are known, (rows, classes) bool."""
        return np.asarray(self.chosen & self.known, bool)

    def evidence(self, inputs: Rows) -> dict[str, Any]:
        """A line for each class, curves, and the rows with the most wrong classes."""
        return {
            "parts": [_evidence.class_line(*line) for line in self._lines()],
            "curves": _evidence.curves_of_flags(self.classes, self.true, self.chances),
            "hardest": _evidence.hardest_sets(self.classes, self.true, self.chances, self.chosen, inputs),
        }

    def _lines(self) -> list[tuple[str, float | None, np.ndarray, np.ndarray]]:
        thresholds: Sequence[float | None] = self.thresholds or [None] * len(self.classes)
        return list(zip(self.classes, thresholds, self.true.T, self.chosen.T, strict=True))


@dataclass(frozen=True)
class Amounts(Answers):
    """A number, in the user's units."""

    true: np.ndarray  # (rows,)
    predicted: np.ndarray  # (rows,)

    @cached_property
    def residuals(self) -> np.ndarray:
        """Predicted minus true, (rows,) float64."""
        return np.asarray(np.asarray(self.predicted, np.float64) - self.true)

    def evidence(self, inputs: Rows) -> dict[str, Any]:
        """Predicted against actual, residual quantiles, histogram of residuals and the hardest mistakes."""
        return _evidence.of_numbers(self.true, self.predicted, inputs)


@dataclass(frozen=True)
class SeveralAmounts(Answers):
    """Several numbers, each in its unit."""

    names: Sequence[str]
    true: np.ndarray  # (rows, numbers), NaN where one is not known
    predicted: np.ndarray  # (rows, numbers)
    spreads: Sequence[float]  # of each number in training: errors are compared in these

    @property
    def parts(self) -> Sequence[str]:
        """The names of the numbers."""
        return self.names

    def one(self, position: int) -> tuple[np.ndarray, Amounts]:
        """The rows in which a number is known, (rows,) bool, and what was answered there."""
        known = np.asarray(~np.isnan(self.true[:, position]))
        return known, Amounts(self.true[known, position], self.predicted[known, position])

    def evidence(self, inputs: Rows) -> dict[str, Any]:
        """A line for each number, and the rows with the largest errors, in standard deviations."""
        errors = np.nan_to_num(np.abs(self.predicted - self.true) / self.spreads).max(axis=1, initial=0.0)
        worst = np.argsort(-errors, kind="stable")[: _evidence.HARDEST]
        lines = zip(self.names, self.true.T, self.predicted.T, strict=True)
        return {
            "parts": [_evidence.number_line(*line) for line in lines],
            "hardest": [
                {
                    "inputs": _evidence.shortened(inputs[row]),
                    "true": _evidence.listed(self.true[row]),
                    "predicted": _evidence.listed(self.predicted[row]),
                    "error": _evidence.rounded(errors[row]),
                }
                for row in worst
            ],
        }


@dataclass(frozen=True)
class Tagged(Answers):
    """A tag for each place of a row, and the spans that the tags make; counts of each row, (rows,)."""

    true_spans: np.ndarray
    found_spans: np.ndarray
    right_spans: np.ndarray
    positions: np.ndarray
    right_positions: np.ndarray
    losses: np.ndarray | None = None  # the negative log-likelihood of the right tags; None: not known


@dataclass(frozen=True)
class Drawn(Answers):
    """A picture, beside the one that was wanted; levels from 0 to 255."""

    true: np.ndarray  # (rows, channels, height, width) uint8
    drawn: np.ndarray  # (rows, channels, height, width) uint8


@dataclass(frozen=True)
class Ranked(Answers):
    """A score for every item of a catalogue, of which one is right."""

    items: Sequence[str]
    true: np.ndarray  # (rows,) the place of the right item among all
    scores: np.ndarray  # (rows, items)

    @cached_property
    def rank(self) -> np.ndarray:
        """At which place the right item stands, (rows,), counted from 1."""
        return ranks(self.scores, self.true)

    def evidence(self, inputs: Rows) -> dict[str, Any]:
        """How often the right item stands at each place, and the rows in which it stands lowest."""
        best = first(self.scores, 1)[:, 0]
        worst = np.argsort(-self.rank, kind="stable")[: _evidence.HARDEST]
        return {
            "places": {str(position): int(np.sum(self.rank == position)) for position in range(1, PLACES + 1)},
            "hardest": [
                {
                    "inputs": _evidence.shortened(inputs[row]),
                    "true": self.items[self.true[row]],
                    "predicted": self.items[best[row]],
                    "place": int(self.rank[row]),
                }
                for row in worst
            ],
        }


@dataclass(frozen=True)
class Retrieved(Answers):
    """Entries of a gallery in the order of their likeness, of which one is right."""

    rank: np.ndarray  # (rows,) the place of the right entry, counted from 1
    entries: int  # in the gallery
    true: Sequence[str] = ()  # what the right entry of each row is called; empty where nobody asks
    nearest: Sequence[str] = ()  # and the one that stands first

    def evidence(self, inputs: Rows) -> dict[str, Any]:
        """How often the right entry stands at each place, among how many, and the rows in which it stands lowest."""
        worst = np.argsort(-self.rank, kind="stable")[: _evidence.HARDEST] if self.true else np.zeros(0, np.int64)
        return {
            "places": {str(position): int(np.sum(self.rank == position)) for position in range(1, PLACES + 1)},
            "gallery": self.entries,
            "hardest": [
                {
                    "inputs": _evidence.shortened(inputs[row]),
                    **_evidence.shortened({"true": self.true[row], "predicted": self.nearest[row]}),
                    "place": int(self.rank[row]),
                }
                for row in worst
            ],
        }


@dataclass(frozen=True)
class Texts(Answers):
    """A text."""

    true: Sequence[str]  # of each row
    given: Sequence[str] | None = None  # what was written; None: nothing was, right answers were only scored
    losses: np.ndarray | None = (
        None  # (rows,) the negative log-likelihood of the right answer, in nats; None: not known
    )
    tokens: np.ndarray | None = None  # (rows,) of the right answer, the one that ends it counted


@dataclass(frozen=True)
class Continued(Texts):
    """A text that is learnt by itself: there is none that would be the right one to write."""

    def evidence(self, inputs: Rows) -> dict[str, Any]:
        """Nothing: see `checks.copied`."""
        return {}


@dataclass(frozen=True)
class Written(Texts):
    """A text that answers a row."""

    stopped: np.ndarray | None = None  # (rows,) bool, whether an answer ended by itself

    @cached_property
    def bleu_counts(self) -> np.ndarray:
        """What BLEU is made of, (rows, 10): see `_texts`."""
        return _texts.bleu_counts(self.given or (), self.true)

    @cached_property
    def chrf_counts(self) -> np.ndarray:
        """What chrF is made of, (rows, 6, 3): see `_texts`."""
        return _texts.chrf_counts(self.given or (), self.true)

    def evidence(self, inputs: Rows) -> dict[str, Any]:
        """The answers that are least like the right ones by their letters, and those that are most."""
        if self.given is None:
            return {}
        likeness = _texts.chrf_of(self.chrf_counts)
        order = np.argsort(likeness, kind="stable")
        wrong = order[~_texts.alike(self.given, self.true)[order]]
        return {
            "hardest": self._beside(wrong[: _evidence.HARDEST], likeness, inputs),
            "likest": self._beside(order[::-1][: _evidence.HARDEST], likeness, inputs),
        }

    def _beside(self, rows: np.ndarray, likeness: np.ndarray, inputs: Rows) -> list[dict[str, Any]]:
        return [
            {
                "inputs": _evidence.shortened(inputs[row]),
                **_evidence.shortened({"true": self.true[row], "predicted": (self.given or ())[row]}),
                "chrf": _evidence.rounded(likeness[row]),
            }
            for row in rows
        ]


def first(scores: np.ndarray, count: int) -> np.ndarray:
    """The items with the best scores of each row, in order, (rows, at most count); of equal ones the first."""
    count = min(count, scores.shape[1])
    found = np.empty((len(scores), count), np.int64)
    for row, own in enumerate(scores):
        least = np.partition(own, -count)[-count]
        candidates = np.flatnonzero(own >= least)
        found[row] = candidates[np.argsort(-own[candidates], kind="stable")[:count]]
    return found


def ranks(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The place of the right item in each row, (rows,), counted from 1; equal scores count as `first` orders them."""
    found = np.empty(len(scores), np.int64)
    block = max(1, _BLOCK_CELLS // max(1, scores.shape[1]))
    earlier = np.arange(scores.shape[1])
    for start in range(0, len(scores), block):
        part, wanted = scores[start : start + block], targets[start : start + block, None]
        own = np.take_along_axis(part, wanted, axis=1)
        ahead = (part > own) | ((part == own) & (earlier < wanted))
        found[start : start + block] = 1 + ahead.sum(axis=1)
    return found
