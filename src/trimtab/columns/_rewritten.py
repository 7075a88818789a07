"""Values that are written otherwise than in training, and still mean one thing only: they are read, and it is told."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from trimtab.values import parse

_MARKS = {".": "a decimal point", ",": "a decimal comma"}
_OTHER = {".": ",", ",": "."}
# A number and a unit of one word; "2.5k" is another number than 2.5, and so is "3 pm".
_UNIT = r"[^\W\d_]{1,8}\.?(?:/[^\W\d_]{1,3})?|[°º]\s?[CFK]?|[\"'′″]"
_WITH_UNIT = re.compile(rf"(?:(?P<before>{_UNIT})\s*)?(?P<number>[+-]?[\d.,'\u00a0\u202f ]*\d)\s*(?P<behind>{_UNIT})?")
_OF_ANOTHER_SIZE = frozenset({
    "k", "m", "g", "t", "b", "e", "mn", "mm", "mln", "mio", "mrd", "bn", "tn", "tsd", "tsd.", "mil", "mill",
    "thousand", "million", "billion", "trillion", "lakh", "lakhs", "cr", "crore", "crores", "dozen",
    "am", "pm", "a.m.", "p.m.", "st", "nd", "rd", "th",
})  # fmt: skip
_YES = frozenset({"true", "t", "yes", "y", "1", "on", "ja", "oui", "si", "s\u00ed", "sim", "\u0434\u0430", "tak"})
_NO = frozenset({"false", "f", "no", "n", "0", "off", "nein", "non", "n\u00e3o", "\u043d\u0435\u0442", "nie"})
_SPACES = re.compile(r"[\s_\-\u2010-\u2015]+")


class Rewritten(NamedTuple):
    """A number, how it was read, and whether that was with the other decimal mark."""

    number: float
    how: str
    mark: bool = False


def number(value: Any, decimal: str, least: float | None, most: float | None) -> Rewritten | None:
    """The number that a value means which is none by the rule of training; None where that is not clear.

    With the other decimal mark; with a unit, where the number lies in the range of training, `least` to `most`; words
    for yes and no where training had 0 and 1.
    """
    if not isinstance(value, str):
        return None
    other = _read(value, _OTHER[decimal])
    if other is not None:
        return Rewritten(other, f"with {_MARKS[_OTHER[decimal]]}", mark=True)
    if least is None or most is None:
        return None
    word = value.strip().casefold()
    if (least, most) == (0.0, 1.0) and (word in _YES or word in _NO):
        return Rewritten(float(word in _YES), "a word for yes or no")
    return _without_unit(value, decimal, least, most)


def _without_unit(value: str, decimal: str, least: float, most: float) -> Rewritten | None:
    match = _WITH_UNIT.fullmatch(value.strip())
    units = [unit for unit in (match["before"], match["behind"]) if unit] if match else []
    if match is None or len(units) != 1 or units[0].casefold() in _OF_ANOTHER_SIZE:
        return None
    for mark in (decimal, _OTHER[decimal]):
        found = _read(match["number"], mark)
        if found is not None and least <= found <= most:
            return Rewritten(found, f"without the unit {units[0]!r}", mark=mark != decimal)
    return None


def others(values: Sequence[Any], decimal: str) -> dict[int, Rewritten]:
    """The rows that can be read with either decimal mark, as the other one, where values beside them prove that one.

    `1,234` is 1.234 beside `12,5`, unless something like `12.5` or `1,234,567` stands there too.
    """
    marked = {
        row: value for row, value in enumerate(values) if isinstance(value, str) and ("," in value or "." in value)
    }
    read = {row: (_read(value, decimal), _read(value, _OTHER[decimal])) for row, value in marked.items()}
    proofs = Counter((own is None, other is None) for own, other in read.values())
    if proofs[False, True] or 2 * proofs[True, False] < len(read) - proofs[True, True]:
        return {}
    how = f"with {_MARKS[_OTHER[decimal]]} as the values beside it"
    return {
        row: Rewritten(other, how, mark=True)
        for row, (own, other) in read.items()
        if own is not None and other is not None and own != other
    }


def _read(value: str, decimal: str) -> float | None:
    try:
        return parse.number(value, decimal)
    except ValueError:
        return None


def spelling(name: str) -> str:
    """A category's name without case, white space, hyphens and the way in which its letters are encoded."""
    plain = _SPACES.sub(" ", unicodedata.normalize("NFKC", name).casefold()).strip()
    return "\0yes" if plain in _YES else "\0no" if plain in _NO else plain


def spellings(categories: Sequence[str]) -> dict[str, int]:
    """The place of each category by its spelling, where only one has it; words for yes and no where these are all."""
    found = [spelling(name) for name in categories]
    truth = sorted(found) == ["\0no", "\0yes"]
    times = Counter(found)
    return {
        one: position for position, one in enumerate(found) if times[one] == 1 and (truth or not one.startswith("\0"))
    }
