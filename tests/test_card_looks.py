"""How the card looks: in Chromium at three widths, in light, dark and print; and what can be told without it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from tests import browser
from tests.browser import Browser
from tests.test_card import manifest

from trimtab import report
from trimtab.page import Bar, Bars, Commands, Page, Section, Table, Text, Tile, Tiles
from trimtab.report import facts, html, plots

LOOKS = [(390, "light"), (390, "dark"), (820, "light"), (1280, "dark")]  # pixels wide: a phone, a tablet, a screen
MOST_EMPTY = 44  # pixels of a row's height without any text that can be seen
LONG = (
    "A perturbation of the kind that people make who type with two thumbs on a train, and how often it is found. " * 3
)
WIDE = Section(
    "Tables of every shape",
    (
        Text(f"{'unbroken' * 30} {LONG}"),
        Table(("metric", "value", "interval", "meaning"), (("F1", "0.9", "0.8 to 1.0", LONG),), frozenset({1, 2})),
        Table(("one", "two", "three", "four", "five"), (("a", "", "c", "x" * 200, LONG),), codes=frozenset({3})),
        Table(("file", "bytes", "sha256"), (("a/b", "12", "9f" * 32),), frozenset({1}), frozenset({0, 2})),
        Table(("class", *"abcdefghijkl"), tuple((one, *["1,234"] * 12) for one in "abcd"), frozenset(range(1, 13))),
        Table(("word", "adds", "rows", "column"), (("w", "1", "2", "c"),), title="Folded", folded=True),
        Table(("", ""), (("cpu", "Some processor of some maker @ 2.50GHz"),)),
        Tiles(tuple(Tile("A long name of a metric", "123,456.789", "per million", "95%: 1 to 2") for _ in range(7))),
        Bars("Bars", (Bar("gradient-boosted trees", "0.900 (0.800 to 0.950)", 0.9, 0.8, 0.95),)),
        Commands((f"$ trimtab predict {'long/' * 40}",)),
    ),
)  # fmt: skip
# In each row of a table: the tallest stretch of its height where no text can be seen in the window.
EMPTY = """[...document.querySelectorAll("tbody tr")].filter(row => row.checkVisibility()).map(row => {
  const box = row.getBoundingClientRect(), lines = [], walk = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const range = document.createRange();
    range.selectNodeContents(walk.currentNode);
    lines.push(...[...range.getClientRects()].filter(line => line.left < innerWidth && line.right > 0));
  }
  lines.sort((one, other) => one.top - other.top);
  let at = box.top, most = 0;
  for (const line of lines) { most = Math.max(most, line.top - at); at = Math.max(at, line.bottom); }
  return Math.max(most, box.bottom - at);
})"""


def card_of_everything() -> tuple[Page, list[Path]]:
    """The facts of a launch, and beside them blocks of every kind."""
    found = facts.page(Path("no-folder"), manifest("label", {"accuracy": ">= 0.99", "latency": "<= 1 ms"}))
    return replace(found, sections=(*found.sections, WIDE)), []


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card as a file."""
    folder = tmp_path_factory.mktemp("card")
    page, _ = card_of_everything()
    drawn = plots.draw(manifest("label", {}).evidence, folder / "plots")
    target = folder / "card.html"
    target.write_text(html.render(page, drawn), encoding="utf-8")
    return target


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of this file."""
    if browser.found() is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    with browser.opened() as found:
        yield found


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_the_card_fits_a_phone_a_tablet_and_a_screen(
    chromium: Browser, card: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    chromium.shape(width, scheme)
    chromium.open(card)
    assert chromium.evaluate("document.documentElement.scrollWidth") <= width
    empty = chromium.evaluate(EMPTY)
    assert len(empty) > 20
    assert max(empty) <= MOST_EMPTY
    assert chromium.complaints == []
    chromium.picture(tmp_path / "card.png")
    with Image.open(tmp_path / "card.png") as shot:
        assert shot.width == width
        assert len(shot.convert("RGB").getcolors(1 << 24) or []) > 50
        corner = shot.convert("L").getpixel((2, shot.height - 2))
    assert (corner > 128) == (scheme == "light")


def test_what_is_folded_is_printed(chromium: Browser, card: Path) -> None:
    seen = "[...document.querySelectorAll('details table')].map(one => one.checkVisibility())"
    chromium.shape(820)
    chromium.open(card)
    folded = chromium.evaluate(seen)
    chromium.shape(820, media="print")
    printed = chromium.evaluate(seen)
    assert (set(folded), set(printed)) == ({False}, {True})
    assert not chromium.evaluate("document.querySelector('nav').checkVisibility()")


def test_the_keyboard_reaches_the_content_and_shows_where_it_is(chromium: Browser, card: Path) -> None:
    chromium.shape(1280)
    chromium.open(card)
    chromium.press("Tab")
    assert chromium.evaluate("document.activeElement.className") == "skip"
    assert chromium.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    assert chromium.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    chromium.press("Tab")
    assert chromium.evaluate("document.activeElement.closest('nav') !== null")
    assert chromium.evaluate("document.querySelector('.skip').hash") == "#main"


@pytest.mark.parametrize("width", [390, 1280])
def test_assistive_technology_hears_tables_and_pictures_by_name(chromium: Browser, card: Path, width: int) -> None:
    chromium.shape(width)
    chromium.open(card)
    told = chromium.tree()
    tables = [one["name"] for one in told if one["role"] == "table"]
    pictures = [one["name"] for one in told if one["role"] in ("image", "img")]
    assert len(tables) > 10
    assert len(pictures) >= 5
    assert all([*tables, *pictures])
    roles = {one["role"] for one in told}
    assert roles >= {"main", "navigation", "banner", "contentinfo", "region", "rowheader", "columnheader", "cell"}


# ------------------------------------------------------------------------------------------------ without a browser


class Outline(HTMLParser):
    """The headings, the cells that head others, and the tables with their captions."""

    def __init__(self) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.scopes: list[str | None] = []
        self.tables = self.captions = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.headings += [int(tag[1])] if re.fullmatch(r"h\d", tag) else []
        self.scopes += [dict(attrs).get("scope")] if tag == "th" else []
        self.tables += tag == "table"
        self.captions += tag == "caption"


def test_headings_are_in_order_and_tables_have_captions_and_scopes(card: Path) -> None:
    found = Outline()
    found.feed(card.read_text(encoding="utf-8"))
    assert found.headings[0] == 1
    assert found.headings.count(1) == 1
    assert all(below - above <= 1 for above, below in zip(found.headings, found.headings[1:], strict=False))
    assert found.tables == found.captions > 10
    assert set(found.scopes) == {"col", "row"}


def colours() -> dict[str, dict[str, str]]:
    """The colours of each of the three looks, by their names in the style sheet."""
    sheet = Path(report.__path__[0], "card.css").read_text(encoding="utf-8")
    looks = re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)
    return {
        name: dict(re.findall(r"--([\w-]+): #([0-9a-f]{3,6})\b", look))
        for name, look in zip(("light", "dark", "print"), looks, strict=True)
    }


def luminance(colour: str) -> float:
    """Relative luminance of a colour in hex (WCAG 2.2)."""
    whole = "".join(2 * letter for letter in colour) if len(colour) == 3 else colour
    parts = [int(whole[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("look", ["light", "dark", "print"])
def test_text_stands_out_from_what_it_is_written_on(look: str) -> None:
    own = colours()[look]
    on_paper = [(ink, paper) for ink in ("ink", "soft", "accent", "good", "bad") for paper in ("paper", "raised")]
    on_tone = [(ink, f"{tone}-soft") for tone in ("good", "bad", "accent") for ink in ("ink", "soft", tone)]
    on_tone.append(("bad", "bad-soft"))
    poor = {}
    for ink, paper in on_paper + on_tone:
        light, dark = sorted((luminance(own[ink]), luminance(own[paper])), reverse=True)
        if (contrast := (light + 0.05) / (dark + 0.05)) < 4.5:
            poor[ink, paper] = round(contrast, 2)
    assert poor == {}
