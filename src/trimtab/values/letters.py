"""What the letters of texts tell of their language."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def foreign_share(texts: Iterable[str]) -> float:
    """The share of letters that are not Latin, 0 to 1; 0 where there is no letter."""
    letters = [character for text in texts for character in text if character.isalpha()]
    latin = sum(character.isascii() or unicodedata.name(character, "").startswith("LATIN") for character in letters)
    return 1 - latin / len(letters) if letters else 0.0
