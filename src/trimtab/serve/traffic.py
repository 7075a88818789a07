"""The last minutes of a server, for its page: how many requests there were, how long they took, what was answered.

Each worker has its own in memory; `together` makes one of them all. Nothing of a request's rows is in it.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

_STEP = 10  # seconds that are counted together
STEPS = 90  # of them: 15 minutes
RECENT = 50  # requests that are told one by one
_SHORTEST, _GROWTH = 0.1, 1.25  # milliseconds; each bin of latencies is so much wider than the last


@dataclass
class Step:
    """Some seconds."""

    number: int  # of such steps since 1970
    requests: int = 0
    refused: int = 0  # 4xx
    failed: int = 0  # 5xx
    bins: dict[int, int] = field(default_factory=dict)  # of the answered ones: bin of the latency -> requests
    answers: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """A request."""

    time: float  # seconds since 1970
    address: str
    status: int
    milliseconds: float
    rows: int | None = None


class Traffic:
    """That of one worker."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._steps: deque[Step] = deque(maxlen=STEPS)
        self._recent: deque[Seen] = deque(maxlen=RECENT)

    def request(self, address: str, status: int, seconds: float, rows: int | None = None) -> None:
        """A request was answered, or refused."""
        step, milliseconds = self._now(), 1000 * seconds
        step.requests += 1
        step.refused += 400 <= status < 500
        step.failed += status >= 500
        if status < 400:
            place = max(0, math.ceil(math.log(max(milliseconds, _SHORTEST) / _SHORTEST, _GROWTH)))
            step.bins[place] = step.bins.get(place, 0) + 1
        self._recent.append(Seen(self._clock(), address, status, milliseconds, rows))

    def answered(self, answers: Iterable[str]) -> None:
        """Rows had these answers."""
        counts = self._now().answers
        for answer in answers:
            counts[answer] = counts.get(answer, 0) + 1

    def _now(self) -> Step:
        number = int(self._clock() // _STEP)
        if not self._steps or self._steps[-1].number < number:
            self._steps.append(Step(number))
        return self._steps[-1]

    def told(self) -> dict[str, Any]:
        """As JSON, for another worker."""
        return {"steps": [asdict(step) for step in self._steps], "recent": [asdict(one) for one in self._recent]}


def together(told: Sequence[Mapping[str, Any]], now: float | None = None) -> dict[str, Any]:
    """What the page shows of the traffic of all workers: steps without a gap, the newest last; the newest requests."""
    last = int((time.time() if now is None else now) // _STEP)
    first = last - STEPS + 1
    bins: list[Counter[int]] = [Counter() for _ in range(STEPS)]
    counts: list[Counter[str]] = [Counter() for _ in range(STEPS)]
    answers: Counter[str] = Counter()
    for step in (step for one in told for step in one["steps"] if first <= step["number"] <= last):
        place = step["number"] - first
        bins[place].update({int(key): count for key, count in step["bins"].items()})  # JSON has texts as keys
        counts[place].update({name: step[name] for name in _COUNTED})
        answers.update(step["answers"])
    recent = sorted((seen for one in told for seen in one["recent"]), key=lambda seen: -seen["time"])
    return {
        "seconds": _STEP,
        "until": (last + 1) * _STEP,
        "steps": [_of(count, found) for count, found in zip(counts, bins, strict=True)],
        "totals": _of(sum(counts, Counter()), sum(bins, Counter())),
        "answers": dict(answers.most_common()),
        "recent": recent[:RECENT],
    }


_COUNTED = ("requests", "refused", "failed")


def _of(count: Counter[str], bins: Counter[int]) -> dict[str, float | None]:
    return {**{name: count[name] for name in _COUNTED}, "p50": _quantile(bins, 0.5), "p95": _quantile(bins, 0.95)}


def _quantile(bins: Counter[int], share: float) -> float | None:
    """Milliseconds, the geometric middle of the bin: at most 12% off; None where nothing was answered."""
    rank, seen = share * bins.total(), 0
    for place in sorted(bins):
        seen += bins[place]
        if seen >= rank:
            return round(float(_SHORTEST * _GROWTH ** (place - 0.5)), 4)
    return None
