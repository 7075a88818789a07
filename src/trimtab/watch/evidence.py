"""How much rows speak for it that they are spread otherwise than those before: evidence that may be looked at any time.

For each feature two forecasters bet on the bin of the next row. One says that it will be like the baseline and all rows
so far; the other that since some row they have shares of their own. The ratio of what both said of what came is a
martingale while nothing moves: whoever looks, however often, sees it exceed 1/a with a chance of at most a (Ville
1939; "testing by betting": Shafer 2021). The share that the baseline's own smallness leaves open is in the first
forecast, which is the Dirichlet predictive (Jeffreys prior), so that a small baseline raises no alarm.

When the change was is not known: capital is spread over bets that begin at many rows and last for different times
(e-detectors: Shin, Ramdas and Rinaldo 2023, arXiv:2203.03532), which costs a little evidence and no false alarms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

_FIRST_BLOCK, _BLOCKS = 10, 40  # rows between two forecasts: at first, and one 40th of all later
_CAUTION = 25.0  # rows that a forecast of its own takes to trust what it saw half
_PRIOR = 0.5  # Jeffreys
_ALWAYS = 0.25  # of the capital: on a change before the first row
_SCALES = (100, 400, 1600, 6400, 25_600, 102_400)  # rows between the bets that begin later; they last twice as long
_SPREAD = 2.10975  # the sum of 1 / (m log(m)^2) from m = 2 on


@dataclass
class _Bet:
    start: int  # row
    end: float
    log_capital: np.ndarray  # (features,), what it was given counted
    counts: np.ndarray  # (features, bins)
    rows: int = 0


@dataclass
class Evidence:
    """Follows features of rows in their order, as counts of bins. What it says is the same however rows arrive."""

    pool: np.ndarray  # (features, most bins) counts of the baseline
    sizes: np.ndarray  # (features,) bins of each
    log_needed: np.ndarray  # (features,) evidence that counts as an alarm, natural logarithm
    rows: int = 0
    crossed: np.ndarray = field(init=False)  # (features,) the row at which there was so much first; 0: never
    blocks: list[tuple[int, np.ndarray]] = field(init=False, default_factory=list)  # first row, counts of bins
    log_most: np.ndarray = field(init=False)  # (features,) the largest evidence so far, natural logarithm
    start: np.ndarray = field(init=False)  # (features,) since when each was another, as it looked then

    def __post_init__(self) -> None:
        features, width = self.pool.shape
        self._there = np.arange(width) < self.sizes[:, None]
        self._pool = np.where(self._there, self.pool + _PRIOR, 0.0)
        self._open = np.zeros((features, width))  # the rows of a block that is not full
        self._block_rows = 0
        self._given = 0.0
        self._retired = np.full(features, -np.inf)
        self._begun = [0] * len(_SCALES)
        self._bets = [self._bet(_ALWAYS, math.inf)]
        self.log_most, self.start = np.zeros(features), np.zeros(features, np.int64)
        self.crossed = np.zeros(features, np.int64)
        self._begin()

    def add(self, binned: np.ndarray) -> None:
        """Rows, (rows, features) uint8, behind those before."""
        while len(binned):
            take = min(len(binned), self._size - self._block_rows)
            part, binned = binned[:take], binned[take:]
            for feature in range(part.shape[1]):
                self._open[feature] += np.bincount(part[:, feature], minlength=self._open.shape[1])
            self._block_rows += take
            self.rows += take
            if self._block_rows == self._size:
                self._close()

    @property
    def log_evidence(self) -> np.ndarray:
        """Of each feature as it is now, (features,): natural logarithm; 0 says nothing, 4.6 a hundred to one."""
        gains = [bet.log_capital + self._gain(bet) for bet in self._bets]
        unspent = np.full(len(self._retired), math.log(max(1 - self._given, 1e-300)))
        return np.asarray(np.logaddexp.reduce([unspent, self._retired, *gains], axis=0))

    def counts_since(self, row: int) -> np.ndarray:
        """How many of the rows from this one on are in each bin, (features, bins); whole blocks."""
        parts = [counts for first, counts in self.blocks if first >= row]
        return np.asarray(np.sum([*parts, self._open], axis=0))

    def _started(self) -> np.ndarray:
        """Since which row each feature has most likely been another, (features,): the start of the richest bet."""
        capitals = np.stack([bet.log_capital for bet in self._bets])
        starts = np.array([bet.start for bet in self._bets])
        return np.asarray(starts[capitals.argmax(axis=0)])

    @property
    def _size(self) -> int:
        return int(max(_FIRST_BLOCK, (self.rows - self._block_rows) // _BLOCKS))

    def _bet(self, share: float, lasting: float) -> _Bet:
        self._given += share
        features = len(self.pool)
        return _Bet(self.rows, self.rows + lasting, np.full(features, math.log(share)), np.zeros(self.pool.shape))

    def _gain(self, bet: _Bet) -> np.ndarray:
        """What a bet wins by the rows of the open block, (features,)."""
        if not self._block_rows or not bet.rows:
            return np.zeros(len(self.pool))
        base = self._pool / self._pool.sum(axis=1, keepdims=True)
        own = (bet.counts + _CAUTION * base) / (bet.rows + _CAUTION)
        ratio = np.log(np.where(self._there, own, 1.0)) - np.log(np.where(self._there, base, 1.0))
        return np.asarray((self._open * ratio).sum(axis=1))

    def _close(self) -> None:
        for bet in self._bets:
            bet.log_capital = bet.log_capital + self._gain(bet)
        for bet in self._bets:
            bet.counts += self._open
            bet.rows += self._block_rows
        self._pool += self._open
        self.blocks.append((self.rows - self._block_rows, self._open.astype(np.int32)))
        self._open, self._block_rows = np.zeros_like(self._open), 0
        now = self.log_evidence
        self.start = np.where(now > self.log_most, self._started(), self.start)
        self.log_most = np.maximum(now, self.log_most)
        self.crossed = np.where((self.crossed == 0) & (now >= self.log_needed), self.rows, self.crossed)
        for bet in [bet for bet in self._bets if bet.end <= self.rows]:
            self._retired = np.logaddexp(self._retired, bet.log_capital)
            self._bets.remove(bet)
        self._begin()

    def _begin(self) -> None:
        """Bets whose turn it is: the k-th of a scale gets a share that falls a little faster than 1/k."""
        for place, scale in enumerate(_SCALES):
            if self.rows >= self._begun[place] * scale and (self.rows or not place):
                number = self.rows // scale + 2
                share = (1 - _ALWAYS) / len(_SCALES) / (_SPREAD * number * math.log(number) ** 2)
                self._bets.append(self._bet(share, 2 * scale))
                self._begun[place] = self.rows // scale + 1
