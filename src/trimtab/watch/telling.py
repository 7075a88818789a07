"""What a report says, for machines and as a page for people."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from trimtab.page import Bar, Bars, Block, Page, Plots, Points, Section, Table, Text, Tile, Tiles
from trimtab.watch.report import Hour, Movement, Report

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 24  # hours
_LATEST = 14  # days, or hours of one day, that the page shows
_SHOWN = 30  # movements of the table


def as_json(report: Report) -> dict[str, Any]:
    """Everything, as plain JSON."""
    accuracy = report.accuracy
    return {
        "bundle": report.bundle,
        "name": report.name,
        "answers": report.rows,
        "first": moment(report.first),
        "last": moment(report.last),
        "alarms": list(report.alarms),
        "alpha": report.alpha,
        "movements": [_plain(asdict(one)) for one in report.movements],
        "accuracy": {
            "measured": None if accuracy.measured is None else _plain(accuracy.measured._asdict()),
            "target": accuracy.target,
            "alarm": accuracy.alarm,
            "estimated": accuracy.estimated,
            "classes": [one._asdict() for one in accuracy.classes],
        },
        "health": [asdict(one) for one in report.health],
        "untold": list(report.untold),
    }


def moment(time: float | None) -> str | None:
    """A time as ISO 8601 in UTC; of a clock beyond all calendars its number."""
    if time is None:
        return None
    try:
        return (_EPOCH + timedelta(seconds=time)).isoformat(timespec="seconds")
    except OverflowError:
        return f"{time:g}"


def chance(value: float) -> str:
    """`< 0.0001`, `0.02`."""
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}"


def verdict(report: Report) -> str:
    """In a word or two."""
    if not report.rows:
        return "No answers yet"
    return "Alarm" if report.alarms else "No alarm"


def page(report: Report) -> Page:
    """The page; `draw` makes its plots."""
    ends = f"{moment(report.first)} to {moment(report.last)}" if report.first is not None else "-"
    facts = (("Answers", f"{report.rows:,}"), ("Times", ends), ("Bundle", report.bundle[:12]))
    health = tuple((one.name, one.told, _mark(one.well)) for one in report.health)
    return Page(
        report.name,
        verdict(report),
        not report.alarms,
        f"{report.rows:,} answers were held against the rows that the bundle was measured on.",
        report.alarms,
        facts,
        (
            Section("What moved", tuple(_moved(report))),
            Section("The last days", (Plots(PLOTS),)),
            Section("How right the answers are", tuple(_right(report))),
            Section("Health", (Table(("What", "Found", ""), health),)),
            Section("What cannot be told", (Points(report.untold),) if report.untold else ()),
        ),
        kind="At work",
    )


def _moved(report: Report) -> list[Block]:
    text = Text(
        f"A chance is that of so much evidence ever coming while nothing moves, corrected for all that is looked at, "
        f"however often one looks; an alarm needs {report.alpha:g}. PSI is how far the rows since then, or the last "
        f"ones, lie from the baseline: 0.1 is called moderate, 0.25 large."
    )
    head = ("Column", "What", "Change", "PSI", "Chance", "Since", "")
    rows = tuple(
        (one.column, one.what, one.change, f"{one.psi:.3f}", chance(one.chance), since(one), _mark(not one.alarm))
        for one in report.movements[:_SHOWN]
    )
    return [text, Table(head, rows, frozenset({3, 4}))] if rows else []


def _mark(well: bool) -> str:
    return "" if well else "✗ alarm"


def since(one: Movement) -> str:
    """From which row on, and when that was."""
    if one.since is None:
        return ""
    time = moment(one.since_time)
    return f"row {one.since:,}" + (f", {time[:16].replace('T', ' ')}" if time else "")


def _right(report: Report) -> list[Block]:
    found: list[Block] = []
    accuracy, tiles = report.accuracy, []
    if accuracy.measured is not None:
        low, high = accuracy.measured.low, accuracy.measured.high
        note = f"{low:.3f} to {high:.3f}, by {accuracy.measured.rows:,} labels"
        tiles.append(Tile("Accuracy by labels", f"{accuracy.measured.value:.3f}", "", note))
    if accuracy.estimated is not None:
        tiles.append(Tile("Accuracy, estimated", f"{accuracy.estimated:.3f}", "", "without labels, by confidence"))
    found += [Tiles(tuple(tiles))] if tiles else []
    if accuracy.classes:
        true = ["" if one.true is None else f", true {one.true:.1%}" for one in accuracy.classes]
        bars = [
            Bar(one.name, f"{one.before:.1%} -> {one.now:.1%}{more}", one.now, one.now, one.now)
            for one, more in zip(accuracy.classes, true, strict=True)
        ]
        found.append(
            Bars("How often each class is answered: then, now, and what is true if only shares moved", tuple(bars))
        )
    return found


# -------------------------------------------------------------------------------------------------------- plots

PLOTS = ("watch_answers", "watch_confidence", "watch_milliseconds")
_TITLES = ("Answers", "Mean confidence of the answers", "Mean time of an answer, ms")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640, 200, 60, 24, 40


def draw(report: Report, folder: Path) -> list[Path]:
    """The plots of the last days, or of the last hours of a log that is younger, as SVG files."""
    times = _by_time(report)
    values = {
        "watch_answers": [(name, float(hour.answers)) for name, hour in times],
        "watch_confidence": [(name, hour.confidence / hour.sure) for name, hour in times if hour.sure],
        "watch_milliseconds": [(n, h.milliseconds / h.answers) for n, h in times if h.answers and h.milliseconds],
    }
    made = []
    for (stem, points), title in zip(values.items(), _TITLES, strict=True):
        if points:
            path = folder / f"{stem}.svg"
            path.write_text(_bars(points, title), encoding="utf-8")
            made.append(path)
    return made


def _by_time(report: Report) -> list[tuple[str, Hour]]:
    if not report.hours:
        return []
    daily = report.hours[-1][0] - report.hours[0][0] >= 2 * _DAY
    found: dict[str, Hour] = {}
    for number, hour in report.hours:
        time = moment(number * 3600.0) or ""
        name = time[5:10] if daily else time[11:16]
        known = found.get(name, Hour())
        found[name] = Hour(
            known.answers + hour.answers,
            known.errors + hour.errors,
            known.milliseconds + hour.milliseconds,
            known.confidence + hour.confidence,
            known.sure + hour.sure,
        )
    return list(found.items())[-(_LATEST if daily else _DAY) :]


def _bars(points: list[tuple[str, float]], title: str) -> str:
    """Bars over their names, in the colour of the text around them."""
    most = max(value for _, value in points) or 1.0
    most = most if math.isfinite(most) else 1.0
    step, inner = (_WIDTH - _LEFT) / len(points), _HEIGHT - _BOTTOM - _TOP
    parts = []
    for place, (name, value) in enumerate(points):
        high, left = inner * value / most, _LEFT + place * step
        top = _HEIGHT - _BOTTOM - high
        said = f"<title>{name}: {value:.4g}</title>"
        box = f'x="{left + step * 0.1:.1f}" y="{top:.1f}" width="{step * 0.8:.1f}" height="{high:.1f}"'
        parts.append(f"<rect {box} fill='#4477aa'>{said}</rect>")
        if place % max(1, -(-len(points) // 10)) == 0:
            at = f'x="{left + step / 2:.1f}" y="{_HEIGHT - 6}"'
            parts.append(f'<text {at} font-size="14" text-anchor="middle" fill="#777">{name}</text>')
    head = f'<text x="0" y="18" font-size="16" fill="#777">{title}</text>'
    scale = f'<text x="{_LEFT - 6}" y="{_TOP + 6}" font-size="14" text-anchor="end" fill="#777">{most:.4g}</text>'
    line = f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{_HEIGHT - _BOTTOM}" y2="{_HEIGHT - _BOTTOM}" stroke="#999"/>'
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    begin = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">'
    return f"{begin}{head}{scale}{line}{''.join(parts)}</svg>"


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Without numbers that JSON has not."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }
