"""The stage `export`: all that serving needs in one folder, compared with the trained network."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from trimtab import __version__, export, files, runtime
from trimtab.audit import cost
from trimtab.bundle import reference, store
from trimtab.bundle.manifest import ColumnEntry, Manifest, Stage
from trimtab.columns import EncodedRows, OutputColumn, Outputs, Ragged, encode_rows, length_batches
from trimtab.compress import quantize
from trimtab.nets.trained import NETWORK, Trained
from trimtab.progress import Laps, Progress
from trimtab.request import Request, filled, reported
from trimtab.train import loop

_GOLDEN_ROWS = 8
_TOLERANCE = 1e-4  # of the largest output, from 1 on: what the order of sums does to numbers in fp32
_ROUNDED_ROWS = 200  # that tell what rounding does to the outputs
_NO_ANSWER = 1e8  # outputs beyond stand for items that are left out
_CALIBRATION_ROWS, _CALIBRATION_BATCH = 256, 32


@dataclass(frozen=True)
class Candidate:
    """A bundle in the making: everything that serving needs is in `folder`, with a manifest."""

    folder: Path
    manifest: Manifest
    output: OutputColumn
    differs: float  # from the trained network, on validation rows
    # A cascade's outputs of the validation rows, each half by a threshold that the other half chose.
    held_out: Outputs | None = None


def assemble(request: Request, trained: Trained, folder: Path, progress: Progress) -> tuple[Candidate, Stage]:
    """Export the network and put together all that serving needs; compare its answers with the trained network's."""
    laps = Laps()
    progress.stage("export", "model.onnx, agreement with the trained network")
    candidate = bundled(request, trained, folder, laps)
    detail = {"differs": candidate.differs, "seconds": laps.seconds}
    return candidate, Stage(name="export", seconds=laps.total, detail=detail)


def bundled(request: Request, trained: Trained, folder: Path, laps: Laps | None = None) -> Candidate:
    """A network in fp32 with all that serving needs, in `folder`."""
    laps = laps or Laps()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    splits = request.prepared.splits
    train, valid = request.train, request.valid
    if trained.inputs != request.inputs:
        train, valid = (encode_rows(trained.inputs, table.values) for table in (splits.train, splits.valid))
    budget = max(request.settings.batch_tokens * 2, int(valid.steps.max(initial=1)))
    outputs = loop.predict(trained.network, valid, budget, torch.device("cpu"))
    laps.lap("answers of the network")
    tensors = export.export(trained.network, trained.inputs, _example(train), folder / store.MODEL)
    laps.lap("ONNX")
    weights = {key: value.contiguous() for key, value in trained.network.state_dict().items()}
    save_file(weights, folder / store.WEIGHTS)
    files.write(folder / NETWORK, trained.architecture.model_dump_json(indent=1))
    output = calibrated(request, outputs)
    store.save_columns(folder / store.COLUMNS, trained.inputs, output)
    reference.write(folder / store.REFERENCE, train, outputs, request.seen)
    tolerance = tolerated(outputs)
    manifest = store.write_manifest(folder, _manifest(request, tensors).model_copy(update={"tolerance": tolerance}))
    laps.lap("weights, columns, reference")
    model = runtime.load(folder)
    differs = _difference(model.outputs(splits.valid.values), outputs) * _TOLERANCE / tolerance
    write_golden(folder, model, request)
    manifest = store.write_manifest(folder, manifest)
    laps.lap("agreement, golden rows")
    return Candidate(folder, manifest, output, differs)


def quantized(request: Request, candidate: Candidate, precision: str, folder: Path, keep: Collection[str]) -> Candidate:
    """A copy of a candidate in another precision, calibrated and with golden rows of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    replaced = shutil.ignore_patterns(store.GOLDEN, store.MODEL, f"{store.MODEL}.data")
    shutil.copytree(candidate.folder, folder, ignore=replaced)
    model = runtime.load(candidate.folder)
    quantize.quantize(
        precision, candidate.folder / store.MODEL, folder / store.MODEL, calibration_batches(request, model), keep
    )
    changed = candidate.manifest.model_copy(update={"precision": precision})
    manifest = store.write_manifest(folder, changed)
    some = {name: values[:_ROUNDED_ROWS] for name, values in request.prepared.splits.valid.values.items()}
    tolerance = tolerated(model.outputs(some), runtime.load(folder).outputs(some))
    manifest = store.write_manifest(folder, changed.model_copy(update={"tolerance": tolerance}))
    return refreshed(request, Candidate(folder, manifest, candidate.output, candidate.differs))


def refreshed(request: Request, candidate: Candidate) -> Candidate:
    """The candidate with its output column and reference by what its files answer, and golden rows of its own."""
    model = runtime.load(candidate.folder)
    outputs = model.outputs(request.prepared.splits.valid.values)
    output = calibrated(request, outputs)
    reference.answered(candidate.folder / store.REFERENCE, outputs)
    store.save_columns(candidate.folder / store.COLUMNS, model.inputs, output)
    manifest = store.write_manifest(candidate.folder, candidate.manifest)
    write_golden(candidate.folder, runtime.load(candidate.folder), request)
    return replace(candidate, output=output, manifest=store.write_manifest(candidate.folder, manifest))


def calibration_batches(request: Request, model: runtime.Model) -> list[dict[str, np.ndarray]]:
    """Tensors of training rows, as the model takes them: what ranges of activations are found on."""
    table = request.prepared.splits.train
    picked = np.unique(np.linspace(0, len(table) - 1, min(len(table), _CALIBRATION_ROWS)).astype(np.int64))
    values = {column.name: [table.values[column.name][row] for row in picked] for column in model.inputs}
    rows = encode_rows(model.inputs, values)
    batches = length_batches(rows.steps, model.manifest.batch_tokens, _CALIBRATION_BATCH)
    return [{name: tensors[name] for name in model.manifest.tensors} for tensors in map(rows.batch, batches)]


def tolerated(whole: Outputs, rounded: Outputs | None = None) -> float:
    """How far the outputs of a row may lie off on another machine, by outputs in fp32 and in fewer bits of some rows.

    A number that lies between two grid points may be rounded to the other one there: that moves an answer as far as
    rounding itself has (LOG, 2026-11-25), and never as far as answers of different rows lie apart.
    """
    values = _numbers(whole)
    told = np.abs(values) < _NO_ANSWER
    scale = float(np.abs(values[told]).max(initial=1.0))
    if rounded is None:
        return _TOLERANCE * scale
    moved = float(np.abs(values - _numbers(rounded))[told].max(initial=0.0))
    apart = float(np.ma.masked_where(~told, values).std(axis=0).max()) if told.any() else 0.0
    return max(_TOLERANCE * scale, min(2 * moved, apart))


def _numbers(outputs: Outputs) -> np.ndarray:
    return outputs.values if isinstance(outputs, Ragged) else outputs


def _example(rows: EncodedRows) -> dict[str, np.ndarray]:
    """Tensors of the three longest rows: of one, the exporter would take how many there are for a constant."""
    return rows.batch(np.argsort(rows.steps, kind="stable")[-3:])


def _difference(here: Outputs, there: Outputs) -> float:
    """The largest difference between the outputs of the same rows; infinite where one is no number."""
    one, other = _numbers(here), _numbers(there)
    found = float(np.abs(one - other).max(initial=0.0)) if one.shape == other.shape else math.inf
    return math.inf if math.isnan(found) else found


def calibrated(request: Request, outputs: Outputs) -> OutputColumn:
    """The output column with what decoding needs (a temperature, thresholds) fitted to the validation rows."""
    targets = request.output.targets(request.prepared.splits.valid.values[request.output.name])
    return request.output.calibrated(targets, outputs)


def _manifest(request: Request, tensors: list[str]) -> Manifest:
    return Manifest(
        trimtab=__version__,
        name=request.spec.run_name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        task=request.prepared.task,
        headline=request.output.headline,
        spec=filled(request),
        automatic=request.automatic,
        inputs=[ColumnEntry(name=c.name, key=c.key, type=c.type) for c in request.inputs],
        output=ColumnEntry(name=request.output.name, key=request.output.key, type=request.output.type),
        tensors=tensors,
        data=reported(request),
        machine=cost.machine(),
    )


def write_golden(folder: Path, model: runtime.Model, request: Request) -> None:
    """Store the exact outputs of a few test rows; the shortest, so that replaying them costs nothing at a start.

    Where no row may be quoted, of rows that are made up.
    """
    if not request.spec.quote_rows:
        random = np.random.default_rng(request.spec.seed)
        made = [{column.name: column.invented(random) for column in model.inputs} for _ in range(_GOLDEN_ROWS)]
        runtime.write_golden(folder, runtime.record_golden(model, made))
        return
    table, names = request.prepared.splits.test, [column.name for column in request.inputs]
    rows = [{name: row[name] for name in names} for row in table.rows()]
    picked = sorted(range(len(rows)), key=lambda i: (len(json.dumps(rows[i], default=str)), i))
    spread = picked[: max(_GOLDEN_ROWS, len(picked) // 2)]
    chosen = [rows[i] for i in spread[:: max(1, len(spread) // _GOLDEN_ROWS)][:_GOLDEN_ROWS]]
    runtime.write_golden(folder, runtime.record_golden(model, chosen))
