"""Texts that nobody wrote: letters by chance, of the same alphabet or of one that no text has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from trimtab.columns import InputColumn
from trimtab.foreign import Kind, Random

# Letters of Georgian, Armenian, Devanagari, Cyrillic: the first that no text has any of.
_SCRIPTS = tuple([chr(code) for code in range(*ends)] for ends in (
    (0x10D0, 0x10F1), (0x0561, 0x0587), (0x0915, 0x093A), (0x0430, 0x0450),
))  # fmt: skip


def _letters(column: InputColumn, values: Sequence[Any], random: Random) -> list[Any]:
    """Each letter becomes one by chance, as frequent ones as the texts have; marks, digits and spaces stay."""
    return _drawn(values, list(_known(values)), random)


def _script(column: InputColumn, values: Sequence[Any], random: Random) -> list[Any]:
    """Each letter becomes one by chance of another script."""
    known = set(_known(values))
    return _drawn(values, next((script for script in _SCRIPTS if not known & set(script)), _SCRIPTS[0]), random)


def _known(values: Sequence[Any]) -> Iterator[str]:
    texts = (value if isinstance(value, list) else [value] for value in values)
    return (letter for words in texts for word in words if isinstance(word, str) for letter in word if letter.isalpha())


def _drawn(values: Sequence[Any], letters: Sequence[str], random: Random) -> list[Any]:
    def other(text: str) -> str:
        picked = iter(random.integers(0, len(letters), len(text)).tolist())
        return "".join(letters[next(picked)] if letter.isalpha() else letter for letter in text)

    return [_changed(value, other) if letters else value for value in values]


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    """A text, or a list of words, with its letters changed; what has none is the same object."""
    if isinstance(value, list):
        made: Any = [change(word) if isinstance(word, str) else word for word in value]
    else:
        made = change(value) if isinstance(value, str) else value
    return value if made == value else made


KINDS = (Kind("letters by chance", _letters), Kind("letters of another script", _script))
