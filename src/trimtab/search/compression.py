"""The stage `compress`: the cheapest network that still passes the gates on this machine, and the frontier."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from trimtab import metrics
from trimtab.audit import quick
from trimtab.audit.baselines import baselines
from trimtab.bundle.manifest import Measured, Stage
from trimtab.compress import Skip, build, layers, plan
from trimtab.compress.frontier import LIKELY, Frontier, Point, choose, closest, likely, surely
from trimtab.compress.predict import Predictor
from trimtab.errors import nearest, problem
from trimtab.nets.fitted import FittedNetwork
from trimtab.progress import Progress
from trimtab.request import Request, resume
from trimtab.search import assembly, candidates, feasible
from trimtab.search.assembly import Candidate
from trimtab.search.candidates import COSTS, UNCOMPRESSED, Bench
from trimtab.search.feasible import Fit, load
from trimtab.search.trials import Search, begin, cascade, context, recall, timed, tried
from trimtab.spec import Compress, Gate, Recipe

_TOLERATED = 1.25  # times a cost gate: measured on a network that has learnt nothing, and in a hurry
_SURE = 1.02  # times the gate on size, which does not depend on what a network has learnt
_SHARED, _EARLY = ("latency", "throughput"), 2.5  # times these gates, where a small network may answer most rows
_EARLY_SHARE = 0.85  # of the rows that a student may answer before the uncompressed network: before a cut, fewer
_WORTH = 0.2  # of the rows: with fewer that a student may answer, it is not worth its own time
_STUDENTS = ("static", "conv", "tiny")  # that may answer first
_CASCADES = 3  # that are tried


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
    if wish == "auto" and not any(gate.name in COSTS for gate in request.gates):
        return Compressed(uncompressed, None, None)  # what it costs is measured once, by the audit
    on = candidates.bench(request, uncompressed)
    if wish == "auto" and _affordable_as_it_is(on, uncompressed, request.gates):
        return Compressed(uncompressed, None, None)
    key = resume.search_key(request, origin or resume.train_key(request))
    search = begin(request, trained, uncompressed, on, home, progress, key)
    asked = wish if isinstance(wish, Compress) else Compress()
    if asked.recipe and not asked.pick:
        return _one(search, asked.recipe)
    recall(search)
    if asked.pick and search.named(asked.pick):
        return _taken(search, "a candidate of an earlier search was picked", asked.pick)
    stopped = _walk(search)
    return _taken(search, stopped, asked.pick)


def _affordable_as_it_is(on: Bench, uncompressed: Candidate, gates: Sequence[Gate]) -> bool:
    """Whether the uncompressed network meets the gates on cost; nothing is timed where its size says no."""
    names = [gate.name for gate in gates if gate.name in COSTS]
    for some in (["size"], names):
        measured = candidates.costs(on, uncompressed, some).measured
        if not all(gate.met(measured[gate.name].value) for gate in gates if gate.name in some):
            return False
    return True


def _missed(search: Search, point: Point) -> list[Gate]:
    """The cost gates that a point misses."""
    found = [(gate, point.measured.get(gate.name)) for gate in search.gates if gate.name in COSTS]
    return [gate for gate, value in found if value is None or not gate.met(value.value)]


# ------------------------------------------------------------------------------------------------------ one recipe


def _one(search: Search, recipe: Recipe) -> Compressed:
    """Exactly what was asked for, whatever it costs; the uncompressed network where it does not apply."""
    if recipe.to_latency:
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


def _walk(search: Search) -> str:
    """Try one recipe after the other, until the time is over or nothing is left to gain; says why it ended.

    Where gates say what a network may cost, the largest that meets them is learnt first and gets the time.
    """
    found = context(search, None)
    search.progress.stage("compress", f"a search of {search.minutes:g} minutes among networks that could do")
    _all_precisions(search, Recipe())
    if search.eager and _fits(search):
        return "a network that had nothing to learn meets every gate"
    if any(gate.name in COSTS for gate in search.gates):
        _aim(search)
        if _surely(search, search.points) or (search.eager and _fits(search) and not _qualities(search)):
            return "the largest network that meets the gates on cost surely meets every gate"
    for recipe in plan.students(found):
        if search.left <= 0:
            return f"the {search.minutes:g} minutes were over"
        _all_precisions(search, recipe)
        if _surely(search, [point for point in search.points if _of(point, recipe)]):
            return "a network that is quick to learn meets every gate; others would cost more"
    # Where the largest that may be afforded is known, others are too dear or smaller than it.
    everything = search.aim is not None or _cut(search, plan.cut(timed(search), search.gates))
    _cascades(search)
    if search.left > 0 and everything:
        return "every way that applies was tried"
    return f"the {search.minutes:g} minutes were too few for more"


# --------------------------------------------------------------------------------- the largest that meets the gates


def _aim(search: Search) -> None:
    """Learn the largest cut that meets the gates on cost: alone, or behind a student where that lets it be larger."""
    found = context(search, None)
    if not build.distillable(found.teacher) or not plan.ladder(found, narrow=False):
        return
    predictor = _predictor(search, plan.aimed(found, search.gates))
    if load(search.gates, predictor.costs) <= 1:
        return  # nothing has to be cut
    narrow = load(search.gates, {"size": predictor.costs["size"]}) > 1
    ladder = plan.ladder(found, narrow)
    alone = feasible.largest(search, ladder, predictor, search.gates)
    if alone is None and (shallow := plan.ladder(found, narrow, shallow=True)):
        ladder, alone = shallow, feasible.largest(search, shallow, predictor, search.gates)
    if alone is None or plan.narrow(alone.recipe):
        _behind_a_student(search, ladder, alone, predictor)
    elif alone:
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


def _behind_a_student(search: Search, ladder: Sequence[Recipe], alone: Fit | None, predictor: Predictor) -> None:
    """Learn students, and then the cut that gets the time: a larger one where the best of them may answer first."""
    for recipe in reversed(plan.students(context(search, None))):
        made = [tried(search, recipe), tried(search, plan.in_precision(recipe, predictor.precision))]
        if any(point and not _missed(search, point) for point in made) or search.left <= 0:
            break  # cheaper ones are worse
    first = _first_answers(search, ladder, predictor)
    both = feasible.largest(search, ladder, predictor, _left_behind(search, *first)) if first else None
    if first and both and (alone is None or plan.clearly_larger(ladder, both.recipe, alone.recipe)):
        _learn(search, both)
        large = [point for point in search.points if _of(point, both.recipe)]
        pairs = [big for big in _best_first(search, large) if _fit_together(search, first.point, big)]
        for big in pairs[:1]:
            _cascaded(search, first.point, big)
    elif alone:
        _learn(search, alone)


class _First(NamedTuple):
    """A student that may answer first, and the share of the rows that it is predicted to answer."""

    point: Point
    early: float


def _first_answers(search: Search, ladder: Sequence[Recipe], predictor: Predictor) -> _First | None:
    """The student that lets the cut behind it be the largest, by what is predicted."""
    found = []
    for point in search.points:
        if point.recipe.get("student") in _STUDENTS and not _missed(search, point):
            early = _EARLY_SHARE * candidates.early(search.bench, search.candidate(point))
            left = _left_behind(search, point, early)
            at = feasible.predicted(search, ladder, predictor, left, 0, len(ladder))
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
    cuts, enough = _affordable(search, recipes), True
    alone = sorted((cut for cut in cuts if cut.alone), key=lambda cut: (cut.shallow, not cut.fits, -cut.latency))
    behind = sorted((cut for cut in cuts if not cut.alone), key=lambda cut: cut.latency)
    for cut in [*alone, *behind]:
        if cut in behind and _surely(search, search.points):
            search.skip(cut.name, "too slow but behind a small network, and others surely meet every gate alone")
            continue
        smaller = next(
            (other for other in alone if _hopeless(search, other.recipe) and cut.latency <= other.latency), None
        )
        if smaller:
            search.skip(cut.name, f"{smaller.name}, which is larger, misses a gate on quality")
            continue
        needed = _seconds_of(search, cuts, cut)
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


# ----------------------------------------------------------------------------------------------- what is worth a try


def _surely(search: Search, points: Sequence[Point]) -> bool:
    """Whether one of the networks meets every gate, on unseen rows too with a chance of 80%.

    Without a gate on quality, dearer networks may still be better: nothing is sure then.
    """
    qualities = _qualities(search)
    affordable = [point for point in search.points if not _missed(search, point)]
    return bool(qualities) and any(
        surely(point, qualities, search.metric, affordable) for point in points if not _missed(search, point)
    )


def _qualities(search: Search) -> list[Gate]:
    """The gates on how good a network is."""
    return [gate for gate in search.gates if gate.name not in COSTS]


def _fits(search: Search) -> bool:
    """Whether a network so far meets every gate on the validation rows."""
    return choose(search.points, search.gates, search.metric) is not None


def _hopeless(search: Search, recipe: Recipe) -> bool:
    """Whether a gate on quality is missed by the recipe in every precision, so that smaller ones will miss it too."""
    qualities = _qualities(search)
    own = [point for point in search.points if _of(point, recipe)]
    return bool(qualities and own) and all(
        any(likely(point, gate, search.metric) < 1 - LIKELY for gate in qualities) for point in own
    )


def _of(point: Point, recipe: Recipe) -> bool:
    return point.name.partition("+")[0] == build.name(recipe)


class _Cut(NamedTuple):
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


def _affordable(search: Search, recipes: Sequence[Recipe]) -> list[_Cut]:
    """Those that may meet the cost gates, measured on networks that have learnt nothing.

    What a network costs does not depend on its weights: nothing is trained that would be too large or too slow.
    """
    found = context(search, None)
    depth = layers.depth(found.teacher)
    answers_first = any(point.recipe.get("student") in _STUDENTS for point in search.points)  # in a cascade
    kept: list[_Cut] = []
    for recipe in recipes:
        if search.left <= 0:
            break
        name, shape = build.name(recipe), build.shape(recipe, found)
        if isinstance(shape, Skip):
            search.skip(name, shape.reason)
            continue
        costs = _costs(search, shape)
        fits = not all(_too_dear(search, measured, 1.0, 1.0) for measured in costs)
        missed = [_too_dear(search, measured, _TOLERATED) for measured in costs]
        late = [_too_dear(search, measured, _EARLY) for measured in costs]
        alone = not all(missed)
        if alone or (answers_first and layers.depth(shape) > 0 and not all(late)):
            search.shapes[name] = shape
            shallow = 0 < 2 * (recipe.layers or depth) <= depth
            kept.append(_Cut(recipe, shallow, _latency(costs), fits, alone))
        else:
            search.skip(name, f"would not fit: {missed[-1]}")
    return kept


def _latency(costs: Sequence[Mapping[str, Measured]]) -> float:
    """ms in the first precision that was timed: nothing is timed in one that is too large."""
    return next((measured["latency"].value for measured in costs if "latency" in measured), math.inf)


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
    factors = {"size": _SURE} | dict.fromkeys(_SHARED, late)
    missed = (_beyond(gate, measured, factors.get(gate.name, large)) for gate in search.gates if gate.name in COSTS)
    return next(filter(None, missed), "")


def _beyond(gate: Gate, measured: Mapping[str, Measured], tolerated: float) -> str:
    """How far a cost gate would be missed; empty where it is met, or missed by no more than a factor."""
    found = measured.get(gate.name)
    if found is None:
        return ""
    lenient = found.value / tolerated if gate.operator[0] == "<" else found.value * tolerated
    return "" if gate.met(lenient) else f"{gate.name} {found.value:.3g} {gate.unit}, asked {gate}"


def _seconds_of(search: Search, cuts: Sequence[_Cut], cut: _Cut) -> float:
    """How long a cut will take to learn, by what others took for each millisecond of their latency; 0 for the first."""
    latencies = {one.name: one.latency for one in cuts}
    taken = [point.seconds / latencies[point.name] for point in search.points if point.name in latencies]
    return max(taken, default=0.0) * cut.latency


# -------------------------------------------------------------------------------------------------------- cascades


def _cascades(search: Search) -> None:
    """Small networks before large ones: for the best of the large the best of the small that goes with it.

    A cascade is as good as its large network and takes as many bytes as both, and of the large one's time a part. Where
    it is too slow so, the small network answers more of the rows: it may lose half of what the gates leave.
    """
    students = [p for p in search.points if p.recipe.get("student") in _STUDENTS]
    large = [p for p in search.points[1:] if "student" not in p.recipe and p.kind == "candidate"]
    tried_pairs = 0
    for big in _best_first(search, large):
        small = next((p for p in _best_first(search, students) if _fit_together(search, p, big)), None)
        if small is None or tried_pairs == _CASCADES or search.left <= 0:
            continue
        tried_pairs += 1
        _cascaded(search, small, big)


def _cascaded(search: Search, small: Point, big: Point) -> None:
    """Both in one bundle; where that is too slow, the small one answers more rows."""
    made = cascade(search, small, big)
    allowed = _to_lose(search, big)
    if made and allowed > 0 and _missed(search, made):
        cascade(search, small, big, allowed)


def _to_lose(search: Search, point: Point) -> float:
    """Half of what the headline metric of a network may still lose by the gates on quality; 0 without such a gate."""
    left = []
    for gate in search.gates:
        if gate.name == "drop" and point.drop is not None:
            left.append(gate.bound - point.drop)
        elif gate.name == search.metric:
            left.append(metrics.named(search.metric).lost(point.quality.value, gate.bound))
    return float(f"{max(0.0, min(left, default=0.0)) / 2:.2g}")


def _fit_together(search: Search, small: Point, large: Point) -> bool:
    """Whether two networks together keep the gate on size, and may keep those on time."""
    for gate in search.gates:
        both = sum(point.measured["size"].value for point in (small, large))
        if gate.name == "size" and not gate.met(both):
            return False
        if gate.name in _SHARED and _beyond(gate, large.measured, _EARLY):
            return False
    return True


def _best_first(search: Search, points: Sequence[Point]) -> list[Point]:
    """By quality, the faster of equals first."""
    higher = metrics.named(search.metric).higher_is_better

    def rank(point: Point) -> tuple[float, float]:
        value = point.quality.value if higher else -point.quality.value
        return -value, point.measured["latency"].value

    return sorted(points, key=rank)


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
