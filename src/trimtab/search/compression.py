"""The stage `compress`: the cheapest network that still passes the gates on this machine, and the frontier."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from trimtab import metrics
from trimtab.audit import quick
from trimtab.audit.baselines import baselines
from trimtab.bundle.manifest import Stage
from trimtab.compress import build, distil, plan
from trimtab.compress.frontier import Frontier, Point, closest
from trimtab.compress.predict import Predictor
from trimtab.errors import nearest, problem
from trimtab.nets.fitted import FittedNetwork
from trimtab.progress import Progress
from trimtab.request import Request, resume
from trimtab.search import assembly, candidates, feasible, written
from trimtab.search.assembly import Candidate
from trimtab.search.candidates import COSTS, UNCOMPRESSED, Bench
from trimtab.search.cascades import best_first, cascaded, cascades, small_together, to_lose
from trimtab.search.feasible import Fit, load
from trimtab.search.trials import Search, begin, cascade, context, recall, timed, tried
from trimtab.search.worth import (
    STUDENTS,
    affordable,
    any_fits,
    hopeless,
    is_of,
    missed,
    qualities_of,
    seconds_of,
    surely_fits,
)
from trimtab.spec import Compress, Gate, Recipe

# Of the rows that a student may answer before the uncompressed network, where half of what the gates leave may be lost:
# about as many as it may answer before a cut, which is right less often.
_EARLY_SHARE = 0.9
_BITS = ("int8_blocks", "int8", "int4")  # of a network that is run as several graphs, the nearest to fp32 first
_WORTH = 0.2  # of the rows: with fewer that a student may answer, it is not worth its own time
_ANOTHER = 0.2  # of the minutes: with less left, no other cut is begun


@dataclass(frozen=True)
class Compressed:
    """The network that is taken, and what else was found."""

    candidate: Candidate
    frontier: Frontier | None
    stage: Stage | None


def compress(
    request: Request,
    trained: FittedNetwork,
    uncompressed: Candidate,
    home: Path,
    progress: Progress,
    origin: str | None = None,
) -> Compressed:
    """Carry out the spec's `compress`: nothing, one recipe, or a search in the time that is allowed.

    Candidates are kept in `home/work/compress`, for as long as `origin` is the same: the hash of the bundle, or what
    decided the network that was just trained. Raises TrimtabError for a `pick` that no candidate is called.
    """
    wish = request.spec.compress
    if wish == "none":
        return Compressed(uncompressed, None, None)
    gates = request.searched_gates
    if wish == "auto" and not any(gate.name in COSTS for gate in gates):
        return Compressed(uncompressed, None, None)  # what it costs is measured once, by the audit
    on = candidates.bench(request, uncompressed)
    if wish == "auto" and affordable_as_it_is(on, uncompressed, gates):
        return Compressed(uncompressed, None, None)
    key = resume.search_key(request, origin or resume.train_key(request))
    search = begin(request, trained, uncompressed, on, home, progress, key)
    asked = wish if isinstance(wish, Compress) else Compress()
    if asked.recipe and not asked.pick:
        return _one(search, asked.recipe)
    recall(search)
    if asked.pick and search.named(asked.pick):
        return _taken(search, "a candidate of an earlier search was picked", asked.pick)
    stopped = _in_fewer_bits(search) if written.has_program(trained.network) else _walk(search)
    return _taken(search, stopped, asked.pick)


def affordable_as_it_is(on: Bench, uncompressed: Candidate, gates: Sequence[Gate]) -> bool:
    """Whether the uncompressed network meets the gates on cost; nothing is timed where its size says no."""
    names = [gate.name for gate in gates if gate.name in COSTS]
    for some in (["size"], names):
        measured = candidates.costs(on, uncompressed, some).measured
        if not all(gate.met(measured[gate.name].value) for gate in gates if gate.name in some):
            return False
    return True


# ------------------------------------------------------------------------------------------------------ one recipe


def _one(search: Search, recipe: Recipe) -> Compressed:
    """Exactly what was asked for, whatever it costs; the uncompressed network where it does not apply."""
    if recipe.to_latency and not written.has_program(search.trained.network):
        timed(search, recipe)
    found = tried(search, recipe.model_copy(update={"cascade": False}))
    if found and recipe.cascade:
        found = cascade(search, found, search.points[0])
    if found is None:
        for name, reason in search.skipped:
            search.progress.note(f"{name} is left out: {reason}")
        search.progress.note("the network is kept as it was trained")
    return _finished(search, found.name if found else UNCOMPRESSED, "one recipe was asked for")


# --------------------------------------------------------------------------------------------------------- search


def _in_fewer_bits(search: Search) -> str:
    """Try a network that is run as several graphs in fewer bits, all that makes one cheaper; why it ended."""
    for precision in _BITS:
        if search.left <= 0:
            return f"the {search.minutes:g} minutes were over"
        tried(search, Recipe(quantize=precision))
        if search.eager and any_fits(search):
            return "a network that had nothing to learn meets every gate"
    return "every way that applies was tried"


def _walk(search: Search) -> str:
    """Try one recipe after the other, until the time is over or nothing is left to gain; says why it ended.

    Where gates say what a network may cost, the largest that meets them is learnt first and gets the time.
    """
    found = context(search, None)
    search.progress.stage("compress", f"a search of {search.minutes:g} minutes among networks that could do")
    _all_precisions(search, Recipe())
    if search.eager and any_fits(search):
        return "a network that had nothing to learn meets every gate"
    if any(gate.name in COSTS for gate in search.gates):
        _aim(search)
        if surely_fits(search, search.points) or (search.eager and any_fits(search) and not qualities_of(search)):
            return "the largest network that meets the gates on cost surely meets every gate"
    for recipe in plan.students(found):
        if search.left <= 0:
            return f"the {search.minutes:g} minutes were over"
        _all_precisions(search, recipe)
        if surely_fits(search, [point for point in search.points if is_of(point, recipe)]):
            return "a network that is quick to learn meets every gate; others would cost more"
    # Where the largest that may be afforded is known, others are too dear or smaller than it.
    everything = search.aim is not None or _cut(search, plan.cut(timed(search), search.gates))
    cascades(search)
    if search.left > 0 and everything:
        return "every way that applies was tried"
    return f"the {search.minutes:g} minutes were too few for more"


# --------------------------------------------------------------------------------- the largest that meets the gates


def _aim(search: Search) -> None:
    """Learn the largest cut that meets the gates on cost: alone, or behind a student where that lets it be larger."""
    found = context(search, None)
    if not distil.distillable(found.teacher) or not plan.ladder(found, narrow=False):
        return
    predictor = _predictor(search, plan.aimed(found, search.gates))
    if load(search.gates, predictor.costs) <= 1:
        return  # nothing has to be cut
    narrow = load(search.gates, {"size": predictor.costs["size"]}) > 1
    ladders = [plan.ladder(found, narrow)]
    alone = feasible.largest(search, ladders[0], predictor, search.gates)
    if alone is None and (shallow := plan.ladder(found, narrow, shallow=True)):
        ladders.append(shallow)
        alone = feasible.largest(search, shallow, predictor, search.gates)
    if alone is None or len(ladders) > 1 or plan.narrow(alone.recipe):
        _behind_a_student(search, ladders, alone, predictor)
    else:
        _learn(search, alone)


def _predictor(search: Search, precision: str) -> Predictor:
    """Predicts by the trimmed network in the precision, which was measured, or by the uncompressed one."""
    prepared = context(search, None)
    whole = tried(search, Recipe()) or search.points[0]
    folder = search.folder / "whole"
    known = search.candidate(whole)
    if precision != "none":
        known = assembly.sealed(search.request, assembly.quantized(search.bench.splits, known, precision, folder))
    found = candidates.costs(search.bench, known)
    search.watch(found.spread, found.share)
    costs = {name: one.value for name, one in found.measured.items()}
    return Predictor(precision, prepared.teacher, costs, feasible.tables(search, known, precision))


def _learn(search: Search, fit: Fit) -> None:
    """The network that gets the time, in the precision that it meets the gates in, and in others nearer to fp32."""
    search.aim = fit.recipe
    search.shapes[build.name(fit.recipe)] = fit.shape
    search.progress.note(f"{build.name(fit.recipe)} in {fit.precision} is the largest that meets the gates on cost")
    if tried(search, fit.recipe) is None:
        return
    wanted = plan.precisions(context(search, None), search.gates)
    for precision in (fit.precision, *wanted[1 : wanted.index(fit.precision)]):
        tried(search, plan.in_precision(fit.recipe, precision))


def _behind_a_student(
    search: Search, ladders: Sequence[Sequence[Recipe]], alone: Fit | None, predictor: Predictor
) -> None:
    """Learn students, and then the cut that gets the time: a larger one where the best of them may answer first.

    Of all blocks, made narrow, before one of half of them; the next one where that keeps too little and time is left.
    """
    for recipe in reversed(plan.students(context(search, None))):
        made = [tried(search, recipe), tried(search, plan.in_precision(recipe, predictor.precision))]
        if any(point and not missed(search, point) for point in made) or search.left <= 0:
            break  # cheaper ones are worse
    for ladder in ladders:
        first, both = _both(search, ladder, predictor)
        if first and both and plan.clearly_larger(ladder, both.recipe, alone.recipe if alone else None):
            _learn(search, both)
            large = [point for point in search.points if is_of(point, both.recipe)]
            pairs = [big for big in best_first(search, large) if small_together(search, first.point, big)]
            for big in pairs[:1]:
                cascaded(search, first.point, big)
            if any_fits(search) or search.left < _ANOTHER * 60 * search.minutes:
                return
    if alone:
        _learn(search, alone)


def _both(search: Search, ladder: Sequence[Recipe], predictor: Predictor) -> tuple[_First | None, Fit | None]:
    """A student and the largest cut behind it; one that meets the gates with nothing to spare, where none else does."""
    first, both = None, None
    for room in (feasible.ROOM, feasible.TIGHT):
        first = _first_answers(search, ladder, predictor, room)
        both = feasible.largest(search, ladder, predictor, _left_behind(search, *first), room) if first else None
        if both:
            break
    return first, both


class _First(NamedTuple):
    """A student that may answer first, and the share of the rows that it is predicted to answer."""

    point: Point
    early: float


def _first_answers(
    search: Search, ladder: Sequence[Recipe], predictor: Predictor, room: Mapping[str, float]
) -> _First | None:
    """The student that lets the cut behind it be the largest, by what is predicted."""
    found, allowed = [], to_lose(search, search.points[0])
    for point in search.points:
        if point.recipe.get("student") in STUDENTS and not missed(search, point):
            early = _EARLY_SHARE * candidates.early(search.bench, search.candidate(point), allowed)
            left = _left_behind(search, point, early)
            at = feasible.predicted(search, ladder, predictor, left, 0, len(ladder), room)
            found.append((at, -early, _First(point, early)))
    worth = [one for one in found if one[2].early > _WORTH]
    return min(worth, key=lambda one: one[:2])[2] if worth else None


def _left_behind(search: Search, point: Point, early: float) -> list[Gate]:
    """What the gates on cost leave to a network that answers what a student does not."""
    found = []
    for gate in search.gates:
        own = point.measured.get(gate.name)
        if own is None:
            continue
        if gate.name == "size":
            found.append(replace(gate, bound=gate.bound - own.value))
        elif gate.name == "throughput":
            left = max(1e-9, 1 / gate.bound - 1 / own.value)
            found.append(replace(gate, bound=(1 - early) / left))
        elif gate.name in ("latency", "latency_p95"):
            found.append(replace(gate, bound=gate.bound - own.value))
    return found


def _cut(search: Search, recipes: Sequence[Recipe]) -> bool:
    """The network itself, made smaller: the dearest that fits first, cheaper ones as long as they keep the quality.

    Networks that lost half of their blocks come after those that are narrow, and what fits only if it was measured in
    too much of a hurry after what fits. Where none of these surely keeps the quality, those too that are quick enough
    behind a small network, the cheapest first. Returns whether there was time for all of them.
    """
    cuts, enough = affordable(search, recipes), True
    alone = sorted((cut for cut in cuts if cut.alone), key=lambda cut: (cut.shallow, not cut.fits, -cut.latency))
    behind = sorted((cut for cut in cuts if not cut.alone), key=lambda cut: cut.latency)
    for cut in [*alone, *behind]:
        if cut in behind and surely_fits(search, search.points):
            search.skip(cut.name, "too slow but behind a small network, and others surely meet every gate alone")
            continue
        smaller = next(
            (other for other in alone if hopeless(search, other.recipe) and cut.latency <= other.latency), None
        )
        if smaller:
            search.skip(cut.name, f"{smaller.name}, which is larger, misses a gate on quality")
            continue
        needed = seconds_of(search, cuts, cut)
        if needed > search.left:
            search.skip(cut.name, f"would take {needed / 60:.1f} minutes, {search.left / 60:.1f} were left")
            enough = False
            continue
        _all_precisions(search, cut.recipe)
    return enough


def _all_precisions(search: Search, recipe: Recipe) -> None:
    """A network in every precision that may help."""
    for precision in plan.precisions(context(search, None), search.gates):
        if precision != "none" and search.left <= 0 and not build.learns(recipe):
            return
        found = tried(search, plan.in_precision(recipe, precision))
        if found is None and precision == "none" and build.learns(recipe):
            return


# ----------------------------------------------------------------------------------------------------------- result


def _taken(search: Search, stopped: str, pick: str | None) -> Compressed:
    """The candidate that the gates choose, or the user; where none passes, the nearest one."""
    names = [point.name for point in search.points]
    if pick and pick not in names:
        raise problem("compress.pick", f"no candidate is called {pick!r}", nearest(pick, names))
    return _finished(search, pick, stopped)


def _finished(search: Search, pick: str | None, stopped: str) -> Compressed:
    search.points += _floor(search)
    spent = time.perf_counter() - search.begun
    if search.share < quick.BUSY:
        stopped += f"; the machine was busy: at the worst {search.share:.0%} of its cores could be had"
    frontier = Frontier.of(
        search.metric, search.points, search.gates, search.skipped, search.minutes, round(spent, 1), stopped, pick
    )
    if frontier.chosen is None:
        networks = [point for point in search.points if point.kind != "baseline"]
        frontier = frontier.model_copy(update={"chosen": closest(networks, search.gates, search.metric).name})
    chosen = str(frontier.chosen)
    search.progress.note(f"taken: {chosen}")
    candidate = search.candidate(next(point for point in search.points if point.name == chosen))
    return Compressed(candidate, frontier, Stage(name="compress", seconds=spent, detail={"chosen": chosen}))


def _floor(search: Search) -> list[Point]:
    """The best of the simple rivals on the validation rows: what a network has to be better than."""
    splits, output = search.request.prepared.splits, search.request.output
    rivals = baselines(search.request.inputs, splits.train, splits.valid, output, search.request.spec.seed)
    found = [
        Point(name=name, kind="baseline", quality=measured[search.metric])
        for name, measured in rivals.items()
        if search.metric in measured
    ]
    higher = metrics.named(search.metric).higher_is_better
    return sorted(found, key=lambda point: point.quality.value if higher else -point.quality.value)[-1:]
