"""The stage `export`: all that serving needs in one folder, compared with the trained network."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from safetensors.torch import save_file

from trimtab import __version__, export, files, runtime
from trimtab.audit import conformal, cost, selective
from trimtab.bundle import reference, store
from trimtab.bundle.manifest import Manifest, Stage
from trimtab.bundle.serving import ColumnEntry, GraphEntry, ProgramEntry, Serving
from trimtab.columns import (
    DECIMALS,
    NO_ASSURANCE,
    Assurance,
    EncodedRows,
    InputColumn,
    Named,
    OutputColumn,
    Outputs,
    as_asked,
    dense,
    encode_rows,
    flat,
    length_batches,
    taken,
)
from trimtab.compress import quantize
from trimtab.metrics import OneOf
from trimtab.nets.fitted import NETWORK, FittedNetwork
from trimtab.nets.graphs import NamedGraph
from trimtab.nets.network import taught
from trimtab.programs.single import MODEL
from trimtab.progress import Laps, Progress
from trimtab.request import Request, filled, reported
from trimtab.search import written
from trimtab.train import devices, loop

_GOLDEN_ROWS = 8
_GOLDEN_NUMBERS = 50_000  # of all golden rows, which are kept as text
_TOLERANCE = 1e-4  # of the largest output, from 1 on: what the order of sums does to numbers in fp32
_ROUNDED_ROWS = 200  # that tell what rounding does to the outputs
_NO_ANSWER = 1e8  # outputs beyond stand for items that are left out
_CALIBRATION_ROWS, _CALIBRATION_BATCH = 256, 32


class EncodedSplits:
    """The training and validation rows of a request, encoded once for each set of columns."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self._known = [(request.train.columns, request.train, request.valid)]

    def of(self, inputs: tuple[InputColumn, ...]) -> tuple[EncodedRows, EncodedRows]:
        """The rows as the columns encode them: training, validation."""
        for columns, train, valid in self._known:
            if columns == inputs:
                return train, valid
            if columns[: len(inputs)] == inputs:  # without the column that right answers are learnt as
                return train.of_first(len(inputs)), valid.of_first(len(inputs))
        splits = self.request.prepared.splits
        train, valid = (encode_rows(inputs, table.values) for table in (splits.train, splits.valid))
        self._known.append((inputs, train, valid))
        return train, valid


@dataclass(frozen=True)
class Candidate:
    """A bundle in the making: everything that serving needs is in `folder`, and in memory.

    Only of one that is `sealed` the manifest and the golden rows are in the folder too.
    """

    folder: Path
    manifest: Manifest
    model: runtime.Model
    differs: float  # from the trained network, on validation rows
    outputs: Outputs  # of the validation rows
    # Where a choice in it was made by the validation rows, each half's outputs by the choice that the other half made.
    held_out: Outputs | None = None

    @property
    def output(self) -> OutputColumn:
        """The column that is answered."""
        return self.model.output


def assemble(request: Request, trained: FittedNetwork, folder: Path, progress: Progress) -> tuple[Candidate, Stage]:
    """Export the network and put together all that serving needs; compare its answers with the trained network's."""
    laps = Laps()
    progress.stage("export", "model.onnx, agreement with the trained network")
    candidate = sealed(request, exported(EncodedSplits(request), trained, folder, laps))
    laps.lap("golden rows, manifest")
    detail = {"differs": candidate.differs, "seconds": laps.seconds}
    return candidate, Stage(name="export", seconds=laps.total, detail=detail)


def exported(splits: EncodedSplits, trained: FittedNetwork, folder: Path, laps: Laps | None = None) -> Candidate:
    """A network in fp32 with all that serving needs, in `folder`; to be `sealed`."""
    laps, request = laps or Laps(), splits.request
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    train, valid = splits.of(trained.inputs)
    # The three longest rows: of one, the exporter would take how many there are for a constant.
    example = train.batch(np.argsort(train.steps, kind="stable")[-3:])
    weights = {key: value.contiguous() for key, value in trained.network.state_dict().items()}
    save_file(weights, folder / store.WEIGHTS)
    files.write(folder / NETWORK, trained.architecture.model_dump_json(indent=1))
    laps.lap("weights")
    if trained.output.learnt_as is not None:
        return _indexed(splits, trained, folder, laps)
    if taught(trained.network):
        return _written(splits, trained, example, folder, laps)
    budget = max(request.settings.batch_tokens * 2, int(valid.steps.max(initial=1)))
    outputs = loop.predict(trained.network, valid, budget, devices.device())
    laps.lap("answers of the network")
    graphs, program, _ = _graphs(trained, example, folder)
    laps.lap("ONNX")
    output = calibrated(request, outputs)
    store.save_columns(folder / store.COLUMNS, trained.inputs, output)
    reference.write(folder / store.REFERENCE, train, outputs, request.seen)
    laps.lap("columns, reference")
    manifest = _manifest(request, graphs, program, tolerated(outputs))
    model = _opened(manifest, trained.inputs, output, folder)
    served = model.outputs(valid)
    differs = _difference(served, outputs) * _TOLERANCE / manifest.serving.tolerance
    laps.lap("agreement")
    return Candidate(folder, manifest, model, differs, served)


def _written(
    splits: EncodedSplits,
    trained: FittedNetwork,
    example: Mapping[str, np.ndarray],
    folder: Path,
    laps: Laps,
) -> Candidate:
    """A network whose answers are written, as the graphs that its program runs, with all that serving needs."""
    request, (train, valid) = splits.request, splits.of(trained.inputs)
    entries, program, graphs = _graphs(trained, example, folder)
    laps.lap("ONNX")
    store.save_columns(folder / store.COLUMNS, trained.inputs, request.output)
    manifest = _manifest(request, entries, program, _TOLERANCE)
    model = _opened(manifest, trained.inputs, request.output, folder)
    targets = request.output.targets(request.prepared.splits.valid.values[request.output.name])
    differs = written.apart(trained, graphs, model, valid, targets)
    laps.lap("agreement")
    served = judged(splits, model)
    reference.write(folder / store.REFERENCE, train, served, request.seen)
    laps.lap("answers, reference")
    return Candidate(folder, manifest, model, differs, served)


def _indexed(splits: EncodedSplits, trained: FittedNetwork, folder: Path, laps: Laps) -> Candidate:
    """A network that reads rows and the entries of a gallery, with the vectors of all entries that its rows have."""
    request, entry = splits.request, trained.output.learnt_as
    assert entry is not None
    (learnt, both), (train, valid) = splits.of((*trained.inputs, entry)), splits.of(trained.inputs)
    example = learnt.batch(np.argsort(learnt.steps, kind="stable")[-3:])
    entries, program, _ = _graphs(trained, example, folder, (*trained.inputs, entry))
    laps.lap("ONNX")
    store.save_columns(folder / store.COLUMNS, trained.inputs, request.output)
    manifest = _manifest(request, entries, program, _TOLERANCE)
    model = _with_gallery(request, _opened(manifest, trained.inputs, request.output, folder))
    laps.lap("gallery")
    served, right = model.outputs(valid), request.prepared.splits.valid.values[entry.name]
    budget = max(request.settings.batch_tokens * 2, int(both.steps.max(initial=1)))
    here = loop.predict(trained.network, both, budget, devices.device(), request.output.targets(right))
    names = [tensor.name for tensor in trained.output.taught]
    vectors = Named(dict(zip(names, (dense(served), model.of_entries(right)), strict=True)))
    laps.lap("agreement")
    reference.write(folder / store.REFERENCE, train, served, request.seen)
    return Candidate(folder, manifest, model, _difference(vectors, here), served)


def _with_gallery(request: Request, model: runtime.Model) -> runtime.Model:
    """The model with the entries of all rows, read by its own network, where its answers come from a gallery."""
    if model.output.learnt_as is None:
        return model
    splits = request.prepared.splits
    values = [value for table in (splits.train, splits.valid, splits.test) for value in table.values[model.output.name]]
    indexed = model.indexed(values)
    assert model.folder is not None
    store.save_columns(model.folder / store.COLUMNS, indexed.inputs, indexed.output)
    return indexed


def _graphs(
    trained: FittedNetwork,
    example: Mapping[str, np.ndarray],
    folder: Path,
    inputs: Sequence[InputColumn] | None = None,
) -> tuple[dict[str, GraphEntry], ProgramEntry, list[NamedGraph]]:
    """The files of a network, and how they are run: one, or several of a head that has a program of its own."""
    head = trained.network.head
    if not written.has_program(trained.network):
        tensors = export.export(trained.network, trained.inputs, dict(example), folder / store.MODEL)
        gives = [name for tensor in trained.output.tensors for name in tensor.names]
        return {MODEL: GraphEntry(file=store.MODEL, inputs=tensors, outputs=gives)}, ProgramEntry(), []
    graphs = export.named_graphs(trained.network, inputs or trained.inputs, example)
    entries = {
        graph.name: GraphEntry(
            file=f"{graph.name}.onnx",
            inputs=export.export_graph(graph, folder / f"{graph.name}.onnx"),
            outputs=list(graph.gives),
        )
        for graph in graphs
    }
    return entries, ProgramEntry(name=head.program, options=head.program_options), graphs


def _opened(manifest: Manifest, inputs: Sequence[InputColumn], output: OutputColumn, folder: Path) -> runtime.Model:
    graphs = runtime.open_graphs(folder, manifest.serving)
    return runtime.put_together(manifest.serving, inputs, output, graphs, folder)


def sealed(request: Request, candidate: Candidate) -> Candidate:
    """The candidate with its golden rows and its manifest written: a whole bundle, hashed this once."""
    candidate = _assured(request, candidate)
    write_golden(candidate.folder, candidate.model, request)
    manifest = candidate.manifest.model_copy(update={"serving": candidate.model.serving})
    manifest = store.write_manifest(candidate.folder, manifest)
    return replace(candidate, manifest=manifest, model=replace(candidate.model, serving=manifest.serving))


def _assured(request: Request, candidate: Candidate) -> Candidate:
    """The candidate whose output promises what the spec says, by what it answers to the validation rows.

    Temperature and checkpoint were chosen on them too, which is why the audit measures what is promised on test rows.
    """
    if not candidate.output.promises:
        return candidate
    output = candidate.output.assured(_assurance(request, candidate))
    store.save_columns(candidate.folder / store.COLUMNS, candidate.model.inputs, output)
    return replace(candidate, model=replace(candidate.model, output=output))


def _assurance(request: Request, candidate: Candidate) -> Assurance:
    rule, coverage, output = request.spec.answer_rule, request.spec.coverage, candidate.output
    if rule is None and coverage is None:
        return NO_ASSURANCE
    if request.held_out is not None:
        answers = output.answered(request.held_out.targets, request.held_out.outputs)
    else:
        targets = output.targets(request.prepared.splits.valid.values[output.name])
        answers = output.answered(targets, candidate.outputs if candidate.held_out is None else candidate.held_out)
    least = None if rule is None else rule.least
    if rule is not None and rule.by == "accuracy" and isinstance(answers, OneOf):
        least = selective.threshold(np.round(answers.confidence, DECIMALS), answers.chosen == answers.true, rule.least)
    return Assurance(least, coverage, None if coverage is None else conformal.reach(answers, coverage))


def quantized(splits: EncodedSplits, candidate: Candidate, precision: str, folder: Path) -> Candidate:
    """A copy of a candidate in another precision; to be `sealed`."""
    copy_parts(candidate, folder)
    batches = calibration_batches(splits, candidate.model)
    for entry in candidate.model.serving.graphs.values():
        quantize.quantize(precision, candidate.folder / entry.file, folder / entry.file, batches, ())
    return in_precision(splits, candidate, precision, folder)


def copy_parts(candidate: Candidate, folder: Path) -> None:
    """A new folder with what two candidates of one network have in common."""
    shutil.rmtree(folder, ignore_errors=True)
    networks = [f"{entry.file}*" for entry in candidate.model.serving.graphs.values()]
    own = (store.GOLDEN, store.MANIFEST, store.SERVING, *networks)
    shutil.copytree(candidate.folder, folder, ignore=shutil.ignore_patterns(*own))


def in_precision(splits: EncodedSplits, source: Candidate, precision: str, folder: Path) -> Candidate:
    """The candidate of a folder that has the parts of `source`, and its network in another precision; to be `sealed`.

    Temperature, thresholds, reference and tolerance are found anew, by what its own network answers.
    """
    graphs = source.model.serving.graphs.items()
    entries = {name: entry.model_copy(update={"precision": precision}) for name, entry in graphs}
    serving = source.model.serving.model_copy(update={"graphs": entries})
    model = replace(source.model, serving=serving, graphs=runtime.open_graphs(folder, serving), folder=folder)
    outputs = judged(splits, model)
    some = np.arange(min(_ROUNDED_ROWS, len(outputs)))
    tolerance = tolerated(*(taken(part, some) for part in (source.outputs, outputs)))
    output = calibrated(splits.request, outputs)
    reference.answered(folder / store.REFERENCE, outputs)
    store.save_columns(folder / store.COLUMNS, model.inputs, output)
    model = replace(model, serving=serving.model_copy(update={"tolerance": tolerance}), output=output)
    model = _with_gallery(splits.request, model)
    return Candidate(folder, source.manifest, model, source.differs, outputs)


def reopened(splits: EncodedSplits, folder: Path, differs: float = 0.0) -> Candidate:
    """A candidate as an earlier run left it."""
    manifest = store.read_manifest(folder)
    model = runtime.opened(folder, manifest.serving)
    return Candidate(folder, manifest, model, differs, judged(splits, model))


def judged(splits: EncodedSplits, model: runtime.Model) -> Outputs:
    """The outputs of the validation rows: see `Model.judged`."""
    valid, output = splits.of(model.inputs)[1], model.output
    targets = output.targets(splits.request.prepared.splits.valid.values[output.name])
    return model.judged(model.outputs(valid), valid, targets)


def calibration_batches(splits: EncodedSplits, model: runtime.Model) -> list[dict[str, np.ndarray]]:
    """Tensors of training rows, as the model takes them: what ranges of activations are found on.

    None for several networks: what the others take is made by the first of them.
    """
    if MODEL not in model.serving.graphs:
        return []
    rows, entry = splits.of(model.inputs)[0], model.serving.graphs[MODEL]
    picked = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _CALIBRATION_ROWS)).astype(np.int64))
    batches = length_batches(rows.costs[picked], entry.batch_cost, _CALIBRATION_BATCH)
    return [{name: tensors[name] for name in entry.inputs} for tensors in (rows.batch(picked[b]) for b in batches)]


def tolerated(whole: Outputs, rounded: Outputs | None = None) -> float:
    """How far the outputs of a row may lie off on another machine, by outputs in fp32 and in fewer bits of some rows.

    A number that lies between two grid points may be rounded to the other one there: that moves an answer as far as
    rounding itself has (LOG, 2026-11-25), and never as far as answers of different rows lie apart. Whole numbers are
    names, such as tokens, and are equal or not; where some answers have other steps, the rest tell.
    """
    others = {} if rounded is None else flat(rounded)
    parts = {name: values for name, values in flat(whole).items() if not np.issubdtype(values.dtype, np.integer)}
    alike = [name for name, values in parts.items() if name in others and values.shape == others[name].shape]
    return max(_tolerated(parts[name], others.get(name)) for name in alike or parts)


def _tolerated(values: np.ndarray, rounded: np.ndarray | None) -> float:
    told = np.abs(values) < _NO_ANSWER
    scale = float(np.abs(values[told]).max(initial=1.0))
    if rounded is None:
        return _TOLERANCE * scale
    moved = math.inf  # where rounding changed how many steps are answered
    if values.shape == rounded.shape:
        moved = float(np.abs(values - rounded)[told].max(initial=0.0))
    apart = float(np.ma.masked_where(~told, values).std(axis=0).max()) if told.any() else 0.0
    return max(_TOLERANCE * scale, min(2 * moved, apart))


def _difference(here: Outputs, there: Outputs) -> float:
    """The largest difference between the outputs of the same rows; infinite where one is no number."""
    one, other = flat(here), flat(there)
    if any(one[name].shape != other[name].shape for name in one):
        return math.inf
    found = max(float(np.abs(one[name] - other[name]).max(initial=0.0)) for name in one)
    return math.inf if math.isnan(found) else found


def calibrated(request: Request, outputs: Outputs) -> OutputColumn:
    """The output column with what decoding needs (a temperature, thresholds) fitted to the validation rows.

    Where few rows were cross-validated, to the answers of networks that had not learnt them.
    """
    if request.held_out is not None:
        return request.output.calibrated(request.held_out.targets, request.held_out.outputs)
    targets = request.output.targets(request.prepared.splits.valid.values[request.output.name])
    return request.output.calibrated(targets, outputs)


def _manifest(request: Request, graphs: dict[str, GraphEntry], program: ProgramEntry, tolerance: float) -> Manifest:
    data = reported(request)
    entries = [ColumnEntry(name=c.name, key=c.key, type=c.type) for c in (*request.inputs, request.output)]
    serving = Serving(
        trimtab=__version__,
        inputs=entries[:-1],
        output=entries[-1],
        graphs=graphs,
        program=program,
        tolerance=tolerance,
        encoding=data.get("encoding") or request.spec.encoding,
    )
    return Manifest(
        trimtab=__version__,
        name=request.spec.run_name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        task=request.prepared.task,
        headline=request.output.headline,
        spec=filled(request),
        automatic=request.automatic,
        serving=serving,
        lineage=list(request.lineage),
        data=data,
        machine=cost.machine(),
    )


def write_golden(folder: Path, model: runtime.Model, request: Request) -> None:
    """Store the exact outputs of a few test rows; the shortest, so that replaying them costs nothing at a start.

    Where no row may be quoted, of rows that are made up.
    """
    count = min(_GOLDEN_ROWS, max(1, _GOLDEN_NUMBERS // model.output.width))
    if not request.spec.quote_rows:
        random = np.random.default_rng(request.spec.seed)
        made = [{column.name: column.invented(random) for column in model.inputs} for _ in range(count)]
        runtime.write_golden(folder, runtime.record_golden(model, made))
        return
    rows = as_asked(model.inputs, model.output, request.prepared.splits.test.rows())
    picked = sorted(range(len(rows)), key=lambda i: (len(json.dumps(rows[i], default=str)), i))
    spread = picked[: max(count, len(picked) // 2)]
    chosen = [rows[i] for i in spread[:: max(1, len(spread) // count)][:count]]
    runtime.write_golden(folder, runtime.record_golden(model, chosen))
