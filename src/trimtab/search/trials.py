"""A search on its way: what was found so far, and how one more candidate is made, measured and kept."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from trimtab import files
from trimtab.audit import quick
from trimtab.bundle import store
from trimtab.bundle.manifest import Measured
from trimtab.compress import Skip, build, latency
from trimtab.compress.build import BuildContext
from trimtab.compress.frontier import Point, Skipped
from trimtab.nets.fitted import FittedNetwork
from trimtab.progress import Progress
from trimtab.request import Request, resume
from trimtab.search import assembly, candidates, written
from trimtab.search.assembly import Candidate
from trimtab.search.candidates import COSTS, UNCOMPRESSED, Bench
from trimtab.spec import Compress, Gate, Recipe

_CASCADE = "cascade-"  # how the names of two networks in one bundle begin
_WHOLE = "fp32"
_TOLD = ("size", "latency", "throughput")
_NOTHING = Measured(value=float("nan"))
_TOKENS = "tokens.json"  # of a candidate's folder: how much it learns from, the same for a run that goes on
# Which share of the time that is left a candidate may learn for, and how many times what its plan says at most.
_AIM = (0.9, 2.5)  # the one that gets the time
_SHARES = {"static": (0.15, 1.0), "conv": (0.25, 1.0), "tiny": (0.4, 1.0)}
_ASKED = 0.1  # of the minutes: for the answers that all of them learn from
_REST = 30.0  # seconds, for what follows upon learning: the file, fewer bits, measurements
_TABLE = "int8"  # the precision of the blocks that are timed: what is released for its latency is hardly ever in fp32

Made = tuple[Candidate, tuple[str, ...]] | Skip  # a candidate and the steps that made it, for people


@dataclass
class Search:
    """What a search works with; what it finds is added to it."""

    request: Request
    trained: FittedNetwork
    bench: Bench
    folder: Path
    minutes: float
    progress: Progress
    origin: str
    begun: float
    points: list[Point] = field(default_factory=list)
    folders: dict[str, Path] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    context: BuildContext | None = None
    shapes: dict[str, FittedNetwork] = field(default_factory=dict)  # of recipes, before they learn
    share: float = 1.0  # of the cores' time that could be had, at the worst
    aim: Recipe | None = None  # the largest that is known to meet the gates on cost
    # The last network in fp32, by its point's name: those in fewer bits that follow are made of it.
    whole: dict[str, Candidate] = field(default_factory=dict)

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
        """See `Request.searched_gates`."""
        return self.request.searched_gates

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

    def watch(self, spread: float, share: float) -> None:
        """Say, once, that other work runs on the machine."""
        if share < quick.BUSY <= self.share:
            self.progress.note(
                f"the machine is busy: this process gets {share:.0%} of its cores, and the same calls took up to "
                f"{spread:.0%} longer; of repeated calls the quickest count, and throughput is told as with cores alone"
            )
        self.share = min(self.share, share)

    def add(self, point: Point, folder: Path, candidate: Candidate | None = None) -> Point:
        """Note a candidate that was measured: what it costs, and of its metrics those that a gate asks for."""
        asked = {*COSTS, *(gate.name for gate in self.gates)}
        shown = {name: value for name, value in point.measured.items() if name in asked}
        point = point.model_copy(update={"measured": shown})
        self.points.append(point)
        self.folders[point.name] = folder
        if candidate and candidate.manifest.precision == _WHOLE:
            self.whole = {point.name: candidate}
        self.watch(point.spread, point.share)
        costs = ", ".join(f"{point.measured[name].value:.3g} {point.measured[name].unit}" for name in _TOLD)
        self.progress.note(f"{point.name}: {self.metric} {point.quality.value:.3f}, {costs}")
        return point

    def candidate(self, point: Point) -> Candidate:
        """The bundle of a point that was added."""
        known = self.whole.get(point.name)
        return known or assembly.reopened(self.bench.splits, self.folders[point.name], point.differs)

    def named(self, name: str) -> Point | None:
        """The point of this name, if it was added."""
        return next((point for point in self.points if point.name == name), None)


def begin(
    request: Request,
    trained: FittedNetwork,
    uncompressed: Candidate,
    on: Bench,
    home: Path,
    progress: Progress,
    origin: str,
) -> Search:
    """A search that has found the uncompressed network."""
    wish = request.spec.compress
    minutes = wish.minutes if isinstance(wish, Compress) else Compress().minutes
    progress.stage("compress", "the uncompressed network on the validation rows")
    search = Search(request, trained, on, home / "work" / "compress", minutes, progress, origin, time.perf_counter())
    point = Point(name=UNCOMPRESSED, kind="uncompressed", quality=_NOTHING, made=(uncompressed.manifest.precision,))
    point = candidates.measured(on, uncompressed, point).model_copy(update={"differs": uncompressed.differs})
    search.add(point, uncompressed.folder, uncompressed)
    return search


def context(search: Search, recipe: Recipe | None) -> BuildContext:
    """What all candidates are made of, prepared when the first of them is."""
    if search.context is None:
        request, splits = search.request, search.request.prepared.splits
        names = [column.name for column in request.inputs]
        rows = build.Rows(
            {name: splits.train.values[name] for name in names},
            request.output.targets(splits.train.values[request.output.name]),
            {name: splits.valid.values[name] for name in names},
            search.bench.targets,
            request.unlabelled,
        )
        search.context = build.prepare(
            search.trained,
            rows,
            request.settings,
            recipe,
            search.minutes,
            search.folder,
            search.progress,
            _ASKED * 60 * search.minutes if search.searches else math.inf,
        )
        for name, reason in search.context.notes:
            search.skip(name, reason)
    return search.context


def timed(search: Search, recipe: Recipe | None = None) -> BuildContext:
    """The material with a latency table of this machine, where the network has blocks that can be timed."""
    found = context(search, recipe)
    compact = any(entry.name == "compact" for entry in found.teacher.architecture.encoders)
    whole = _whole(search, Recipe()) if compact and found.table is None else None
    if whole is None:
        return found
    folder = search.folder / "table"
    assembly.quantized(search.bench.splits, search.candidate(whole), _TABLE, folder)
    values = search.request.prepared.splits.valid.values
    rows = {column.name: values[column.name] for column in search.request.inputs}
    table = latency.measure(found.teacher, rows, folder / store.MODEL, precision=_TABLE)
    if isinstance(table, Skip):
        search.skip("to_latency", table.reason)
        return found
    search.context = replace(found, table=table)
    return search.context


# ------------------------------------------------------------------------------------------------- one candidate more


def tried(search: Search, recipe: Recipe) -> Point | None:
    """The candidate of a recipe, made and measured, or taken from an earlier run; None where it does not apply."""
    name = build.name(recipe)
    begun = Point(name=name, quality=_NOTHING, recipe=recipe.model_dump(exclude_defaults=True))
    return _kept_or_made(search, begun, _key(search, recipe), lambda: _made(search, recipe, search.folder / name))


def cascade(search: Search, small: Point, large: Point, allowed: float = 0.0) -> Point | None:
    """Two candidates in one bundle, the small one before the large one; None where the two do not fit together.

    On the validation rows at most `allowed` of the headline metric is lost against the large one.
    """
    name = f"{_CASCADE}{small.name}-{large.name}" + (f"-drop-{allowed:g}" if allowed else "")
    parts = (search.candidate(small), search.candidate(large))
    folder = search.folder / name / "bundle"
    return _kept_or_made(
        search,
        Point(name=name, quality=_NOTHING),
        _cascade_key(search, name),
        lambda: candidates.cascaded(search.bench, *parts, folder, allowed),
    )


def recall(search: Search) -> None:
    """Take up what an earlier search of the same kind left, whatever its gates were."""
    for path in sorted(search.folder.glob("*/bundle"), key=lambda path: path.stat().st_mtime):
        point = candidates.read(path.parent)
        if point is None or search.named(point.name):
            continue
        two = point.name.startswith(_CASCADE)
        _kept(search, point.name, _cascade_key(search, point.name) if two else _key(search, Recipe(**point.recipe)))


def _kept(search: Search, name: str, key: str) -> Point | None:
    """The point that an earlier run measured under the same key, with what the gates ask for now."""
    folder = search.folder / name
    known = candidates.kept(folder, key)
    return known and search.add(candidates.completed(search.bench, folder, known), folder / "bundle")


def _kept_or_made(search: Search, begun: Point, key: str, make: Callable[[], Made]) -> Point | None:
    """The point that is known, of this run or an earlier one; or else what `make` makes, measured and kept."""
    known = search.named(begun.name) or _kept(search, begun.name, key)
    if known:
        return known
    folder, started = search.folder / begun.name, time.perf_counter()
    resume.begin(folder, key)
    made = make()
    if isinstance(made, Skip):
        search.skip(begun.name, made.reason)
        return None
    candidate, steps = made
    predicted = _predicted(search, Recipe(**begun.recipe))
    point = begun.model_copy(update={"made": steps, "differs": candidate.differs, "predicted_latency": predicted})
    point = candidates.measured(search.bench, candidate, point)
    point = point.model_copy(update={"seconds": round(time.perf_counter() - started, 1)})
    candidates.keep(folder, key, point)
    return search.add(point, candidate.folder, candidate)


def _made(search: Search, recipe: Recipe, folder: Path) -> Made:
    """The bundle of a recipe: a network in fp32, or that network in fewer bits."""
    if recipe.quantize and recipe.quantize != "none":
        source = _whole(search, recipe.model_copy(update={"quantize": None}))
        if source is None:
            return Skip("the network itself does not apply")
        candidate = search.candidate(source)
        found = candidates.in_precision(search.bench, candidate, recipe, folder / "bundle", search.searches)
        return found if isinstance(found, Skip) else (found[0], (*source.made, *found[1]))
    if written.has_program(search.trained.network):
        return Skip("a network that a program runs as several graphs is made cheaper by fewer bits alone")
    prepared = context(search, recipe)
    if recipe == Recipe() and prepared.teacher is search.trained:
        return Skip("nothing of it can be left out without loss")
    search.progress.stage("compress", build.name(recipe))
    shape = search.shapes.get(build.name(recipe)) or build.shape(recipe, prepared)
    if isinstance(shape, Skip):
        return shape
    search.shapes[build.name(recipe)] = shape
    tokens = _tokens(search, recipe, shape, folder) if build.learns(recipe) else 0.0
    network = build.learnt(recipe, shape, prepared, folder / "train", search.progress, tokens)
    return candidates.packed(search.bench, network, folder / "bundle"), network.made


def _tokens(search: Search, recipe: Recipe, shape: FittedNetwork, folder: Path) -> float:
    """Steps of rows that a candidate learns from: what its plan says, or in a search what there is time for.

    Written down, for a run that is killed and goes on.
    """
    known = files.read_json(folder / _TOKENS)
    if known is None:
        tokens = build.planned_tokens(recipe, search.minutes)
        if search.searches:
            rate = build.tokens_per_second(recipe, shape, context(search, recipe))
            share, most = _SHARES.get(recipe.student or "", (1.0, 1.0)) if recipe != search.aim else _AIM
            tokens = build.affordable_tokens(
                recipe, search.minutes, rate, search.left - _REST * min(1.0, search.minutes / 5), share, most
            )
        known = {"tokens": tokens}
        files.write(folder / _TOKENS, json.dumps(known))
    return float(known["tokens"])


def _whole(search: Search, recipe: Recipe) -> Point | None:
    """The network of a recipe in fp32: one of the search's own, or the uncompressed one where nothing else is asked."""
    if written.has_program(search.trained.network):
        return search.points[0] if recipe == Recipe() else None
    known = search.named(build.name(recipe)) or tried(search, recipe)
    return search.points[0] if known is None and not build.learns(recipe) else known


def _predicted(search: Search, recipe: Recipe) -> float | None:
    """The latency that the table predicts for a network in the table's precision."""
    shape = search.shapes.get(build.name(recipe.model_copy(update={"quantize": None})))
    table = search.context.table if search.context else None
    if shape is None or table is None or recipe.quantize != table.precision:
        return None
    return latency.predicted(shape, table)


def _key(search: Search, recipe: Recipe) -> str:
    """Changes when anything does that decides the candidate."""
    said = [search.origin, recipe.model_dump(), search.minutes]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _cascade_key(search: Search, name: str) -> str:
    return hashlib.sha256(f"{_key(search, Recipe())}{name}".encode()).hexdigest()
