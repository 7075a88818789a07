"""Typing errors: what happens to a word on an English keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

SHORTEST = 4  # letters of a word that is mistyped: `not` and `no` stay what they are
# A word is what stands between white space; in scripts without it, one character.
WORDS = re.compile(r"\s+|[぀-ヿ㐀-鿿豈-﫿]|[^\s぀-ヿ㐀-鿿豈-﫿]+")
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _neighbours() -> dict[str, str]:
    """The letters beside, above and below each letter of an English keyboard."""
    positions = {letter: (row, column) for row, letters in enumerate(_KEYS) for column, letter in enumerate(letters)}
    return {
        one: "".join(
            other
            for other, (row, column) in positions.items()
            if other != one and abs(row - positions[one][0]) <= 1 and abs(column - positions[one][1]) <= 1
        )
        for one in positions
    }


_BESIDE = _neighbours()


def mistyped(word: str, random: np.random.Generator) -> str:
    """A word with one error: a key beside, two letters twisted, one left out or typed twice; short ones as they are."""
    if len(word) < SHORTEST:
        return word
    error = _ERRORS[random.integers(len(_ERRORS))]
    return error(word, int(random.integers(1, len(word))), random)  # the first letter is seldom wrong


def _neighbour(word: str, position: int, random: np.random.Generator) -> str:
    """A letter of the key beside; other signs are typed twice."""
    beside = _BESIDE.get(word[position].lower(), word[position] * 2)
    typed = beside[random.integers(len(beside))] if word[position].lower() in _BESIDE else beside
    return word[:position] + (typed.upper() if word[position].isupper() else typed) + word[position + 1 :]


def _twisted(word: str, position: int, random: np.random.Generator) -> str:
    position = min(position, len(word) - 2)
    return word[:position] + word[position + 1] + word[position] + word[position + 2 :]


def _dropped(word: str, position: int, random: np.random.Generator) -> str:
    return word[:position] + word[position + 1 :]


def _doubled(word: str, position: int, random: np.random.Generator) -> str:
    return word[:position] + word[position] + word[position:]


_ERRORS: tuple[Callable[[str, int, np.random.Generator], str], ...] = (_neighbour, _twisted, _dropped, _doubled)
