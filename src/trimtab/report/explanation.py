"""Explanations as one HTML page: texts with their words coloured, pictures under a grid, bars for all units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from trimtab.columns import InputColumn
from trimtab.explain import Explanation, Unit
from trimtab.report.html import escape

_LISTED = 20  # units of a row that have a bar, the strongest ones

Row = Mapping[str, Any]


def render(name: str, inputs: Sequence[InputColumn], explained: Sequence[tuple[Row, Explanation]], folder: Path) -> str:
    """The page; paths of pictures in the rows are relative to `folder`. Users' text is escaped."""
    here = Path(__file__)
    return Template(here.with_name("explanation.html").read_text(encoding="utf-8")).substitute(
        style="\n".join(here.with_name(sheet).read_text(encoding="utf-8") for sheet in ("card.css", "explanation.css")),
        title=escape(f"{name}: why rows are answered as they are" if name else "Why rows are answered as they are"),
        rows="\n".join(_row(inputs, number, *one, folder) for number, one in enumerate(explained, 1)),
    )


def _row(inputs: Sequence[InputColumn], number: int, row: Row, one: Explanation, folder: Path) -> str:
    answers = ", ".join(f"{name} {value}" for name, value in one.answers.items())
    largest = float(np.abs(one.contributions).max(initial=0.0)) or 1.0
    told = f"{one.scale or 'answer'} {one.score:.4g}; {one.base:.4g} without any unit; not explained {one.delta:+.2g}"
    pictures = "".join(_drawn(column, row, one, largest, folder) for column in inputs)
    bars = "".join(_bar(one, int(place), largest) for place in one.order[:_LISTED])
    return (
        f'<section><h2 dir="auto">{number}. {escape(answers)}</h2>'
        f'<p class="told">What speaks for and against {escape(one.name)}, by {escape(one.method)}: {escape(told)}.</p>'
        f"{pictures}<table><tbody>{bars}</tbody></table></section>"
    )


def _drawn(column: InputColumn, row: Row, one: Explanation, largest: float, folder: Path) -> str:
    """The value itself, where its units have places in it."""
    pairs = zip(one.units, (one.contributions / largest).tolist(), strict=True)
    units = [(unit, strength) for unit, strength in pairs if unit.column == column.name and unit.place]
    if not units:
        return ""
    value = row.get(column.name)
    if len(units[0][0].place) == 4:
        return _picture(column.portable(column.located(value, folder)), units)
    words = " ".join(
        f'<span class="{_side(strength)}" style="--s:{abs(strength):.0%}">{escape(unit.label)}</span>'
        for unit, strength in units
    )
    return f'<p class="units" dir="auto">{words}</p>'


def _picture(source: Any, units: Sequence[tuple[Unit, float]]) -> str:
    """The pixels that the network read, and a grid of colours over them."""
    patches = "".join(
        f'<i class="{_side(strength)}" style="--s:{abs(strength):.0%};top:{top:.2%};left:{left:.2%};'
        f'height:{bottom - top:.2%};width:{right - left:.2%}"></i>'
        for (top, left, bottom, right), strength in ((unit.place, strength) for unit, strength in units)
    )
    image = f'<img alt="" src="{escape(source)}">' if str(source).startswith("data:image/") else ""
    return f'<div class="pair"><div class="frame">{image}</div><div class="frame">{image}{patches}</div></div>'


def _bar(one: Explanation, place: int, largest: float) -> str:
    contribution, error = float(one.contributions[place]), float(one.errors[place])
    around = f" ± {error:.2g}" if error else ""
    length = f'<b class="{_side(contribution)}" style="--s:100%;width:{abs(contribution) / largest:.1%}"></b>'
    return (
        f'<tr><th scope="row" dir="auto">{escape(one.units[place].label)}</th>'
        f'<td class="number">{contribution:+.3g}{around}</td><td class="length">{length}</td></tr>'
    )


def _side(contribution: float) -> str:
    return "for" if contribution > 0 else "against"
