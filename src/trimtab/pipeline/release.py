"""The stage `audit`: the very files that will be served are measured, judged and released, or not."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab import runtime
from trimtab import spec as specs
from trimtab.audit import cost, evidence, floor, gates, plots, quality
from trimtab.bundle import store
from trimtab.bundle.manifest import GateResult, Manifest, Measured, Stage
from trimtab.columns import OutputColumn, Outputs
from trimtab.compress import quantize
from trimtab.pipeline.assembly import Candidate, calibrated, write_golden
from trimtab.pipeline.request import Request
from trimtab.progress import Progress
from trimtab.report import card

_SMALLER = 0.95  # of the file in fp32: what int8 must be below
AGREEMENT = 1e-4  # how far the exported network may lie from the trained one, in its outputs


@dataclass(frozen=True)
class Release:
    """What a launch made: the bundle's folder, its manifest, and whether every gate was met."""

    folder: Path
    manifest: Manifest

    @property
    def released(self) -> bool:
        """Whether the bundle may be shipped."""
        return self.manifest.released


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
    sheet = request.augmentation.sheet(request.train) if request.augmentation else None
    shown: dict[str, Any] = {
        **evidence.evidence(candidate.output, targets, outputs, rows),
        "floor": _floor(request, candidate.output),
        "history": history,
        "differs": candidate.differs,
        **({"augmentation": sheet.evidence} if sheet else {}),
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
    drawn = plots.draw(shown, home / "plots") + plots.contact_sheet(sheet.pictures if sheet else (), home / "plots")
    card.write(candidate.folder, manifest, drawn)
    return Release(home / "bundle", store.save(candidate.folder, manifest, home / "bundle"))


def _chosen(
    request: Request, candidate: Candidate, progress: Progress
) -> tuple[Candidate, Outputs, dict[str, Measured]]:
    """The candidate as trained or, where `compress` asks for it or a cost gate needs it, in int8."""
    wish = request.spec.compress
    if isinstance(wish, specs.Compress) and wish.quantize == "int8":
        smaller = _quantized(request, candidate, progress)
        if _model_bytes(smaller.folder) < _SMALLER * _model_bytes(candidate.folder):
            return smaller, *_measure(request, smaller)
        progress.note("int8 makes the network hardly smaller, for convolutions keep their precision: it stays in fp32")
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


def _model_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob(f"{store.MODEL}*"))


def _family(result: GateResult) -> str:
    return result.name.partition(".")[0]


def _measure(request: Request, candidate: Candidate) -> tuple[Outputs, dict[str, Measured]]:
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
    replaced = shutil.ignore_patterns(store.GOLDEN, store.MODEL, f"{store.MODEL}.data")
    shutil.copytree(candidate.folder, folder, ignore=replaced)
    quantize.int8(candidate.folder / store.MODEL, folder / store.MODEL)
    manifest = store.write_manifest(folder, candidate.manifest.model_copy(update={"precision": "int8"}))
    model, valid = runtime.load(folder), request.prepared.splits.valid
    outputs = model.outputs(valid.values)
    output = calibrated(request, outputs)
    store.save_columns(folder / store.COLUMNS, request.inputs, output)
    write_golden(folder, model, request)
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
