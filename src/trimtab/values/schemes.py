"""How tags mark the borders of spans: BIO, IOB1, BIOES, BILOU, BMES and the like, before or behind the type."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

OUTSIDE = "O"  # the tag of a word of no span
_BEFORE = re.compile(r"([BIESLUMW])([-_:/.])(.+)")
_BEHIND = re.compile(r"(.+)([-_:/.])([BIESLUMW])")
_BARE = re.compile(r"([BIESLUMW])()()")
# What a letter says: B begins a span, I is inside one, E ends one, S is one by itself.
_MEANING = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S", "W": "S"}
# Letters of a scheme in the order of B, I, E, S; the first that holds all letters seen.
_KNOWN = {"BIO": "BI", "BIOES": "BIES", "BILOU": "BILU", "BMES": "BMES", "BMEWO": "BMEW", "BIOEU": "BIEU"}
UNTYPED = "span"  # the type where tags are letters alone


@dataclass(frozen=True)
class Mark:
    """What a tag says: B, I, E or S (nothing for a word outside), and the type of the span."""

    border: str
    type: str


@dataclass(frozen=True)
class Scheme:
    """The name of a scheme, its letters, and how a tag is written."""

    name: str
    letters: str
    form: str  # with {letter} and {type}

    def read(self, tag: str) -> Mark:
        """What one of the scheme's tags says."""
        if tag == OUTSIDE:
            return Mark("", "")
        letter, _, kind = _parted(tag, self.form)
        return Mark(_MEANING[letter], kind or UNTYPED)

    def written(self, kind: str) -> list[str]:
        """The tags of a type."""
        return [self.form.format(letter=letter, type=kind) for letter in self.letters]


def scheme_of(tags: Iterable[str]) -> Scheme | None:
    """The scheme that all of the tags are of; None for tags without borders."""
    found = sorted(set(tags) - {OUTSIDE, ""})
    for form in ("{letter}%s{type}", "{type}%s{letter}", "{letter}"):
        parted = [_parted(tag, form) for tag in found]
        marks = {mark for _, mark, _ in parted}
        letters = {letter for letter, _, _ in parted}
        if not found or "" in letters or len(marks) > 1:
            continue
        name = next((name for name, known in _KNOWN.items() if letters <= set(known)), None)
        if name and ("B" in letters or (letters == {"I"} and "%s" in form)) and (len(letters) > 1 or "%s" in form):
            return Scheme(name, _KNOWN[name], form % marks.pop() if "%s" in form else form)
    return None


def _parted(tag: str, form: str) -> tuple[str, str, str]:
    """Letter, mark between and type; nothing where the tag is not of this form."""
    if form.startswith("{type}"):
        match = _BEHIND.fullmatch(tag)
        return (match[3], match[2], match[1]) if match else ("", "", "")
    match = (_BARE if form == "{letter}" else _BEFORE).fullmatch(tag)
    return (match[1], match[2], match[3]) if match else ("", "", "")


def complete(tags: Sequence[str], scheme: Scheme | None) -> tuple[str, ...]:
    """All tags in order; of spans, those of every type, whichever was seen."""
    if scheme is None:
        return tuple(sorted(tags))
    types = sorted({scheme.read(tag).type for tag in tags})
    return tuple(tag for kind in types for tag in scheme.written("" if kind == UNTYPED else kind))
