"""From a spec to a released bundle, top to bottom."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import save_file

from trimtab import __version__, columns, registry, runtime
from trimtab import spec as specs
from trimtab.audit import calibration, cost, evidence, floor, gates, plots, quality
from trimtab.bundle import store
from trimtab.bundle.manifest import Automatic, ColumnEntry, GateResult, Manifest, Measured, Stage
from trimtab.columns import EncodedRows, InputColumn, OutputColumn, encode_rows
from trimtab.columns.label import LabelColumn
from trimtab.compress import export, quantize
from trimtab.data import reference
from trimtab.data.prepare import Prepared, prepare
from trimtab.nets.network import Architecture, Network
from trimtab.progress import Progress, Quiet
from trimtab.report import card
from trimtab.spec import Gate, Spec, Typed
from trimtab.train import base as bases
from trimtab.train import loop, settings
from trimtab.train.step import Lesson

AGREEMENT = 1e-4  # how far the exported network may lie from the trained one, in its outputs
_TABLE_WIDTH = 64  # of the states where no pretrained encoder sets it
_GOLDEN_ROWS = 8


@dataclass(frozen=True)
class Release:
    """What a launch made: the bundle's folder, its manifest, and whether every gate was met."""

    folder: Path
    manifest: Manifest

    @property
    def released(self) -> bool:
        """Whether the bundle may be shipped."""
        return self.manifest.released


@dataclass(frozen=True)
class Request:
    """A spec that was checked against its data, with nothing left open."""

    spec: Spec
    gates: list[Gate]
    prepared: Prepared
    base: bases.Base | None
    inputs: tuple[InputColumn, ...]
    output: OutputColumn
    architecture: Architecture
    settings: settings.Settings
    automatic: list[Automatic]
    train: EncodedRows
    valid: EncodedRows


def launch(
    spec: str | Path | Mapping[str, Any] | Spec,
    overrides: Sequence[str] = (),
    runs: str | Path = "runs",
    progress: Progress | None = None,
) -> Release:
    """Carry out a spec: clean, train, compress, audit, release.

    `spec` is a file, or its values (then paths are relative to the current folder); `overrides` are settings such as
    `train.epochs=1`. Finished stages are kept in `runs/NAME`, and the next launch goes on where this one stops. Raises
    TrimtabError, before anything is spent, when the request is wrong; a missed gate is no error: see
    `Release.released`.
    """
    progress = progress or Quiet()
    started = time.perf_counter()
    request_spec, folder = _read(spec, overrides)
    home = Path(runs) / request_spec.run_name
    request = check(request_spec, folder, home, progress)
    stages = [Stage(name="data", seconds=time.perf_counter() - started, detail=request.prepared.report)]
    kept = _finished(home, request)
    if kept is not None:
        progress.note("nothing to do: this spec was carried out on the same rows before")
        return kept
    network, trained, stage = train(request, home / "work" / "train", progress)
    stages.append(stage)
    candidate, stage = assemble(request, network, home / "work" / "bundle", progress)
    stages.append(stage)
    release = audit(request, candidate, trained.history, stages, home, progress)
    (home / "work" / "done.json").write_text(json.dumps({"key": _key(request)}), encoding="utf-8")
    return release


# ---------------------------------------------------------------------------------------------------------- check


def check(spec: Spec, folder: Path, home: Path, progress: Progress) -> Request:
    """Find everything that is wrong with the request, and make every automatic choice, before training begins."""
    parsed = specs.parse_gates(spec.gates)
    progress.stage("data", ", ".join(spec.data))
    prepared = prepare(spec, folder, progress)
    gates.check_names(parsed, prepared.task, prepared.classes)
    automatic = [Automatic(key=a.key, value=a.value, reason=a.reason) for a in prepared.automatic]
    base = None
    if any(kind.type == "text" for kind in prepared.inputs.values()):
        name = spec.base or "minilm"
        if spec.base is None:
            automatic.append(Automatic(key="base", value=name, reason="bundled, small, and trained on English text"))
        base = bases.find(name, folder, home / "work" / "base")
    _write_rejected(home, prepared)
    inputs, output = _fit(prepared, spec.output_name, base)
    train, valid = (encode_rows(inputs, table.values) for table in (prepared.splits.train, prepared.splits.valid))
    targets = output.targets(prepared.splits.train.values[output.name])
    counts = np.bincount(targets, minlength=output.width) if prepared.task == "label" else None
    chosen, reasons = settings.choose(spec, base, len(train), train.steps, counts, loop.device())
    fusion = spec.fusion or "mean"
    if spec.fusion is None:
        automatic.append(Automatic(key="fusion", value=fusion, reason="each input's mean, side by side"))
    automatic += [Automatic(key=key, value=value, reason=why) for key, (value, why) in reasons.items()]
    for entry in automatic[len(prepared.automatic) :]:
        progress.note(f"{entry.key}: {_short(entry.value)} ({entry.reason})")
    architecture = Architecture(
        width=base.width if base else _TABLE_WIDTH,
        fusion=fusion,
        dropout=chosen.dropout,
        head=prepared.task,
        text=dict(base.config) if base else None,
    )
    registry.load("trimtab.nets.fusions", fusion, f"{registry.camel(fusion)}Fusion", "fusion")
    return Request(
        spec, parsed, prepared, base, inputs, output, architecture, chosen, automatic, train, valid
    )  # fmt: skip


def _read(spec: str | Path | Mapping[str, Any] | Spec, overrides: Sequence[str]) -> tuple[Spec, Path]:
    """The spec, and the folder that its paths are relative to."""
    if isinstance(spec, (str, Path)):
        return specs.read(Path(spec), overrides), Path(spec).parent
    values = spec.model_dump(exclude_unset=True) if isinstance(spec, Spec) else spec
    return specs.parse(specs.override(values, overrides)), Path()


def _write_rejected(home: Path, prepared: Prepared) -> None:
    """Every row that was set aside, with file, line and reason: nothing is lost."""
    home.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in prepared.rejected]
    (home / "rejected.jsonl").write_text("".join(lines), encoding="utf-8")


def _fit(prepared: Prepared, name: str, base: bases.Base | None) -> tuple[tuple[InputColumn, ...], OutputColumn]:
    """Fit every column on the training rows."""
    table = prepared.splits.train
    keys = columns.keys([*prepared.inputs, name])
    inputs = tuple(
        columns.fit(kind.type, column, keys[column], table.values[column], _options(kind, base))
        for column, kind in prepared.inputs.items()
    )
    classes = {"classes": prepared.classes} if prepared.task == "label" else {}
    options = {**classes, **prepared.output.options}
    return inputs, columns.fit(prepared.output.type, name, keys[name], table.values[name], options)


def _options(kind: Typed, base: bases.Base | None) -> dict[str, Any]:
    if kind.type != "text" or base is None:
        return kind.options
    return {"tokenizer": base.tokenizer, "pad_id": base.pad_id, "limit": base.max_tokens, **kind.options}


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# ---------------------------------------------------------------------------------------------------------- train


def train(request: Request, folder: Path, progress: Progress) -> tuple[Network, loop.Trained, Stage]:
    """Train the network, or go on with a run of the same spec and rows that was stopped."""
    _begin(folder, _train_key(request))
    splits, chosen = request.prepared.splits, request.settings
    progress.stage("train", f"{len(request.train)} rows, {chosen.epochs} epochs, {chosen.method}")
    network = build(request)
    lesson = Lesson(
        request.train,
        request.output.targets(splits.train.values[request.output.name]),
        request.valid,
        request.output.targets(splits.valid.values[request.output.name]),
    )
    trained = loop.train(network, request.architecture.head, lesson, chosen, folder, progress)
    for encoder in network.pretrained():
        encoder.merge()
    detail = {"steps": trained.steps, "rows_per_second": round(trained.rows_per_second, 1), "best": trained.best}
    return network, trained, Stage(name="train", seconds=trained.seconds, detail=detail)


def build(request: Request) -> Network:
    """The untrained network: pretrained weights in place, the rest drawn from the seed."""
    torch.manual_seed(request.settings.seed)
    network = Network(request.architecture, request.inputs, request.output)
    if request.base is not None and request.settings.method != "scratch":
        for encoder in network.pretrained():
            bases.load_weights(request.base, encoder.model)
    if request.settings.method == "lora":
        lora = request.settings.lora
        for encoder in network.pretrained():
            encoder.adapt(lora.rank, lora.alpha, lora.dropout)
    return network


# ------------------------------------------------------------------------------------------------------- assemble


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
    save_file(network.state_dict(), folder / store.WEIGHTS)
    (folder / "network.json").write_text(request.architecture.model_dump_json(indent=1), encoding="utf-8")
    output = _calibrated(request, trained_outputs)
    store.save_columns(folder / store.COLUMNS, request.inputs, output)
    reference.write(folder / store.REFERENCE, request.train, trained_outputs)
    manifest = store.write_manifest(folder, _manifest(request, tensors))
    model = runtime.load(folder)
    differs = float(np.abs(model.outputs(request.prepared.splits.valid.values) - trained_outputs).max(initial=0.0))
    _write_golden(folder, model, request)
    manifest = store.write_manifest(folder, manifest)
    candidate = Candidate(folder, manifest, output, differs)
    return candidate, Stage(name="export", seconds=time.perf_counter() - started, detail={"differs": differs})


def _example(rows: EncodedRows) -> dict[str, np.ndarray]:
    """Tensors of the three longest rows: no dimension is 1, so the exporter takes none for a constant."""
    return rows.batch(np.argsort(rows.steps, kind="stable")[-3:])


def _calibrated(request: Request, outputs: np.ndarray) -> OutputColumn:
    """The output column with the temperature that fits its confidence to the validation rows."""
    if not isinstance(request.output, LabelColumn):
        return request.output
    targets = request.output.targets(request.prepared.splits.valid.values[request.output.name])
    return replace(request.output, temperature=calibration.fit_temperature(outputs, targets))


def _manifest(request: Request, tensors: list[str]) -> Manifest:
    return Manifest(
        trimtab=__version__,
        name=request.spec.run_name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        task=cast(Any, request.prepared.task),
        spec=filled(request),
        automatic=request.automatic,
        inputs=[ColumnEntry(name=c.name, key=c.key, type=c.type) for c in request.inputs],
        output=ColumnEntry(name=request.output.name, key=request.output.key, type=request.output.type),
        tensors=tensors,
        data=request.prepared.report,
        machine=cost.machine(),
    )


def filled(request: Request) -> dict[str, Any]:
    """The spec with every default and every automatic choice written out."""
    values = request.spec.model_dump(mode="json")
    values["inputs"] = {name: kind.model_dump(mode="json") for name, kind in request.prepared.inputs.items()}
    values["output"] = {request.output.name: request.prepared.output.model_dump(mode="json")}
    for entry in request.automatic:
        part, _, key = entry.key.rpartition(".")
        if entry.key in values or (part in values and isinstance(values[part], dict)):
            (values[part] if part else values)[key or entry.key] = entry.value
    return values


def _write_golden(folder: Path, model: runtime.Model, request: Request) -> None:
    """Store the exact outputs of a few test rows; the shortest, so that replaying them costs nothing at a start."""
    table, names = request.prepared.splits.test, [column.name for column in request.inputs]
    rows = [{name: row[name] for name in names} for row in table.rows()]
    picked = sorted(range(len(rows)), key=lambda i: (len(json.dumps(rows[i], default=str)), i))
    spread = picked[: max(_GOLDEN_ROWS, len(picked) // 2)]
    chosen = [rows[i] for i in spread[:: max(1, len(spread) // _GOLDEN_ROWS)][:_GOLDEN_ROWS]]
    lines = [json.dumps(line, ensure_ascii=False, default=str) for line in runtime.record_golden(model, chosen)]
    (folder / store.GOLDEN).write_text("\n".join(lines) + "\n", encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------- audit


def audit(
    request: Request,
    candidate: Candidate,
    history: list[dict[str, float]],
    stages: list[Stage],
    home: Path,
    progress: Progress,
) -> Release:
    """Measure the very files that will be served, hold the gates against them, write the card and the bundle."""
    started = time.perf_counter()
    progress.stage("audit", "quality, cost, floor")
    splits = request.prepared.splits
    candidate, outputs, measured = _chosen(request, candidate, progress)
    targets = candidate.output.targets(splits.test.values[candidate.output.name])
    rows = _input_rows(request)
    shown: dict[str, Any] = {
        **evidence.evidence(candidate.output, targets, outputs, rows),
        "floor": _floor(request, candidate.output),
        "history": history,
        "differs": candidate.differs,
    }
    stages = [*stages, Stage(name="audit", seconds=time.perf_counter() - started)]
    manifest = store.write_manifest(
        candidate.folder, candidate.manifest.model_copy(update={"stages": stages, "evidence": shown})
    )
    progress.stage("release", str(home / "bundle"))
    measured = {**measured, "size": cost.size(candidate.folder)}  # the evidence in the manifest is served too
    results = gates.judge(request.gates, measured)
    why = _why_not(results, candidate)
    verdict = {"measured": measured, "gates": results, "released": not why, "why": why}
    manifest = store.write_manifest(candidate.folder, manifest.model_copy(update=verdict))
    card.write(candidate.folder, manifest, plots.draw(shown, home / "plots"))
    return Release(home / "bundle", store.save(candidate.folder, manifest, home / "bundle"))


def _chosen(
    request: Request, candidate: Candidate, progress: Progress
) -> tuple[Candidate, np.ndarray, dict[str, Measured]]:
    """The candidate as trained or, where `compress` asks for it or a cost gate needs it, in int8."""
    wish = request.spec.compress
    if isinstance(wish, specs.Compress) and wish.quantize == "int8":
        candidate = _quantized(request, candidate, progress)
        return candidate, *_measure(request, candidate)
    outputs, measured = _measure(request, candidate)
    missed = [g.name for g in gates.judge(request.gates, measured) if not g.met and specs.METRICS[_family(g)].unit]
    if wish != "auto" or not missed:
        return candidate, outputs, measured
    progress.note(f"gate on {', '.join(missed)} missed in fp32: trying int8")
    smaller = _quantized(request, candidate, progress)
    smaller_outputs, smaller_measured = _measure(request, smaller)
    before, after = (sum(not g.met for g in gates.judge(request.gates, m)) for m in (measured, smaller_measured))
    if after < before:
        return smaller, smaller_outputs, smaller_measured
    progress.note("int8 meets no more gates: the network is kept in fp32")
    return candidate, outputs, measured


def _family(result: GateResult) -> str:
    return result.name.partition(".")[0]


def _measure(request: Request, candidate: Candidate) -> tuple[np.ndarray, dict[str, Measured]]:
    """Outputs of the test rows through the runtime, and every number measured on the candidate."""
    test = request.prepared.splits.test
    outputs = runtime.load(candidate.folder).outputs(test.values)
    targets = candidate.output.targets(test.values[candidate.output.name])
    found = quality.measure(candidate.output, targets, outputs, request.spec.seed)
    return outputs, {**found, **cost.cost(candidate.folder, _input_rows(request), seed=request.spec.seed)}


def _quantized(request: Request, candidate: Candidate, progress: Progress) -> Candidate:
    """A copy of the candidate with weights in 8 bits, calibrated and with golden rows of its own."""
    progress.stage("compress", "int8, per channel")
    folder = candidate.folder.with_name(f"{candidate.folder.name}-int8")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(candidate.folder, folder)
    for stale in (store.GOLDEN, store.MODEL, f"{store.MODEL}.data"):
        (folder / stale).unlink()
    quantize.int8(candidate.folder / store.MODEL, folder / store.MODEL)
    manifest = store.write_manifest(folder, candidate.manifest.model_copy(update={"precision": "int8"}))
    model, valid = runtime.load(folder), request.prepared.splits.valid
    outputs = model.outputs(valid.values)
    output = _calibrated(request, outputs)
    store.save_columns(folder / store.COLUMNS, request.inputs, output)
    _write_golden(folder, model, request)
    return Candidate(folder, store.write_manifest(folder, manifest), output, candidate.differs)


def _floor(request: Request, output: OutputColumn) -> dict[str, Any]:
    """Metrics of the majority class and of tf-idf with a linear model, on the same rows."""
    splits = request.prepared.splits
    found = floor.floor(request.inputs, splits.train, splits.test, output, request.spec.seed)
    return {name: {key: value.model_dump() for key, value in part.items()} for name, part in found.items()}


def _why_not(results: list[GateResult], candidate: Candidate) -> list[str]:
    why = [f"{r.name}: asked {r.asked}, measured {_told(r)}" for r in results if not r.met]
    if candidate.differs > AGREEMENT:
        why.append(
            f"the exported network differs from the trained one by {candidate.differs:.2g} (at most {AGREEMENT})"
        )
    return why


def _told(result: GateResult) -> str:
    return "nothing" if result.measured is None else f"{result.measured:.4g} {result.unit}".rstrip()


def _input_rows(request: Request) -> list[dict[str, Any]]:
    """The test rows as a server would receive them: inputs only."""
    names = [column.name for column in request.inputs]
    return [{name: row[name] for name in names} for row in request.prepared.splits.test.rows()]


# --------------------------------------------------------------------------------------------------------- resume


def _begin(folder: Path, key: str) -> None:
    """Throw away what another spec, other rows or another version left in a stage's folder."""
    note = folder / "key"
    if not note.is_file() or note.read_text(encoding="utf-8") != key:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        note.write_text(key, encoding="utf-8")


def _finished(home: Path, request: Request) -> Release | None:
    """The release of an earlier launch of exactly this request, if there is one."""
    done = home / "work" / "done.json"
    store.recover(home / "bundle")
    if not done.is_file() or not (home / "bundle" / store.MANIFEST).is_file():
        return None
    if json.loads(done.read_text(encoding="utf-8"))["key"] != _key(request):
        return None
    manifest = store.read_manifest(home / "bundle")
    store.check_files(home / "bundle", manifest)
    return Release(home / "bundle", manifest)


def _train_key(request: Request) -> str:
    """Changes when anything does that decides the trained weights."""
    said = filled(request)
    for key in ("gates", "compress", "data", "test", "name"):
        said.pop(key)
    splits = request.prepared.splits
    rows = [
        hashlib.sha256(json.dumps(t.values, default=str).encode()).hexdigest() for t in (splits.train, splits.valid)
    ]
    source = request.base.fingerprint if request.base else ""
    return _digest([__version__, torch.__version__, said, rows, source, request.settings.score])


def _key(request: Request) -> str:
    """Changes when anything does that decides the bundle."""
    rows = _digest(request.prepared.splits.test.values)
    return _digest([_train_key(request), rows, request.spec.model_dump(mode="json")])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
