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
from trimtab.audit import cost, quality
from trimtab.bundle import reference, store
from trimtab.bundle.manifest import Measured
from trimtab.columns import Outputs, Targets, dense, encode_rows
from trimtab.compress import Skip, cascade, quantize, sensitivity
from trimtab.compress.frontier import Point
from trimtab.errors import TrimtabError
from trimtab.nets.trained import Trained
from trimtab.request import Request
from trimtab.search import assembly
from trimtab.search.assembly import Candidate
from trimtab.spec import Recipe

# Sizes of the runtime's batches that are timed, the quickest for a network is kept: padded steps; rows of fixed size.
_BATCH_TOKENS = (512, 2048, 8192)
_BATCH_PARTS = (4, 1)  # of the most rows that one batch may have
_BATCH_ROWS, _CALL = 1000, 32
_TUNING = 1.0  # seconds for one pass over the rows that a size of batches is timed on
_SMALLER = 0.95  # of the file in fp32: what one in fewer bits must be below
_SENSITIVE_BATCHES = 4
_RESAMPLES = 400
_POINT = "point.json"
UNCOMPRESSED = "uncompressed"


@dataclass(frozen=True)
class Bench:
    """What candidates are measured with: the validation rows, and the uncompressed network's answers to them."""

    request: Request
    rows: Sequence[Mapping[str, Any]]
    targets: Targets
    before: Outputs
    memory: bool  # whether a gate asks for it


def bench(request: Request, uncompressed: Candidate) -> Bench:
    """Measure nothing yet: answer the validation rows with the uncompressed network."""
    table = request.prepared.splits.valid
    names = [column.name for column in request.inputs]
    rows = [{name: row[name] for name in names} for row in table.rows()]
    targets = uncompressed.output.targets(table.values[uncompressed.output.name])
    before = runtime.load(uncompressed.folder).outputs(table.values)
    return Bench(request, rows, targets, before, any(gate.name == "memory" for gate in request.gates))


def measured(on: Bench, candidate: Candidate, point: Point) -> Point:
    """The point with everything that is measured on the candidate's files.

    Temperature, thresholds and the border of a cascade were chosen on the validation rows: what is measured on these is
    cross-fitted, each half as the choice on the other half answers it.
    """
    seed, valid = on.request.spec.seed, on.request.prepared.splits.valid
    outputs, output = candidate.held_out, candidate.output
    if outputs is None:
        outputs = runtime.load(candidate.folder).outputs(valid.values)
    users, metric = valid.of(output.user), output.headline
    statistics = quality.cross_fitted(output, on.request.output.calibrated, on.targets, outputs)
    found = quality.intervals(statistics, len(on.targets), output.width, seed, _RESAMPLES, users)
    lost = quality.drop(output, on.targets, on.before, outputs, seed, users)
    return point.model_copy(
        update={
            "quality": found.get(metric, point.quality),
            "drop": lost.value if lost else None,
            "drop_interval": (lost.low, lost.high) if lost and lost.low is not None and lost.high is not None else None,
            "measured": {**found, **costs(on, candidate)},
        }
    )


def costs(on: Bench, candidate: Candidate) -> dict[str, Measured]:
    """What a candidate costs, measured in a hurry."""
    return cost.quick(candidate.folder, on.rows, on.memory, on.request.spec.seed)


# --------------------------------------------------------------------------------------------------------- making


def packed(on: Bench, trained: Trained, folder: Path) -> Candidate:
    """A network as a bundle in fp32, with the size of batches that it answers quickest in."""
    return _tuned(on, assembly.bundled(on.request, trained, folder))


def in_precision(
    on: Bench, candidate: Candidate, recipe: Recipe, folder: Path, must_fit: bool
) -> tuple[Candidate, tuple[str, ...]] | Skip:
    """A candidate in the precision of a recipe, layers that it hurts left in fp32; and what was done, for people.

    With `must_fit`, one that misses a size gate is not looked at any closer.
    """
    precision = recipe.quantize or "none"
    model = runtime.load(candidate.folder)
    batches = assembly.calibration_batches(on.request, model)

    def make(source: Path, target: Path, keep: Collection[str]) -> None:
        quantize.quantize(precision, source, target, batches, keep)

    smaller = assembly.quantized(on.request, candidate, precision, folder, ())
    useless = _no_gain(on, candidate, smaller, precision, must_fit)
    if useless:
        shutil.rmtree(folder)
        return Skip(useless)
    found = sensitivity.sensitive(candidate.folder / store.MODEL, make, batches[:_SENSITIVE_BATCHES])
    if found.keep:
        smaller = assembly.quantized(on.request, candidate, precision, folder, found.keep)
    note = f"{precision}, {len(found.keep)} of its parts in fp32" if found.keep else precision
    return _tuned(on, smaller), (note,)


def _no_gain(on: Bench, candidate: Candidate, smaller: Candidate, precision: str, must_fit: bool) -> str:
    """Why fewer bits are not worth a closer look; empty where they may be."""
    if model_bytes(smaller.folder) >= _SMALLER * model_bytes(candidate.folder):
        return f"{precision} makes the network hardly smaller"
    size = cost.size(smaller.folder)
    missed = [gate for gate in on.request.gates if gate.name == "size" and not gate.met(size.value)]
    return f"{size.value:.3g} MB, asked {missed[0]}" if missed and must_fit else ""


def model_bytes(folder: Path) -> int:
    """Of the networks in a bundle."""
    return sum(path.stat().st_size for name in (store.MODEL, store.FIRST) for path in folder.glob(f"{name}*"))


def _tuned(on: Bench, candidate: Candidate) -> Candidate:
    """The candidate with the quickest size of batches: the smaller a network, the larger they may be.

    As many rows are answered in one call as in calls of 32: of a slow network fewer.
    """
    values = on.request.prepared.splits.valid.values
    names = [column.name for column in on.request.inputs]
    first = {name: values[name][:_CALL] for name in names}
    model = runtime.load(candidate.folder)
    taken_by_call = min(_seconds(model, [first]) for _ in range(2))
    count = min(_BATCH_ROWS, len(on.rows), max(4, round(_TUNING / 2 / taken_by_call)) * _CALL)
    starts = [(0, count), *((start, min(start + _CALL, count)) for start in range(0, count, _CALL))]
    calls = [{name: values[name][start:end] for name in names} for start, end in starts]
    sizes = _sizes(model, encode_rows(model.inputs, calls[0]).steps)
    taken: dict[tuple[int, int], float] = {}
    for size in sizes if len(sizes) > 1 else ():
        taken[size] = min(_seconds(_in_batches(model, *size), calls) for _ in range(3))
        if taken[size] > 1.05 * min(taken.values()):
            break
    best = min(taken, key=lambda size: (taken[size] > 0.97 * taken[sizes[0]], taken[size]), default=sizes[0])
    chosen = {"batch_tokens": best[0], "batch_rows": best[1]}
    manifest = store.write_manifest(candidate.folder, candidate.manifest.model_copy(update=chosen))
    return replace(candidate, manifest=manifest)


def _sizes(model: runtime.Model, steps: np.ndarray) -> list[tuple[int, int]]:
    """Padded steps and rows of batches, of those that rows of so many steps are cut by differently."""
    most = runtime.most_rows(model.inputs)
    parts = _BATCH_PARTS if any(column.fixed_numbers for column in model.inputs) else (1,)
    found: dict[tuple[int, ...], tuple[int, int]] = {}
    for size in ((tokens, max(1, most // part)) for part in parts for tokens in _BATCH_TOKENS):
        found.setdefault(tuple(map(len, _in_batches(model, *size).network.batches(steps))), size)
    return list(found.values())


def _in_batches(model: runtime.Model, tokens: int, rows: int) -> runtime.Model:
    return replace(model, network=replace(model.network, batch_tokens=tokens, batch_rows=rows))


def _seconds(model: runtime.Model, calls: Sequence[Mapping[str, Sequence[Any]]]) -> float:
    begun = time.perf_counter()
    for values in calls:
        model.outputs(values)
    return time.perf_counter() - begun


def cascaded(
    on: Bench, small: Candidate, large: Candidate, folder: Path, allowed: float
) -> tuple[Candidate, tuple[str, ...]] | Skip:
    """Two candidates in one bundle: the small one answers where it is sure, for at most `allowed` of the metric."""
    refused = cascade.refused(small.folder, large.folder)
    if refused:
        return refused
    values = on.request.prepared.splits.valid.values
    outputs = [dense(runtime.load(candidate.folder).outputs(values)) for candidate in (small, large)]
    scale = cascade.logit_scale(small.output, large.output)
    parts = outputs[0], outputs[1], dense(on.targets)
    at = cascade.threshold(*parts, large.output, allowed, scale)
    if not at.early:
        return Skip("the small network is never sure enough")
    manifest = cascade.cascade(small.folder, large.folder, folder, at.value)
    if isinstance(manifest, Skip):
        return manifest
    reference.answered(folder / store.REFERENCE, runtime.load(folder).outputs(values))
    manifest = store.write_manifest(folder, manifest)
    held_out = cascade.held_out(*parts, large.output, allowed, scale)
    made = Candidate(folder, manifest, large.output, max(small.differs, large.differs), held_out)
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
    """A kept point with what a gate asks for now and none did then: memory, and metrics in notes of older versions."""
    lacking = {gate.name for gate in on.request.gates} - point.measured.keys() - {"drop"}
    note = files.read_json(folder / _POINT) or {}
    if not lacking or ("memory" not in lacking and note.get("complete")):
        return point
    candidate = reopened(folder / "bundle", point.differs)
    if note.get("complete"):
        whole = point.model_copy(update={"measured": {**point.measured, **costs(on, candidate)}})
    else:
        whole = measured(on, candidate, point)
    keep(folder, str(note.get("key")), whole)
    return whole


def keep(folder: Path, key: str, point: Point) -> None:
    """Note what was measured, for a search that is killed and goes on, for other gates and for `--pick`."""
    every = {"complete": True}  # every metric was measured, not only those of the gates
    files.write(folder / _POINT, json.dumps({"key": key, "point": point.model_dump(mode="json"), **every}))


def reopened(folder: Path, differs: float = 0.0) -> Candidate:
    """A candidate as an earlier run left it."""
    manifest = store.read_manifest(folder)
    _, output = store.load_columns(folder / store.COLUMNS, manifest)
    return Candidate(folder, manifest, output, differs)
