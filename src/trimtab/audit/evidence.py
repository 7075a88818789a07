"""What stands behind the numbers: confusion, curves, reliability, the worst mistakes; plain JSON for the manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trimtab.columns import OutputColumn, Outputs, Ragged, Targets, dense
from trimtab.columns.label import LabelColumn
from trimtab.columns.labels import LabelsColumn
from trimtab.columns.number import NumberColumn
from trimtab.columns.numbers import NumbersColumn
from trimtab.columns.ordinal import OrdinalColumn
from trimtab.columns.ranking import TOP, RankingColumn, first, ranks
from trimtab.columns.tags import TagsColumn
from trimtab.metrics.statistics import CALIBRATION_BINS, calibration_bin
from trimtab.values import list_cells

CURVE_POINTS = 200
CURVE_CLASSES = 12  # the most frequent classes of the rows get curves
HARDEST = 20
SHORT = 240  # characters of one input shown with a mistake
SCATTER_POINTS = 500
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

Rows = Sequence[Mapping[str, Any]]


def evidence(output: OutputColumn, targets: Targets, outputs: Outputs, inputs: Rows) -> dict[str, Any]:
    """Everything that the card and the plots show of these rows, as plain JSON.

    `targets` and raw `outputs` as for `quality.measure`; `inputs` holds each row's input values, shown shortened beside
    the hardest mistakes. An output type of which nothing more than its metrics is shown gives nothing.
    """
    show = _EVIDENCE.get(output.type)
    return show(output, targets, outputs, inputs) if show else {}


def _of_label(output: LabelColumn, targets: Targets, outputs: Outputs, inputs: Rows) -> dict[str, Any]:
    probabilities = np.asarray(output.probabilities(dense(outputs)), dtype=np.float64)
    return label_evidence(output.classes, dense(targets), probabilities, inputs, output.temperature)


def _of_number(output: NumberColumn, targets: Targets, outputs: Outputs, inputs: Rows) -> dict[str, Any]:
    return number_evidence(output.in_units(dense(targets)), output.in_units(dense(outputs)), inputs)


def _of_ranking(output: RankingColumn, targets: Targets, outputs: Outputs, inputs: Rows) -> dict[str, Any]:
    """How often the right item stands at each place, and the rows in which it stands lowest."""
    places = ranks(dense(outputs), dense(targets))
    best = first(dense(outputs), 1)[:, 0]
    shown = np.argsort(-places, kind="stable")[:HARDEST]
    return {
        "places": {str(place): int(np.sum(places == place)) for place in range(1, TOP + 1)},
        "hardest": [
            {
                "inputs": _shortened(inputs[row]),
                "true": output.classes[dense(targets)[row]],
                "predicted": output.classes[best[row]],
                "place": int(places[row]),
            }
            for row in shown
        ],
    }


def label_evidence(
    classes: Sequence[str], targets: np.ndarray, probabilities: np.ndarray, inputs: Rows, temperature: float = 1.0
) -> dict[str, Any]:
    """Confusion matrix, curves, reliability, histogram of confidence and the hardest mistakes."""
    chosen = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    return {
        "confusion": {"classes": list(classes), "counts": _confusion(targets, chosen, len(classes))},
        "curves": [
            _curves(classes[index], targets == index, probabilities[:, index]) for index in _drawn(targets, classes)
        ],
        "reliability": {"temperature": float(temperature), "bins": _reliability(confidence, chosen == targets)},
        "histogram": _confidence_histogram(confidence, chosen == targets),
        "hardest": _hardest_labels(classes, targets, chosen, confidence, inputs),
    }


def number_evidence(targets: np.ndarray, predictions: np.ndarray, inputs: Rows) -> dict[str, Any]:
    """Predicted against actual, residual quantiles, histogram of residuals and the hardest mistakes."""
    residuals = predictions - targets
    shown = _spread_out(len(targets), SCATTER_POINTS)
    counts, edges = np.histogram(residuals, bins=30)
    return {
        "scatter": {"actual": _rounded(targets[shown]), "predicted": _rounded(predictions[shown])},
        "residuals": {f"{q:g}": _round(np.quantile(residuals, q)) for q in _QUANTILES} if len(residuals) else {},
        "histogram": {"edges": _rounded(edges), "counts": counts.tolist()},
        "hardest": _hardest_numbers(targets, predictions, inputs),
    }


def _confusion(targets: np.ndarray, chosen: np.ndarray, classes: int) -> list[list[int]]:
    """Counts with a row for each true class and a column for each predicted one."""
    counts = np.bincount(targets * classes + chosen, minlength=classes * classes)
    matrix: list[list[int]] = counts.reshape(classes, classes).tolist()
    return matrix


def _drawn(targets: np.ndarray, classes: Sequence[str]) -> list[int]:
    """The classes that get curves: the second of two, else the most frequent ones, in the order of the classes."""
    counts = np.bincount(targets, minlength=len(classes))
    wanted = [1] if len(classes) == 2 else np.argsort(-counts, kind="stable")[:CURVE_CLASSES]
    return sorted(int(index) for index in wanted if 0 < counts[index] < len(targets))


def _curves(name: str, positive: np.ndarray, score: np.ndarray) -> dict[str, Any]:
    """ROC and precision-recall points of one class against the rest, thinned."""
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(positive[order])[last_of_tie].astype(np.float64)
    alarms = np.cumsum(~positive[order])[last_of_tie].astype(np.float64)
    true_rate, false_rate, precision = hits / hits[-1], alarms / alarms[-1], hits / (hits + alarms)
    roc_y, roc_x = np.append(0.0, true_rate), np.append(0.0, false_rate)
    recall_steps = np.diff(np.append(0.0, true_rate))
    return {
        "class": name,
        "share": float(positive.mean()),
        "auc": float(np.trapezoid(roc_y, roc_x)),
        "average_precision": float(np.sum(recall_steps * precision)),
        "roc": _points(roc_x, roc_y),
        "precision_recall": _points(np.append(0.0, true_rate), np.append(precision[0], precision)),
    }


def _points(x: np.ndarray, y: np.ndarray) -> dict[str, list[float]]:
    """At most `CURVE_POINTS` of a curve, evenly along its length, both ends kept."""
    along = np.append(0.0, np.cumsum(np.hypot(np.diff(x), np.diff(y))))
    wanted = np.linspace(0.0, along[-1], CURVE_POINTS)
    kept = np.unique(np.clip(np.searchsorted(along, wanted), 0, len(x) - 1))
    if len(x) <= CURVE_POINTS:
        kept = np.arange(len(x))
    return {"x": np.round(x[kept], 4).tolist(), "y": np.round(y[kept], 4).tolist()}


def _reliability(confidence: np.ndarray, right: np.ndarray) -> list[dict[str, float | int]]:
    """Of each bin of confidence that holds rows: its bounds, rows, mean confidence and accuracy."""
    bins = calibration_bin(confidence)
    return [
        {
            "low": _round(index / CALIBRATION_BINS),
            "high": _round((index + 1) / CALIBRATION_BINS),
            "rows": int(np.sum(bins == index)),
            "confidence": _round(confidence[bins == index].mean()),
            "accuracy": _round(right[bins == index].mean()),
        }
        for index in np.unique(bins)
    ]


def _confidence_histogram(confidence: np.ndarray, right: np.ndarray) -> dict[str, list[Any]]:
    edges = np.linspace(0.0, 1.0, 21)
    return {
        "edges": _rounded(edges),
        "right": np.histogram(confidence[right], edges)[0].tolist(),
        "wrong": np.histogram(confidence[~right], edges)[0].tolist(),
    }


def _hardest_labels(
    classes: Sequence[str], targets: np.ndarray, chosen: np.ndarray, confidence: np.ndarray, inputs: Rows
) -> list[dict[str, Any]]:
    """Wrong answers, the most confident first: often rows whose label is wrong."""
    wrong = np.flatnonzero(chosen != targets)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:HARDEST]
    return [
        {
            "inputs": _shortened(inputs[row]),
            "true": classes[targets[row]],
            "predicted": classes[chosen[row]],
            "confidence": _round(confidence[row]),
        }
        for row in worst
    ]


def _hardest_numbers(targets: np.ndarray, predictions: np.ndarray, inputs: Rows) -> list[dict[str, Any]]:
    """The largest errors first."""
    worst = np.argsort(-np.abs(predictions - targets), kind="stable")[:HARDEST]
    return [
        {
            "inputs": _shortened(inputs[row]),
            "true": _round(targets[row]),
            "predicted": _round(predictions[row]),
            "error": _round(predictions[row] - targets[row]),
        }
        for row in worst
    ]


def _shortened(row: Mapping[str, Any]) -> dict[str, str]:
    """A row's values as short text on one line each."""
    texts = {name: " ".join(str("" if value is None else value).split()) for name, value in row.items()}
    return {name: text if len(text) <= SHORT else text[: SHORT - 1] + "…" for name, text in texts.items()}


def _spread_out(rows: int, most: int) -> np.ndarray:
    """At most `most` row indices, evenly over the rows."""
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).astype(np.int64))


def _round(value: float | np.floating[Any]) -> float:
    """Six significant digits: enough for a plot, short in a file."""
    return float(f"{float(value):.6g}")


def _rounded(values: np.ndarray) -> list[float]:
    return [_round(value) for value in values]


# ----------------------------------------------------------------------------------------- answers of several parts


def _of_labels(output: LabelsColumn, targets: Targets, outputs: Outputs, inputs: Rows) -> dict[str, Any]:
    """A line for each class, curves, and the rows with the most wrong classes."""
    truth, shares = dense(targets), output.probabilities(dense(outputs))
    chosen = output.chosen(shares)
    curves = []
    for place in np.argsort(-np.nansum(truth, axis=0), kind="stable")[:CURVE_CLASSES]:
        known = ~np.isnan(truth[:, place])
        positive = truth[known, place] == 1
        if 0 < positive.sum() < len(positive):
            curves.append(_curves(output.classes[place], positive, shares[known, place]))
    return {
        "parts": [_class_line(output, truth[:, i], chosen[:, i], i) for i in range(output.width)],
        "curves": curves,
        "hardest": _hardest_sets(output.classes, truth, shares, chosen, inputs),
    }


def _class_line(output: LabelsColumn, truth: np.ndarray, chosen: np.ndarray, place: int) -> dict[str, Any]:
    known = ~np.isnan(truth)
    right, true, answered = (int(np.sum(rows & known)) for rows in ((truth == 1) & chosen, truth == 1, chosen))
    threshold = {"threshold": _round(output.thresholds[place])}
    return {"class": output.classes[place], "rows": int(known.sum()), **threshold, **_scores(true, answered, right)}


def _scores(true: int, answered: int, right: int) -> dict[str, Any]:
    """Counts, and precision, recall and F1 of them where they are defined."""
    pairs = {"precision": (right, answered), "recall": (right, true), "f1": (2 * right, true + answered)}
    shares = {name: _round(top / bottom) for name, (top, bottom) in pairs.items() if bottom}
    return {"true": true, "answered": answered, "right": right, **shares}


def _hardest_sets(
    classes: Sequence[str], truth: np.ndarray, shares: np.ndarray, chosen: np.ndarray, inputs: Rows
) -> list[dict[str, Any]]:
    """The rows with the most wrong classes; of these, the surest answers first."""
    wrong = ((truth == 1) != chosen) & ~np.isnan(truth)
    doubt = np.where(wrong, np.abs(shares - 0.5), 0.0).sum(axis=1)
    worst = np.lexsort((-doubt, -wrong.sum(axis=1)))[:HARDEST]
    return [
        {
            "inputs": _shortened(inputs[row]),
            "true": ", ".join(classes[i] for i in np.flatnonzero(truth[row] == 1).tolist()) or "none",
            "predicted": ", ".join(classes[i] for i in np.flatnonzero(chosen[row]).tolist()) or "none",
            "error": int(wrong[row].sum()),
        }
        for row in worst
        if wrong[row].any()
    ]


def _of_numbers(output: NumbersColumn, targets: Targets, outputs: Outputs, inputs: Rows) -> dict[str, Any]:
    """A line for each number, and the rows with the largest errors, in standard deviations."""
    truth, found = output.in_units(dense(targets)), output.in_units(dense(outputs))
    errors = np.nan_to_num(np.abs(dense(outputs) - dense(targets))).max(axis=1, initial=0.0)
    worst = np.argsort(-errors, kind="stable")[:HARDEST]
    return {
        "parts": [_number_line(*line) for line in zip(output.parts, truth.T, found.T, strict=True)],
        "hardest": [
            {
                "inputs": _shortened(inputs[row]),
                "true": _listed(truth[row]),
                "predicted": _listed(found[row]),
                "error": _round(errors[row]),
            }
            for row in worst
        ],
    }


def _number_line(name: str, truth: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    known = ~np.isnan(truth)
    errors = found[known] - truth[known]
    if not len(errors):
        return {"number": name, "rows": 0}
    figures = {
        "mean": truth[known].mean(),
        "std": truth[known].std(),
        "mean error": errors.mean(),
        "mae": np.abs(errors).mean(),
        "rmse": np.sqrt((errors**2).mean()),
    }
    return {"number": name, "rows": len(errors), **{key: _round(value) for key, value in figures.items()}}


def _listed(row: np.ndarray) -> str:
    return ", ".join("?" if np.isnan(value) else f"{value:.4g}" for value in row)


def _of_ordinal(output: OrdinalColumn, targets: Targets, outputs: Outputs, inputs: Rows) -> dict[str, Any]:
    """Confusion matrix, reliability, and the answers that are the most levels away."""
    truth, shares, chosen = dense(targets), output.probabilities(dense(outputs)), output.chosen(dense(outputs))
    confidence = shares[np.arange(len(shares)), chosen]
    worst = np.lexsort((-confidence, -np.abs(chosen - truth)))[:HARDEST]
    return {
        "confusion": {"classes": list(output.classes), "counts": _confusion(truth, chosen, len(output.classes))},
        "reliability": {"temperature": 1.0, "bins": _reliability(confidence, chosen == truth)},
        "hardest": [
            {
                "inputs": _shortened(inputs[row]),
                "true": output.classes[truth[row]],
                "predicted": output.classes[chosen[row]],
                "confidence": _round(confidence[row]),
            }
            for row in worst
            if chosen[row] != truth[row]
        ],
    }


def _of_tags(output: TagsColumn, targets: Targets, outputs: Outputs, inputs: Rows) -> dict[str, Any]:
    """A line for each type of span, and the sentences with the most spans that are wrong or not found."""
    assert isinstance(targets, Ragged)
    assert isinstance(outputs, Ragged)
    chosen = output.chosen(outputs)
    lines = output.per_type(targets, chosen)
    true, found = (_span_sets(output, tags, targets.offsets) for tags in (targets.values, chosen))
    wrong = np.array([len(a ^ b) for a, b in zip(true, found, strict=True)])
    worst = np.argsort(-wrong, kind="stable")[:HARDEST]
    return {
        "parts": [{"type": one["type"], **_scores(one["true"], one["answered"], one["right"])} for one in lines],
        "hardest": [
            {
                "inputs": _shortened({name: " ".join(list_cells.words(value)) for name, value in inputs[row].items()}),
                "true": _spans_text(true[row], inputs[row]),
                "predicted": _spans_text(found[row], inputs[row]),
                "error": int(wrong[row]),
            }
            for row in worst
            if wrong[row]
        ],
    }


def _span_sets(output: TagsColumn, tags: np.ndarray, offsets: np.ndarray) -> list[set[tuple[int, int, str]]]:
    """The spans of each row: first word, the word after the last, type."""
    spans = output.spans(tags, offsets)
    rows = np.searchsorted(offsets, spans.start, side="right") - 1
    found: list[set[tuple[int, int, str]]] = [set() for _ in range(len(offsets) - 1)]
    for row, start, end, kind in zip(rows, *spans, strict=True):
        found[row].add((int(start - offsets[row]), int(end - offsets[row]), output.types[kind]))
    return found


def _spans_text(spans: set[tuple[int, int, str]], row: Mapping[str, Any]) -> str:
    (value,) = row.values()
    words = list_cells.words(value)
    return "; ".join(f"{' '.join(words[start:end])} ({kind})" for start, end, kind in sorted(spans)) or "none"


# Output type -> what is shown of it beside its metrics.
_EVIDENCE: dict[str, Callable[[Any, Targets, Outputs, Rows], dict[str, Any]]] = {
    "label": _of_label,
    "number": _of_number,
    "labels": _of_labels,
    "numbers": _of_numbers,
    "ordinal": _of_ordinal,
    "tags": _of_tags,
    "ranking": _of_ranking,
}
