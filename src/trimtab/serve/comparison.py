"""Another bundle beside the one that answers: both are asked, one is heard, and what they said is held together."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from trimtab.columns import OutputColumn
from trimtab.serve.served import Answers

# Milliseconds, in steps of a tenth: what a percentile is read from, which reports of several workers add up to.
_STEPS = [0.1 * 1.1**power for power in range(140)]
_SHOWN = 20  # pairs of answers that differ, the most frequent ones
_WORDS = 100  # different answers that are counted one by one
HEARD, UNHEARD = "current", "other"


@dataclass
class Side:
    """What one of the two bundles did."""

    requests: int = 0
    refused: int = 0  # requests that it could not answer
    heard: int = 0  # requests whose clients got its answer
    answers: Counter[str] = field(default_factory=Counter)
    steps: list[int] = field(default_factory=lambda: [0] * (len(_STEPS) + 1))

    def took(self, seconds: float) -> None:
        """An answer took so long."""
        self.steps[bisect.bisect(_STEPS, 1000 * seconds)] += 1


@dataclass
class Comparison:
    """What both bundles answered, of one worker."""

    bundles: dict[str, str]  # side -> hash
    sides: dict[str, Side] = field(default_factory=lambda: {HEARD: Side(), UNHEARD: Side()})
    rows: int = 0  # that both answered
    same: int = 0  # of these
    skipped: int = 0  # requests that only one was asked, for the server was busy
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)  # different answers: current, other

    def add(self, output: OutputColumn, current: Answers, other: Answers) -> None:
        """What both answered to the rows of a request."""
        name = next(iter(current.rows[0])) if current.rows else output.name
        for one, another in zip(current.rows, other.rows, strict=True):
            self.rows += 1
            if output.alike(one, another):
                self.same += 1
            else:
                self.pairs[_word(one.get(name)), _word(another.get(name))] += 1
        for side, found in ((HEARD, current), (UNHEARD, other)):
            counted = self.sides[side].answers
            for row in found.rows:
                if len(counted) < _WORDS or _word(row.get(name)) in counted:
                    counted[_word(row.get(name))] += 1

    def told(self) -> dict[str, Any]:
        """As another worker reads it."""
        sides = {name: {**vars(side), "answers": dict(side.answers)} for name, side in self.sides.items()}
        counted = {"rows": self.rows, "same": self.same, "skipped": self.skipped}
        return {"bundles": self.bundles, "sides": sides, **counted, "pairs": [[*p, n] for p, n in self.pairs.items()]}


def _word(answer: Any) -> str:
    return f"{answer:.3g}" if isinstance(answer, float) else str(answer)


def report(told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all workers tell, added up."""
    rows, same, skipped = (sum(one[name] for one in told) for name in ("rows", "same", "skipped"))
    pairs: Counter[tuple[str, str]] = Counter()
    for one in told:
        for current, other, count in one["pairs"]:
            pairs[current, other] += count
    return {
        "bundles": told[0]["bundles"],
        "rows": rows,
        "agreement": round(same / rows, 4) if rows else None,
        "different": [{HEARD: a, UNHEARD: b, "rows": count} for (a, b), count in pairs.most_common(_SHOWN)],
        "skipped_requests": skipped,
        **{name: _side([one["sides"][name] for one in told]) for name in (HEARD, UNHEARD)},
    }


def _side(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    answers: Counter[str] = Counter()
    for one in found:
        answers.update(one["answers"])
    steps = [sum(counts) for counts in zip(*(one["steps"] for one in found), strict=True)]
    counted = {name: sum(one[name] for one in found) for name in ("requests", "heard", "refused")}
    times = {f"p{share}_ms": _percentile(steps, share) for share in (50, 95, 99)}
    return {**counted, **times, "answers": dict(answers.most_common())}


def _percentile(steps: Sequence[int], share: int) -> float | None:
    """The upper end of the step in which the percentile lies."""
    sums = list(accumulate(steps))
    if not sums[-1]:
        return None
    return round(_STEPS[min(bisect.bisect_left(sums, sums[-1] * share / 100), len(_STEPS) - 1)], 2)
