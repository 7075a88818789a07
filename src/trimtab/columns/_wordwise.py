"""Token ids of a text, word by word out of a table of the words met so far.

Most tokenizers of BERT's kind never look across a space: the ids of a text are those of its words, one after the
other. What the tokenizer said of a word once is looked up the next time, which is several times as fast as asking it
again, and gives the same ids.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from tokenizers import Tokenizer

_ID = np.dtype(np.int64)
_KEPT_WORDS = 1 << 15  # a few megabytes; by then the frequent words are in
_LONGEST_WORD = 64  # characters; what is longer hardly comes again
_NORMALIZERS = frozenset({"BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"})
_CUT_AT_SPACES = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit"})
_CUT_FURTHER = _CUT_AT_SPACES | {"Split", "Punctuation", "Digits"}
_MODELS = frozenset({"WordPiece", "WordLevel"})


class _Words(dict[str, bytes]):
    """What stands between two spaces -> its token ids, int64; what is not known yet is asked of the tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def __missing__(self, word: str) -> bytes:
        ids = _packed(self.tokenizer.encode(word, add_special_tokens=False).ids)
        if len(word) <= _LONGEST_WORD and len(self) < _KEPT_WORDS:
            self[word] = ids
        return ids


@dataclass(frozen=True)
class Wordwise:
    """Encodes as the tokenizer would. Safe to use from several threads."""

    words: _Words
    before: bytes  # special tokens at the beginning of every row
    behind: bytes  # and at its end
    most: int  # bytes of the ids that are kept between them

    @classmethod
    def of(cls, definition: str, tokenizer: Tokenizer, most: int, dropped: int, opening: Sequence[int]) -> Self | None:
        """For rows of at most `most` tokens, which begin with `opening` in place of `dropped` special tokens.

        `tokenizer` is what `definition` says, and cuts at `most`; a second one would take the memory of its vocabulary
        again. None for a tokenizer that may look across spaces.
        """
        if not _is_local(json.loads(definition)):
            return None
        framed = tokenizer.encode("a")
        own = [position for position, part in enumerate(framed.sequence_ids) if part is not None]
        if not own or dropped > own[0]:
            return None
        begin, end = framed.ids[: own[0]], framed.ids[own[-1] + 1 :]
        before, behind = _packed([*opening, *begin[dropped:]]), _packed(end)
        return cls(_Words(tokenizer), before, behind, (most - len(begin) - len(end)) * _ID.itemsize)

    def encode(self, texts: Sequence[str], pad_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids of all rows end to end, and where each begins, (rows + 1,); `pad_id` stands for a row without tokens."""
        before, behind, most, ids = self.before, self.behind, self.most, self.words.__getitem__
        nothing = _packed([pad_id])
        rows = [before + b"".join(map(ids, text.split(" ")))[:most] + behind or nothing for text in texts]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows)) // _ID.itemsize, out=offsets[1:])
        return np.frombuffer(bytearray().join(rows), _ID), offsets

    def length(self, text: str) -> int:
        """How many tokens a row has before it is cut."""
        size = sum(map(len, map(self.words.__getitem__, text.split(" "))))
        return (len(self.before) + size + len(self.behind)) // _ID.itemsize


def _packed(ids: Sequence[int]) -> bytes:
    return array("q", ids).tobytes()


def _is_local(definition: dict[str, Any]) -> bool:
    """Whether every step of the tokenizer reads what stands between two spaces by itself."""
    cuts = _steps(definition.get("pre_tokenizer"), "pretokenizers")
    return (
        all(step in _NORMALIZERS for step in _steps(definition.get("normalizer"), "normalizers"))
        and bool(cuts)
        and cuts[0] in _CUT_AT_SPACES
        and all(step in _CUT_FURTHER for step in cuts)
        and definition["model"].get("type") in _MODELS
        and not any(" " in token["content"] for token in definition.get("added_tokens", ()))
    )


def _steps(part: dict[str, Any] | None, parts: str) -> list[str]:
    """The types of the steps that a part of a tokenizer is made of, in order."""
    if part is None:
        return []
    if part["type"] != "Sequence":
        return [part["type"]]
    return [step for one in part[parts] for step in _steps(one, parts)]
