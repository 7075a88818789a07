"""The frontier of a search as a table: in colours on a terminal, as plain lines in a file or a pipe."""

from __future__ import annotations

from rich.console import Console

from trimtab.cli import _tables
from trimtab.compress.frontier import Frontier, Point
from trimtab.page import figures

_STYLES = {"chosen": "bold green", "uncompressed": "bold", "baseline": "dim"}


def show(frontier: Frontier, out: Console) -> None:
    """Every network with its quality and costs, and what to say of the search."""
    head = ("network", figures.label(frontier.metric), "drop", "size", "latency", "throughput", "memory", "")
    rows = [_row(point, frontier) for point in frontier.points]
    styles = [next((style for mark, style in _STYLES.items() if row[-1].startswith(mark)), "") for row in rows]
    _tables.show(out, head, rows, styles)
    for skipped in frontier.skipped:
        out.print(f"not tried: {skipped.name}: {skipped.reason}", soft_wrap=True)
    if frontier.nearest:
        out.print(frontier.nearest, soft_wrap=True)


def _row(point: Point, frontier: Frontier) -> tuple[str, ...]:
    measured = [point.measured.get(name) for name in ("size", "latency", "throughput", "memory")]
    costs = [figures.value(found) if found else figures.NOTHING for found in measured]
    drop = figures.NOTHING if point.drop is None else f"{point.drop + 0.0:.3f}"
    quality = figures.whole(point.quality)
    return point.name, quality, drop, *costs, _standing(point, frontier)


def _standing(point: Point, frontier: Frontier) -> str:
    marks = {
        "chosen": point.name == frontier.chosen,
        point.kind: point.kind != "candidate",
        "on the frontier": point.name in frontier.best,
    }
    return ", ".join(mark for mark, holds in marks.items() if holds)
