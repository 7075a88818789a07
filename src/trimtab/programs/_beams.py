"""Beam search: several answers to a row are followed at once, and the likeliest for its length is given.

As transformers has it (`early_stopping=False`), so that the same network gives the same answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

_NEVER = -1e9  # the sum of log-probabilities of a beam that is not there


@dataclass(frozen=True)
class Hypothesis:
    """An answer, whole or not."""

    ids: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()  # the log-probability of each token
    total: float = 0.0  # of all

    def then(self, token: int, total: float) -> Hypothesis:
        """The same with another token behind it; `total` is the new one."""
        return Hypothesis((*self.ids, token), (*self.scores, total - self.total), total)


@dataclass
class Beams:
    """The answers to one row that are followed, and those that are whole."""

    count: int
    penalty: float
    running: list[Hypothesis] = field(default_factory=list)
    whole: list[tuple[float, Hypothesis]] = field(default_factory=list)  # the best ones, with what they are judged by
    done: bool = False
    margin: float = np.inf  # by how much what was let go was worse than what was kept

    def __post_init__(self) -> None:
        nothing = Hypothesis(total=_NEVER)
        self.running = [Hypothesis(), *(nothing for _ in range(self.count - 1))]

    @property
    def totals(self) -> np.ndarray:
        """The sums of log-probabilities of those that are followed, (beams,) float32."""
        return np.array([one.total for one in self.running], np.float32)

    @property
    def best(self) -> Hypothesis:
        """The answer that is given."""
        return max(self.whole, key=lambda pair: pair[0])[1] if self.whole else self.running[0]

    def advance(
        self, beams: np.ndarray, tokens: np.ndarray, totals: np.ndarray, eos: frozenset[int], last: bool
    ) -> tuple[list[int], list[int]]:
        """Go on with the best candidates, the best first; which beam each one followed comes of, and its token.

        There are `count` candidates for each id of `eos`, and as many more. `last`: no answer may be longer.
        """
        found = list(zip(beams.tolist(), tokens.tolist(), totals.tolist(), strict=True))
        length = len(self.running[0].ids) + 1
        living = [one for one in found if not (last or one[1] in eos)]
        going = living[: self.count]
        for beam, token, total in found[: self.count]:
            if last or token in eos:
                self.whole.append((total / length**self.penalty, self.running[beam].then(token, total)))
        self.whole = sorted(self.whole, key=lambda pair: -pair[0])
        self._look([total for _, _, total in found], [total for _, _, total in living])
        self.whole = self.whole[: self.count]
        self.running = [self.running[beam].then(token, total) for beam, token, total in going]
        full = len(self.whole) == self.count
        self.done = last or (full and self.running[0].total / length**self.penalty <= self.whole[-1][0])
        return [one[0] for one in going], [one[1] for one in going]

    def _look(self, found: Sequence[float], living: Sequence[float]) -> None:
        """What is kept of candidates, of those that go on, and of whole answers, against the next one of each."""
        whole = [judged for judged, _ in self.whole]
        for totals, kept in ((found, self.count), (living, self.count), (whole, self.count), (whole, 1)):
            if kept < len(totals):
                self.margin = min(self.margin, totals[kept - 1] - totals[kept])
