"""What the letters of texts tell of their language."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_IDEOGRAPH = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")


def words(text: str) -> float:
    """Words in a text; in writing without spaces, two characters count as one."""
    ideographs = 0 if text.isascii() else len(_IDEOGRAPH.findall(text))
    return ideographs / 2 if ideographs > len(text) / 4 else len(text.split())


def foreign_share(texts: Iterable[str]) -> float:
    """The share of letters that are not Latin, 0 to 1; 0 where there is no letter."""
    letters = [character for text in texts for character in text if character.isalpha()]
    latin = sum(character.isascii() or unicodedata.name(character, "").startswith("LATIN") for character in letters)
    return 1 - latin / len(letters) if letters else 0.0
