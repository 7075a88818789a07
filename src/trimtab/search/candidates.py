"""Candidates: networks of a search as bundles, each measured on the validation rows and on this machine."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from trimtab import files, runtime
from trimtab.audit import cost, quality, quick
from trimtab.bundle import store
from trimtab.columns import EncodedRows, OutputColumn, Outputs, Targets, as_asked, dense
from trimtab.columns.label import LabelColumn
from trimtab.compress import Skip, cascade, quantize, sensitivity
from trimtab.compress.frontier import Point
from trimtab.errors import TrimtabError
from trimtab.nets.fitted import FittedNetwork
from trimtab.programs.single import MODEL
from trimtab.request import Request
from trimtab.search import assembly
from trimtab.search.assembly import Candidate, EncodedSplits
from trimtab.spec import Recipe

# Costs of the runtime's batches that are timed; the quickest for a network is kept.
_BATCH_COSTS = (512, 2048, 8192)
_BATCH_ROWS, _CALL = 1000, 32
_TUNING = 1.0  # seconds for one pass over the rows that a size of batches is timed on
_SMALLER = 0.95  # of the file in fp32: what one in fewer bits must be below
_SENSITIVE_BATCHES = 4
_RESAMPLES = 400
_POINT = "point.json"
UNCOMPRESSED = "uncompressed"
COSTS = frozenset({"size", "latency", "latency_p95", "throughput", "memory", "memory_peak"})


@dataclass(frozen=True)
class Bench:
    """What candidates are measured with: the validation rows, and the uncompressed network's answers to them."""

    splits: EncodedSplits
    rows: Sequence[Mapping[str, Any]]
    targets: Targets
    before: Outputs
    output: OutputColumn  # of the uncompressed network
    costs: tuple[str, ...]  # that are measured of every candidate: `quick.NAMES`, and what gates ask for

    @property
    def request(self) -> Request:
        """Whose rows they are."""
        return self.splits.request


def bench(request: Request, uncompressed: Candidate) -> Bench:
    """Measure nothing yet."""
    table = request.prepared.splits.valid
    rows = as_asked(request.inputs, uncompressed.output, table.rows())
    targets = uncompressed.output.targets(table.values[uncompressed.output.name])
    costs = dict.fromkeys((*quick.NAMES, *(gate.name for gate in request.searched_gates if gate.name in COSTS)))
    return Bench(EncodedSplits(request), rows, targets, uncompressed.outputs, uncompressed.output, tuple(costs))


def measured(on: Bench, candidate: Candidate, point: Point) -> Point:
    """The point with everything that is measured on the candidate's files.

    Temperature, thresholds and the like were chosen on the validation rows: what is measured on these is cross-fitted,
    each half as the choice on the other half answers it.
    """
    seed, valid = on.request.spec.seed, on.request.prepared.splits.valid
    output = candidate.output
    outputs = candidate.outputs if candidate.held_out is None else candidate.held_out
    users, metric = valid.of(output.user), output.headline
    statistics = quality.cross_fitted(
        output, on.request.output.calibrated, on.targets, outputs, list(on.request.spec.gates)
    )
    weights = valid.weights
    found = quality.intervals(statistics, len(on.targets), output.width, seed, _RESAMPLES, users, weights)
    lost = quality.drop(output, on.targets, on.before, outputs, seed, users, weights)
    taken = costs(on, candidate)
    return point.model_copy(
        update={
            "quality": found.get(metric, point.quality),
            "drop": lost.value if lost else None,
            "drop_interval": (lost.low, lost.high) if lost and lost.low is not None and lost.high is not None else None,
            "measured": {**found, **taken.measured},
            "spread": round(taken.spread, 3),
            "share": round(taken.share, 3),
        }
    )


def costs(on: Bench, candidate: Candidate, names: Collection[str] = ()) -> quick.Quick:
    """What a candidate costs, measured in a hurry: all that is measured of every candidate, or these alone."""
    return quick.quick(candidate.model, on.rows, names or on.costs, on.request.spec.seed)


# --------------------------------------------------------------------------------------------------------- making


def packed(on: Bench, trained: FittedNetwork, folder: Path) -> Candidate:
    """A network as a bundle in fp32, with the size of batches that it answers quickest in."""
    return _sealed(on, assembly.exported(on.splits, trained, folder))


def in_precision(
    on: Bench, candidate: Candidate, recipe: Recipe, folder: Path, must_fit: bool
) -> tuple[Candidate, tuple[str, ...]] | Skip:
    """A candidate in the precision of a recipe, layers that it hurts left in fp32; and what was done, for people.

    With `must_fit`, one that misses a size gate is not looked at any closer.
    """
    precision = recipe.quantize or "none"
    batches = assembly.calibration_batches(on.splits, candidate.model)

    def make(source: Path, target: Path, keep: Collection[str]) -> None:
        quantize.quantize(precision, source, target, batches, keep)

    if tuple(candidate.model.program.graphs) != (MODEL,):
        return _of_several(on, candidate, precision, folder)
    whole = candidate.folder / store.MODEL
    assembly.copy_parts(candidate, folder)
    make(whole, folder / store.MODEL, ())
    useless = _no_gain(on, candidate, folder, precision, must_fit)
    if useless:
        shutil.rmtree(folder)
        return Skip(useless)
    found = sensitivity.sensitive(whole, make, batches[:_SENSITIVE_BATCHES])
    kept = found.keep
    if kept:
        make(whole, folder / store.MODEL, kept)
    if kept and must_fit and _no_gain(on, candidate, folder, precision, must_fit):
        make(whole, folder / store.MODEL, ())  # what its answers are worth is measured all the same
        kept = ()
    note = f"{precision}, {len(kept)} of its parts in fp32" if kept else precision
    return _sealed(on, assembly.in_precision(on.splits, candidate, precision, folder)), (note,)


def _of_several(
    on: Bench, candidate: Candidate, precision: str, folder: Path
) -> tuple[Candidate, tuple[str, ...]] | Skip:
    """The same of several networks that a program runs, all of their layers."""
    if quantize.PRECISIONS[precision].calibrated:
        return Skip(f"{precision} needs rows to calibrate on, which only the first of several networks reads")
    made = assembly.quantized(on.splits, candidate, precision, folder)
    return assembly.sealed(on.request, made), (precision,)


def _no_gain(on: Bench, candidate: Candidate, folder: Path, precision: str, must_fit: bool) -> str:
    """Why the network in `folder`, in fewer bits, is not worth a closer look; empty where it may be."""
    before, after = (store.graph_bytes(place, candidate.model.serving) for place in (candidate.folder, folder))
    if after >= _SMALLER * before:
        return f"{precision} makes the network hardly smaller"
    size = cost.size(candidate.folder).value - (before - after) / 1e6
    missed = [gate for gate in on.request.gates if gate.name == "size" and not gate.met(size)]
    return f"{size:.3g} MB, asked {missed[0]}" if missed and must_fit else ""


def _sealed(on: Bench, candidate: Candidate) -> Candidate:
    """The candidate in its quickest batches, or in the smallest where those miss a gate on memory; then `sealed`."""
    if MODEL not in candidate.model.graphs:
        return assembly.sealed(on.request, candidate)
    made = assembly.sealed(on.request, _tuned(on, candidate))
    smallest = made.model.graphs[MODEL].in_batches(_BATCH_COSTS[0])
    gates = [gate for gate in on.request.gates if gate.name == "memory"]
    if not gates or made.model.graphs[MODEL].entry == smallest.entry:
        return made
    held = cost.memory(made.model, on.rows)["memory"].value
    if all(gate.met(held) for gate in gates):
        return made
    return assembly.sealed(on.request, replace(made, model=made.model.replace(MODEL, smallest)))


def _tuned(on: Bench, candidate: Candidate) -> Candidate:
    """The candidate with the quickest size of batches: the smaller a network, the larger they may be.

    As many rows are answered in one call as in calls of 32: of a slow network fewer.
    """
    model, rows = candidate.model, on.splits.of(candidate.model.inputs)[1]
    graph = model.graphs[MODEL]
    first = np.arange(min(_CALL, len(rows)))
    taken_by_call = min(_seconds(graph, rows, [first]) for _ in range(2))
    count = min(_BATCH_ROWS, len(rows), max(4, round(_TUNING / 2 / taken_by_call)) * _CALL)
    calls = [np.arange(count), *(np.arange(start, min(start + _CALL, count)) for start in range(0, count, _CALL))]
    sizes = _sizes(graph, rows.costs[:count])
    taken: dict[int, float] = {}
    for size in sizes if len(sizes) > 1 else ():
        taken[size] = min(_seconds(graph.in_batches(size), rows, calls) for _ in range(3))
        if taken[size] > 1.05 * min(taken.values()):
            break
    best = min(taken, key=lambda size: (taken[size] > 0.97 * taken[sizes[0]], taken[size]), default=sizes[0])
    return replace(candidate, model=model.replace(MODEL, graph.in_batches(best)))


def _sizes(graph: runtime.Graph, costs: np.ndarray) -> list[int]:
    """Costs of batches, of those that rows of such costs are cut by differently."""
    found: dict[tuple[int, ...], int] = {}
    for size in _BATCH_COSTS:
        found.setdefault(tuple(map(len, graph.in_batches(size).batches(costs))), size)
    return list(found.values())


def _seconds(graph: runtime.Graph, rows: EncodedRows, calls: Sequence[np.ndarray]) -> float:
    begun = time.perf_counter()
    for picked in calls:
        for batch in graph.batches(rows.costs[picked]):
            graph.run(rows.batch(picked[batch]))
    return time.perf_counter() - begun


def early(on: Bench, small: Candidate, allowed: float) -> float:
    """The share of the validation rows that a small network may answer before the uncompressed one.

    At most `allowed` of the headline metric is lost by it.
    """
    if not isinstance(small.output, LabelColumn):
        return 0.0
    scale = cascade.logit_scale(small.output, on.output)
    parts = dense(small.outputs), dense(on.before), dense(on.targets)
    return cascade.threshold(*parts, on.output, allowed, scale).early


def cascaded(
    on: Bench, small: Candidate, large: Candidate, folder: Path, allowed: float
) -> tuple[Candidate, tuple[str, ...]] | Skip:
    """Two candidates in one bundle: the small one answers where it is sure, for at most `allowed` of the metric."""
    refused = cascade.refused(small.folder, large.folder)
    if refused:
        return refused
    parts = dense(small.outputs), dense(large.outputs), dense(on.targets)
    scale = cascade.logit_scale(small.output, large.output)
    at = cascade.threshold(*parts, large.output, allowed, scale)
    if not at.early:
        return Skip("the small network is never sure enough")
    outputs = cascade.together(parts[0], parts[1], at.value, scale)
    manifest = cascade.cascade(small.folder, large.folder, folder, at.value, outputs)
    if isinstance(manifest, Skip):
        return manifest
    model = runtime.opened(folder, manifest.serving)
    held_out = cascade.held_out(*parts, large.output, allowed, scale)
    made = Candidate(folder, manifest, model, max(small.differs, large.differs), outputs, held_out)
    return made, (f"{at.early:.0%} of the rows are answered by the small network (sure from {at.value:.3f})",)


# ----------------------------------------------------------------------------------------------------------- kept


def kept(folder: Path, key: str) -> Point | None:
    """The point of an earlier run of the same recipe on the same network and rows, where its bundle is whole."""
    note = files.read_json(folder / _POINT) or {}
    try:
        store.check_files(folder / "bundle", store.read_manifest(folder / "bundle"))
    except TrimtabError:
        return None
    return read(folder) if note.get("key") == key else None


def read(folder: Path) -> Point | None:
    """The point of an earlier run, whatever it was a run of; what cannot be read counts as not there."""
    try:
        return Point.model_validate((files.read_json(folder / _POINT) or {}).get("point"))
    except ValidationError:
        return None


def completed(on: Bench, folder: Path, point: Point) -> Point:
    """A kept point with what a gate asks for now and none did then; its times anew where the machine was busy then."""
    asked = {gate.name for gate in on.request.searched_gates}
    lacking = {*on.costs, *asked} - point.measured.keys() - {"drop"}
    if not lacking and point.share >= quick.BUSY:
        return point
    candidate = assembly.reopened(on.splits, folder / "bundle", point.differs)
    if lacking - COSTS:
        whole = measured(on, candidate, point)
    else:
        taken = costs(on, candidate)
        parts = {"measured": {**point.measured, **taken.measured}, "spread": taken.spread, "share": taken.share}
        whole = point.model_copy(update=parts)
    note = files.read_json(folder / _POINT) or {}
    keep(folder, str(note.get("key")), whole)
    return whole


def keep(folder: Path, key: str, point: Point) -> None:
    """Note what was measured, for a search that is killed and goes on, for other gates and for `--pick`."""
    files.write(folder / _POINT, json.dumps({"key": key, "point": point.model_dump(mode="json")}))
