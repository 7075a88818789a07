"""Plots of the evidence, as PNG and SVG files that are equal byte for byte when the evidence is.

Drawn on `Figure` objects, so no global state of pyplot is touched. SVG text stays text: a browser shows class names in
any script; its ink is `currentColor`, so that it follows the page that it stands on.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trimtab import files
from trimtab.errors import visible

_INK = "#222831"
_DPI = 144  # of pictures in pixels
_ACCENT = "#2f6fde"
_WARNING = "#e0562f"
_LINES = (
    "#2f6fde", "#e0562f", "#159a77", "#b065c9", "#c99700", "#4aa8d8",
    "#8a6d3b", "#d6478a", "#6b8e23", "#7a7fd6", "#c2452d", "#5f7c8a",
)  # fmt: skip
_NUMBERED_CLASSES = 14  # a confusion matrix of more classes shows colours only
_NAMED_CLASSES = 60  # and of still more, every n-th name
_LONGEST_NAME = 18
_LOG_RANGE = 20.0  # latencies further apart than this share a logarithmic axis
_LEAST_AREA, _LARGEST_AREA = 20.0, 900.0  # of a network's dot, in square points
_LABEL_HEIGHT, _LETTER_WIDTH = 10.0, 4.9  # of a name beside a dot, in points
_FALLBACK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Micro Hei", "PingFang SC", "Hiragino Sans", "Microsoft YaHei",
    "Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans Hebrew", "Noto Sans Thai", "Arial Unicode MS",
)  # fmt: skip
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "trimtab",
    "svg.fonttype": "none",
    "text.parse_math": False,  # a class may be called $x
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "axes.facecolor": "none",
    "axes.linewidth": 0.6,
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "font.size": 9,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


class _Drawing(NamedTuple):
    """A plot: which part of the evidence it shows, and how."""

    part: str
    draw: Callable[[Any], Figure | None]


def draw(evidence: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw what the evidence holds into `folder` (made if absent): `<plot>.svg` and `<plot>.png` of each plot."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    installed = set(font_manager.get_font_names())
    family = ["DejaVu Sans", *(name for name in _FALLBACK_FONTS if name in installed)]
    with mpl.rc_context({**_STYLE, "font.family": family}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from", category=UserWarning)
        for name, drawing in _DRAWINGS.items():
            if evidence.get(drawing.part):
                figure = drawing.draw(evidence[drawing.part])
                written += _save(figure, folder / name) if figure else []
    return written


def _save(figure: Figure, stem: Path) -> list[Path]:
    svg, png = stem.with_suffix(".svg"), stem.with_suffix(".png")
    figure.savefig(svg, facecolor="none", metadata={"Date": None})
    files.write(svg, svg.read_text(encoding="utf-8").replace(_INK, "currentColor"))
    figure.set_layout_engine("none")  # what was laid out once stays where it is
    figure.savefig(png, facecolor="white", dpi=_DPI, metadata={"Software": None})
    return [svg, png]


def _axes(title: str, x: str, y: str, width: float = 5.2, height: float = 4.0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(color="#8892a0", alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


# ---------------------------------------------------------------------------------------------------------- labels


def _confusion(confusion: Mapping[str, Any]) -> Figure | None:
    """Share of each true class that got each answer; with counts where they can be read. None of very many classes."""
    if "counts" not in confusion:
        return None
    names = [_short(name) for name in confusion["classes"]]
    counts = np.array(confusion["counts"], dtype=np.float64)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(1.6 + 0.4 * len(names), 4.0, 9.0))
    figure, axes = _axes("Confusion matrix", "predicted", "true", 1.3 * side, side)
    axes.grid(visible=False)
    axes.imshow(_tint(share, counts.sum(axis=1) > 0), interpolation="nearest")
    _name_ticks(axes, names)
    if len(names) <= _NUMBERED_CLASSES:
        _write_counts(axes, counts, share)
    return figure


def _tint(share: np.ndarray, has_rows: np.ndarray) -> np.ndarray:
    """(classes, classes) shares -> RGBA: right answers in the accent, wrong ones in the warning colour."""
    colours = np.tile(mpl.colors.to_rgba_array(_WARNING)[0], (*share.shape, 1))
    colours[np.eye(len(share), dtype=bool)] = mpl.colors.to_rgba_array(_ACCENT)[0]
    colours[..., 3] = np.where(share > 0, 0.05 + 0.95 * share**0.7, 0.0) * has_rows[:, None]
    return colours


def _name_ticks(axes: Axes, names: Sequence[str]) -> None:
    shown = range(0, len(names), 1 + (len(names) - 1) // _NAMED_CLASSES)
    labels = [names[position] for position in shown]
    slanted = len(names) > 4 or max(map(len, names)) > 8
    axes.set_xticks(list(shown), labels, rotation=45 if slanted else 0, ha="right" if slanted else "center")
    axes.set_yticks(list(shown), labels)
    axes.tick_params(length=0, labelsize=9 if len(names) <= 20 else 6)


def _write_counts(axes: Axes, counts: np.ndarray, share: np.ndarray) -> None:
    for (true, predicted), count in np.ndenumerate(counts):
        if count:
            part = f"\n{share[true, predicted]:.0%}" if len(counts) <= 8 else ""
            ink = "white" if share[true, predicted] > 0.3 else _INK
            axes.text(predicted, true, f"{count:,.0f}{part}", ha="center", va="center", color=ink, fontsize=8)


def _roc(curves: Sequence[Mapping[str, Any]]) -> Figure:
    figure, axes = _axes("ROC curve", "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=":", alpha=0.7)
    for curve, colour in zip(curves, _LINES, strict=False):
        label = f"{_short(curve['class'])} (AUC {curve['auc']:.3f})"
        axes.plot(curve["roc"]["x"], curve["roc"]["y"], color=colour, linewidth=1.6, label=label)
    return _unit_square(figure, axes, "lower right")


def _precision_recall(curves: Sequence[Mapping[str, Any]]) -> Figure:
    figure, axes = _axes("Precision and recall", "recall", "precision")
    for curve, colour in zip(curves, _LINES, strict=False):
        points = curve["precision_recall"]
        label = f"{_short(curve['class'])} (AP {curve['average_precision']:.3f})"
        axes.plot(points["x"], points["y"], color=colour, linewidth=1.6, label=label, drawstyle="steps-pre")
        if len(curves) == 1:
            axes.axhline(curve["share"], color=_INK, linewidth=0.8, linestyle=":", alpha=0.7)
    return _unit_square(figure, axes, "lower left")


def _unit_square(figure: Figure, axes: Axes, legend: Literal["lower left", "lower right"]) -> Figure:
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    axes.legend(loc=legend)
    return figure


def _reliability(reliability: Mapping[str, Any]) -> Figure:
    """Accuracy against confidence: on the diagonal, 90% sure means right nine times in ten."""
    bins = reliability["bins"]
    figure, axes = _axes("Reliability", "confidence", "accuracy")
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=":", alpha=0.7)
    confidence, accuracy, rows = ([entry[key] for entry in bins] for key in ("confidence", "accuracy", "rows"))
    axes.vlines(confidence, confidence, accuracy, color=_WARNING, linewidth=1.2, alpha=0.8)
    axes.plot(confidence, accuracy, color=_ACCENT, linewidth=1.2, alpha=0.6)
    axes.scatter(confidence, accuracy, s=[20 + 220 * count / max(rows) for count in rows], color=_ACCENT, zorder=3)
    axes.set(xlim=(min(0.5, min(confidence) - 0.05), 1.02), ylim=(-0.01, 1.03))
    axes.text(0.02, 0.97, "larger dots hold more rows", transform=axes.transAxes, va="top", fontsize=8)
    return figure


# --------------------------------------------------------------------------------------------------------- numbers


def _scatter(scatter: Mapping[str, Any]) -> Figure:
    figure, axes = _axes("Predicted against actual", "actual", "predicted")
    both = [*scatter["actual"], *scatter["predicted"]]
    axes.plot([min(both), max(both)], [min(both), max(both)], color=_INK, linewidth=0.8, linestyle=":", alpha=0.7)
    axes.scatter(scatter["actual"], scatter["predicted"], s=12, color=_ACCENT, alpha=0.55, linewidths=0)
    return figure


def _histogram(histogram: Mapping[str, Any]) -> Figure:
    """Confidence of right and wrong answers, or the residuals of a number."""
    edges = np.array(histogram["edges"])
    if "counts" in histogram:
        figure, axes = _axes("Residuals", "predicted - actual", "rows")
        axes.bar(edges[:-1], histogram["counts"], np.diff(edges), align="edge", color=_ACCENT, alpha=0.8)
        return figure
    figure, axes = _axes("Confidence of the answers", "confidence", "rows")
    right, wrong = np.array(histogram["right"]), np.array(histogram["wrong"])
    axes.bar(edges[:-1], right, np.diff(edges) * 0.92, align="edge", color=_ACCENT, label="right")
    axes.bar(edges[:-1], wrong, np.diff(edges) * 0.92, bottom=right, align="edge", color=_WARNING, label="wrong")
    held = np.flatnonzero(right + wrong)
    axes.set_xlim(edges[held[0]] - 0.02 if len(held) else 0.0, 1.0)
    axes.legend(loc="upper left")
    return figure


# -------------------------------------------------------------------------------------------------------- training


def _history(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Training loss and validation score at each evaluation."""
    figure, axes = _axes("Training", "epoch", "training loss")
    epochs = [entry["epoch"] for entry in history]
    marks: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 1.6}
    loss = axes.plot(epochs, [entry["loss"] for entry in history], color=_WARNING, label="training loss", **marks)
    right = axes.twinx()
    right.spines["right"].set_visible(True)
    right.set_ylabel("validation score")
    score = right.plot(epochs, [entry["score"] for entry in history], color=_ACCENT, label="validation score", **marks)
    axes.legend(handles=[*loss, *score], loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderpad=0.1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


# ----------------------------------------------------------------------------------------------------- compression


class _Box(NamedTuple):
    """A rectangle in points of the page."""

    left: float
    bottom: float
    right: float
    top: float

    def shared(self, other: _Box) -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)


class _Dot(NamedTuple):
    """A network in the plot: filled on the frontier, named where it matters."""

    name: str
    latency: float
    quality: float
    low: float
    high: float
    area: float
    colour: str
    filled: bool
    named: bool


def _frontier(frontier: Mapping[str, Any]) -> Figure:
    """Quality against latency of every network that was made, its size as area; the baseline is a line."""
    dots = _dots(frontier)
    figure, axes = _axes("Quality against latency", "latency of one row (ms)", frontier["metric"], 7.2, 4.6)
    axes.set_title("area: size · filled: no other beats it", loc="right", fontsize=8, fontweight="normal")
    if dots and max(dot.latency for dot in dots) > _LOG_RANGE * min(dot.latency for dot in dots):
        axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    for dot in dots:
        axes.vlines(dot.latency, dot.low, dot.high, color=dot.colour, linewidth=0.8, alpha=0.35)
        fill = mpl.colors.to_rgba(dot.colour, 0.75 if dot.filled else 0.1)
        axes.scatter(dot.latency, dot.quality, s=dot.area, facecolor=fill, edgecolor=dot.colour, zorder=3)
    axes.margins(0.1, 0.1)
    baselines = [point for point in frontier["points"] if point["kind"] == "baseline"]
    for baseline in baselines:
        _baseline_line(axes, baseline)
    _name_dots(figure, axes, dots, [baseline["quality"]["value"] for baseline in baselines])
    return figure


def _dots(frontier: Mapping[str, Any]) -> list[_Dot]:
    """Every network whose latency was measured; the larger ones first, the chosen one last, so that none is covered."""
    points = [point for point in frontier["points"] if "latency" in point["measured"]]
    sizes = [point["measured"].get("size", {}).get("value", 0.0) for point in points]
    largest = max(sizes, default=0.0) or 1.0
    dots = [_dot(point, frontier, size / largest) for point, size in zip(points, sizes, strict=True)]
    return sorted(dots, key=lambda dot: (dot.colour == _WARNING, -dot.area))


def _dot(point: Mapping[str, Any], frontier: Mapping[str, Any], share: float) -> _Dot:
    chosen, uncompressed = point["name"] == frontier["chosen"], point["kind"] == "uncompressed"
    filled, quality = point["name"] in frontier["best"], point["quality"]
    return _Dot(
        name=f"{point['name']} (chosen)" if chosen else point["name"],
        latency=point["measured"]["latency"]["value"],
        quality=quality["value"],
        low=_or(quality.get("low"), quality["value"]),
        high=_or(quality.get("high"), quality["value"]),
        area=max(_LEAST_AREA, _LARGEST_AREA * share),
        colour=_WARNING if chosen else _INK if uncompressed else _ACCENT,
        filled=filled,
        named=filled or chosen or uncompressed,
    )


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _baseline_line(axes: Axes, baseline: Mapping[str, Any]) -> None:
    """The cheap rival has no latency here: its quality alone is shown."""
    value = baseline["quality"]["value"]
    axes.axhline(value, color=_INK, linewidth=0.8, linestyle=":", alpha=0.7)
    across = axes.get_yaxis_transform()
    axes.text(1.0, value, f"baseline: {baseline['name']}", transform=across, ha="right", va="bottom", fontsize=8)


def _name_dots(figure: Figure, axes: Axes, dots: Sequence[_Dot], baselines: Sequence[float]) -> None:
    """Names beside the dots, each on the side where it covers the least of the others; the chosen one's first."""
    figure.draw_without_rendering()  # places on the page are known only then
    points = 72.0 / figure.dpi
    centres = {dot: points * axes.transData.transform((dot.latency, dot.quality)) for dot in dots}
    left, bottom, right, top = (points * edge for edge in axes.bbox.extents)
    lines = [points * float(axes.transData.transform((1.0, value))[1]) for value in baselines]
    taken = [_Box((left + right) / 2, line, right, line + _LABEL_HEIGHT) for line in lines]
    radii = {dot: _radius(dot) for dot in dots}
    taken += [_Box(x - radii[dot], y - radii[dot], x + radii[dot], y + radii[dot]) for dot, (x, y) in centres.items()]
    for dot in sorted((dot for dot in dots if dot.named), key=lambda dot: dot.colour != _WARNING):
        x, y = centres[dot]
        boxes = list(_beside(x, y, dot))
        best = min(boxes, key=lambda box: _clutter(box, taken, _Box(left, bottom, right, top)))
        taken.append(best)
        offset = (best.left - x, (best.bottom + best.top) / 2 - y)
        name = axes.annotate(
            dot.name, (dot.latency, dot.quality), offset, textcoords="offset points", va="center", fontsize=8
        )
        name.set_in_layout(False)


def _radius(dot: _Dot) -> float:
    return math.sqrt(dot.area / math.pi)


def _beside(x: float, y: float, dot: _Dot) -> Iterator[_Box]:
    """Where a dot's name can stand: right and left of it, above and below it, at the corners; then further away."""
    width, half, radius = _LETTER_WIDTH * len(dot.name), _LABEL_HEIGHT / 2, _radius(dot)
    for further in (0.0, _LABEL_HEIGHT, 2 * _LABEL_HEIGHT):
        for across, up in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)):
            reach = radius * (0.75 if across and up else 1.0) + 3
            middle = x + across * (reach + width / 2)
            centre = y + up * (reach + half + further)
            yield _Box(middle - width / 2, centre - half, middle + width / 2, centre + half)


def _clutter(box: _Box, taken: Sequence[_Box], page: _Box) -> float:
    """How much a name would cover of what is there, and how much of it would leave the page, which is worse."""
    own = box.shared(box)
    return sum(box.shared(other) for other in taken) + 4 * (own - box.shared(page))


# ------------------------------------------------------------------------------------------------------- contact sheet


def _short(name: object) -> str:
    """A class name that fits beside an axis."""
    text = visible(" ".join(str(name).split()))
    text = f" {text}" if text.startswith("_") else text  # legends leave out what begins with it
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"


_DRAWINGS = {
    "confusion": _Drawing("confusion", _confusion),
    "roc": _Drawing("curves", _roc),
    "precision_recall": _Drawing("curves", _precision_recall),
    "reliability": _Drawing("reliability", _reliability),
    "scatter": _Drawing("scatter", _scatter),
    "histogram": _Drawing("histogram", _histogram),
    "history": _Drawing("history", _history),
    "frontier": _Drawing("frontier", _frontier),
}
