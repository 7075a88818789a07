"""The fixed words of a card in another language: a table `LANGUAGE.json` beside this file, keyed by the English words.

Keys are titles, heads, labels and sentences as they stand in the code, holes included: `Recall of {part}` fits what was
filled in, and its translation has the same holes. What has no translation stays English; what users wrote stays as it
is, for only places that hold fixed words are looked at (`page.Table.fixed`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from trimtab.page import Bars, Block, Page, Points, Table, Text, Tiles

_HOLE = re.compile(r"\{(\w+)(?:[^{}]*)\}")
_SENTENCES = re.compile(r"(?<=[.!?:]) (?=\S)")
# Holes that are filled with words of the table again.
_NESTED = frozenset({"metric", "label", "what", "served", "by"})
# What else fills a hole: a figure, or words of one sentence.
_FIGURE = r"[-+\d.,e%–]+"
_FILLED = {"low": _FIGURE, "high": _FIGURE, "value": r"[-+\d][^()]*?"}
_WORDS = r"(?:(?!\. ).)+?"


@dataclass(frozen=True)
class _Template:
    shape: re.Pattern[str]
    said: str


@dataclass(frozen=True)
class Words:
    """A table of translations; English has none and says everything as it is."""

    language: str
    exact: Mapping[str, str]
    templates: tuple[_Template, ...]

    def said(self, text: str) -> str:
        """A word, a label or a whole text, sentence by sentence where it is not known as one."""
        found = self._whole(text)
        if found is not None or not self.exact:
            return text if found is None else found
        parts = _SENTENCES.split(text)
        return text if len(parts) == 1 else self._sentences(parts)

    def _whole(self, text: str) -> str | None:
        if text in self.exact:
            return self.exact[text]
        for template in self.templates:
            found = template.shape.fullmatch(text)
            said = self._filled(template, found.groupdict()) if found else None
            if said is not None:
                return said
        return None

    def _filled(self, template: _Template, holes: Mapping[str, str]) -> str | None:
        """None where what fills a hole must be words of the table and is none."""
        filled = {hole: self._whole(text) if hole in _NESTED else text for hole, text in holes.items()}
        return None if None in filled.values() else _HOLE.sub(lambda hole: str(filled[hole[1]]), template.said)

    def _sentences(self, parts: list[str]) -> str:
        """Runs of sentences that the table knows, the longest first; others as they are."""
        said, start = [], 0
        while start < len(parts):
            runs = ((end, self._whole(" ".join(parts[start:end]))) for end in range(len(parts), start, -1))
            end, found = next(((end, found) for end, found in runs if found is not None), (start + 1, None))
            said.append(parts[start] + " " if found is None else found)
            start = end
        return "".join(said).rstrip()


@cache
def of(language: str) -> Words:
    """The words of a language. Raises FileNotFoundError where there are none."""
    if language == "en":
        return Words(language, {}, ())
    table: dict[str, str] = json.loads(Path(__file__).with_name(f"{language}.json").read_text(encoding="utf-8"))
    # Of two templates that fit, the one with more fixed words says more.
    held = sorted((key for key in table if _HOLE.search(key)), key=lambda key: -len(_HOLE.sub("", key)))
    templates = tuple(_Template(_shape(key), table[key]) for key in held)
    return Words(language, {key: said for key, said in table.items() if not _HOLE.search(key)}, templates)


def _shape(key: str) -> re.Pattern[str]:
    parts, seen, end = [], set[str](), 0
    for hole in _HOLE.finditer(key):
        again = hole[1] in seen
        parts += [
            re.escape(key[end : hole.start()]),
            f"(?P={hole[1]})" if again else f"(?P<{hole[1]}>{_FILLED.get(hole[1], _WORDS)})",
        ]
        seen.add(hole[1])
        end = hole.end()
    return re.compile("".join([*parts, re.escape(key[end:])]), re.DOTALL)


def translated(page: Page) -> Page:
    """The page in its own language."""
    words = of(page.language)
    if not words.exact:
        return page
    sections = []
    for section in page.sections:
        blocks = tuple(_block(words, block) for block in section.blocks)
        sections.append(
            replace(section, title=words.said(section.title), short=words.said(section.short), blocks=blocks)
        )
    return replace(
        page,
        verdict=words.said(page.verdict),
        summary=words.said(page.summary),
        why=tuple(map(words.said, page.why)),
        facts=tuple((words.said(label), words.said(value)) for label, value in page.facts),
        sections=tuple(sections),
    )


def _block(words: Words, block: Block) -> Block:
    if isinstance(block, Text):
        return block if block.own else Text(words.said(block.text))
    if isinstance(block, Points):
        return Points(tuple(map(words.said, block.items)))
    if isinstance(block, Table):
        return _table(words, block)
    if isinstance(block, Tiles):
        tiles = (replace(one, label=words.said(one.label), note=words.said(one.note)) for one in block.tiles)
        return Tiles(tuple(tiles))
    if isinstance(block, Bars):
        bars = (replace(one, name=words.said(one.name)) for one in block.bars) if block.fixed else block.bars
        return replace(block, title=words.said(block.title), bars=tuple(bars))
    return block


def _table(words: Words, table: Table) -> Table:
    fixed = table.fixed | table.numbers
    head = tuple(name if place in table.named else words.said(name) for place, name in enumerate(table.head))
    rows = tuple(
        tuple(words.said(cell) if place in fixed else cell for place, cell in enumerate(row)) for row in table.rows
    )
    return replace(table, head=head, rows=rows, title=words.said(table.title))
