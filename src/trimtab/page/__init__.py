"""What a page is made of: sections of plain blocks, which HTML and Markdown both know how to show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mark = Literal["", "good", "bad"]


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    own: bool = False  # words of the user's, which no translation touches


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Commands:
    """Lines to type."""

    lines: tuple[str, ...]
    language: str = "console"


@dataclass(frozen=True)
class Table:
    """Rows of text under a head. `numbers` and `codes` are the columns that hold figures and code.

    A translation touches titles and heads, but for the `named` ones, and the cells of figures and of `fixed` columns.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    codes: frozenset[int] = frozenset()
    marks: tuple[Mark, ...] = ()  # of each row, or none at all
    title: str = ""
    fixed: frozenset[int] = frozenset()  # columns that hold words of the card, not of the user
    named: frozenset[int] = frozenset()  # columns that are called as the user called them
    folded: bool = False  # shown on request where the page can do that: a picture says the same


@dataclass(frozen=True)
class Tile:
    """A figure that matters, large."""

    label: str
    value: str
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class Tiles:
    """Figures side by side."""

    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Bar:
    """A length from 0 to 1 with its figure; `low` and `high` bound its interval."""

    name: str
    value: str
    length: float
    low: float
    high: float
    strong: bool = False


@dataclass(frozen=True)
class Bars:
    """Lengths to compare."""

    title: str
    bars: tuple[Bar, ...]
    fixed: bool = False  # whether their names are words of the card, not of the user


@dataclass(frozen=True)
class Plots:
    """Plots by file stem; one that was not drawn is left out. Pages without pictures show nothing."""

    stems: tuple[str, ...]


Block = Text | Points | Commands | Table | Tiles | Bars | Plots


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; a section without blocks is not shown."""

    title: str
    blocks: tuple[Block, ...]
    short: str = ""  # the title where there is little room


@dataclass(frozen=True)
class Page:
    """A whole page: its verdict first."""

    name: str
    verdict: str
    good: bool
    summary: str
    why: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]  # small print under the verdict
    sections: tuple[Section, ...]
    language: str = "en"
    kind: str = "Release card"
