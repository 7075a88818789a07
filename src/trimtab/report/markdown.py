"""A page as Markdown: the same facts as the HTML page, the plots left out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from trimtab.errors import visible
from trimtab.page import Bars, Block, Commands, Page, Plots, Points, Table, Text, Tiles
from trimtab.report import words
from trimtab.report.words import Words

_MARKS = {"": "", "good": "yes", "bad": "**no**"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]|#~$])")


def render(page: Page) -> str:
    """The page as Markdown; users' text cannot become markup. What stands above it is `model_card.header`."""
    head = [
        f"# {escape(page.name)}: {escape(page.verdict)}",
        escape(page.summary),
        _list(page.why),
        _list([f"{label}: {value}" for label, value in page.facts]),
    ]
    parts, said = [part for part in head if part], words.of(page.language)
    for section in page.sections:
        if shown := [part for block in section.blocks if (part := _RENDERERS[type(block)](block, said))]:
            parts += [f"## {escape(section.title)}", *shown]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text on one line that Markdown shows as it is."""
    plain = visible(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", plain)


def _text(block: Text, words: Words) -> str:
    return escape(block.text)


def _list(items: tuple[str, ...] | list[str]) -> str:
    return "\n".join(f"- {escape(item)}" for item in items)


def _points(block: Points, words: Words) -> str:
    return _list(block.items)


def _commands(block: Commands, words: Words) -> str:
    lines = "\n".join(line.replace("```", "") for line in block.lines)
    return f"```{block.language}\n{lines}\n```"


def _table(block: Table, words: Words) -> str:
    if not block.rows:
        return ""
    marked = any(block.marks)
    head = [*block.head, *([words.said("met")] if marked else [])]
    ends = [words.said(_MARKS[mark]) for mark in block.marks] if marked else []
    rows = [[*map(escape, row), *ends[position : position + 1]] for position, row in enumerate(block.rows)]
    rule = ["---:" if column in block.numbers else "---" for column in range(len(head))]
    lines = [f"| {' | '.join(cells)} |" for cells in [[escape(cell) for cell in head], rule, *rows]]
    return "\n".join([*([f"{escape(block.title)}:", ""] if block.title else []), *lines])


def _tiles(block: Tiles, words: Words) -> str:
    return _table(
        Table(("", "", ""), tuple((tile.label, f"{tile.value} {tile.unit}", tile.note) for tile in block.tiles)),
        words,
    )


def _bars(block: Bars, words: Words) -> str:
    return _table(Table((block.title, ""), tuple((bar.name, bar.value) for bar in block.bars), frozenset({1})), words)


def _plots(block: Plots, words: Words) -> str:
    return ""


_RENDERERS: dict[type[Block], Callable[[Any, Words], str]] = {
    Text: _text,
    Points: _points,
    Commands: _commands,
    Table: _table,
    Tiles: _tiles,
    Bars: _bars,
    Plots: _plots,
}
