"""What is worth a try, and what surely meets the gates: costs are known before anything is learnt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trimtab.bundle.manifest import Measured
from trimtab.compress import Skip, build, layers, plan
from trimtab.compress.frontier import LIKELY, Point, choose, likely, surely
from trimtab.nets.fitted import FittedNetwork
from trimtab.search import feasible
from trimtab.search.candidates import COSTS
from trimtab.search.trials import Search, context
from trimtab.spec import Gate, Recipe

_TOLERATED = 1.25  # times a cost gate: measured on a network that has learnt nothing, and in a hurry
_SURE = 1.02  # times the gate on size, which does not depend on what a network has learnt
SHARED, EARLY = ("latency", "throughput"), 2.5  # times these gates, where a small network may answer most rows
STUDENTS = ("static", "conv", "tiny")  # that may answer first


def missed(search: Search, point: Point) -> list[Gate]:
    """The cost gates that a point misses."""
    found = [(gate, point.measured.get(gate.name)) for gate in search.gates if gate.name in COSTS]
    return [gate for gate, value in found if value is None or not gate.met(value.value)]


def surely_fits(search: Search, points: Sequence[Point]) -> bool:
    """Whether one of the networks meets every gate, on unseen rows too with a chance of 80%.

    Without a gate on quality, dearer networks may still be better: nothing is sure then.
    """
    qualities = qualities_of(search)
    cheap = [point for point in search.points if not missed(search, point)]
    return bool(qualities) and any(
        surely(point, qualities, search.metric, cheap) for point in points if not missed(search, point)
    )


def qualities_of(search: Search) -> list[Gate]:
    """The gates on how good a network is."""
    return [gate for gate in search.gates if gate.name not in COSTS]


def any_fits(search: Search) -> bool:
    """Whether a network so far meets every gate on the validation rows."""
    return choose(search.points, search.gates, search.metric) is not None


def hopeless(search: Search, recipe: Recipe) -> bool:
    """Whether a gate on quality is missed by the recipe in every precision, so that smaller ones will miss it too."""
    qualities = qualities_of(search)
    own = [point for point in search.points if is_of(point, recipe)]
    return bool(qualities and own) and all(
        any(likely(point, gate, search.metric) < 1 - LIKELY for gate in qualities) for point in own
    )


def is_of(point: Point, recipe: Recipe) -> bool:
    """Whether the network was made by the recipe, in any precision."""
    return point.name.partition("+")[0] == build.name(recipe)


class Cut(NamedTuple):
    """A network that was made smaller, before it learns."""

    recipe: Recipe
    shallow: bool  # whether half of its blocks are left out, or more
    latency: float  # ms in fp32, or in the first precision that is small enough
    fits: bool  # whether it meets the cost gates
    alone: bool  # whether it does but for what measuring in a hurry may be wrong by; else only behind a small network

    @property
    def name(self) -> str:
        """Of its candidate."""
        return build.name(self.recipe)


def affordable(search: Search, recipes: Sequence[Recipe]) -> list[Cut]:
    """Those that may meet the cost gates, measured on networks that have learnt nothing.

    What a network costs does not depend on its weights: nothing is trained that would be too large or too slow.
    """
    found = context(search, None)
    depth = layers.depth(found.teacher)
    answers_first = any(point.recipe.get("student") in STUDENTS for point in search.points)  # before a cut
    kept: list[Cut] = []
    for recipe in recipes:
        if search.left <= 0:
            break
        name, shape = build.name(recipe), build.shape(recipe, found)
        if isinstance(shape, Skip):
            search.skip(name, shape.reason)
            continue
        costs = _costs(search, shape)
        fits = not all(_too_dear(search, measured, 1.0, 1.0) for measured in costs)
        too_dear = [_too_dear(search, measured, _TOLERATED) for measured in costs]
        late = [_too_dear(search, measured, EARLY) for measured in costs]
        alone = not all(too_dear)
        if alone or (answers_first and layers.depth(shape) > 0 and not all(late)):
            search.shapes[name] = shape
            shallow = 0 < 2 * (recipe.layers or depth) <= depth
            latencies = (measured["latency"].value for measured in costs if "latency" in measured)
            latency = next(latencies, math.inf)  # nothing is timed in a precision that is too large
            kept.append(Cut(recipe, shallow, latency, fits, alone))
        else:
            search.skip(name, f"would not fit: {too_dear[-1]}")
    return kept


def _costs(search: Search, shape: FittedNetwork) -> list[dict[str, Measured]]:
    """What a network costs in each precision, fp32 first; of one that is too large, its size."""
    found: list[dict[str, Measured]] = []
    for precision in plan.precisions(context(search, None), search.gates):
        if found and not _too_dear(search, found[-1], _TOLERATED):
            break
        found.append(feasible.measured(search, shape, precision))
    return found


def _too_dear(search: Search, measured: Mapping[str, Measured], late: float, large: float = _TOLERATED) -> str:
    """The first cost gate that is missed by more than a factor: `late` for time, `large` for memory."""
    factors = {"size": _SURE} | dict.fromkeys(SHARED, late)
    found = (beyond(gate, measured, factors.get(gate.name, large)) for gate in search.gates if gate.name in COSTS)
    return next(filter(None, found), "")


def beyond(gate: Gate, measured: Mapping[str, Measured], tolerated: float) -> str:
    """How far a cost gate would be missed; empty where it is met, or missed by no more than a factor."""
    found = measured.get(gate.name)
    if found is None:
        return ""
    lenient = found.value / tolerated if gate.operator[0] == "<" else found.value * tolerated
    return "" if gate.met(lenient) else f"{gate.name} {found.value:.3g} {gate.unit}, asked {gate}"


def seconds_of(search: Search, cuts: Sequence[Cut], cut: Cut) -> float:
    """How long a cut will take to learn, by what others took for each millisecond of their latency; 0 for the first."""
    latencies = {one.name: one.latency for one in cuts}
    taken = [point.seconds / latencies[point.name] for point in search.points if point.name in latencies]
    return max(taken, default=0.0) * cut.latency
