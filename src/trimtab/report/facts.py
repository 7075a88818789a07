"""From a manifest to the release card: what each section says, in words and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab import metrics, programs
from trimtab.bundle.manifest import GateResult, Manifest, Measured
from trimtab.report import compression, figures, provenance
from trimtab.report.page import (
    Bar,
    Bars,
    Block,
    Commands,
    Mark,
    Page,
    Plots,
    Points,
    Section,
    Table,
    Text,
    Tile,
    Tiles,
)

_MATRIX_CLASSES = 12  # a confusion matrix of more classes is shown as its largest confusions
_LARGEST_CONFUSIONS = 20
_MISTAKES = 15
_FEW_ROWS = 30  # test rows below which a class's recall says little

# What is said where a metric has no words of its own for it.
_GAIN = "The network closes {gone:.0%} of the gap between {name} and a perfect score."
_LESS = "The network's {metric} is {gone:.0%} lower than that of {name}."
_PERFECT = {True: 1.0, False: 0.0}  # by whether more is better: every metric of quality has its best value at 1 or at 0


def page(folder: Path, manifest: Manifest) -> Page:
    """The release card of the bundle in `folder`."""
    return Page(
        name=manifest.name,
        verdict="Released" if manifest.released else "Not released",
        good=manifest.released,
        summary=_summary(manifest),
        why=tuple(manifest.why),
        facts=_small_print(manifest),
        sections=(
            Section("Gates", _gates(manifest)),
            Section("At a glance", _tiles(manifest)),
            Section("What the large model is worth", _floor(manifest), "Worth"),
            Section("Quality", _quality(manifest)),
            Section("Hardest mistakes", _mistakes(manifest), "Mistakes"),
            Section("Cost", _cost(manifest)),
            *_said(manifest),
            Section("Compression", compression.compression(manifest)),
            Section("Data", provenance.data(manifest)),
            Section("Augmentation", provenance.augmentation(manifest)),
            Section("How it was made", provenance.how_it_was_made(manifest), "Making"),
            Section("Files", provenance.files(folder, manifest)),
            Section("What this card does not show", _limits(manifest), "Limits"),
            Section("Use it", _use(manifest)),
        ),
    )


# -------------------------------------------------------------------------------------------------------- verdict


def _summary(manifest: Manifest) -> str:
    inputs = ", ".join(f"{column.name} ({column.type})" for column in manifest.inputs)
    says = f"Answers {manifest.output.name} ({manifest.output.type}) from {inputs}."
    name = manifest.headline
    if name in manifest.measured:
        figure = manifest.measured[name]
        says += (
            f" {figures.label(name)} {figures.value(figure)}{figures.in_brackets(figure)} on {_test_rows(manifest)}."
        )
    met = sum(gate.met for gate in manifest.gates)
    return f"{says} {met} of {len(manifest.gates)} gates met." if manifest.gates else f"{says} No gates were set."


def _test_rows(manifest: Manifest) -> str:
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


def _gates(manifest: Manifest) -> tuple[Block, ...]:
    if not manifest.gates:
        return (Text("No gates were set: nothing was asked of this bundle before its release."),)
    rows = tuple(_gate_row(gate, manifest.measured.get(gate.name)) for gate in manifest.gates)
    head = ("gate", "asked", "measured", "95% interval", "remark")
    used = len(head) if any(gate.reason for gate in manifest.gates) else len(head) - 1
    marks: tuple[Mark, ...] = tuple("good" if gate.met else "bad" for gate in manifest.gates)
    return (Table(head[:used], tuple(row[:used] for row in rows), frozenset({1, 2, 3}), marks=marks),)


def _gate_row(gate: GateResult, found: Measured | None) -> tuple[str, ...]:
    measured = Measured(value=gate.measured, unit=gate.unit) if gate.measured is not None else None
    return (
        figures.label(gate.name),
        gate.asked,
        figures.value(measured) if measured else figures.NOTHING,
        figures.interval(found) if found else figures.NOTHING,
        gate.reason,
    )


def _tiles(manifest: Manifest) -> tuple[Block, ...]:
    shown = [name for name in manifest.measured if _is_tile(name)]
    return (Tiles(tuple(_tile(name, manifest.measured[name]) for name in shown)),)


def _is_tile(name: str) -> bool:
    family, _, part = metrics.parsed(name)
    metric = metrics.every().get(family)
    return metric is not None and metric.tile and not part


def _tile(name: str, found: Measured) -> Tile:
    interval = figures.interval(found)
    note = f"95%: {interval}" if interval != figures.NOTHING else ""
    return Tile(figures.label(name), figures.number(found.value, found.unit), found.unit, note)


# ---------------------------------------------------------------------------------------------------------- baseline


def _floor(manifest: Manifest) -> tuple[Block, ...]:
    rivals = {name: _all_measured(found) for name, found in manifest.evidence.get("baselines", {}).items()}
    headline = manifest.headline
    if not rivals or headline not in manifest.measured:
        return ()
    everyone = {**rivals, "this bundle": manifest.measured}
    shown = {name: found for name, found in everyone.items() if headline in found}
    names = [name for name in manifest.measured if any(name in found for found in rivals.values())]
    rows = tuple(
        (
            figures.label(metric),
            *(figures.value(found[metric]) if metric in found else figures.NOTHING for found in everyone.values()),
        )
        for metric in names
    )
    bars = Bars(
        figures.label(headline), tuple(_bars(headline, {name: found[headline] for name, found in shown.items()}))
    )
    return (
        *_worth(headline, rivals, manifest.measured[headline]),
        *([bars] if len(shown) > 1 else []),
        Table(("on the same test rows", *everyone), rows, frozenset(range(1, len(everyone) + 1))),
    )


def _all_measured(found: Mapping[str, Any]) -> dict[str, Measured]:
    return {name: Measured.model_validate(value) for name, value in found.items()}


def _worth(headline: str, rivals: Mapping[str, Mapping[str, Measured]], own: Measured) -> Iterator[Text]:
    """How much of the best rival's error is gone, and whether the test rows are enough to say so."""
    found = [(name, measured[headline]) for name, measured in rivals.items() if headline in measured]
    if not found:
        return
    more = _more_is_better(headline)
    name, best = (max if more else min)(found, key=lambda pair: pair[1].value)
    if own.value == best.value or (own.value < best.value) == more:
        yield Text(f"The network is not better than {name} ({figures.value(best)}): the cheap model answers as well.")
        return
    gone = (own.value - best.value) / (_PERFECT[more] - best.value)
    gain = metrics.named(headline).gain or (_GAIN if more else _LESS)
    doubt = " Their intervals overlap: more test rows would make the difference surer." if _overlap(own, best) else ""
    yield Text(gain.format(gone=gone, name=name, metric=figures.label(headline)) + doubt)


def _more_is_better(metric: str) -> bool:
    return metrics.named(metric).higher_is_better


def _overlap(one: Measured, other: Measured) -> bool:
    """Whether both have an interval, and some value lies in both."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low <= other.high and other.low <= one.high


def _bars(headline: str, shown: Mapping[str, Measured]) -> Iterator[Bar]:
    """A bar for each, from 0 to the best score; of what has no best score, to the largest one."""
    low = {name: own.value if own.low is None else own.low for name, own in shown.items()}
    high = {name: own.value if own.high is None else own.high for name, own in shown.items()}
    longest = _PERFECT[True] if _more_is_better(headline) else max(high.values()) or 1.0
    for name, own in shown.items():
        length, start, end = (_unit(value / longest) for value in (own.value, low[name], high[name]))
        text = figures.value(own) + figures.in_brackets(own)
        yield Bar(name, text, length, start, end, name == "this bundle")


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))


# -------------------------------------------------------------------------------------------------------- quality


def _quality(manifest: Manifest) -> tuple[Block, ...]:
    return (
        _measured_table(manifest, [name for name in manifest.measured if not _is_cost(manifest, name)]),
        Plots(("confusion", "reliability", "roc", "precision_recall", "scatter", "histogram", "history")),
        *_parts(manifest.evidence.get("parts")),
        *_confusion(manifest.evidence.get("confusion")),
        *_reliability(manifest.evidence.get("reliability")),
        *_residuals(manifest.evidence.get("residuals")),
    )


def _said(manifest: Manifest) -> Iterator[Section]:
    """The sections that checks wrote themselves."""
    for said in manifest.evidence.get("sections", []):
        table = Table(tuple(said["head"]), tuple(map(tuple, said["rows"]))) if said["head"] else None
        yield Section(said["title"], (*map(Text, said["texts"]), *((table,) if table else ())))


def _cost(manifest: Manifest) -> tuple[Block, ...]:
    machine = tuple((name.replace("_", " "), str(value)) for name, value in manifest.machine.items() if value)
    return (
        _measured_table(manifest, [name for name in manifest.measured if _is_cost(manifest, name)]),
        Table(("measured on", ""), machine),
    )


def _is_cost(manifest: Manifest, name: str) -> bool:
    return manifest.measured[name].unit in ("MB", "ms", "rows/s")


def _measured_table(manifest: Manifest, names: Sequence[str]) -> Table:
    rows = tuple(
        (
            figures.label(name),
            figures.value(found := manifest.measured[name]),
            figures.interval(found),
            figures.meaning(name),
        )
        for name in names
    )
    return Table(("metric", "value", "95% interval", "meaning"), rows, frozenset({1, 2}))


def _parts(parts: Sequence[Mapping[str, Any]] | None) -> Iterator[Block]:
    """A line for each part of an answer: a class, a number, a type of span."""
    if parts:
        names = list(dict.fromkeys(name for line in parts for name in line))
        rows = tuple(tuple(figures.counted(line.get(name)) for name in names) for line in parts)
        yield Table(tuple(names), rows, frozenset(range(1, len(names))), title=f"Each {names[0]}")


def _confusion(confusion: Mapping[str, Any] | None) -> Iterator[Block]:
    """The whole matrix, or the largest confusions of one that is too wide."""
    if not confusion:
        return
    classes, counts = confusion["classes"], confusion.get("counts", [])
    if counts and len(classes) <= _MATRIX_CLASSES:
        rows = tuple((name, *(f"{n:,}" for n in row)) for name, row in zip(classes, counts, strict=True))
        columns = frozenset(range(1, len(classes) + 1))
        yield Table(("true \\ predicted", *classes), rows, columns, title="Confusion matrix as a table", folded=True)
        return
    pairs = [
        (true, predicted, count) for true, row in enumerate(counts) for predicted, count in enumerate(row) if count
    ]
    wrong = confusion.get("largest") or [pair for pair in pairs if pair[0] != pair[1]]
    largest = sorted(wrong, key=lambda pair: -pair[2])[:_LARGEST_CONFUSIONS]
    listed = tuple((classes[true], classes[predicted], f"{count:,}") for true, predicted, count in largest)
    yield Table(("true", "predicted", "rows"), listed, frozenset({2}), title="Largest confusions")


def _reliability(reliability: Mapping[str, Any] | None) -> Iterator[Block]:
    if reliability:
        rows = tuple(
            (f"{b['low']:.2f} to {b['high']:.2f}", f"{b['rows']:,}", f"{b['confidence']:.3f}", f"{b['accuracy']:.3f}")
            for b in reliability["bins"]
        )
        head = ("confidence between", "rows", "mean confidence", "accuracy")
        title = f"Calibration as a table; temperature {reliability['temperature']:.3g}, fitted on the validation rows"
        yield Table(head, rows, frozenset({1, 2, 3}), title=title, folded=True)


def _residuals(residuals: Mapping[str, float] | None) -> Iterator[Block]:
    if residuals:
        rows = tuple((f"{float(share):.0%}", f"{value:.4g}") for share, value in residuals.items())
        yield Table(("share of rows", "predicted - actual at most"), rows, frozenset({1}), title="Residuals")


def _mistakes(manifest: Manifest) -> tuple[Block, ...]:
    hardest: Sequence[Mapping[str, Any]] = manifest.evidence.get("hardest", [])[:_MISTAKES]
    if not hardest:
        return ()
    names = list(hardest[0]["inputs"])
    measure = next(key for key in ("error", "place", "confidence") if key in hardest[0])
    rows = tuple(
        (
            *(one["inputs"].get(name, "") for name in names),
            *(figures.plain(one[key]) for key in ("true", "predicted", measure)),
        )
        for one in hardest
    )
    first = len(names) if measure == "error" else len(names) + 2
    numbers = frozenset(range(first, len(names) + 3))
    says = {
        "confidence": "Wrong answers that the network was most sure of. Often it is the label that is wrong.",
        "error": "The test rows with the largest errors.",
        "place": "The test rows whose right item stands lowest among all.",
    }
    return Text(says[measure]), Table((*names, "true", "predicted", measure), rows, numbers)


# --------------------------------------------------------------------------------------------------------- limits


def _limits(manifest: Manifest) -> tuple[Block, ...]:
    return (Points((*_limits_of_these_rows(manifest), *_LIMITS)),)


def _limits_of_these_rows(manifest: Manifest) -> Iterator[str]:
    confusion = manifest.evidence.get("confusion")
    counted = (confusion.get("rows") or map(sum, confusion["counts"])) if confusion else ()
    rows = dict(zip(confusion["classes"], counted, strict=True)) if confusion else {}
    few = [f"{name} ({count})" for name, count in rows.items() if count < _FEW_ROWS]
    if few:
        more = f" and {len(few) - 10} more" if len(few) > 10 else ""
        yield f"Classes with fewer than {_FEW_ROWS} test rows, whose recall is little more than a guess: " + (
            ", ".join(few[:10]) + more + "."
        )


_LIMITS = (
    "Quality was measured on rows of the same source as the training rows. Rows of another kind, place or time can "
    "be answered worse, and with the same confidence.",
    "The intervals are 95% bootstrap intervals over the test rows. They do not hold what another training run, "
    "another split or wrong labels would change.",
    "Time and memory hold for the machine named above; another processor computes faster or slower.",
    "Not measured yet: fairness between groups of people, robustness against altered inputs, and how much the "
    "network gives away about its training rows.",
    "The hardest mistakes quote rows of the test data. Mind who may read them before you pass this card on.",
)


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
