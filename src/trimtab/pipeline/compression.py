"""The stage `compress`: the cheapest network that still passes the gates on this machine, and the frontier."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trimtab import spec as specs
from trimtab.audit import floor
from trimtab.bundle.manifest import Measured, Stage
from trimtab.compress import making, plan
from trimtab.compress.frontier import LIKELY, Frontier, Point, Skipped, choose, closest, likely
from trimtab.compress.making import Material
from trimtab.compress.trained import Skip, Trained
from trimtab.errors import nearest, problem
from trimtab.pipeline import assembly, candidates, resume
from trimtab.pipeline.assembly import Candidate
from trimtab.pipeline.candidates import UNCOMPRESSED, Bench
from trimtab.pipeline.request import Request
from trimtab.progress import Progress
from trimtab.spec import Compress, Gate, Recipe

_COSTS = ("size", "latency", "latency_p95", "throughput", "memory")
_CASCADE = "cascade-"  # how the names of two networks in one bundle begin
_TOLD = ("size", "latency", "throughput")
_TOLERATED = 1.25  # times a cost gate: measured on a network that has learnt nothing, and in a hurry


@dataclass(frozen=True)
class Compressed:
    """The network that is taken, and what else was found."""

    candidate: Candidate
    frontier: Frontier | None
    stage: Stage | None


def compress(
    request: Request,
    trained: Trained,
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
    search = _begin(request, trained, uncompressed, home, progress, origin or resume.train_key(request))
    if wish == "auto" and not _missed(search, search.points[0]):
        return Compressed(uncompressed, None, None)
    asked = wish if isinstance(wish, Compress) else Compress()
    if asked.recipe and not asked.pick:
        return _one(search, asked.recipe)
    if asked.pick and _recalled(search, asked.pick):
        return _taken(search, "a candidate of an earlier search was picked", asked.pick)
    stopped = _walk(search)
    return _taken(search, stopped, asked.pick)


@dataclass
class _Search:
    """A search on its way: what was found so far is added to it."""

    request: Request
    trained: Trained
    bench: Bench
    folder: Path
    minutes: float
    progress: Progress
    origin: str
    begun: float
    points: list[Point] = field(default_factory=list)
    folders: dict[str, Path] = field(default_factory=dict)
    differs: dict[str, float] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    material: Material | None = None
    shapes: dict[str, Trained] = field(default_factory=dict)  # of recipes, before they learn

    @property
    def eager(self) -> bool:
        """Whether the first network that does is taken: nobody asked for the cheapest."""
        return self.request.spec.compress == "auto"

    @property
    def searches(self) -> bool:
        """Whether there are several recipes to choose from."""
        wish = self.request.spec.compress
        return not isinstance(wish, Compress) or wish.recipe is None

    @property
    def gates(self) -> Sequence[Gate]:
        """Of the spec."""
        return self.request.gates

    @property
    def metric(self) -> str:
        """The headline metric."""
        return self.request.output.headline

    @property
    def left(self) -> float:
        """Seconds."""
        return self.begun + 60 * self.minutes - time.perf_counter()

    def skip(self, name: str, reason: str) -> None:
        """Note a way that does not apply, once."""
        found = Skipped(name, reason)
        if found not in self.skipped:
            self.skipped.append(found)

    def add(self, point: Point, candidate: Candidate) -> Point:
        """Note a candidate that was measured."""
        self.points.append(point)
        self.folders[point.name] = candidate.folder
        self.differs[point.name] = candidate.differs
        self.progress.note(_told(point, self.metric))
        return point


def _begin(
    request: Request, trained: Trained, uncompressed: Candidate, home: Path, progress: Progress, origin: str
) -> _Search:
    wish = request.spec.compress
    minutes = wish.minutes if isinstance(wish, Compress) else Compress().minutes
    progress.stage("compress", "the uncompressed network on the validation rows")
    on = candidates.bench(request, uncompressed)
    search = _Search(request, trained, on, home / "work" / "compress", minutes, progress, origin, time.perf_counter())
    nothing = Measured(value=float("nan"))
    point = Point(name=UNCOMPRESSED, kind="uncompressed", quality=nothing, made=(uncompressed.manifest.precision,))
    search.add(candidates.measured(on, uncompressed, point), uncompressed)
    return search


def _told(point: Point, metric: str) -> str:
    costs = ", ".join(f"{point.measured[name].value:.3g} {point.measured[name].unit}" for name in _TOLD)
    return f"{point.name}: {metric} {point.quality.value:.3f}, {costs}"


def _missed(search: _Search, point: Point) -> list[Gate]:
    """The cost gates that a point misses."""
    found = [(gate, point.measured.get(gate.name)) for gate in search.gates if gate.name in _COSTS]
    return [gate for gate, value in found if value is None or not gate.met(value.value)]


def _material(search: _Search, recipe: Recipe | None) -> Material:
    """What all candidates are made of, prepared when the first of them is."""
    if search.material is None:
        request, splits = search.request, search.request.prepared.splits
        names = [column.name for column in request.inputs]
        rows = making.Rows(
            {name: splits.train.values[name] for name in names},
            request.output.targets(splits.train.values[request.output.name]),
            {name: splits.valid.values[name] for name in names},
            search.bench.targets,
            request.unlabelled,
        )
        search.material = making.prepare(
            search.trained, rows, request.settings, recipe, search.minutes, search.folder, search.progress
        )
        for name, reason in search.material.notes:
            search.skip(name, reason)
    return search.material


# ------------------------------------------------------------------------------------------------------ one recipe


def _one(search: _Search, recipe: Recipe) -> Compressed:
    """Exactly what was asked for, whatever it costs; the uncompressed network where it does not apply."""
    found = _tried(search, recipe.model_copy(update={"cascade": False}))
    if found and recipe.cascade:
        found = _cascade(search, found, search.points[0])
    if found is None:
        for name, reason in search.skipped:
            search.progress.note(f"{name} is left out: {reason}")
        search.progress.note("the network is kept as it was trained")
    return _finished(search, found.name if found else UNCOMPRESSED, "one recipe was asked for")


# --------------------------------------------------------------------------------------------------------- search


def _walk(search: _Search) -> str:
    """Try one recipe after the other, until the time is over or nothing is left to gain; says why it ended."""
    material = _material(search, None)
    search.progress.stage("compress", f"a search of {search.minutes:g} minutes among networks that could do")
    _all_precisions(search, Recipe())
    if search.eager and _fits(search):
        return "a network that had nothing to learn meets every gate"
    for recipe in plan.students(material):
        if search.left <= 0:
            return f"the {search.minutes:g} minutes were over"
        _all_precisions(search, recipe)
        if _surely_fits(search, recipe):
            return "a network that is quick to learn meets every gate; others would cost more"
    everything = _cut(search, plan.cut(material))
    _cascades(search)
    if search.left > 0 and everything:
        return "every way that applies was tried"
    return f"the {search.minutes:g} minutes were too few for more"


def _cut(search: _Search, recipes: Sequence[Recipe]) -> bool:
    """The network itself, made smaller: the dearest that fits first, cheaper ones as long as they keep the quality.

    Returns whether there was time for all of them.
    """
    cuts, enough = _affordable(search, recipes), True
    for place, recipe in enumerate(cuts):
        needed = _seconds_of(search)
        if needed > search.left:
            search.skip(making.name(recipe), f"would take {needed / 60:.1f} minutes, {search.left / 60:.1f} were left")
            enough = False
            continue
        _all_precisions(search, recipe)
        if _hopeless(search, recipe):
            for later in cuts[place + 1 :]:
                search.skip(making.name(later), f"{making.name(recipe)}, which is larger, misses a gate on quality")
            break
    return enough


def _all_precisions(search: _Search, recipe: Recipe) -> None:
    """A network in every precision that may help."""
    for precision in plan.precisions(_material(search, None), search.gates):
        if precision != "none" and search.left <= 0 and not making.learns(recipe):
            return
        found = _tried(search, plan.in_precision(recipe, precision))
        if found is None and precision == "none" and making.learns(recipe):
            return


def _tried(search: _Search, recipe: Recipe) -> Point | None:
    """The candidate of a recipe, made and measured, or taken from an earlier run; None where it does not apply."""
    name = making.name(recipe)
    folder, key = search.folder / name, _key(search, recipe)
    point = candidates.kept(folder, key)
    if point:
        return search.add(point, candidates.reopened(folder / "bundle", point.differs))
    begun = time.perf_counter()
    resume.begin(folder, key)
    made = _made(search, recipe, folder)
    if isinstance(made, Skip):
        search.skip(name, made.reason)
        return None
    candidate, steps = made
    point = Point(
        name=name,
        quality=Measured(value=float("nan")),
        made=steps,
        recipe=recipe.model_dump(exclude_defaults=True),
        differs=candidate.differs,
    )
    point = candidates.measured(search.bench, candidate, point)
    point = point.model_copy(update={"seconds": round(time.perf_counter() - begun, 1)})
    candidates.keep(folder, key, point)
    return search.add(point, candidate)


def _made(search: _Search, recipe: Recipe, folder: Path) -> tuple[Candidate, tuple[str, ...]] | Skip:
    """The bundle of a recipe: a network in fp32, or that network in fewer bits."""
    if recipe.quantize and recipe.quantize != "none":
        whole = recipe.model_copy(update={"quantize": None})
        source = _whole(search, whole)
        if source is None:
            return Skip("the network itself does not apply")
        found = candidates.in_precision(search.bench, source[0], recipe, folder / "bundle", search.searches)
        return found if isinstance(found, Skip) else (found[0], (*source[1], *found[1]))
    material = _material(search, recipe)
    if recipe == Recipe() and material.teacher.made == search.trained.made and material.notes:
        same = all(entry.name == other.name for entry, other in _pairs(material.teacher, search.trained))
        if same:
            return Skip("nothing of it can be left out without loss")
    search.progress.stage("compress", making.name(recipe))
    shape = search.shapes.get(making.name(recipe)) or making.shape(recipe, material)
    if isinstance(shape, Skip):
        return shape
    network = making.learnt(recipe, shape, material, folder / "train", search.progress)
    return candidates.packed(search.bench, network, folder / "bundle"), network.made


def _pairs(one: Trained, other: Trained) -> Any:
    return zip(one.architecture.encoders, other.architecture.encoders, strict=True)


def _whole(search: _Search, recipe: Recipe) -> tuple[Candidate, tuple[str, ...]] | None:
    """The network of a recipe in fp32: one of the search's own, or the uncompressed one where nothing else is asked."""
    name = making.name(recipe)
    known = next((point for point in search.points if point.name == name), None)
    known = known or _tried(search, recipe)
    if known is None and not making.learns(recipe):
        known = search.points[0]
    if known is None:
        return None
    return candidates.reopened(search.folders[known.name], search.differs[known.name]), known.made


def _key(search: _Search, recipe: Recipe) -> str:
    """Changes when anything does that decides the candidate."""
    said = [search.origin, recipe.model_dump(), search.minutes, search.request.unlabelled]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _recalled(search: _Search, pick: str) -> bool:
    """Take up what an earlier search of the same kind left, and say whether the one that is wanted is among it."""
    for path in sorted(search.folder.glob("*/bundle"), key=lambda path: path.stat().st_mtime):
        folder = path.parent
        point = candidates.read(folder)
        if point is None:
            continue
        cascade = point.name.startswith(_CASCADE)
        key = _cascade_key(search, point.name) if cascade else _key(search, Recipe(**point.recipe))
        if candidates.kept(folder, key):
            search.add(point, candidates.reopened(path, point.differs))
    return pick in {point.name for point in search.points}


# ----------------------------------------------------------------------------------------------- what is worth a try


def _surely_fits(search: _Search, recipe: Recipe) -> bool:
    """Whether a network of the recipe meets every gate, on unseen rows too with a chance of 80%.

    Without a gate on quality, dearer networks may still be better: nothing is sure then.
    """
    qualities = [gate for gate in search.gates if gate.name not in _COSTS]
    own = [point for point in search.points if _of(point, recipe) and not _missed(search, point)]
    return bool(qualities) and any(
        all(likely(point, gate, search.metric) >= LIKELY for gate in qualities) for point in own
    )


def _fits(search: _Search) -> bool:
    """Whether a network so far meets every gate on the validation rows."""
    return choose(search.points, search.gates, search.metric) is not None


def _hopeless(search: _Search, recipe: Recipe) -> bool:
    """Whether a gate on quality is missed by the recipe in every precision, so that smaller ones will miss it too."""
    qualities = [gate for gate in search.gates if gate.name not in _COSTS]
    own = [point for point in search.points if _of(point, recipe)]
    return bool(qualities and own) and all(
        any(likely(point, gate, search.metric) < 1 - LIKELY for gate in qualities) for point in own
    )


def _of(point: Point, recipe: Recipe) -> bool:
    return point.name.partition("+")[0] == making.name(recipe)


def _affordable(search: _Search, recipes: Sequence[Recipe]) -> list[Recipe]:
    """Those that meet the cost gates, the dearest first; measured on networks that have learnt nothing.

    What a network costs does not depend on its weights: nothing is trained that would be too large or too slow.
    """
    material = _material(search, None)
    kept: list[tuple[float, Recipe]] = []
    for recipe in recipes:
        if search.left <= 0:
            break
        shape = making.shape(recipe, material)
        if isinstance(shape, Skip):
            search.skip(making.name(recipe), shape.reason)
            continue
        latency, missed = _costs(search, shape)
        if missed:
            search.skip(making.name(recipe), missed)
            continue
        search.shapes[making.name(recipe)] = shape
        kept.append((latency, recipe))
    return [recipe for _, recipe in sorted(kept, key=lambda found: -found[0])]


def _costs(search: _Search, shape: Trained) -> tuple[float, str]:
    """A network's latency, and which cost gates it would miss in every precision; empty where one meets them all."""
    folder = search.folder / "trial"
    trial = assembly.bundled(search.request, shape, folder / "bundle")
    reasons, latency = [], 0.0
    for precision in plan.precisions(_material(search, None), search.gates):
        found = trial
        if precision != "none":
            found = assembly.quantized(search.request, trial, precision, folder / precision, ())
        measured = candidates.costs(search.bench, found)
        latency = latency or measured["latency"].value
        missed = [_beyond(gate, measured) for gate in search.gates if gate.name in _COSTS]
        reasons.append(next(filter(None, missed), ""))
        if not reasons[-1]:
            return latency, ""
    return latency, f"would not fit: {reasons[-1]}"


def _beyond(gate: Gate, measured: Mapping[str, Measured]) -> str:
    """How far a cost gate would be missed; empty where it is met, or nearly."""
    found = measured.get(gate.name)
    if found is None:
        return ""
    lenient = found.value / _TOLERATED if gate.operator[0] == "<" else found.value * _TOLERATED
    return "" if gate.met(lenient) else f"{gate.name} {found.value:.3g} {gate.unit}, asked {gate}"


def _seconds_of(search: _Search) -> float:
    """How long a recipe will take, by what the networks cut so far took; the first is always tried."""
    cuts = [point for point in search.points if not {"student", "quantize"} & set(point.recipe)]
    taken = [point.seconds for point in cuts if set(point.recipe) & {"layers", "heads", "neurons"}]
    return max(taken, default=0.0)


# -------------------------------------------------------------------------------------------------------- cascades


def _cascades(search: _Search) -> None:
    """The best of the small networks before the best of the large ones, where both fit together."""
    students = [p for p in search.points if p.recipe.get("student") in ("static", "conv", "tiny")]
    large = [p for p in search.points[1:] if "student" not in p.recipe and p.kind == "candidate"]
    if not students or not large:
        return
    for big in _leading(search, large):
        for small in _leading(search, students):
            if search.left <= 0:
                return
            _cascade(search, small, big)


def _leading(search: _Search, points: Sequence[Point]) -> list[Point]:
    """The one of best quality that fits the cost gates as far as may be; the smaller of equals."""
    higher = specs.METRICS[search.metric].higher_is_better

    def rank(point: Point) -> tuple[float, float]:
        value = point.quality.value if higher else -point.quality.value
        return value, -point.measured["latency"].value

    return sorted(points, key=rank)[-1:]


def _cascade_key(search: _Search, name: str) -> str:
    return hashlib.sha256(f"{_key(search, Recipe())}{name}".encode()).hexdigest()


def _cascade(search: _Search, small: Point, large: Point) -> Point | None:
    name = f"{_CASCADE}{small.name}-{large.name}"
    folder, key = search.folder / name, _cascade_key(search, name)
    point = candidates.kept(folder, key)
    if point:
        return search.add(point, candidates.reopened(folder / "bundle", point.differs))
    begun = time.perf_counter()
    resume.begin(folder, key)
    parts = [candidates.reopened(search.folders[p.name], search.differs[p.name]) for p in (small, large)]
    made = candidates.cascaded(search.bench, parts[0], parts[1], folder / "bundle", 0.0)
    if isinstance(made, Skip):
        search.skip(name, made.reason)
        return None
    candidate, steps = made
    point = Point(name=name, quality=Measured(value=float("nan")), made=steps, differs=candidate.differs)
    point = candidates.measured(search.bench, candidate, point)
    point = point.model_copy(update={"seconds": round(time.perf_counter() - begun, 1)})
    candidates.keep(folder, key, point)
    return search.add(point, candidate)


# ----------------------------------------------------------------------------------------------------------- result


def _taken(search: _Search, stopped: str, pick: str | None) -> Compressed:
    """The candidate that the gates choose, or the user; where none passes, the nearest one."""
    names = [point.name for point in search.points]
    if pick and pick not in names:
        raise problem("compress.pick", f"no candidate is called {pick!r}", nearest(pick, names))
    return _finished(search, pick, stopped)


def _finished(search: _Search, pick: str | None, stopped: str) -> Compressed:
    search.points += _floor(search)
    spent = time.perf_counter() - search.begun
    frontier = Frontier.of(
        search.metric, search.points, search.gates, search.skipped, search.minutes, round(spent, 1), stopped, pick
    )
    if frontier.chosen is None:
        frontier = frontier.model_copy(update={"chosen": closest(_networks(search), search.gates, search.metric).name})
    chosen = str(frontier.chosen)
    search.progress.note(f"taken: {chosen}")
    candidate = candidates.reopened(search.folders[chosen], search.differs[chosen])
    return Compressed(candidate, frontier, Stage(name="compress", seconds=spent, detail={"chosen": chosen}))


def _networks(search: _Search) -> list[Point]:
    return [point for point in search.points if point.kind != "floor"]


def _floor(search: _Search) -> list[Point]:
    """The best of the simple rivals on the validation rows: what a network has to be better than."""
    splits, output = search.request.prepared.splits, search.request.output
    rivals = floor.floor(search.request.inputs, splits.train, splits.valid, output, search.request.spec.seed)
    found = [
        Point(name=name, kind="floor", quality=measured[search.metric])
        for name, measured in rivals.items()
        if search.metric in measured
    ]
    higher = specs.METRICS[search.metric].higher_is_better
    return sorted(found, key=lambda point: point.quality.value if higher else -point.quality.value)[-1:]
