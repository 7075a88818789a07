"""Which bundled encoder of texts knows the rows: the English one, that of 100 languages, or neither.

Told by the letters' script, by the share of tokens that are unknown, and, of texts in Latin letters, by how many pieces
their words fall apart into. With 2,000 rows each, the tokenizer of minilm makes 1.0 to 1.3 pieces of a word of nine
English data sets and 2.0 of a German one (Multi30k); with words of 13 other languages it makes 1.7 to 2.8. Names of
drugs, formulas and slang fall apart as much (1.4 to 2.9), but into as many pieces by the tokenizer of e5-small (0.97 to
1.08 times), where the other languages need 1.2 to 1.9 times as many.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer

from trimtab.pretrained import Suited
from trimtab.pretrained._packed import Packed
from trimtab.values import list_cells
from trimtab.values.letters import foreign_share
from trimtab.values.unknown import unknown_share

_TEXTS, _CHARACTERS = 1000, 400  # texts that are looked at, and characters of each
_MOST_FOREIGN = 0.5  # share of letters that are not Latin
_MOST_UNKNOWN = 0.5  # share of tokens, or of characters; a third of English tweets may be emojis alone
_TOLD = 0.01  # share of unknown tokens from which on it is told beside the script
_MOST_PIECES = 1.4  # of a word in Latin letters
_FEWER_PIECES = 1.15  # times: what the other tokenizer must save
_ENGLISH = Suited("minilm", "bundled, small, and trained on English text")


def suited(values: Sequence[object], english: Tokenizer, other: Packed | None) -> Suited:
    """The bundled base for such texts and why; `other` is that of 100 languages, where it is installed."""
    picked = values[:: -(-len(values) // _TEXTS) or 1]
    texts = [list_cells.text(value)[:_CHARACTERS] for value in picked]
    why = _foreign(texts, english)
    pieces = 0.0 if why else _pieces(english, texts)
    if not why and pieces <= _MOST_PIECES:
        return _ENGLISH
    if other is None:
        found = why or f"minilm cuts a word into {pieces:.1f} pieces, as it does where a text is not English"
        return Suited(None if why else "minilm", found, missing="e5-small")
    if why:
        unknown = _unknown_characters(other, texts)
        if unknown > _MOST_UNKNOWN:
            return Suited(None, f"{unknown:.0%} of the characters are unknown to e5-small, the base of 100 languages")
    else:
        fewer = _pieces(other.cutter, texts)
        if pieces < fewer * _FEWER_PIECES:
            return _ENGLISH
        why = f"minilm cuts a word into {pieces:.1f} pieces, this one into {fewer:.1f}"
    return Suited("e5-small", f"{why}; multilingual-e5-small, bundled, trained on text in 100 languages; MIT")


def _foreign(texts: Sequence[str], english: Tokenizer) -> str:
    """What says that texts are of no use to the English tokenizer; empty where they may be."""
    unknown = unknown_share(english, texts).tokens
    told = f"{unknown:.0%} of the tokens are unknown to minilm"
    foreign = foreign_share(texts)
    if foreign > _MOST_FOREIGN:
        share = f"{foreign:.0%} of the letters are not Latin"
        return f"{share}, {told}" if unknown > _TOLD else share
    return told if unknown > _MOST_UNKNOWN else ""


def _unknown_characters(other: Packed, texts: Sequence[str]) -> float:
    """The share of characters that no piece of its vocabulary has."""
    known = {*"".join(other.pieces)}
    characters = [c for c in unicodedata.normalize("NFKC", " ".join(texts)) if not c.isspace()]
    return sum(c not in known for c in characters) / max(1, len(characters))


def _pieces(tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """Of a word of letters, on average; 0 where there is none."""
    words = [[word for word in text.split() if word.isalpha()] for text in texts]
    cut = tokenizer.encode_batch([" ".join(row) for row in words], add_special_tokens=False)
    return sum(len(row.ids) for row in cut) / max(1, int(np.sum([len(row) for row in words])))
