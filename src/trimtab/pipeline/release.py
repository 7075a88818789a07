"""The stage `audit`: the files that will be served are measured, held against gates and the network, released."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import checks, runtime
from trimtab.audit import gates, selective
from trimtab.audit.price import pricing
from trimtab.bundle import store
from trimtab.bundle.manifest import GateResult, Manifest, Stage
from trimtab.compress.frontier import Frontier
from trimtab.pipeline import judge
from trimtab.pipeline.mitigation import mitigated
from trimtab.plan.estimate import Account
from trimtab.progress import Laps, Progress
from trimtab.report import card, contact_sheet, plots
from trimtab.request import Request
from trimtab.rows import writer
from trimtab.search.assembly import Candidate
from trimtab.search.compression import Compressed
from trimtab.watch import answering, baseline

_BASELINE_ROWS = 1000  # of each split, that tell how rows are spread
AGREEMENT = 1e-4  # how far the exported network may lie from the trained one, in its outputs


@dataclass(frozen=True)
class Release:
    """What a launch made: the bundle's folder, its manifest, and whether every gate was met."""

    folder: Path
    manifest: Manifest
    made_here: bool = True  # not in the other processes of a launch: see `processes`
    plots: tuple[Path, ...] = ()  # that were drawn for its card

    @property
    def released(self) -> bool:
        """Whether the bundle may be shipped."""
        return self.manifest.released


def audit(
    request: Request,
    uncompressed: Candidate,
    compressed: Compressed,
    history: list[dict[str, float]],
    stages: list[Stage],
    home: Path,
    progress: Progress,
    account: Account | None = None,
) -> Release:
    """Measure the very files that will be served, hold the gates against them, write the card and the bundle.

    With an `account` the bundle says what the launch took, beside what it was estimated to.
    """
    laps = Laps()
    progress.stage("audit", "quality, cost, baselines")
    # A copy is completed and moved: what the search found stays where it is, to be picked another time.
    folder = home / "work" / "release"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(compressed.candidate.folder, folder)
    candidate = replace(compressed.candidate, folder=folder)
    candidate, done = mitigated(request, candidate, progress)
    if request.output.read_as is not None:
        judge.add(request, folder, home / "work" / "judge", progress)
        laps.lap("judge of drawn pictures")
    model = runtime.load(candidate.folder)
    context = context_of(request, model, uncompressed.model if compressed.frontier else None)
    found = checks.every(context, laps, progress)
    # Few rows are cross-validated, and then all but the test rows are learnt from.
    write_baseline(context if request.held_out is None else replace(context, valid=None), model)
    laps.lap("baseline of drift")
    quotes = request.spec.quote_rows
    sheet = request.augmentation.sheet(request.train) if request.augmentation and quotes else None
    shown: dict[str, Any] = {
        **found.evidence,
        **done,
        **({"search": dict(request.searched)} if request.searched is not None else {}),
        **({"to_label": list(request.to_label)} if request.to_label else {}),
        "history": history,
        "differs": candidate.differs,
        **({"augmentation": sheet.evidence} if sheet else {}),
        **({"frontier": compressed.frontier.evidence()} if compressed.frontier else {}),
    }
    shown = {key: value for key, value in shown.items() if quotes or key not in store.QUOTING}
    _write_listed(found, home)
    drawn = plots.draw(shown, home / "plots") + contact_sheet.draw(sheet.pictures if sheet else (), home / "plots")
    for name, grid in found.pictures.items():
        drawn += contact_sheet.draw([grid], home / "plots", name)
    laps.lap("evidence, plots")
    stages = [*stages, Stage(name="audit", seconds=laps.total, detail={"seconds": laps.seconds})]
    shown |= account.evidence(stages) if account else {}
    progress.stage("release", str(home / "bundle"))
    manifest = candidate.manifest.model_copy(update={"stages": stages, "evidence": shown})
    manifest = _judged(request, replace(candidate, manifest=manifest), found, compressed.frontier)
    card.write(candidate.folder, manifest, drawn)
    return Release(home / "bundle", store.save(candidate.folder, manifest, home / "bundle"), plots=tuple(drawn))


def context_of(request: Request, model: runtime.Model, uncompressed: runtime.Model | None = None) -> checks.Context:
    """What the checks are told of a bundle of a request."""
    splits = request.prepared.splits
    return checks.Context(
        model,
        request.inputs,
        splits.train,
        splits.test,
        [gate.name for gate in request.gates],
        request.spec.seed,
        request.spec.quote_rows,
        request.spec.protected,
        uncompressed=uncompressed,
        tests=request.tests,
        foreign=request.foreign,
        valid=splits.valid,
        pricing=pricing(request.spec.cost),
        adapted=request.adapted,
    )


def write_baseline(context: checks.Context, model: runtime.Model) -> None:
    """What `trimtab watch` holds the rows of later against: the validation and test rows, as they are answered."""
    assert model.folder is not None
    tables = []
    for table in (context.valid, context.test):
        if table is not None and len(table):
            some = np.linspace(0, len(table) - 1, min(len(table), _BASELINE_ROWS)).astype(int)
            tables.append(table.take(some))
    names = [column.name for column in model.inputs]
    values = {name: [value for table in tables for value in table.values[name]] for name in names}
    right = [value for table in tables for value in table.values[model.output.name]]
    found = answering.made(model, values, right, context.quotes)
    baseline.write(model.folder / store.REFERENCE, found)


def _write_listed(found: checks.Finding, home: Path) -> None:
    """What checks list for the user's own eyes, beside the bundle: see `Finding.listed`."""
    for name, lines in found.listed.items():
        target = home / f"{name}.csv"
        if not lines:
            target.unlink(missing_ok=True)  # of a launch before
            continue
        with writer(target, "csv", list(lines[0])) as sink:
            sink.write(lines)


def _judged(request: Request, candidate: Candidate, found: checks.Finding, frontier: Frontier | None) -> Manifest:
    """The manifest with the verdict."""
    for name in (card.HTML, card.MARKDOWN):
        (candidate.folder / name).touch()  # the manifest lists them, whatever they will say
    lost, rows = request.prepared.report["unanswerable"]["test"], len(request.prepared.splits.test)
    results = gates.judge(request.gates, found.measured, lost, rows, found.remarks, request.spec.confidence)
    why = [*_why_not(results, candidate, frontier), *found.why]
    verdict = {"measured": dict(found.measured), "gates": results, "released": not why, "why": why}
    return store.write_manifest(candidate.folder, candidate.manifest.model_copy(update=verdict))


def _why_not(results: list[GateResult], candidate: Candidate, frontier: Frontier | None) -> list[str]:
    why = gates.missed(results)
    if why and frontier and frontier.nearest:
        why.append(frontier.nearest)
    rule = candidate.manifest.spec.get("answers")
    if candidate.output.assurance.answered_from == selective.NEVER:
        why.append(f"answers: no confidence meets {rule!r} on the validation rows, so that nothing would be answered")
    if candidate.differs > AGREEMENT:
        why.append(
            f"the exported network differs from the trained one by {candidate.differs:.2g} (at most {AGREEMENT})"
        )
    return why
