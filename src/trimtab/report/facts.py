"""From a manifest to the release card: the verdict first, then what each check says, then how it was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from trimtab import checks, columns, metrics, programs
from trimtab.bundle.manifest import GateResult, Manifest, Measured
from trimtab.page import Block, Commands, Mark, Page, Points, Section, Table, Text, Tile, Tiles, figures
from trimtab.report import compression, provenance


def page(folder: Path, manifest: Manifest) -> Page:
    """The release card of the bundle in `folder`."""
    good, bad = ("Passed", "Failed") if "audited" in manifest.data else ("Released", "Not released")
    limits = (*checks.limits(manifest), *([_QUOTED] if manifest.evidence.get("hardest") else []))
    return Page(
        name=manifest.name,
        verdict=good if manifest.released else bad,
        good=manifest.released,
        summary=_summary(manifest),
        why=tuple(manifest.why),
        facts=_small_print(manifest),
        sections=_joined(
            Section("Intended use", _meant_for(manifest), "Use"),
            Section("Gates", _gates(manifest)),
            Section("At a glance", (Tiles(tuple(_tiles(manifest))),)),
            *checks.sections(manifest),
            Section("Hyper-parameter search", provenance.search(manifest), "Search"),
            Section("Compression", compression.compression(manifest)),
            Section("Data", provenance.data(manifest)),
            Section("Augmentation", provenance.augmentation(manifest)),
            Section("How it was made", provenance.how_it_was_made(manifest), "Making"),
            Section("Files", provenance.files(folder, manifest)),
            Section("What this card does not show", (Points(limits),), "Limits"),
            Section("Use it", _use(manifest), "Commands"),
        ),
        language=manifest.spec.get("language") or "en",
    )


def _joined(*sections: Section) -> tuple[Section, ...]:
    """Sections of one title as one, where the first of them stands."""
    found: dict[str, Section] = {}
    for own in sections:
        first = found.get(own.title)
        found[own.title] = own if first is None else replace(first, blocks=(*first.blocks, *own.blocks))
    return tuple(found.values())


# -------------------------------------------------------------------------------------------------------- verdict


def _summary(manifest: Manifest) -> str:
    inputs = ", ".join(f"{column.name} ({column.type})" for column in manifest.inputs)
    says = f"Answers {manifest.output.name} ({columns.word(manifest.output.type)}) from {inputs}."
    name = manifest.headline
    if name in manifest.measured:
        figure = manifest.measured[name]
        says += f" {figures.label(name)} {figures.whole(figure)} on {_test_rows(manifest)}."
    met = sum(gate.met for gate in manifest.gates)
    return f"{says} {met} of {len(manifest.gates)} gates met." if manifest.gates else f"{says} No gates were set."


def _test_rows(manifest: Manifest) -> str:
    if audited := manifest.data.get("audited"):
        return f"{audited['rows']:,} rows of {audited['file']}"
    rows = manifest.data.get("rows")
    count = rows.get("test") if isinstance(rows, Mapping) else None
    return f"{count:,} test rows it never saw" if isinstance(count, int) else "test rows it never saw"


def _small_print(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    machine, serving = manifest.machine, manifest.serving
    program = programs.opened(serving.program.name, serving.program.options, serving.graphs, manifest.name)
    facts = (
        ("made", manifest.created[:16].replace("T", " ")),
        ("by", f"Trimtab {manifest.trimtab}"),
        ("measured on", f"{machine['cpu']}, {machine.get('cores')} cores" if machine.get("cpu") else ""),
        ("networks", program.words),
        ("precision", manifest.precision),
        ("bundle hash", manifest.hash[:16]),
    )
    return tuple((label, value) for label, value in facts if value)


def _meant_for(manifest: Manifest) -> tuple[Block, ...]:
    """What its makers say of it, a paragraph for each of theirs."""
    said = [str(manifest.spec.get(key) or "") for key in ("description", "intended_use")]
    return tuple(Text(part.strip(), own=True) for text in said for part in text.split("\n\n") if part.strip())


def _gates(manifest: Manifest) -> tuple[Block, ...]:
    if not manifest.gates:
        return (Text("No gates were set: nothing was asked of this bundle before its release."),)
    rows = tuple(_gate_row(gate, manifest.measured.get(gate.name)) for gate in manifest.gates)
    head = ("gate", "asked", "measured", "95% interval", "remark")
    used = len(head) if any(gate.reason for gate in manifest.gates) else len(head) - 1
    marks: tuple[Mark, ...] = tuple("good" if gate.met else "bad" for gate in manifest.gates)
    return (Table(head[:used], tuple(row[:used] for row in rows), frozenset({1, 2, 3}), marks=marks, fixed=_WORDS),)


_WORDS = frozenset({0, 4})


def _gate_row(gate: GateResult, found: Measured | None) -> tuple[str, ...]:
    measured = Measured(value=gate.measured, unit=gate.unit) if gate.measured is not None else None
    return (
        figures.label(gate.name),
        gate.asked,
        figures.value(measured) if measured else figures.NOTHING,
        figures.interval(found) if found else figures.NOTHING,
        gate.reason,
    )


# --------------------------------------------------------------------------------------------------------- limits


def _tiles(manifest: Manifest) -> Iterator[Tile]:
    """The figures that are told first: see `Metric.tile`."""
    for name, found in manifest.measured.items():
        found_name = metrics.parsed(name)
        metric = metrics.every().get(found_name.family)
        if metric and metric.tile and not found_name.part and not found_name.columns:
            interval = figures.interval(found)
            note = f"95%: {interval}" if interval != figures.NOTHING else ""
            yield Tile(figures.label(name), figures.number(found.value, found.unit), found.unit, note)


_QUOTED = "The hardest mistakes quote rows of the test data. Mind who may read them before you pass this card on."


def _use(manifest: Manifest) -> tuple[Block, ...]:
    bundle = f"runs/{manifest.name}/bundle"
    example = ", ".join(f"{column.name!r}: ..." for column in manifest.inputs)
    return (
        Commands(
            (
                f"$ trimtab verify {bundle}",
                f"$ trimtab predict {bundle} new.csv --output answers.csv",
                f"$ trimtab evaluate {bundle} labelled.csv",
            )
        ),
        Commands((f'answers = trimtab.load("{bundle}").predict([{{{example}}}])',), "python"),
    )
