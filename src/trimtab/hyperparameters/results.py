"""What came of the trials of a search, and how that is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trimtab.spec import written

State = Literal["done", "stopped", "failed", "running"]


@dataclass(frozen=True)
class Result:
    """A trial: what it set in the spec, how good it was on the validation rows, and what it took."""

    number: int
    state: State
    values: dict[str, Any]
    score: float | None  # the metric itself
    ranked: float | None  # higher for the better one
    costs: dict[str, float]
    seconds: float
    why: str = ""  # it was stopped, or failed
    as_it_is: bool = False  # with the spec as it is

    def line(self, metric: str) -> str:
        """The trial in a line."""
        score = "" if self.score is None else f" {metric} {self.score:.4g}"
        costs = "".join(f", {name} {cost:.4g}" for name, cost in self.costs.items())
        values = ", ".join(f"{key} {written(value)}" for key, value in self.values.items())
        state = self.state + (f" ({self.why})" if self.why else "")
        return f"trial {self.number}: {state}{score}{costs}, {self.seconds:.0f} s: {values or 'the spec as it is'}"

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        figures = {"score": self.score, **self.costs, "seconds": round(self.seconds, 1)}
        why = {"why": self.why} if self.why else {}
        return {"trial": self.number, "state": self.state, **figures, **why, "values": self.values} | (
            {"as_it_is": True} if self.as_it_is else {}
        )


def sentences(
    best: Result, results: Sequence[Result], metric: str, valid: int, unseen: Mapping[str, Any] | None
) -> Iterator[str]:
    """What came out; `unseen` holds the paired test on rows that chose nothing, None where they were not answered."""
    first = next((one for one in results if one.as_it_is and one.score is not None), None)
    chose = f"{metric} {best.score:.4f} on the {valid:,} validation rows that chose it"
    yield f"best of {len(results)} trials: trial {best.number}, {chose}"
    if best.as_it_is:
        yield "no trial was better than the spec as it is: nothing is changed"
    elif first is not None:
        yield f"the spec as it is (trial {first.number}): {metric} {first.score:.4f} on the same rows"
    if unseen is None:
        yield "the optimism of the best of many was not measured: its network is not here, or writes its answers"
        return
    told = f"{unseen['metric']} {unseen['best']:.4f} on {unseen['rows']:,} test rows, which chose nothing"
    if best.as_it_is:
        yield f"the same network: {told}"
        return
    yield f"the same network: {told}; the spec as it is {unseen['as_it_is']:.4f}"
    gain = unseen["change"]
    between = "" if gain["low"] is None else f" (95%: {gain['low']:+.4f} to {gain['high']:+.4f})"
    worse = gain["high"] is not None and gain["high"] < 0
    verdict = "worse: the gain on the validation rows was luck" if worse else "not more than chance makes"
    verdict = "more than chance makes" if unseen["gained"] else verdict
    tested = f"(paired test, p = {unseen['p']:.2g})"
    yield f"change on the test rows: {gain['value'] + 0.0:+.4f}{between}, {verdict} {tested}"
