"""How good the answers are: every metric of the type, with its interval, and what stands behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trimtab import metrics
from trimtab.audit import quality
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.checks import Context, Finding
from trimtab.page import Block, Plots, Section, Table, Text, figures

PLACE = 2
_MATRIX_CLASSES = 12  # a confusion matrix of more classes is shown as its largest confusions
_LARGEST_CONFUSIONS = 20
_MISTAKES, _UNFOLDED = 15, 5
# What mistakes are listed by, and what is said of them.
_SAYS_OF_MISTAKES = {
    "error": "The test rows with the largest errors.",
    "place": "The test rows whose right item stands lowest among all.",
    "chrf": "Answers that are least like the right ones, by chrF. Often they are other words for the same.",
    "confidence": "Wrong answers that the network was most sure of. Often it is the label that is wrong.",
}
_LIKEST = "Answers that are most like the right ones, by chrF."
_FEW_ROWS = 30  # test rows below which a class's recall says little


def check(context: Context) -> Finding:
    """The metrics of the served answers to the test rows; the evidence that their type has."""
    found = quality.measure(
        context.output,
        context.targets,
        context.outputs,
        context.seed,
        users=context.test.of(context.output.user),
        asked=context.gates,
        weights=context.test.weights,
    )
    return Finding(found, context.output.evidence(context.targets, context.outputs, context.rows))


def sections(manifest: Manifest) -> Iterator[Section]:
    """Every number that is no cost, what stands behind it, and the hardest mistakes."""
    found = manifest.evidence
    yield Section(
        "Quality",
        (
            figures.table(dict(_of_quality(manifest))),
            Plots(("confusion", "reliability", "roc", "precision_recall", "scatter", "histogram", "history")),
            *_parts(found.get("parts")),
            *_confusion(found.get("confusion")),
            *_reliability(found.get("reliability")),
            *_residuals(found.get("residuals")),
        ),
    )
    yield Section("Hardest mistakes", _mistakes(found.get("hardest", [])[:_MISTAKES]), "Mistakes")
    yield Section("Best answers", _mistakes(found.get("likest", [])[:_MISTAKES], _LIKEST), "Best")


def _of_quality(manifest: Manifest) -> Iterator[tuple[str, Measured]]:
    """The numbers that are no cost, and that no check shows in a section of its own."""
    for name, one in manifest.measured.items():
        family = metrics.parsed(name).family
        metric = metrics.every().get(family)
        elsewhere = metric and (metric.of_metric or metric.by_column or metric.apart)
        if not figures.is_cost(one) and not elsewhere and family not in manifest.evidence:
            yield name, one


def limits(manifest: Manifest) -> Iterator[str]:
    """Classes of which little is known, and what quality on these rows does not hold."""
    confusion = manifest.evidence.get("confusion")
    counted = (confusion.get("rows") or map(sum, confusion["counts"])) if confusion else ()
    rows = dict(zip(confusion["classes"], counted, strict=True)) if confusion else {}
    few = [f"{name} ({count})" for name, count in rows.items() if count < _FEW_ROWS]
    if few:
        more = f" and {len(few) - 10} more" if len(few) > 10 else ""
        yield f"Classes with fewer than {_FEW_ROWS} test rows, whose recall is little more than a guess: " + (
            ", ".join(few[:10]) + more + "."
        )
    source = "of one file" if "audited" in manifest.data else "of the same source as the training rows"
    yield (
        f"Quality was measured on rows {source}. Rows of another kind, place or time can be answered worse, and with "
        "the same confidence."
    )
    yield (
        "The intervals are 95% bootstrap intervals over the test rows. They do not hold what another training run, "
        "another split or wrong labels would change."
    )


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
        columns, title = frozenset(range(1, len(classes) + 1)), "Confusion matrix as a table"
        yield Table(("true \\ predicted", *classes), rows, columns, title=title, named=columns, folded=True)
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


def _mistakes(hardest: Sequence[Mapping[str, Any]], said: str = "") -> tuple[Block, ...]:
    if not hardest:
        return ()
    names = list(hardest[0]["inputs"])
    measure = next(key for key in _SAYS_OF_MISTAKES if key in hardest[0])
    rows = tuple(
        (
            *(one["inputs"].get(name, "") for name in names),
            *(figures.plain(one[key]) for key in ("true", "predicted", measure)),
        )
        for one in hardest
    )
    first = len(names) if measure == "error" else len(names) + 2
    numbers = frozenset(range(first, len(names) + 3))
    head = (*names, "true", "predicted", measure)
    shown = Table(head, rows[:_UNFOLDED], numbers, named=frozenset(range(len(names))))
    more = replace(shown, rows=rows[_UNFOLDED:], title=f"{len(rows) - _UNFOLDED} more", folded=True)
    return Text(said or _SAYS_OF_MISTAKES[measure]), shown, more
