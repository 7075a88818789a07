"""What `trimtab watch` tells of a bundle at work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from trimtab.watch.accuracy import Interval
from trimtab.watch.health import Finding


@dataclass(frozen=True)
class Movement:
    """One thing about the rows, held against the baseline."""

    column: str
    what: str
    alarm: bool
    chance: float  # that so much evidence, or an alarm elsewhere, ever comes where nothing moves; corrected
    since: int | None  # row from which on it is most likely another
    since_time: float | None
    found: int | None  # row at which it was sure
    psi: float
    test: str  # KS or chi-square, over the rows described
    statistic: float
    p_value: float  # of one look, corrected
    change: str  # what changed most, in words


class Gauge(NamedTuple):
    """A figure as Prometheus holds it."""

    name: str
    labels: dict[str, str]
    value: float


class ClassShare(NamedTuple):
    """How often a class is answered in the baseline and now, and how often it is right now, as far as that is told."""

    name: str
    before: float
    now: float
    true: float | None


@dataclass
class Hour:
    """What happened in one hour."""

    answers: int = 0
    errors: int = 0
    milliseconds: float = 0.0
    confidence: float = 0.0
    sure: int = 0  # answers with a confidence
    classes: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Accuracy:
    """How right answers are."""

    measured: Interval | None  # by the labels that came
    target: float | None  # what it is held against
    target_word: str
    estimated: float | None  # without labels
    classes: tuple[ClassShare, ...]

    @property
    def alarm(self) -> bool:
        """Whether labels say that the target is missed."""
        return self.measured is not None and self.target is not None and self.measured.high < self.target

    @property
    def told(self) -> str:
        """What labels say, for people; empty where none came."""
        if self.measured is None:
            return ""
        value, low, high = self.measured[1:]
        found = f"{value:.3f}, between {low:.3f} and {high:.3f} at all times, by {self.measured.rows:,} labels"
        return found if self.target is None else f"{found}; {self.target_word} {self.target:.3f}"


@dataclass(frozen=True)
class Report:
    """All that `trimtab watch` tells."""

    name: str
    bundle: str
    rows: int
    first: float | None  # times
    last: float | None
    alpha: float
    movements: tuple[Movement, ...]
    accuracy: Accuracy
    health: tuple[Finding, ...]
    untold: tuple[str, ...]  # what cannot be told, and why
    hours: tuple[tuple[int, Hour], ...]

    @property
    def alarms(self) -> tuple[str, ...]:
        """What is wrong, one line each."""
        moved = (f"{one.column}: {one.what}: {one.change}" for one in self.movements if one.alarm)
        wrong = (f"accuracy: {self.accuracy.told}",) if self.accuracy.alarm else ()
        ill = (f"{one.name}: {one.told}" for one in self.health if not one.well)
        return (*moved, *wrong, *ill)
