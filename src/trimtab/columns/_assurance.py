"""What is promised of single answers: unsure ones are withheld, a set or an interval stands beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

DECIMALS = 4  # of a confidence, as it is answered and as it is held against `answered_from`


@dataclass(frozen=True)
class Assurance:
    """What the spec's `answers` and `coverage` became on the validation rows."""

    answered_from: float | None = None  # confidence below which an answer is withheld; above 1: every one is
    coverage: float | None = None  # share of rows whose set, or interval, is to hold the right answer
    reach: float | None = None  # chance from which a class is in the set; half of an interval; None: too few rows

    @property
    def fields(self) -> dict[str, Any]:
        """As `<key>.json` keeps it; nothing where nothing is promised."""
        return {} if self == NO_ASSURANCE else {"assurance": asdict(self)}

    def withheld(self, confidence: np.ndarray) -> np.ndarray:
        """Which answers of such confidence, (rows,), are not given, (rows,) bool."""
        least = -np.inf if self.answered_from is None else self.answered_from
        return np.asarray(np.round(confidence, DECIMALS) < least)

    def sets(self, chances: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Which classes are in the set of each row, (rows, classes) bool: the likely ones, and the one answered.

        `chances` (rows, classes), `chosen` (rows,). Where too few rows said how likely, every class is.
        """
        found = chances >= (0.0 if self.reach is None else self.reach)
        found[np.arange(len(found)), chosen] = True
        return np.asarray(found)


NO_ASSURANCE = Assurance()  # every row is answered, by the answer alone


def of_classes(
    name: str, classes: Sequence[str], chances: np.ndarray, chosen: np.ndarray, assurance: Assurance
) -> dict[str, list[Any]]:
    """The answer columns of a class for each row, with what is promised of them.

    `confidence` (`probability` if the answer itself is so called); with a coverage `<name>_set`; with a threshold
    `abstained`, and None as the answer of the rows below it.
    """
    word = "probability" if name == "confidence" else "confidence"
    confidence = np.round(chances[np.arange(len(chances)), chosen], DECIMALS)
    answers: dict[str, list[Any]] = {name: [classes[i] for i in chosen], word: confidence.tolist()}
    if assurance.answered_from is not None:
        withheld = assurance.withheld(confidence).tolist()
        answers[name] = [None if no else one for one, no in zip(answers[name], withheld, strict=True)]
        answers["withheld" if name == "abstained" else "abstained"] = withheld
    if assurance.coverage is not None:
        sets = assurance.sets(chances, chosen)
        answers[f"{name}_set"] = [[classes[i] for i in np.flatnonzero(row).tolist()] for row in sets]
    return answers


def of_numbers(name: str, numbers: Sequence[float | None], assurance: Assurance) -> dict[str, list[float | None]]:
    """The ends of each number's interval, `<name>_low` and `<name>_high`; nothing where none is promised."""
    if assurance.coverage is None:
        return {}
    reach = assurance.reach
    ends: Mapping[str, int] = {"low": -1, "high": 1}
    return {
        f"{name}_{end}": [None if one is None or reach is None else one + side * reach for one in numbers]
        for end, side in ends.items()
    }
