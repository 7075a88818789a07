"""Whether a server is well, whatever it is asked: errors, how long answers take, answers that are all alike."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from trimtab.columns import OUTPUTS
from trimtab.watch.accuracy import sequence
from trimtab.watch.baseline import Baseline
from trimtab.watch.log import Entry
from trimtab.watch.subject import Subject

MOST_ERRORS = 0.01  # of all requests, by default
_RECENT = 1000  # answers whose times count
_FEWEST_TIMES = 20
_LATENCIES = {"latency": 0.5, "latency_p95": 0.95, "latency_p99": 0.99}  # gates -> the quantile that they bound
_LEAST_RUN = 50  # equal answers in a row, below which nothing is said
_MOST_SHARE = 0.999  # a class that has more of the baseline's answers is expected all the time


@dataclass(frozen=True)
class Finding:
    """One thing about a server's health."""

    name: str
    told: str
    well: bool


@dataclass
class _Run:
    """The longest run of one value, in units of how unlikely it was."""

    value: object = None
    rows: int = 0
    surprise: float = 0.0
    longest: int = 0
    most: float = 0.0
    of: object = None

    def add(self, value: object, share: float) -> None:
        """One more value, which occurs by this share."""
        if value != self.value:
            self.value, self.rows, self.surprise = value, 0, 0.0
        self.rows += 1
        self.surprise -= math.log(share)
        if self.surprise > self.most:
            self.most, self.longest, self.of = self.surprise, self.rows, value


@dataclass
class Health:
    """Follows entries in their order."""

    subject: Subject
    baseline: Baseline | None
    alpha: float
    most_errors: float = MOST_ERRORS
    answers: int = 0
    errors: int = 0
    last: float = -math.inf  # time of the last entry
    last_error: str = ""
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    _classes: _Run = field(default_factory=_Run)
    _confidences: _Run = field(default_factory=_Run)

    def add(self, entry: Entry) -> None:
        """One more entry."""
        self.last = max(self.last, entry.time)
        if entry.error is not None:
            self.errors += 1
            self.last_error = entry.error
            return
        self.answers += 1
        if entry.milliseconds > 0:
            self._times.append(entry.milliseconds)
        answer = entry.sketch.get(f"{OUTPUTS}.{self.subject.output.name}")
        if type(answer) is int:
            self._classes.add(answer, self._share(self.subject.output.name, float(answer)))
        if entry.confidence is not None:
            self._confidences.add(entry.confidence, self._share("confidence", entry.confidence))

    def findings(self) -> list[Finding]:
        """Everything that is looked at."""
        return [*self._failures(), *self._latencies(), *self._silent()]

    def milliseconds(self, quantile: float) -> float | None:
        """How long recent answers took; None where too few are known."""
        return float(np.quantile(self._times, quantile)) if len(self._times) >= _FEWEST_TIMES else None

    def _share(self, name: str, value: float) -> float:
        """How much of the baseline's answers is in the bin of this one."""
        place = self.baseline.place(f"{OUTPUTS}.{name}") if self.baseline else None
        if self.baseline is None or place is None:
            return 0.5
        feature = self.baseline.features[place]
        if feature.kind == "id":
            bin = feature.ids.index(int(value)) if int(value) in feature.ids else len(feature.ids)
        else:
            bin = int(np.searchsorted(feature.edges, np.float64(np.float32(value)), side="left"))
        found = self.baseline.counts[place, bin]
        return min(_MOST_SHARE, (int(found) + 1) / (self.baseline.rows + feature.bins))

    def _failures(self) -> list[Finding]:
        rows = self.answers + self.errors
        if not rows:
            return []
        found = sequence(self.errors, rows, self.alpha)
        told = f"{self.errors:,} of {rows:,} requests ({found.value:.2%}); at most {self.most_errors:.2%} is well"
        told += f"; the last one: {self.last_error}" if self.errors else ""
        return [Finding("errors", told, found.low <= self.most_errors)]

    def _latencies(self) -> list[Finding]:
        found = []
        for gate in self.subject.gates:
            took = self.milliseconds(_LATENCIES[gate.name]) if gate.name in _LATENCIES else None
            if took is not None:
                told = f"{took:.3g} ms over the last {len(self._times):,} answers; the bundle's gate is {gate}"
                found.append(Finding(gate.name, told, gate.met(took)))
        took = self.milliseconds(0.95)
        if not found and took is not None:
            told = (
                f"median {self.milliseconds(0.5):.3g} ms, p95 {took:.3g} ms over the last {len(self._times):,} answers"
            )
            found.append(Finding("latency", f"{told}; the bundle has no gate on it", True))
        return found

    def _silent(self) -> list[Finding]:
        """A run may begin at any answer and be looked at at any, of which there are n (n + 1) / 2 pairs."""
        needed = math.log(max(1, self.answers * (self.answers + 1) / 2) / self.alpha)
        told = {"one answer": self._classes, "one confidence": self._confidences}
        found = []
        for name, run in told.items():
            if run.longest:
                well = run.longest < _LEAST_RUN or run.most < needed
                shown = self._named(run.of) if name == "one answer" else f"{run.of}"
                found.append(Finding(name, f"at most {run.longest:,} in a row, {shown}", well))
        return found

    def _named(self, answer: object) -> str:
        classes = self.subject.output.classes
        return repr(classes[answer]) if isinstance(answer, int) and 0 <= answer < len(classes) else "withheld"
