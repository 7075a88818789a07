"""The stage `export`: all that serving needs in one folder, compared with the trained network."""

from __future__ import annotations

import json
import math
import shutil
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from trimtab import __version__, runtime
from trimtab.audit import calibration, cost
from trimtab.bundle import store
from trimtab.bundle.manifest import ColumnEntry, Manifest, Stage
from trimtab.columns import EncodedRows, OutputColumn, Outputs, Ragged, dense
from trimtab.columns.label import LabelColumn
from trimtab.compress import export
from trimtab.data import reference
from trimtab.nets.network import Network
from trimtab.pipeline.request import Request, filled
from trimtab.progress import Progress
from trimtab.train import loop

_GOLDEN_ROWS = 8


@dataclass(frozen=True)
class Candidate:
    """A bundle in the making: everything that serving needs is in `folder`, with a manifest."""

    folder: Path
    manifest: Manifest
    output: OutputColumn
    differs: float  # from the trained network, on validation rows


def assemble(request: Request, network: Network, folder: Path, progress: Progress) -> tuple[Candidate, Stage]:
    """Export the network and put together all that serving needs; compare its answers with the trained network's."""
    started = time.perf_counter()
    progress.stage("export", "model.onnx, agreement with the trained network")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    trained_outputs = loop.predict(network, request.valid, request.settings.batch_tokens * 2, torch.device("cpu"))
    tensors = export.export(network, request.inputs, _example(request.train), folder / store.MODEL)
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, folder / store.WEIGHTS)
    (folder / "network.json").write_text(request.architecture.model_dump_json(indent=1), encoding="utf-8")
    output = calibrated(request, trained_outputs)
    store.save_columns(folder / store.COLUMNS, request.inputs, output)
    reference.write(folder / store.REFERENCE, request.train, trained_outputs)
    manifest = store.write_manifest(folder, _manifest(request, tensors))
    model = runtime.load(folder)
    differs = _difference(model.outputs(request.prepared.splits.valid.values), trained_outputs)
    write_golden(folder, model, request)
    manifest = store.write_manifest(folder, manifest)
    candidate = Candidate(folder, manifest, output, differs)
    return candidate, Stage(name="export", seconds=time.perf_counter() - started, detail={"differs": differs})


def _example(rows: EncodedRows) -> dict[str, np.ndarray]:
    """Tensors of the three longest rows: of one, the exporter would take how many there are for a constant."""
    return rows.batch(np.argsort(rows.steps, kind="stable")[-3:])


def _difference(here: Outputs, there: Outputs) -> float:
    """The largest difference between the outputs of the same rows; infinite where one is no number."""
    one, other = (outputs.values if isinstance(outputs, Ragged) else outputs for outputs in (here, there))
    found = float(np.abs(one - other).max(initial=0.0)) if one.shape == other.shape else math.inf
    return math.inf if math.isnan(found) else found


def calibrated(request: Request, outputs: Outputs) -> OutputColumn:
    """The output column with what decoding needs (a temperature, thresholds) fitted to the validation rows."""
    targets = request.output.targets(request.prepared.splits.valid.values[request.output.name])
    if not isinstance(request.output, LabelColumn):
        return request.output.calibrated(targets, outputs)
    return replace(request.output, temperature=calibration.fit_temperature(dense(outputs), dense(targets)))


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
        data=request.prepared.report,
        machine=cost.machine(),
    )


def write_golden(folder: Path, model: runtime.Model, request: Request) -> None:
    """Store the exact outputs of a few test rows; the shortest, so that replaying them costs nothing at a start."""
    table, names = request.prepared.splits.test, [column.name for column in request.inputs]
    rows = [{name: row[name] for name in names} for row in table.rows()]
    picked = sorted(range(len(rows)), key=lambda i: (len(json.dumps(rows[i], default=str)), i))
    spread = picked[: max(_GOLDEN_ROWS, len(picked) // 2)]
    chosen = [rows[i] for i in spread[:: max(1, len(spread) // _GOLDEN_ROWS)][:_GOLDEN_ROWS]]
    runtime.write_golden(folder, runtime.record_golden(model, chosen))
