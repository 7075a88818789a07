"""A page as one HTML file: style and plots inside, no scripts, nothing fetched."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from html import escape as as_html
from pathlib import Path
from string import Template
from typing import Any

from trimtab.errors import visible
from trimtab.page import Bar, Bars, Block, Commands, Mark, Page, Plots, Points, Section, Table, Text, Tiles

_MARKS: dict[Mark, str] = {"": "", "good": "✓ met", "bad": "✗ not met"}
_TITLES = {
    "confusion": "Confusion matrix: true classes down, predicted classes across",
    "roc": "ROC curve of each class against the rest",
    "precision_recall": "Precision at each recall",
    "reliability": "Accuracy at each level of confidence",
    "histogram": "How sure the answers are, or how far off",
    "scatter": "Predicted numbers against actual ones",
    "history": "Training loss and validation score by epoch",
    "frontier": "Quality against latency of every network that was made; the area of a dot is its size",
    "augmentation": "Training rows as they are, and beside each what training makes of it",
}
_SVG_HEAD = re.compile(r"^.*?(?=<svg\b)", re.DOTALL)
_SVG_SIZE = re.compile(r'^<svg\b([^>]*?)\s(?:width|height)="[^"]*"')
_SVG_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)


def render(page: Page, plots: Iterable[Path]) -> str:
    """The page as HTML. `plots` are files named after their stem; SVG is preferred to PNG. Users' text is escaped."""
    here = Path(__file__)
    pictures = {path.stem: path for path in sorted(plots, key=lambda path: path.suffix)}
    shown = [section for section in page.sections if _body(section, pictures)]
    return Template(here.with_name("card.html").read_text(encoding="utf-8")).substitute(
        style=here.with_name("card.css").read_text(encoding="utf-8"),
        name=escape(page.name),
        verdict=escape(page.verdict),
        tone="good" if page.good else "bad",
        sign="✓" if page.good else "✗",
        summary=escape(page.summary),
        why=_list(page.why, "why"),
        facts="".join(f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>" for label, value in page.facts),
        contents="".join(f'<a href="#{_anchor(one.title)}">{escape(one.short or one.title)}</a>' for one in shown),
        sections="\n".join(_section(section, pictures) for section in shown),
    )


def escape(text: str) -> str:
    """Text that HTML shows as it is, its control characters spelt out."""
    return as_html(visible(text))


def _section(section: Section, pictures: Mapping[str, Path]) -> str:
    anchor = _anchor(section.title)
    return (
        f'<section id="{anchor}" aria-labelledby="{anchor}-title">\n'
        f'<h2 id="{anchor}-title">{escape(section.title)}</h2>\n{_body(section, pictures)}\n</section>'
    )


def _body(section: Section, pictures: Mapping[str, Path]) -> str:
    parts = [_RENDERERS[type(block)](block, pictures) for block in section.blocks]
    return "\n".join(part for part in parts if part)


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


Pictures = Mapping[str, Path]


def _text(block: Text, pictures: Pictures) -> str:
    return f"<p>{escape(block.text)}</p>"


def _points(block: Points, pictures: Pictures) -> str:
    return _list(block.items, "points")


def _list(items: Iterable[str], name: str) -> str:
    inside = "".join(f'<li dir="auto">{escape(item)}</li>' for item in items)
    return f'<ul class="{name}">{inside}</ul>' if inside else ""


def _commands(block: Commands, pictures: Pictures) -> str:
    return f"<pre><code>{escape(chr(10).join(block.lines))}</code></pre>"


def _table(block: Table, pictures: Pictures) -> str:
    if not block.rows:
        return ""
    marked = any(block.marks)
    head = [*block.head, *([""] if marked else [])]
    cells = "".join(f'<th scope="col"{_kind(block, column)}>{escape(name)}</th>' for column, name in enumerate(head))
    rows = "\n".join(_row(block, position) for position in range(len(block.rows)))
    title = f"<caption>{escape(block.title)}</caption>" if block.title and not block.folded else ""
    table = (
        f'<div class="wide" tabindex="0"><table>{title}<thead><tr>{cells}</tr></thead>'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )
    return f"<details><summary>{escape(block.title)}</summary>{table}</details>" if block.folded else table


def _row(block: Table, position: int) -> str:
    cells = "".join(_cell(block, column, text) for column, text in enumerate(block.rows[position]))
    mark = block.marks[position] if block.marks else ""
    end = f'<td class="mark"><span class="{mark}">{_MARKS[mark]}</span></td>' if mark else ""
    return f"<tr>{cells}{end}</tr>"


def _cell(block: Table, column: int, text: str) -> str:
    inside = f"<code>{escape(text)}</code>" if column in block.codes else escape(text)
    if column == 0:
        return f'<th scope="row" dir="auto">{inside}</th>'
    return f"<td{_kind(block, column)}>{inside}</td>"


def _kind(block: Table, column: int) -> str:
    return ' class="number"' if column in block.numbers else ' dir="auto"'


def _tiles(block: Tiles, pictures: Pictures) -> str:
    inside = "".join(
        f"<div><dt>{escape(tile.label)}</dt><dd>{escape(tile.value)} <span>{escape(tile.unit)}</span>"
        f"<small>{escape(tile.note)}</small></dd></div>"
        for tile in block.tiles
    )
    return f'<dl class="tiles">{inside}</dl>' if inside else ""


def _bars(block: Bars, pictures: Pictures) -> str:
    inside = "".join(map(_bar, block.bars))
    return f'<figure class="bars"><figcaption>{escape(block.title)}</figcaption>{inside}</figure>' if inside else ""


def _bar(bar: Bar) -> str:
    strength = " strong" if bar.strong else ""
    whisker = f'<i style="left:{bar.low:.2%};width:{max(0.0, bar.high - bar.low):.2%}"></i>'
    return (
        f'<div class="bar{strength}"><span>{escape(bar.name)}</span>'
        f'<div class="track"><b style="width:{bar.length:.2%}"></b>{whisker}</div><em>{escape(bar.value)}</em></div>'
    )


# ---------------------------------------------------------------------------------------------------------- plots


def _plots(block: Plots, pictures: Pictures) -> str:
    drawn = [_picture(stem, pictures[stem]) for stem in block.stems if stem in pictures]
    return f'<div class="plots">{"".join(drawn)}</div>' if drawn else ""


def _picture(stem: str, path: Path) -> str:
    title = escape(_TITLES.get(stem, stem))
    if path.suffix == ".svg":
        return f"<figure>{_inline_svg(stem, path.read_text(encoding='utf-8'), title)}</figure>"
    data = b64encode(path.read_bytes()).decode("ascii")
    return f'<figure><img alt="{title}" src="data:image/png;base64,{data}"></figure>'


def _inline_svg(stem: str, svg: str, title: str) -> str:
    """An SVG file as part of a page: its ids made its own, its size left to the page."""
    body = _SVG_METADATA.sub("", _SVG_HEAD.sub("", svg, count=1))
    own = re.sub(r'\bid="', f'id="{stem}-', body)
    own = re.sub(r'href="#', f'href="#{stem}-', own).replace("url(#", f"url(#{stem}-")
    sized = _SVG_SIZE.sub(r"<svg\1", _SVG_SIZE.sub(r"<svg\1", own))
    return sized.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)


_RENDERERS: dict[type[Block], Callable[[Any, Pictures], str]] = {
    Text: _text,
    Points: _points,
    Commands: _commands,
    Table: _table,
    Tiles: _tiles,
    Bars: _bars,
    Plots: _plots,
}
