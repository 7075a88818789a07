"""From a manifest to the release card: what each section says, in words and tables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trimtab.bundle.manifest import GateResult, Manifest, Measured
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

_CARDS = ("card.html", "card.md")
_MATRIX_CLASSES = 12  # a confusion matrix of more classes is shown as its largest confusions
_LARGEST_CONFUSIONS = 20
_MISTAKES = 15
_FEW_ROWS = 30  # test rows below which a class's recall says little
_NOTHING = "–"


class _Figure(NamedTuple):
    """A metric in words."""

    label: str
    meaning: str


_FIGURES = {
    "accuracy": _Figure("Accuracy", "share of right answers"),
    "macro_f1": _Figure("Macro F1", "mean over the classes of the harmonic mean of precision and recall"),
    "recall": _Figure("Recall", "share of this class's rows that were found"),
    "auc": _Figure("AUC", "chance that a row of the class scores above a row that is not"),
    "log_loss": _Figure("Log loss", "cost of confidence in wrong answers; lower is better"),
    "calibration_error": _Figure("Calibration error", "mean gap between confidence and accuracy; lower is better"),
    "average_precision": _Figure("Average precision", "area under the precision-recall curve"),
    "micro_f1": _Figure("Micro F1", "harmonic mean of precision and recall over all labels of all rows"),
    "exact_match": _Figure("Exact match", "share of rows of which everything is right"),
    "quadratic_kappa": _Figure("Quadratic kappa", "agreement beyond chance; far misses weigh more"),
    "span_f1": _Figure("Span F1", "harmonic mean of precision and recall over whole spans"),
    "span_precision": _Figure("Span precision", "share of the found spans that are right"),
    "span_recall": _Figure("Span recall", "share of the right spans that were found"),
    "ndcg@10": _Figure("NDCG@10", "how high the right item stands among the first ten"),
    "hit@10": _Figure("Hit rate@10", "share of rows whose item is among the first ten"),
    "mrr@10": _Figure("MRR@10", "mean of 1 / place of the right item, 0 beyond the first ten"),
    "coverage@10": _Figure("Coverage@10", "share of all items that are among the first ten of some row"),
    "rmse": _Figure("RMSE", "root of the mean squared error"),
    "mae": _Figure("MAE", "mean size of the error"),
    "r2": _Figure("R²", "share of the variance that is explained"),
    "size": _Figure("Size", "files that serving needs"),
    "latency": _Figure("Latency", "median time of one row, tokenising included"),
    "latency_p95": _Figure("Latency, p95", "19 of 20 rows take less"),
    "throughput": _Figure("Throughput", "rows answered in a second"),
    "memory": _Figure("Memory", "resident in a process that has answered"),
    "memory_peak": _Figure("Memory, peak", "highest while loading"),
}
_TILES = (
    "accuracy", "average_precision", "macro_f1", "micro_f1", "span_f1", "quadratic_kappa", "ndcg@10", "hit@10", "r2",
    "mae", "latency", "throughput", "size", "memory",
)  # fmt: skip
# What the network gains over a rival, by the metric that is told first.
_GAINS = {
    "accuracy": "The network makes {gone:.0%} fewer mistakes than {name}.",
    "r2": "The network makes {gone:.0%} less squared error than {name}.",
}
_GAIN = "The network closes {gone:.0%} of the gap between {name} and a perfect score."
_DIGITS = {"": 3, "MB": 1, "ms": 2, "rows/s": 0}


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
            Section("Data", _data(manifest)),
            Section("Augmentation", _augmentation(manifest)),
            Section("How it was made", _making(manifest), "Making"),
            Section("Files", _files(folder, manifest)),
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
        says += f" {_FIGURES[name].label} {_value(figure)}{_in_brackets(figure)} on {_test_rows(manifest)}."
    met = sum(gate.met for gate in manifest.gates)
    return f"{says} {met} of {len(manifest.gates)} gates met." if manifest.gates else f"{says} No gates were set."


def _test_rows(manifest: Manifest) -> str:
    rows = manifest.data.get("rows")
    count = rows.get("test") if isinstance(rows, Mapping) else None
    return f"{count:,} test rows it never saw" if isinstance(count, int) else "test rows it never saw"


def _small_print(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    machine = manifest.machine
    facts = (
        ("made", manifest.created[:16].replace("T", " ")),
        ("by", f"Trimtab {manifest.trimtab}"),
        ("measured on", f"{machine['cpu']}, {machine.get('cores')} cores" if machine.get("cpu") else ""),
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
        _label(gate.name),
        gate.asked,
        _value(measured) if measured else _NOTHING,
        _interval(found) if found else _NOTHING,
        gate.reason,
    )


def _tiles(manifest: Manifest) -> tuple[Block, ...]:
    shown = [name for name in _TILES if name in manifest.measured]
    return (Tiles(tuple(_tile(name, manifest.measured[name]) for name in shown)),)


def _tile(name: str, found: Measured) -> Tile:
    interval = _interval(found)
    note = f"95%: {interval}" if interval != _NOTHING else ""
    return Tile(_label(name), _number(found.value, found.unit), found.unit, note)


# ---------------------------------------------------------------------------------------------------------- floor


def _floor(manifest: Manifest) -> tuple[Block, ...]:
    rivals = {name: _all_measured(found) for name, found in manifest.evidence.get("floor", {}).items()}
    headline = manifest.headline
    if not rivals or headline not in manifest.measured:
        return ()
    everyone = {**rivals, "this bundle": manifest.measured}
    shown = {name: found for name, found in everyone.items() if headline in found}
    metrics = [name for name in manifest.measured if any(name in found for found in rivals.values())]
    rows = tuple(
        (_label(metric), *(_value(found[metric]) if metric in found else _NOTHING for found in everyone.values()))
        for metric in metrics
    )
    return (
        Text(_worth(headline, rivals, manifest.measured)),
        Bars(_label(headline), tuple(_bar(name, found[headline]) for name, found in shown.items())),
        Table(("on the same test rows", *everyone), rows, frozenset(range(1, len(everyone) + 1))),
    )


def _all_measured(found: Mapping[str, Any]) -> dict[str, Measured]:
    return {name: Measured.model_validate(value) for name, value in found.items()}


def _worth(headline: str, rivals: Mapping[str, Mapping[str, Measured]], own: Mapping[str, Measured]) -> str:
    """How much of the best rival's error is gone, and whether the test rows are enough to say so."""
    name, best = max(((name, found[headline]) for name, found in rivals.items()), key=lambda pair: pair[1].value)
    network = own[headline]
    if network.value <= best.value:
        return f"The network is not better than {name} ({_value(best)}): the cheap model answers as well."
    gone = (network.value - best.value) / (1.0 - best.value)
    sure = (network.low or 0.0) > (best.high or 1.0)
    doubt = "" if sure else " Their intervals overlap: more test rows would make the difference surer."
    return _GAINS.get(headline, _GAIN).format(gone=gone, name=name) + doubt


def _bar(name: str, found: Measured) -> Bar:
    low, high = found.low or found.value, found.high or found.value
    text = _value(found) + _in_brackets(found)
    return Bar(name, text, _unit(found.value), _unit(low), _unit(high), name == "this bundle")


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
        (_label(name), _value(found := manifest.measured[name]), _interval(found), _figure(name).meaning)
        for name in names
    )
    return Table(("metric", "value", "95% interval", "meaning"), rows, frozenset({1, 2}))


def _parts(parts: Sequence[Mapping[str, Any]] | None) -> Iterator[Block]:
    """A line for each part of an answer: a class, a number, a type of span."""
    if parts:
        names = list(dict.fromkeys(name for line in parts for name in line))
        rows = tuple(tuple(_counted(line.get(name)) for name in names) for line in parts)
        yield Table(tuple(names), rows, frozenset(range(1, len(names))), title=f"Each {names[0]}")


def _confusion(confusion: Mapping[str, Any] | None) -> Iterator[Block]:
    """The whole matrix, or the largest confusions of one that is too wide."""
    if not confusion:
        return
    classes, counts = confusion["classes"], confusion["counts"]
    if len(classes) <= _MATRIX_CLASSES:
        rows = tuple((name, *(f"{n:,}" for n in row)) for name, row in zip(classes, counts, strict=True))
        columns = frozenset(range(1, len(classes) + 1))
        yield Table(("true \\ predicted", *classes), rows, columns, title="Confusion matrix as a table", folded=True)
        return
    wrong = [
        (count, classes[true], classes[predicted])
        for true, row in enumerate(counts)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    largest = sorted(wrong, key=lambda entry: -entry[0])[:_LARGEST_CONFUSIONS]
    listed = tuple((true, predicted, f"{count:,}") for count, true, predicted in largest)
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
            *(_plain(one[key]) for key in ("true", "predicted", measure)),
        )
        for one in hardest
    )
    first = len(names) if measure == "error" else len(names) + 2
    figures = frozenset(range(first, len(names) + 3))
    says = {
        "confidence": "Wrong answers that the network was most sure of. Often it is the label that is wrong.",
        "error": "The test rows with the largest errors.",
        "place": "The test rows whose right item stands lowest among all.",
    }
    return Text(says[measure]), Table((*names, "true", "predicted", measure), rows, figures)


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# ----------------------------------------------------------------------------------------------------------- data


def _data(manifest: Manifest) -> tuple[Block, ...]:
    columns = [*((column, "input") for column in manifest.inputs), (manifest.output, "output")]
    rows = tuple((column.name, column.type, role) for column, role in columns)
    return *_facts(manifest.data), Table(("column", "type", "role"), rows, title="Columns")


def _facts(data: Mapping[str, Any], title: str = "") -> Iterator[Block]:
    """Plain values and short mappings in one table, then each list and larger mapping as a table of its own."""
    short = {name: value for name, value in data.items() if _is_short(value)}
    yield Table((title, ""), tuple((_words(name), _counted(value)) for name, value in short.items() if value != {}))
    for name, value in data.items():
        if name not in short:
            yield from _nested(f"{title}: {_words(name)}" if title else _words(name), value)


def _is_short(value: Any) -> bool:
    if isinstance(value, Mapping):
        return not any(part and isinstance(part, (Mapping, list, tuple)) for part in value.values())
    return not isinstance(value, (list, tuple))


def _nested(title: str, value: Any) -> Iterator[Block]:
    """A mapping of short mappings as a grid; a list of mappings as a table; a list of sentences."""
    if isinstance(value, Mapping):
        regular = all(isinstance(part, Mapping) and _is_short(part) for part in value.values())
        yield from [_grid(title, value)] if regular else _facts(value, title)
    elif value and all(isinstance(entry, Mapping) for entry in value):
        names = list(dict.fromkeys(name for entry in value for name in entry))
        rows = tuple(tuple(_counted(entry.get(name, "")) for name in names) for entry in value)
        yield Table(tuple(map(_words, names)), rows, title=title)
    elif value:
        yield Points(tuple(map(_counted, value)))


def _grid(title: str, parts: Mapping[str, Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for part in parts.values() for name in part))
    rows = tuple((name, *(_counted(part.get(name, "")) for part in parts.values())) for name in names)
    return Table((title, *map(_words, parts)), rows, frozenset(range(1, len(parts) + 1)))


def _words(name: object) -> str:
    return str(name).replace("_", " ")


def _counted(value: Any) -> str:
    """A value in a table of facts."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: _NOTHING}[value]
    if isinstance(value, (int, float)):
        return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    if isinstance(value, Mapping):
        return "; ".join(f"{_words(name)}: {_counted(part)}" for name, part in value.items() if part not in ({}, []))
    return ", ".join(map(_counted, value)) if isinstance(value, (list, tuple)) else str(value)


# --------------------------------------------------------------------------------------------------------- making


def _making(manifest: Manifest) -> tuple[Block, ...]:
    stages = tuple(
        (stage.name, f"{stage.seconds:,.1f} s", _counted(_scalars(stage.detail))) for stage in manifest.stages
    )
    chosen = tuple((a.key, _counted(a.value), a.reason) for a in manifest.automatic)
    return (
        Table(("stage", "took", "detail"), stages, frozenset({1}), title="Stages"),
        _history(manifest.evidence.get("history", [])),
        Table(("choice", "value", "why"), chosen, codes=frozenset({0}), title="Chosen automatically"),
    )


def _augmentation(manifest: Manifest) -> tuple[Block, ...]:
    """How training rows were varied, and examples."""
    found = manifest.evidence.get("augmentation")
    if not found:
        return ()
    options = tuple((name, _counted(chosen)) for name, chosen in found["options"].items())
    texts = tuple((one["input"], one["as it is"], text) for one in found["texts"] for text in one["varied"])
    return (
        Text(
            "Training rows alone are varied, anew each time that they are learnt from: those that choose the weights "
            "and those that the numbers above were measured on stay as they are. The examples are training data: mind "
            "who may see them."
        ),
        Table(("input", "how its rows are varied"), options),
        Plots(("augmentation",)),
        Table(("input", "as it is", "varied"), texts, title="Varied texts"),
    )


def _scalars(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not isinstance(value, (Mapping, list, tuple))}


def _history(history: Iterable[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (_plain(entry["epoch"]), f"{entry['step']:,}", f"{entry['loss']:.4f}", f"{entry['score']:.4f}")
        for entry in history
    )
    head = ("epoch", "step", "training loss", "validation score")
    return Table(head, rows, frozenset({1, 2, 3}), title="Evaluations while training", folded=True)


def _files(folder: Path, manifest: Manifest) -> tuple[Block, ...]:
    """Every file but the card itself and the manifest, which is written last."""
    digests = manifest.files or _hashed(folder)
    rows = tuple(
        (name, f"{(folder / name).stat().st_size:,}" if (folder / name).is_file() else _NOTHING, digest)
        for name, digest in sorted(digests.items())
        if name not in _CARDS
    )
    return (Table(("file", "bytes", "sha256"), rows, frozenset({1}), frozenset({0, 2})),)


def _hashed(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in files}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# --------------------------------------------------------------------------------------------------------- limits


def _limits(manifest: Manifest) -> tuple[Block, ...]:
    return (Points((*_limits_of_these_rows(manifest), *_LIMITS)),)


def _limits_of_these_rows(manifest: Manifest) -> Iterator[str]:
    confusion = manifest.evidence.get("confusion")
    rows = dict(zip(confusion["classes"], map(sum, confusion["counts"]), strict=True)) if confusion else {}
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


# -------------------------------------------------------------------------------------------------------- figures


def _figure(name: str) -> _Figure:
    family = name.partition(".")[0]
    return _FIGURES.get(family, _Figure(_words(family), ""))


def _label(name: str) -> str:
    """`recall.spam` -> `Recall of spam`."""
    part = name.partition(".")[2]
    return f"{_figure(name).label} of {part}" if part else _figure(name).label


def _number(value: float, unit: str) -> str:
    digits = _DIGITS.get(unit, 3)
    return f"{value:,.{digits}f}" if abs(value) < 1e6 else f"{value:.3g}"


def _value(found: Measured) -> str:
    return f"{_number(found.value, found.unit)} {found.unit}".rstrip()


def _interval(found: Measured) -> str:
    if found.low is None or found.high is None:
        return _NOTHING
    return f"{_number(found.low, found.unit)} to {_number(found.high, found.unit)}"


def _in_brackets(found: Measured) -> str:
    interval = _interval(found)
    return f" ({interval})" if interval != _NOTHING else ""
