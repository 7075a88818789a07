"""Texts that are learnt by themselves: letters by how often they occur, and by the letters before them.

The counts of longer runs are filled up by those of shorter ones, as often as runs are followed by what they never were
before (Witten and Bell 1991).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from trimtab.columns import InputColumn
from trimtab.data.table import Table
from trimtab.metrics import Answers

_LETTERS = 1_000_000  # of the training rows that are counted
_RUN = 6  # letters of the longest run
_END = "\0"
_MORE = 256  # letters that are thought to be possible beside those that were seen


def answers(inputs: Sequence[InputColumn], train: Table, test: Table, output: Any, seed: int) -> dict[str, Answers]:
    """The losses of the right texts by letters alone, and by runs of six."""
    end = _END if output.ends else ""
    known = [output.said(value) + end for value in train.values[output.name]]
    right = output.targets(test.values[output.name])
    texts = [text + end for text in output.answered_simply(right, np.zeros(len(test))).true]
    counts = _Counts(_some(known))
    return {
        name: output.answered_simply(right, np.array([counts.loss(text, size) for text in texts]))
        for name, size in (("letters by how often they occur", 1), (f"runs of {_RUN} letters", _RUN))
    }


def _some(texts: Sequence[str]) -> Iterable[str]:
    """Texts evenly from all, with so many letters as are counted."""
    share = min(1.0, _LETTERS / max(1, sum(map(len, texts))))
    return (text for place, text in enumerate(texts) if math.floor((place + 1) * share) > math.floor(place * share))


class _Counts:
    """How often each letter follows each run of letters."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._following: dict[str, dict[str, int]] = {}
        for text in texts:
            for place, letter in enumerate(text):
                for size in range(min(_RUN - 1, place) + 1):
                    after = self._following.setdefault(text[place - size : place], {})
                    after[letter] = after.get(letter, 0) + 1
        self._totals = {run: sum(after.values()) for run, after in self._following.items()}

    def loss(self, text: str, size: int) -> float:
        """The negative log-likelihood of a text in nats, by runs of so many letters."""
        return -sum(math.log(self._chance(text, place, size)) for place in range(len(text)))

    def _chance(self, text: str, place: int, size: int) -> float:
        chance = 1.0 / (len(self._following.get("", ())) + _MORE)
        for length in range(min(size - 1, place) + 1):
            after = self._following.get(text[place - length : place])
            if after is None:
                break
            total = self._totals[text[place - length : place]]
            chance = (after.get(text[place], 0) + len(after) * chance) / (total + len(after))
        return chance
