"""What stands behind the numbers: confusion, curves, reliability, the worst mistakes; plain JSON for the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trimtab.metrics._statistics import CALIBRATION_BINS, calibration_bin

CURVE_POINTS = 200
CURVE_CLASSES = 12  # the most frequent classes of the rows get curves
HARDEST = 20
SHORT = 240  # characters of one input shown with a mistake
SCATTER_POINTS = 500
MATRIX_CLASSES = 50  # up to here a confusion matrix is told whole
LARGEST_CONFUSIONS = 100  # of a larger one
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

Rows = Sequence[Mapping[str, Any]]


def of_numbers(targets: np.ndarray, predictions: np.ndarray, inputs: Rows) -> dict[str, Any]:
    """Predicted against actual, residual quantiles, histogram of residuals and the hardest mistakes."""
    residuals = predictions - targets
    evenly = np.linspace(0, len(targets) - 1, min(len(targets), SCATTER_POINTS))
    shown = np.unique(evenly.astype(np.int64))
    counts, edges = np.histogram(residuals, bins=30)
    return {
        "scatter": {"actual": _all_rounded(targets[shown]), "predicted": _all_rounded(predictions[shown])},
        "residuals": {f"{q:g}": rounded(np.quantile(residuals, q)) for q in _QUANTILES} if len(residuals) else {},
        "histogram": {"edges": _all_rounded(edges), "counts": counts.tolist()},
        "hardest": _hardest_numbers(targets, predictions, inputs),
    }


def confusion(classes: Sequence[str], targets: np.ndarray, chosen: np.ndarray) -> dict[str, Any]:
    """Counts with a row for each true class and a column for each predicted one.

    Of more than 50 classes the rows of each, those that are right, and the largest confusions: [true, predicted, rows].
    """
    count = len(classes)
    pairs, rows = np.unique(targets * count + chosen, return_counts=True)
    if count <= MATRIX_CLASSES:
        matrix = np.zeros(count * count, np.int64)
        matrix[pairs] = rows
        return {"classes": list(classes), "counts": matrix.reshape(count, count).tolist()}
    true, answered = pairs // count, pairs % count
    wrong = np.flatnonzero(true != answered)
    largest = wrong[np.argsort(-rows[wrong], kind="stable")][:LARGEST_CONFUSIONS]
    return {
        "classes": list(classes),
        "rows": np.bincount(targets, minlength=count).tolist(),
        "right": np.bincount(targets[targets == chosen], minlength=count).tolist(),
        "largest": [[int(true[i]), int(answered[i]), int(rows[i])] for i in largest],
    }


def curves_of_classes(classes: Sequence[str], targets: np.ndarray, chances: np.ndarray) -> list[dict[str, Any]]:
    """Curves of the second of two classes, else of the most frequent ones, in the order of the classes."""
    counts = np.bincount(targets, minlength=len(classes))
    wanted = [1] if len(classes) == 2 else np.argsort(-counts, kind="stable")[:CURVE_CLASSES]
    drawn = sorted(int(position) for position in wanted if 0 < counts[position] < len(targets))
    return [_curves(classes[position], targets == position, chances[:, position]) for position in drawn]


def curves_of_flags(classes: Sequence[str], truth: np.ndarray, chances: np.ndarray) -> list[dict[str, Any]]:
    """Curves of the most frequent classes, each over the rows in which it is known."""
    found = []
    for position in np.argsort(-np.nansum(truth, axis=0), kind="stable")[:CURVE_CLASSES]:
        known = ~np.isnan(truth[:, position])
        positive = truth[known, position] == 1
        if 0 < positive.sum() < len(positive):
            found.append(_curves(classes[position], positive, chances[known, position]))
    return found


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


def reliability(confidence: np.ndarray, right: np.ndarray, temperature: float) -> dict[str, Any]:
    """Of each bin of confidence that holds rows: its bounds, rows, mean confidence and accuracy."""
    bins = calibration_bin(confidence)
    found = [
        {
            "low": rounded(index / CALIBRATION_BINS),
            "high": rounded((index + 1) / CALIBRATION_BINS),
            "rows": int(np.sum(bins == index)),
            "confidence": rounded(confidence[bins == index].mean()),
            "accuracy": rounded(right[bins == index].mean()),
        }
        for index in np.unique(bins)
    ]
    return {"temperature": float(temperature), "bins": found}


def confidence_histogram(confidence: np.ndarray, right: np.ndarray) -> dict[str, list[Any]]:
    """Rows of each twentieth of confidence, right and wrong ones."""
    edges = np.linspace(0.0, 1.0, 21)
    return {
        "edges": _all_rounded(edges),
        "right": np.histogram(confidence[right], edges)[0].tolist(),
        "wrong": np.histogram(confidence[~right], edges)[0].tolist(),
    }


def _hardest_numbers(targets: np.ndarray, predictions: np.ndarray, inputs: Rows) -> list[dict[str, Any]]:
    """The largest errors first."""
    worst = np.argsort(-np.abs(predictions - targets), kind="stable")[:HARDEST]
    return [
        {
            "inputs": shortened(inputs[row]),
            "true": rounded(targets[row]),
            "predicted": rounded(predictions[row]),
            "error": rounded(predictions[row] - targets[row]),
        }
        for row in worst
    ]


def class_line(name: str, threshold: float | None, truth: np.ndarray, chosen: np.ndarray) -> dict[str, Any]:
    """What is told of one class of several: (rows,) 1, 0 and NaN against (rows,) bool."""
    known = ~np.isnan(truth)
    right, true, answered = (int(np.sum(rows & known)) for rows in ((truth == 1) & chosen, truth == 1, chosen))
    cut = {} if threshold is None else {"threshold": rounded(threshold)}
    return {"class": name, "rows": int(known.sum()), **cut, **scores(true, answered, right)}


def scores(true: int, answered: int, right: int) -> dict[str, Any]:
    """Counts, and precision, recall and F1 of them where they are defined."""
    pairs = {"precision": (right, answered), "recall": (right, true), "f1": (2 * right, true + answered)}
    shares = {name: rounded(top / bottom) for name, (top, bottom) in pairs.items() if bottom}
    return {"true": true, "answered": answered, "right": right, **shares}


def hardest_sets(
    classes: Sequence[str], truth: np.ndarray, chances: np.ndarray, chosen: np.ndarray, inputs: Rows
) -> list[dict[str, Any]]:
    """The rows with the most wrong classes; of these, the surest answers first."""
    wrong = ((truth == 1) != chosen) & ~np.isnan(truth)
    doubt = np.where(wrong, np.abs(chances - 0.5), 0.0).sum(axis=1)
    worst = np.lexsort((-doubt, -wrong.sum(axis=1)))[:HARDEST]
    return [
        {
            "inputs": shortened(inputs[row]),
            "true": ", ".join(classes[i] for i in np.flatnonzero(truth[row] == 1).tolist()) or "none",
            "predicted": ", ".join(classes[i] for i in np.flatnonzero(chosen[row]).tolist()) or "none",
            "error": int(wrong[row].sum()),
        }
        for row in worst
        if wrong[row].any()
    ]


def number_line(name: str, truth: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    """What is told of one number of several, (rows,) twice."""
    known = ~np.isnan(truth)
    errors = found[known] - truth[known]
    line = {"number": name, "rows": len(errors)}
    if not len(errors):
        return line
    figures = {
        "mean": truth[known].mean(),
        "std": truth[known].std(),
        "mean error": errors.mean(),
        "mae": np.abs(errors).mean(),
        "rmse": np.sqrt((errors**2).mean()),
    }
    return {**line, **{key: rounded(value) for key, value in figures.items()}}


def listed(row: np.ndarray) -> str:
    """Several numbers on one line."""
    return ", ".join("?" if np.isnan(value) else f"{value:.4g}" for value in row)


def shortened(row: Mapping[str, Any]) -> dict[str, str]:
    """A row's values as short text on one line each."""
    texts = {name: " ".join(str("" if value is None else value).split()) for name, value in row.items()}
    return {name: text if len(text) <= SHORT else text[: SHORT - 1] + "…" for name, text in texts.items()}


def rounded(value: float | np.floating[Any]) -> float:
    """Six significant digits: enough for a plot, short in a file."""
    return float(f"{float(value):.6g}")


def _all_rounded(values: np.ndarray) -> list[float]:
    return [rounded(value) for value in values]
