"""Cascades of a search: the best small networks are put before the best large ones."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab import metrics
from trimtab.compress.frontier import Point
from trimtab.search.trials import Search, cascade
from trimtab.search.worth import EARLY, SHARED, STUDENTS, beyond, missed

_CASCADES = 3  # that are tried


def cascades(search: Search) -> None:
    """Small networks before large ones: for the best of the large the best of the small that goes with it.

    A cascade is as good as its large network and takes as many bytes as both, and of the large one's time a part. Where
    it is too slow so, the small network answers more of the rows: it may lose half of what the gates leave.
    """
    students = [p for p in search.points if p.recipe.get("student") in STUDENTS]
    large = [p for p in search.points[1:] if "student" not in p.recipe and p.kind == "candidate"]
    tried_pairs = 0
    for big in best_first(search, large):
        small = next((p for p in best_first(search, students) if fit_together(search, p, big)), None)
        if small is None or tried_pairs == _CASCADES or search.left <= 0:
            continue
        tried_pairs += 1
        cascaded(search, small, big)


def cascaded(search: Search, small: Point, big: Point) -> None:
    """Both in one bundle; where that is too slow, the small one answers more rows."""
    made = cascade(search, small, big)
    allowed = to_lose(search, big)
    if made and allowed > 0 and missed(search, made):
        cascade(search, small, big, allowed)


def to_lose(search: Search, point: Point) -> float:
    """Half of what the headline metric of a network may still lose by the gates on quality; 0 without such a gate."""
    left = []
    for gate in search.gates:
        if gate.name == "drop" and point.drop is not None:
            left.append(gate.bound - point.drop)
        elif gate.name == search.metric:
            left.append(metrics.named(search.metric).lost(point.quality.value, gate.bound))
    return float(f"{max(0.0, min(left, default=0.0)) / 2:.2g}")


def fit_together(search: Search, small: Point, large: Point) -> bool:
    """Whether two networks together keep the gate on size, and may keep those on time."""
    shared = [gate for gate in search.gates if gate.name in SHARED]
    return small_together(search, small, large) and not any(beyond(gate, large.measured, EARLY) for gate in shared)


def small_together(search: Search, small: Point, large: Point) -> bool:
    """Whether two networks together keep the gate on size."""
    both = sum(point.measured["size"].value for point in (small, large))
    return all(gate.met(both) for gate in search.gates if gate.name == "size")


def best_first(search: Search, points: Sequence[Point]) -> list[Point]:
    """By quality, the faster of equals first."""
    higher = metrics.named(search.metric).higher_is_better

    def rank(point: Point) -> tuple[float, float]:
        value = point.quality.value if higher else -point.quality.value
        return -value, point.measured["latency"].value

    return sorted(points, key=rank)
