"""The frontier: every network that the search made, which of them are worth having, and which one is taken."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from trimtab.bundle.manifest import Measured
from trimtab.metrics import named
from trimtab.spec import Gate

LIKELY = 0.8  # chance to hold on unseen rows from which a quality gate counts as met
_ALIKE, _FEWEST_ALIKE = 3.0, 4  # standard errors between networks that are alike, and how many it takes
_SAME_QUALITY = 0.5  # standard errors: a smaller difference says nothing about who is better
_SAME_LATENCY = 1.05  # times the least latency: what repeated timings differ by
_WITHIN_95 = NormalDist().inv_cdf(0.975)  # standard errors on each side of a 95% interval
_COSTS = ("size", "latency", "latency_p95", "throughput", "memory")
_SPELT = {"latency_p95": "{} at p95", "memory": "{} of memory", "drop": "a drop of {}"}
_FEWEST_DIGITS, _MOST_DIGITS = 3, 8

Interval = tuple[float, float]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Point(_Part):
    """One network: how it was made, how good it is on the validation rows and what it costs on this machine."""

    name: str
    kind: Literal["uncompressed", "candidate", "baseline"] = "candidate"
    made: tuple[str, ...] = ()  # the steps, for people
    quality: Measured  # the headline metric
    drop: float | None = None  # see `Metric.lost`
    drop_interval: Interval | None = None  # 95%, of the same rows answered by both networks
    measured: dict[str, Measured] = {}  # costs by name, and metrics that a gate asks for; the baseline has neither
    predicted_latency: float | None = None  # ms
    fits: bool = False  # every gate is met by these values
    missed: tuple[str, ...] = ()  # the gates that are not, in words
    seconds: float = 0.0  # that making it took
    recipe: dict[str, Any] = {}  # what makes it again
    differs: float = 0.0  # its files from the network that they were exported from
    spread: float = 0.0  # by how much the same timings differed, as a part of the quickest
    share: float = 1.0  # of the cores' time that could be had when it was measured


class Skipped(NamedTuple):
    """A way to compress that does not apply to this network."""

    name: str
    reason: str


class Frontier(_Part):
    """What a search found; `model_dump` of it is the manifest's `evidence["frontier"]`."""

    metric: str  # the headline metric: what `Point.quality` is
    points: tuple[Point, ...]
    skipped: tuple[Skipped, ...] = ()
    best: tuple[str, ...] = ()  # names of the points that no other one beats: see `pareto`
    chosen: str | None = None
    nearest: str = ""  # where none meets every gate: see `nearest`
    minutes: float = 0.0  # allowed
    seconds: float = 0.0  # spent
    stopped: str = ""  # why the search ended

    @classmethod
    def of(
        cls,
        metric: str,
        points: Iterable[Point],
        gates: Sequence[Gate],
        skipped: Iterable[Skipped] = (),
        minutes: float = 0.0,
        seconds: float = 0.0,
        stopped: str = "",
        pick: str | None = None,
    ) -> Self:
        """The points held against the gates, with the one to take: `pick`, or else what `choose` says."""
        held = tuple(hold(point, gates, metric) for point in points)
        return cls(
            metric=metric,
            points=held,
            skipped=tuple(skipped),
            best=pareto(held, metric),
            chosen=pick or choose(held, gates, metric),
            nearest="" if any(point.fits for point in held) else nearest(held, gates, metric),
            minutes=minutes,
            seconds=seconds,
            stopped=stopped,
        )

    def evidence(self) -> dict[str, Any]:
        """Plain values for the manifest; `Frontier.model_validate` reads them."""
        return self.model_dump(mode="json")


# --------------------------------------------------------------------------------------------------------- gates


def hold(point: Point, gates: Sequence[Gate], metric: str) -> Point:
    """The point with `fits` and `missed` filled in; `metric` is the headline metric."""
    measured = ((gate, found(point, gate, metric)) for gate in gates if not _meets(point, gate, metric))
    missed = tuple(
        f"{gate.name}: asked {gate}, measured {_told(gate, one) if one else 'nothing'}" for gate, one in measured
    )
    return point.model_copy(update={"fits": point.kind != "baseline" and not missed, "missed": missed})


def found(point: Point, gate: Gate, metric: str) -> Measured | None:
    """What a gate asks for, as measured on the point; None where it was not."""
    if gate.name == "drop":
        return _drop(point)
    return point.quality if gate.name == metric else point.measured.get(gate.name)


def likely(point: Point, gate: Gate, metric: str, among: Sequence[Point] = ()) -> float:
    """The chance that a quality gate holds on unseen rows, in the normal approximation of its 95% interval.

    Without an interval it is 1 or 0: the value is all that is known. `among` are the networks that it may be picked
    from: see `_shrunk`.
    """
    measured = found(point, gate, metric)
    if measured is None or math.isnan(measured.value):
        return 0.0
    error = _standard_error(measured)
    if not error:
        return float(gate.met(measured.value))
    others = [other for one in among if one.name != point.name and (other := found(one, gate, metric))]
    value = _shrunk(measured.value, [other.value for other in others], error, gate.operator[0] == ">")
    above = NormalDist().cdf((value - gate.bound) / error)
    return above if gate.operator[0] == ">" else 1.0 - above


def surely(point: Point, gates: Sequence[Gate], metric: str, among: Sequence[Point]) -> bool:
    """Whether all quality gates together hold on unseen rows with a chance of 80%, however they hang together.

    The chances to miss one are added up (Bonferroni), for a network that is picked from `among` by what was measured.
    """
    return sum(1.0 - likely(point, gate, metric, among) for gate in gates) <= 1.0 - LIKELY


def _shrunk(value: float, others: Sequence[float], error: float, more_is_better: bool) -> float:
    """The value, drawn towards the mean of those that it cannot be told from, where it is better than they are.

    The best of many that are equally good has been lucky: what is left of its lead is what the positive-part estimator
    of James and Stein (1961) leaves. Never better than the value itself.
    """
    near = np.array([value, *(other for other in others if abs(other - value) <= _ALIKE * error)])
    if len(near) < _FEWEST_ALIKE:
        return value
    mean, apart = float(near.mean()), float(np.sum((near - near.mean()) ** 2))
    left = max(0.0, 1.0 - (len(near) - 3) * error**2 / apart) if apart else 0.0
    drawn = mean + left * (value - mean)
    return min(value, drawn) if more_is_better else max(value, drawn)


def _drop(point: Point) -> Measured | None:
    if point.kind == "uncompressed":
        return Measured(value=0.0)
    low, high = point.drop_interval or (None, None)
    return None if point.drop is None else Measured(value=point.drop, low=low, high=high)


def _standard_error(measured: Measured) -> float:
    if measured.low is None or measured.high is None:
        return 0.0
    return (measured.high - measured.low) / (2 * _WITHIN_95)


def _meets(point: Point, gate: Gate, metric: str) -> bool:
    measured = found(point, gate, metric)
    return measured is not None and gate.met(measured.value)


def _meets_all(points: Iterable[Point], gates: Sequence[Gate], metric: str) -> list[Point]:
    return [point for point in points if all(_meets(point, gate, metric) for gate in gates)]


def _split(gates: Sequence[Gate]) -> tuple[list[Gate], list[Gate]]:
    """The gates on what a network costs, and those on how good it is."""
    costs = [gate for gate in gates if gate.name in _COSTS]
    return costs, [gate for gate in gates if gate.name not in _COSTS]


def _networks(points: Iterable[Point]) -> list[Point]:
    return [point for point in points if point.kind != "baseline"]


# ------------------------------------------------------------------------------------------------------ frontier


def pareto(points: Sequence[Point], metric: str) -> tuple[str, ...]:
    """Names of the networks that no other one equals or beats in quality, latency and size and beats in one of them."""
    standing = {point.name: _standing(point, metric) for point in _networks(points)}
    return tuple(name for name, own in standing.items() if not any(_beats(other, own) for other in standing.values()))


def _standing(point: Point, metric: str) -> tuple[float, float, float]:
    """Quality, latency and size such that less is better."""
    return -_goodness(point, metric), _cost(point, "latency"), _cost(point, "size")


def _beats(other: tuple[float, ...], own: tuple[float, ...]) -> bool:
    return other != own and all(theirs <= ours for theirs, ours in zip(other, own, strict=True))


def _goodness(point: Point, metric: str) -> float:
    """The headline metric such that more is better; a network that answers with no number is the worst."""
    value = point.quality.value
    if math.isnan(value):
        return -math.inf
    return value if named(metric).higher_is_better else -value


def _cost(point: Point, name: str) -> float:
    return point.measured[name].value if name in point.measured else math.inf


# -------------------------------------------------------------------------------------------------------- choice


def choose(points: Sequence[Point], gates: Sequence[Gate], metric: str) -> str | None:
    """The name of the network to take, the uncompressed one among them; None where no one meets every gate.

    Costs are what was measured. Quality has an interval: of those whose quality gates all hold on unseen rows with a
    chance of 80%, the best is taken where gates say what it may cost, and the cheapest where none does; where nobody is
    so sure, the best of those that meet the gates at face value. "Best" is the cheapest of those less than half a
    standard error behind it. A network that is better in something and worse in nothing is never passed over.
    """
    costs, qualities = _split(gates)
    affordable = _meets_all(_networks(points), costs, metric)
    sure = [point for point in affordable if surely(point, qualities, metric, affordable)] if qualities else affordable
    if sure:
        taken = _cheapest(_as_good_as_the_best(sure, metric) if costs or not qualities else sure)
    else:
        taken = _best(_meets_all(affordable, qualities, metric), metric)
    return _improved(taken, affordable, gates, metric).name if taken else None


def _improved(point: Point, points: Sequence[Point], gates: Sequence[Gate], metric: str) -> Point:
    """The point, or one of the others that is no worse in anything and better in something; of these, the best."""
    own = _aspects(point, gates, metric)
    better = [(_aspects(other, gates, metric), other) for other in points]
    better = [(theirs, other) for theirs, other in better if _beats(theirs, own)]
    return min(better, key=lambda pair: pair[0])[1] if better else point


def _aspects(point: Point, gates: Sequence[Gate], metric: str) -> tuple[float, ...]:
    """Quality, latency, size, how far each gate is missed and how likely those on quality are, less is better."""
    missed = (_excess(point, gate, metric) for gate in gates)
    unlikely = (-likely(point, gate, metric) for gate in _split(gates)[1])
    return (*_standing(point, metric), *missed, *unlikely)


def _best(points: Sequence[Point], metric: str) -> Point | None:
    return max(points, key=lambda point: (_goodness(point, metric), -_cost(point, "latency")), default=None)


def _as_good_as_the_best(points: Sequence[Point], metric: str) -> list[Point]:
    best = _best(points, metric)
    if best is None:
        return []
    least = _goodness(best, metric) - _SAME_QUALITY * _standard_error(best.quality)
    return [point for point in points if point is best or _goodness(point, metric) > least]


def _cheapest(points: Sequence[Point]) -> Point | None:
    """The fastest; of those that are as fast but for what timings differ by, the smallest."""
    least = min((_cost(point, "latency") for point in points), default=math.inf)
    fast = [point for point in points if _cost(point, "latency") <= _SAME_LATENCY * least]
    return min(fast, key=lambda point: (_cost(point, "size"), _cost(point, "latency")), default=None)


# ------------------------------------------------------------------------------------------------------- nearest


def nearest(points: Sequence[Point], gates: Sequence[Gate], metric: str) -> str:
    """Where the goal is out of reach, what is within it, in one sentence with the names of the networks.

    "no candidate reaches 5 MB at 0.88; 7.9 MB does (layers-4), or 0.871 at 5 MB (layers-3)".
    """
    networks = _networks(points)
    costs, qualities = _split(gates)
    fitting = _meets_all(networks, gates, metric)
    if fitting:
        return f"{fitting[0].name} meets every gate on the validation rows"
    asked = " at ".join(_asked(part, metric) for part in (costs, qualities) if part)
    if not networks:
        return f"no candidate reaches {asked}: none could be made"
    if costs and qualities:
        return f"no candidate reaches {asked}; {_both_ways(networks, costs, qualities, metric)}"
    return f"no candidate reaches {asked}; {_nearest(closest(networks, gates, metric), gates, metric)}"


def closest(points: Sequence[Point], gates: Sequence[Gate], metric: str) -> Point:
    """The network that misses the fewest gates, by the least: the worst of them as a part of its bound, then all.

    Of equal ones the better is taken; one that is better in something and worse in nothing is never passed over.
    """

    def key(point: Point) -> tuple[float, ...]:
        missed = [_excess(point, gate, metric) for gate in gates if not _meets(point, gate, metric)]
        return len(missed), max(missed, default=0.0), sum(missed), *_standing(point, metric)

    networks = _networks(points)
    return _improved(min(networks, key=key), networks, gates, metric)


def _both_ways(points: Sequence[Point], costs: Sequence[Gate], qualities: Sequence[Gate], metric: str) -> str:
    """What the quality that was asked for costs, and which quality there is for the cost that was asked for."""
    good, cheap = _meets_all(points, qualities, metric), _meets_all(points, costs, metric)
    dearer = closest(good or points, costs if good else qualities, metric)
    worse = closest(cheap or points, qualities if cheap else costs, metric)
    if good:
        by_cost = f"{_has(dearer, costs, metric)} does ({dearer.name})"
    else:
        by_cost = f"none has {_asked(qualities, metric)} whatever it costs: {_nearest(dearer, qualities, metric)}"
    if not cheap:
        return f"{by_cost}; none keeps {_asked(costs, metric)} at any quality: {_nearest(worse, costs, metric)}"
    by_quality = f"{_has(worse, qualities, metric)} at {_asked(costs, metric)} ({worse.name})"
    return f"{by_cost}, or {by_quality}" if good else f"{by_cost}; the best is {by_quality}"


def _nearest(point: Point, gates: Sequence[Gate], metric: str) -> str:
    return f"{_has(point, gates, metric)} is the nearest ({point.name})"


def _excess(point: Point, gate: Gate, metric: str) -> float:
    """How far a gate is missed as a part of its bound; below 0 where it is met, inf where nothing was measured."""
    measured = found(point, gate, metric)
    if measured is None or math.isnan(measured.value):
        return math.inf
    over = measured.value - gate.bound if gate.operator[0] == "<" else gate.bound - measured.value
    return over / (abs(gate.bound) or 1.0)


def _asked(gates: Sequence[Gate], metric: str) -> str:
    return " and ".join(_named(gate, f"{gate.bound:,.12g} {gate.unit}".rstrip(), metric) for gate in gates)


def _has(point: Point, gates: Sequence[Gate], metric: str) -> str:
    return " and ".join(_named(gate, _told(gate, found(point, gate, metric)), metric) for gate in gates)


def _named(gate: Gate, figure: str, metric: str) -> str:
    """A figure with what its unit leaves open: `3 MB` is a size and 0.9 the headline metric."""
    bare = gate.name in ("size", "latency", "throughput", metric)
    return figure if bare else _SPELT.get(gate.name, f"{gate.name} {{}}").format(figure)


def _told(gate: Gate, measured: Measured | None) -> str:
    """A value with its unit, in the fewest digits that do not change whether the gate is met."""
    if measured is None:
        return "nothing measured"
    value = measured.value
    rounded = (float(f"{value:.{digits}g}") for digits in range(_FEWEST_DIGITS, _MOST_DIGITS))
    same = next((near for near in rounded if gate.met(near) == gate.met(value)), value)
    return f"{same:,.12g} {gate.unit}".rstrip()
