"""The largest cut of a network that meets the gates on cost, found before anything is learnt.

What a network costs does not depend on what it has learnt: cuts are exported and measured as they are. Predictions say
which ones are worth that, so that two or three are enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trimtab.bundle import store
from trimtab.bundle.manifest import Measured
from trimtab.compress import Skip, build, latency
from trimtab.compress.predict import Predictor
from trimtab.nets.fitted import FittedNetwork
from trimtab.request import thinned
from trimtab.search import assembly, candidates
from trimtab.search.assembly import EncodedSplits
from trimtab.search.candidates import COSTS
from trimtab.search.trials import Search, context
from trimtab.spec import Gate, Recipe

_TRIALS = 4  # cuts that are measured, where one of them fits
_TRIAL_ROWS = 256  # that a network is bundled with which has learnt nothing
_MANY = 32  # rows of the calls that a table for a gate on throughput is of
# Share of a gate that may be used up by what was measured in a hurry: sizes are exact; the quickest of a few calls lies
# below the median that is released, and that comes again within 5%. Rows/s of four networks that had learnt nothing lay
# 1% below to 24% above those of the same when they had (AMD EPYC with VNNI, 2 cores, light work beside).
ROOM = {"size": 1.0, "latency": 0.92, "latency_p95": 0.8, "throughput": 0.88, "memory": 0.97}
TIGHT = dict.fromkeys(ROOM, 1.0)  # nothing to spare


@dataclass(frozen=True)
class Fit:
    """A cut that meets the gates on cost."""

    recipe: Recipe  # in fp32
    precision: str  # that it meets them in
    shape: FittedNetwork
    costs: Mapping[str, float]


def load(gates: Sequence[Gate], costs: Mapping[str, float], room: Mapping[str, float] = ROOM) -> float:
    """How much of what the tightest gate allows is used up: 1 where it is just met, 0 where nothing is known of any."""
    used = [0.0]
    for gate in gates:
        if gate.name in COSTS and gate.name in costs:
            over, under = costs[gate.name], gate.bound
            if gate.operator[0] == ">":
                over, under = under, over
            part = over / under if under > 0 else math.inf
            used.append(part / room.get(gate.name, 1.0))
    return max(used)


def first_that_fits(
    count: int, guess: Callable[[int, int], int], measure: Callable[[int], float], most: int = _TRIALS
) -> int | None:
    """The first of `count` networks, the dearest first, whose measured load is at most 1; None where none is.

    `guess(dear, fits)` predicts the first that fits of those between one that does not and one that does (-1 and
    `count` where none is known), or gives `fits`. No more than `most` are measured once one fits.
    """
    dear, fits, measured = -1, count, 0
    while fits - dear > 1 and (measured < most or fits == count):
        at = max(guess(dear, fits), dear + 1)
        if at >= fits and fits < count:
            break  # nothing dearer is predicted to fit
        at = min(at, count - 1)
        measured += 1
        if measure(at) <= 1:
            fits = at
        else:
            dear = at
    return fits if fits < count else None


def largest(
    search: Search,
    recipes: Sequence[Recipe],
    predictor: Predictor,
    gates: Sequence[Gate],
    room: Mapping[str, float] = ROOM,
) -> Fit | None:
    """The dearest of the recipes, the dearest first, that meets the gates on cost in the predictor's precision."""
    known, found = [predictor], dict[int, Fit]()

    def measure(at: int) -> float:
        shape = _shape(search, recipes[at])
        if shape is None:
            return float("inf")
        costs = {name: one.value for name, one in measured(search, shape, predictor.precision).items()}
        known.append(known[-1].taught(shape, costs))
        found[at] = Fit(recipes[at], predictor.precision, shape, costs)
        used = load(gates, costs, room)
        said = ", ".join(f"{gate.name} {costs[gate.name]:.3g}" for gate in gates if gate.name in costs)
        search.progress.note(f"{build.name(recipes[at])}, before it learns: {said} ({'fits' if used <= 1 else 'no'})")
        return used

    def guess(dear: int, fits: int) -> int:
        return predicted(search, recipes, known[-1], gates, dear + 1, min(fits, len(recipes)), room)

    at = first_that_fits(len(recipes), guess, measure)
    return None if at is None else found[at]


def predicted(
    search: Search,
    recipes: Sequence[Recipe],
    predictor: Predictor,
    gates: Sequence[Gate],
    low: int,
    high: int,
    room: Mapping[str, float] = ROOM,
) -> int:
    """The first of the recipes from `low` on, the dearest first, that is predicted to meet the gates; `high`: none."""
    while low < high:
        middle = (low + high) // 2
        shape = _shape(search, recipes[middle])
        if shape is not None and load(gates, predictor.costs_of(shape), room) <= 1:
            high = middle
        else:
            low = middle + 1
    return low


def _shape(search: Search, recipe: Recipe) -> FittedNetwork | None:
    """The network of a recipe before it learns, made once; None where the recipe does not apply."""
    name = build.name(recipe)
    if name not in search.shapes:
        found = build.shape(recipe, context(search, None))
        if isinstance(found, Skip):
            search.skip(name, found.reason)
            return None
        search.shapes[name] = found
    return search.shapes[name]


def measured(search: Search, shape: FittedNetwork, precision: str) -> dict[str, Measured]:
    """What a network costs in a precision, whatever it has learnt; of one that is too large, its size alone."""
    few = EncodedSplits(thinned(search.request, _TRIAL_ROWS))
    folder = search.folder / "trial"
    trial = assembly.sealed(few.request, assembly.exported(few, shape, folder / "bundle"))
    if precision != "none":
        trial = assembly.sealed(few.request, assembly.quantized(few, trial, precision, folder / precision))
    size = candidates.costs(search.bench, trial, ["size"]).measured
    if load([gate for gate in search.gates if gate.name == "size"], {"size": size["size"].value}) > 1:
        return size
    found = candidates.costs(search.bench, trial)
    search.watch(found.spread, found.share)
    return found.measured


def tables(search: Search, whole: assembly.Candidate, precision: str) -> list[latency.Table]:
    """Latency tables of this machine for the times that gates ask for; none where no block can be timed.

    `whole` is the uncut network in the precision.
    """
    asked = {gate.name for gate in search.gates}
    values = search.request.prepared.splits.valid.values
    rows = {column.name: values[column.name] for column in search.request.inputs}
    wanted = [1] * bool(asked & {"latency", "latency_p95"}) + [_MANY] * ("throughput" in asked)
    teacher, bits = context(search, None).teacher, None if precision == "none" else precision
    found = [latency.measure(teacher, rows, whole.folder / store.MODEL, count, bits) for count in wanted]
    return [table for table in found if not isinstance(table, Skip)]
