"""`trimtab audit`: the checks of a launch on other labelled rows, the gates held against them, and a card."""

from __future__ import annotations

import glob
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trimtab import __version__, behaviour, checks, files, foreign, metrics, perturb, registry, runtime
from trimtab import spec as specs
from trimtab.audit import cost, counterfactual, gates
from trimtab.audit.price import pricing
from trimtab.behaviour import OwnTest, reading
from trimtab.bundle import store
from trimtab.bundle.manifest import GateResult, Manifest, Stage
from trimtab.errors import problem
from trimtab.progress import Laps, Progress, Quiet
from trimtab.reaudit import labelled
from trimtab.reaudit.labelled import Labelled
from trimtab.report import card
from trimtab.spec import Gate, Spec

AUDIT = "audit.json"
_PLOTS = "trimtab.report.plots"
_SHEET = "trimtab.report.contact_sheet"
_FILES = {"behaviour": "behaviour", "foreign": "ood.auroc"}  # keys that name files -> the metrics measured by them


@dataclass(frozen=True)
class Audited:
    """What an audit found: the folder of its card, and a manifest with what was measured in it."""

    folder: Path
    manifest: Manifest

    @property
    def passed(self) -> bool:
        """Whether every gate is met."""
        return self.manifest.released


def audit(
    bundle: str | Path,
    data: str | Path,
    overrides: Sequence[str] = (),
    to: str | Path | None = None,
    progress: Progress | None = None,
    format: str | None = None,
    encoding: str | None = None,
    threads: int | None = None,
) -> Audited:
    """Measure a bundle's files on the labelled rows of `data`, and hold its gates against what is found.

    `overrides` change its spec: `gates.accuracy=">= 0.9"`, `protected=gender`. Rows that the bundle was made of are
    left out. A card and `audit.json` are written to the folder `to`; default: `audit-DATA` beside the bundle.
    Raises TrimtabError for what is no bundle, for rows that cannot be measured, and for gates that cannot be asked.
    """
    progress, laps = progress or Quiet(), Laps()
    subject = opened(bundle, overrides, progress, threads)
    laps.lap("load")
    progress.stage("audit", f"{data}: quality, cost, robustness, groups")
    found = labelled.read(subject.model, str(data), progress.note, format, encoding, subject.spec.protected)
    told(found, progress)
    laps.lap("answers")
    checked = checks.every(context(subject, found), laps, progress)
    judged = _judged(subject, found, checked)
    home = Path(to) if to else Path(bundle).resolve().parent / f"audit-{specs.folder_name(Path(data).stem) or 'rows'}"
    stages = [*judged.stages, Stage(name="audit", seconds=laps.total, detail={"seconds": laps.seconds})]
    described = {"audited": _described(found, str(data)), **{k: v for k, v in judged.data.items() if k != "rows"}}
    judged = judged.model_copy(update={"stages": stages, "data": described, "machine": cost.machine()})
    _write(home, Path(bundle), judged, checked)
    return Audited(home, judged)


@dataclass(frozen=True)
class Subject:
    """A bundle, and what is asked of it."""

    model: runtime.Model
    manifest: Manifest
    spec: Spec  # its own, changed
    gates: list[Gate]
    tests: tuple[OwnTest, ...]
    foreign: Mapping[str, Sequence[Any]]  # rows of another kind, raw values by input
    here: frozenset[str]  # gates that are asked for here, and not only by the bundle's own spec


def opened(bundle: str | Path, overrides: Sequence[str], progress: Progress, threads: int | None = None) -> Subject:
    """Load a bundle, and read its spec as it is changed.

    Raises TrimtabError for what is no bundle, and for gates and tests that can never be measured on it.
    """
    progress.stage("load", str(bundle))
    model = runtime.load(bundle, threads)
    manifest = model.manifest
    spec = _without_absent(specs.parse(specs.override(manifest.spec, overrides)), overrides, progress)
    tests = reading.read(spec.behaviour)
    other = foreign.read(spec.foreign, model.inputs, Path(), progress.note, spec.encoding)
    behaviour.check(tests, model.inputs, model.output)
    asked = specs.parse_gates(spec.gates)
    changes = [found.name for column in model.inputs for found in perturb.of_type(column.type)]
    swaps = counterfactual.names(model.output.scored and any(column.is_text for column in model.inputs))
    checked = {"robustness": changes, "behaviour": behaviour.names(tests), "counterfactual": swaps}
    given = [key for key in gates.NEEDED if getattr(spec, key) is not None]
    gates.check_names(asked, model.output.type, model.output.parts, checked, spec.protected, given)
    here = {override.partition("=")[0].strip().removeprefix("gates.") for override in overrides}
    return Subject(model, manifest, spec, asked, tests, other, frozenset(here))


def _without_absent(spec: Spec, overrides: Sequence[str], progress: Progress) -> Spec:
    """The spec without files that the bundle was made with and that are not here, nor its own gates on them."""
    named = {override.partition("=")[0].strip().removeprefix("gates.") for override in overrides}
    for key in [key for key in _FILES if key not in named]:
        absent = [name for name in getattr(spec, key) if not Path(name).exists() and not glob.glob(name)]
        if absent:
            progress.note(f"not here, and left out: {', '.join(absent)}")
            gone = [name for name in spec.gates if metrics.parsed(name).family == _FILES[key] and name not in named]
            kept = {name: bound for name, bound in spec.gates.items() if name not in gone}
            spec = spec.model_copy(update={key: (), "gates": kept})
    return spec


def told(found: Labelled, progress: Progress) -> None:
    """What was set aside, and what is wrong with values that were answered."""
    if found.seen:
        progress.note(f"{found.seen:,} rows are left out: the bundle was made by them")
    if found.aside.count:
        progress.note(found.aside.summary())
    for line in found.tally.lines():
        progress.note(line)


def context(subject: Subject, found: Labelled, before: runtime.Model | None = None) -> checks.Context:
    """What checks are told; `before` is the network that it is compared with.

    Raises TrimtabError for weights of rows that are none.
    """
    spec = subject.spec
    table = replace(found.table, weight=spec.weight if spec.weight in found.table.values else None)
    table.check_weights()
    return checks.Context(
        subject.model,
        subject.model.inputs,
        None,
        table,
        [gate.name for gate in subject.gates],
        spec.seed,
        spec.quote_rows,
        spec.protected,
        tests=subject.tests,
        foreign=subject.foreign,
        uncompressed=before,
        answered=found.outputs,
        pricing=pricing(spec.cost),
    )


def results(subject: Subject, rows: Labelled, found: checks.Finding) -> list[GateResult]:
    """Every gate held against what was found.

    A gate that the bundle came with, and that only the data which it was made of can answer, is left out; one that is
    asked for here is not met.
    """
    every = gates.judge(
        subject.gates, found.measured, rows.unknown, len(rows.table), found.remarks, subject.spec.confidence
    )
    told = {name for name in (one.name for one in every) if metrics.every()[metrics.parsed(name).family].of_making}
    return [one for one in every if one.measured is not None or one.name in subject.here or one.name not in told]


def _judged(subject: Subject, rows: Labelled, found: checks.Finding) -> Manifest:
    """The manifest with the verdict on these rows, and the evidence as the card shows it."""
    spec, told = subject.spec, results(subject, rows, found)
    why = gates.missed(told)
    evidence = {key: part for key, part in found.evidence.items() if spec.quote_rows or key not in store.QUOTING}
    left_out = [gate.name for gate in subject.gates if gate.name not in {one.name for one in told}]
    verdict = {
        "measured": dict(found.measured),
        "gates": told,
        "released": not why,
        "why": why,
        "evidence": {**evidence, **({"left_out": left_out} if left_out else {})},
        "spec": spec.model_dump(mode="json"),
    }
    return subject.manifest.model_copy(update=verdict)


def _described(found: Labelled, name: str) -> dict[str, Any]:
    """The rows that were measured, as the card tells them."""
    return {
        "file": name,
        "rows": len(found.table),
        "set aside": dict(found.aside.reasons.most_common(10)),
        "left out, for the bundle was made by them": found.seen,
        "values told of": found.tally.as_json(),
    }


def _write(home: Path, bundle: Path, manifest: Manifest, found: checks.Finding) -> None:
    """The card, its plots where they can be drawn, and the figures as JSON."""
    with files.writing(str(home)):
        home.mkdir(parents=True, exist_ok=True)
    if home.resolve() == bundle.resolve():
        raise problem(str(home), "this is the bundle itself, whose files are hashed", do="name another folder: --to")
    drawable = registry.available("matplotlib")
    drawn = registry.attribute(_PLOTS, "draw")(manifest.evidence, home / "plots") if drawable else []
    for name, grid in found.pictures.items() if drawable else ():
        drawn += registry.attribute(_SHEET, "draw")([grid], home / "plots", name)
    card.write(home, manifest, drawn, bundle)
    said = manifest.model_dump(
        mode="json", include={"name", "spec", "data", "measured", "gates", "evidence", "machine", "why"}
    )
    head = {
        "trimtab": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "bundle": manifest.hash,
        "passed": manifest.released,
    }
    files.write(home / AUDIT, json.dumps({**head, **said}, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
