"""A page as one HTML file: style and plots inside, no scripts, nothing fetched."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from html import escape as as_html
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from trimtab.errors import visible
from trimtab.page import Bar, Bars, Block, Commands, Mark, Page, Plots, Points, Section, Table, Text, Tiles
from trimtab.report import words
from trimtab.report.words import Words

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
    "watch_answers": "Answers",
    "watch_confidence": "Mean confidence of the answers",
    "watch_milliseconds": "Mean time of an answer, ms",
    "augmentation": "Training rows as they are, and beside each what training makes of it",
}
# Columns that a phone has room for, where no cell has more letters; columns of figures that are scrolled there.
_FEW, _LETTERS, _MANY = 3, 40, 8
_CODE = re.compile(r"`([^`]+)`")
_SVG_HEAD = re.compile(r"^.*?(?=<svg\b)", re.DOTALL)
_SVG_SIZE = re.compile(r'^<svg\b([^>]*?)\s(?:width|height)="[^"]*"')
_SVG_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)


class _Place(NamedTuple):
    """Where a block stands: the title over it, the pictures of the page by their stem, the words of its language."""

    title: str
    pictures: Mapping[str, Path]
    words: Words


def render(page: Page, plots: Iterable[Path]) -> str:
    """The page as HTML. `plots` are files named after their stem; SVG is preferred to PNG. Users' text is escaped."""
    here = Path(__file__)
    pictures = {path.stem: path for path in sorted(plots, key=lambda path: path.suffix)}
    shown = [section for section in page.sections if _body(section, pictures, page.language)]
    said = words.of(page.language).said
    return Template(here.with_name("card.html").read_text(encoding="utf-8")).substitute(
        language=page.language,
        kind=escape(said(page.kind)),
        skip=escape(said("Skip to the content")),
        listed=escape(said("Contents")),
        made=escape(said("Made by Trimtab. This page is one file: nothing is fetched, nothing runs.")),
        style=here.with_name("card.css").read_text(encoding="utf-8"),
        name=escape(page.name),
        verdict=escape(page.verdict),
        tone="good" if page.good else "bad",
        sign="✓" if page.good else "✗",
        summary=escape(page.summary),
        why=_list(page.why, "why"),
        facts="".join(f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>" for label, value in page.facts),
        contents="".join(f'<a href="#{_anchor(one.title)}">{escape(one.short or one.title)}</a>' for one in shown),
        sections="\n".join(_section(section, pictures, page.language) for section in shown),
    )


def escape(text: str) -> str:
    """Text that HTML shows as it is, its control characters spelt out."""
    return as_html(visible(text))


def _sentence(text: str) -> str:
    """Text whose `code` is shown as such."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _section(section: Section, pictures: Mapping[str, Path], language: str) -> str:
    anchor = _anchor(section.title)
    return (
        f'<section id="{anchor}" aria-labelledby="{anchor}-title">\n'
        f'<h2 id="{anchor}-title">{escape(section.title)}</h2>\n{_body(section, pictures, language)}\n</section>'
    )


def _body(section: Section, pictures: Mapping[str, Path], language: str) -> str:
    at = _Place(section.title, pictures, words.of(language))
    parts = [_RENDERERS[type(block)](block, at) for block in section.blocks]
    return "\n".join(part for part in parts if part)


def _anchor(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def _text(block: Text, at: _Place) -> str:
    return f'<p dir="auto">{_sentence(block.text)}</p>'


def _points(block: Points, at: _Place) -> str:
    return _list(block.items, "points")


def _list(items: Iterable[str], name: str) -> str:
    inside = "".join(f'<li dir="auto">{_sentence(item)}</li>' for item in items)
    return f'<ul class="{name}">{inside}</ul>' if inside else ""


def _commands(block: Commands, at: _Place) -> str:
    return f'<pre tabindex="0"><code>{escape(chr(10).join(block.lines))}</code></pre>'


# --------------------------------------------------------------------------------------------------------- tables


def _table(block: Table, at: _Place) -> str:
    """On a phone a table of many columns is a block for each row (`cards`), or moves sideways inside itself."""
    if not block.rows:
        return ""
    shape = _shape(block)
    rows = "\n".join(_row(block, position, at.words) for position in range(len(block.rows)))
    title = escape(block.title or at.title)
    hidden = "" if block.title and not block.folded else ' class="unseen"'
    caption = f"<caption{hidden}>{title}</caption>"
    head = _head(block, at.words)
    table = f'<table class="{shape}" role="table">{caption}{head}<tbody role="rowgroup">\n{rows}\n</tbody></table>'
    framed = f'<div class="wide" role="region" tabindex="0" aria-label="{title}">{table}</div>'
    return f"<details><summary>{title}</summary>{framed}</details>" if block.folded else framed


def _shape(block: Table) -> str:
    columns = len(block.head) + any(block.marks)
    longest = max(len(cell) for row in block.rows for cell in row)
    if columns < _FEW or (columns == _FEW and longest <= _LETTERS):
        return "narrow"
    return "grid" if len(block.numbers) >= _MANY else "cards"


def _heads(block: Table, words: Words) -> list[str]:
    return [*block.head, *([words.said("met")] if any(block.marks) else [])]


def _head(block: Table, words: Words) -> str:
    """The names of the columns; none where a table is pairs of a name and a value."""
    heads = _heads(block, words)
    if not any(heads):
        return ""
    cells = "".join(
        f'<th scope="col" role="columnheader"{_kind(block, column)}>{escape(name)}</th>' if name else "<td></td>"
        for column, name in enumerate(heads)
    )
    return f'<thead role="rowgroup"><tr role="row">{cells}</tr></thead>'


def _row(block: Table, position: int, words: Words) -> str:
    heads = _heads(block, words)
    cells = "".join(_cell(block, column, text, heads[column]) for column, text in enumerate(block.rows[position]))
    mark = block.marks[position] if block.marks else ""
    end = f'<td role="cell" class="mark"><span class="{mark}">{words.said(_MARKS[mark])}</span></td>' if mark else ""
    return f'<tr role="row">{cells}{end}</tr>'


def _cell(block: Table, column: int, text: str, head: str) -> str:
    inside = f"<code>{escape(text)}</code>" if column in block.codes and text else escape(text)
    if column == 0:
        return f'<th scope="row" role="rowheader" dir="auto">{inside}</th>'
    return f'<td role="cell" data-label="{escape(head)}"{_kind(block, column)}>{inside}</td>'


def _kind(block: Table, column: int) -> str:
    return ' class="number"' if column in block.numbers else ' dir="auto"'


# ---------------------------------------------------------------------------------------------------------- bars


def _tiles(block: Tiles, at: _Place) -> str:
    inside = "".join(
        f"<div><dt>{escape(tile.label)}</dt><dd>{escape(tile.value)} <span>{escape(tile.unit)}</span>"
        f"<small>{escape(tile.note)}</small></dd></div>"
        for tile in block.tiles
    )
    return f'<dl class="tiles">{inside}</dl>' if inside else ""


def _bars(block: Bars, at: _Place) -> str:
    inside = "".join(map(_bar, block.bars))
    return f'<figure class="bars"><figcaption>{escape(block.title)}</figcaption>{inside}</figure>' if inside else ""


def _bar(bar: Bar) -> str:
    strength = " strong" if bar.strong else ""
    reach = bar.high - bar.low
    whisker = f'<i style="left:{bar.low:.2%};width:{reach:.2%}"></i>' if reach > 0 else ""
    return (
        f'<div class="bar{strength}"><span dir="auto">{escape(bar.name)}</span><div class="track" aria-hidden="true">'
        f'<b style="width:{bar.length:.2%}"></b>{whisker}</div><em>{escape(bar.value)}</em></div>'
    )


# ---------------------------------------------------------------------------------------------------------- plots


def _plots(block: Plots, at: _Place) -> str:
    drawn = [_picture(stem, at.pictures[stem], at.words) for stem in block.stems if stem in at.pictures]
    return f'<div class="plots">{"".join(drawn)}</div>' if drawn else ""


def _picture(stem: str, path: Path, words: Words) -> str:
    title = escape(words.said(_TITLES.get(stem, stem)))
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


_RENDERERS: dict[type[Block], Callable[[Any, _Place], str]] = {
    Text: _text,
    Points: _points,
    Commands: _commands,
    Table: _table,
    Tiles: _tiles,
    Bars: _bars,
    Plots: _plots,
}
