"""Texts as people and programs write them: typing errors, other case, no marks, look-alike letters (CheckList, 2020).

After Ribeiro et al. 2020 (arXiv:2005.04118): invariance tests. English where a rule is one of a language; texts that a
rule does not touch, and lists of words, are left as they are.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from typing import Any

from trimtab.perturb import Perturbation, Random, one_by_one
from trimtab.values import parse
from trimtab.values.typing_errors import WORDS, mistyped

_TYPOS = 0.1  # of the words of four letters or more, and one at least
_HOMOGLYPHS = str.maketrans("aceopxyABEHKMOPTX", "асеорхуАВЕНКМОРТХ")  # Cyrillic letters that look the same
_LOOK_ALIKE = 0.2  # of the words
_INVISIBLE = "\u200b"  # a space of no width
_NEUTRAL = ("It was on a Tuesday.", "This was written last week.", "For the record, this is number 42.")
_CONTRACTIONS = {
    "do not": "don't", "does not": "doesn't", "did not": "didn't", "is not": "isn't", "are not": "aren't",
    "was not": "wasn't", "were not": "weren't", "can not": "can't", "cannot": "can't", "could not": "couldn't",
    "would not": "wouldn't", "should not": "shouldn't", "has not": "hasn't", "have not": "haven't", "will not": "won't",
    "it is": "it's", "that is": "that's", "i am": "i'm", "you are": "you're", "they are": "they're", "we are": "we're",
    "i have": "i've", "you will": "you'll", "i will": "i'll",
}  # fmt: skip
_EXPANSIONS = {short: long for long, short in _CONTRACTIONS.items() if long != "can not"}
_EITHER = re.compile(
    r"\b(" + "|".join(map(re.escape, sorted({**_CONTRACTIONS, **_EXPANSIONS}, key=len, reverse=True))) + r")\b",
    re.IGNORECASE,
)


def _words(text: str, random: Random, share: float, change: Callable[[str], str]) -> str:
    """With some of its words changed, at least one of those that the change touches."""
    pieces: list[str] = WORDS.findall(text)
    touched = [place for place, piece in enumerate(pieces) if change(piece) != piece]
    if not touched:
        return text
    chosen = [place for place in touched if random.random() < share] or [touched[random.integers(len(touched))]]
    for place in chosen:
        pieces[place] = change(pieces[place])
    return "".join(pieces)


def _typos(text: str, random: Random) -> str:
    return _words(text, random, _TYPOS, lambda word: mistyped(word, random))


def _upper(text: str, random: Random) -> str:
    return text.upper()


def _lower(text: str, random: Random) -> str:
    return text.lower()


def _no_marks(text: str, random: Random) -> str:
    """Without the marks at the end of words; those inside (`don't`, `3.5`) stay."""
    return re.sub(rf"[{re.escape(string.punctuation)}]+(?=\s|$)", "", text).strip() or text


def _spacing(text: str, random: Random) -> str:
    """White space doubled, and some before and behind."""
    doubled = re.sub(r"\s", lambda found: found.group() * 2, text)
    return f"  {doubled} "


def _contractions(text: str, random: Random) -> str:
    """`do not` as `don't` and the other way round."""

    def other(found: re.Match[str]) -> str:
        written = found.group()
        short = _CONTRACTIONS.get(written.lower()) or _EXPANSIONS[written.lower()]
        return short[0].upper() + short[1:] if written[0].isupper() else short

    return _EITHER.sub(other, text)


def _sentence(text: str, random: Random) -> str:
    return f"{text} {_NEUTRAL[random.integers(len(_NEUTRAL))]}"


def _homoglyphs(text: str, random: Random) -> str:
    return _words(text, random, _LOOK_ALIKE, lambda word: word.translate(_HOMOGLYPHS))


def _zero_width(text: str, random: Random) -> str:
    return _words(text, random, _LOOK_ALIKE, lambda word: _INVISIBLE.join(word) if not word.isspace() else word)


def _of_text(change: Callable[[str, Random], str]) -> Callable[[Any, Random], Any]:
    """What is no text, or says nothing, is left as it is."""
    return lambda value, random: change(value, random) if isinstance(value, str) and parse.text(value) else value


PERTURBATIONS = tuple(
    Perturbation(name, meaning, one_by_one(_of_text(change)))
    for name, meaning, change in (
        ("typos", "one word in ten, and one at least, has a typing error", _typos),
        ("upper_case", "all letters are capitals", _upper),
        ("lower_case", "no letter is a capital", _lower),
        ("punctuation", "no marks at the end of words", _no_marks),
        ("spacing", "white space doubled, and more before and behind", _spacing),
        ("contractions", "`do not` as `don't`, and the other way round", _contractions),
        ("added_sentence", "a sentence behind it that says nothing of the answer", _sentence),
        ("homoglyphs", "one word in five has Cyrillic letters that look like its own", _homoglyphs),
        ("zero_width", "one word in five has spaces of no width between its letters", _zero_width),
    )
)
