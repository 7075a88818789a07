"""Why a row is answered as it is: what each word, patch or column adds to the score of the answer.

One file for each type of input says of which units a value is made and what it is without some of them; the folder is
the registry: `explain/text.py` holds `parts(column, value, most, seen)`. A value of a type without a file is one unit,
and missing where it is left out. Only answers are asked for, so that any bundle can be explained, without PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.explain._attribution import Attribution, Game, occlusion, shapley
from trimtab.explain._deletion import Curves, deleted, sign_flip
from trimtab.explain._drivers import Driver, drivers
from trimtab.explain._gradients import gradients
from trimtab.explain._question import (
    UNITS,
    Parts,
    Path,
    Question,
    Unit,
    apart,
    ask,
    chosen,
    grouped,
    moved_at_once,
    reference_of,
    refusal,
    whole,
)

__all__ = [
    "CALLS", "METHODS", "UNITS", "Attribution", "Curves", "Driver", "Explanation", "Game", "Parts", "Path", "Question",
    "Unit", "apart", "ask", "chosen", "deleted", "drivers", "explain", "gradients", "grouped", "moved_at_once",
    "occlusion", "reference_of", "refusal", "shapley", "sign_flip", "whole",
]  # fmt: skip

# Each: (question, calls, seed) -> contributions.
METHODS: Mapping[str, Callable[[Question, int, int], Attribution]] = {
    "shapley": lambda question, calls, seed: shapley(question, len(question.units), calls, seed),
    "occlusion": lambda question, calls, seed: occlusion(question, len(question.units)),
    "gradients": lambda question, calls, seed: gradients(question),
}
CALLS = 512  # answers that one row is explained by


@dataclass(frozen=True)
class Explanation:
    """What each unit adds to a score: `base` and all contributions make the score, but for `delta`."""

    name: str  # the class or number that is explained
    scale: str  # of the score: log-odds; nothing where it is in the user's units
    answers: Mapping[str, Any]
    units: tuple[Unit, ...]
    contributions: np.ndarray  # (units,)
    errors: np.ndarray  # (units,) standard errors, where subsets of the units were drawn; else 0
    score: float
    base: float  # the score of the row without any of its units
    method: str

    @property
    def delta(self) -> float:
        """What base and contributions leave unexplained of the score: the method's own error."""
        return self.score - self.base - float(self.contributions.sum())

    @property
    def order(self) -> np.ndarray:
        """The units by the size of their contribution, the largest first."""
        return np.argsort(-np.abs(self.contributions), kind="stable")

    def as_json(self) -> dict[str, Any]:
        """Plain JSON, its units in the order of the row."""
        told = zip(self.units, self.contributions.tolist(), self.errors.tolist(), strict=True)
        units = [
            {"column": unit.column, "label": unit.label, "place": list(unit.place), "contribution": c, "error": e}
            for unit, c, e in told
        ]
        kept = ("name", "scale", "method", "score", "base", "delta")
        return {"answers": dict(self.answers), **{name: getattr(self, name) for name in kept}, "units": units}


def explain(question: Question, method: str = "shapley", calls: int = CALLS, seed: int = 0) -> Explanation:
    """Explain the answer to a row, by at most about `calls` further answers; the same for the same seed."""
    found = METHODS[method](question, calls, seed)
    return Explanation(
        question.name, question.model.output.score_word, question.answers, question.units, found.contributions,
        found.errors, question.score, found.base, method,
    )  # fmt: skip
