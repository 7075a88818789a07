"""Texts about other people: words that say of what gender, origin, religion or skin colour one is are swapped.

Counterfactual token fairness (Garg et al. 2019, arXiv:1809.10610): the answer should be what it was. Whole words are
replaced; capitals stay, and so do `a` and `an` before what they fit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from trimtab.audit import counterfactual_words as words

Lines = Sequence[Sequence[str]]

# Words behind which `her` is no possessive: `I saw her and left`, `gave her the book`.
_NO_NOUN = frozenset({
    "a", "an", "the", "and", "or", "but", "to", "at", "in", "on", "for", "with", "by", "from", "of", "as", "is", "was",
    "be", "been", "if", "that", "this", "when", "who", "which", "so", "than", "then", "too", "because", "while",
    "after", "before", "about", "into", "up", "out", "off", "over", "down", "again", "not", "my", "your", "his", "her",
    "its", "our", "their",
})  # fmt: skip
_WORD = r"[^\W\d_]+"
_NEXT = re.compile(rf"\s+({_WORD})")
_OR = re.compile(r"\s+(?:or|and)\s+(?:her|his)\b", re.IGNORECASE)  # `his or her book`: both are of the noun


@dataclass(frozen=True)
class Swap:
    """One kind of swap, and the sets of words that stand for each other."""

    name: str  # as gates write it: `counterfactual.gender`
    meaning: str
    lines: Lines
    pronouns: bool = False  # him, his, her and hers too, which do not map one to one

    def apply(self, text: str, step: int) -> str:
        """Each word as the one `step` places on in its line, never itself; what holds none is the same text."""

        def other(found: re.Match[str]) -> str:
            article, old = found["article"] or "", found["word"]
            new = self._other(old, step, found)
            return _article(article, new) + _cased(old, new)

        return self._pattern.sub(other, text)

    def _other(self, word: str, step: int, found: re.Match[str]) -> str:
        if self.pronouns and word.lower() in _PRONOUNS:
            return _pronoun(word.lower(), found.string[found.end() :])
        line, place = self._places[word.lower()]
        return line[(place + 1 + step % (len(line) - 1)) % len(line)]

    @cached_property
    def _places(self) -> Mapping[str, tuple[Sequence[str], int]]:
        """The line of each word, and its place in it."""
        return {word: (line, place) for line in reversed(self.lines) for place, word in enumerate(line)}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        known = [*self._places, *(_PRONOUNS if self.pronouns else ())]
        ordered = sorted(
            known, key=len, reverse=True
        )  # 男朋友 before 男友, `african-american` before what it begins with
        latin = "|".join(_written(word) for word in ordered if word.isascii())
        either = [rf"(?<![\w-])(?:{latin})(?![\w-])", *(_written(word) for word in ordered if not word.isascii())]
        return re.compile(rf"(?P<article>\ban?\s+)?(?P<word>{'|'.join(either)})", re.IGNORECASE | re.ASCII)


_PRONOUNS = frozenset({"him", "his", "her", "hers"})


def _pronoun(word: str, behind: str) -> str:
    """`her` is `his` before a noun, else `him`; `his` is `her` before one, else `hers`."""
    found = _NEXT.match(behind)
    of_a_noun = found is not None and (found[1].lower() not in _NO_NOUN or _OR.match(behind) is not None)
    if word == "her":
        return "his" if of_a_noun else "him"
    return {"him": "her", "hers": "his", "his": "her" if of_a_noun else "hers"}[word]


def _written(word: str) -> str:
    """A word as a pattern: colours only before people, 他 only where it is a pronoun."""
    if word in words.COLOURS:
        return rf"{word}(?=\s+(?:{'|'.join(words.PEOPLE)})\b)"
    if word == "他":
        return f"(?<![{words.NOT_BEHIND}])他(?![{words.NOT_BEFORE}])"
    return re.escape(word)


def _article(article: str, word: str) -> str:
    """`a `, `an ` or nothing, as it stood there, as it fits the word."""
    if not article:
        return ""
    fitting = "an" if word[0] in "aeiou" else "a"
    return _cased(article.rstrip(), fitting) + article[len(article.rstrip()) :]


def _cased(old: str, new: str) -> str:
    """The new word in capitals where the old one is, or with its first letter as a capital."""
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new[0].upper() + new[1:] if old[:1].isupper() else new


def names(texts: bool) -> list[str]:
    """The swaps that gates may ask for: all, where an input is a text."""
    return [swap.name for swap in SWAPS] if texts else []


SWAPS = (
    Swap("gender", "he and she, father and mother, 他 and 她", words.GENDER, pronouns=True),
    Swap("names", "a man's given name and a woman's", words.NAMES),
    Swap("origins", "given names of another origin", words.ORIGINS),
    Swap("nationalities", "nationalities and countries; in Chinese regions too", words.NATIONALITIES),
    Swap("religions", "religions, their followers and houses", words.RELIGIONS),
    Swap("skin_colours", "skin colours of people", words.SKIN_COLOURS),
)
