"""How much of a text a tokenizer does not know: each word or character without a token becomes one "unknown" token."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

_PORTION = 10_000  # texts handed to the tokenizer at a time: bounds the memory of its results


class UnknownShare(NamedTuple):
    """Shares, 0 to 1, of the tokens that are unknown, and of the texts of which every token is."""

    tokens: float
    texts: float


def unknown_share(tokenizer: Tokenizer, texts: Sequence[str]) -> UnknownShare:
    """How much of some texts the tokenizer does not know; special tokens and texts without tokens are not counted."""
    unknown = unknown_id(tokenizer)
    if unknown is None:
        return UnknownShare(0.0, 0.0)
    counts = np.zeros((0, 2), np.int64)  # of each text: its tokens, and those unknown
    for start in range(0, len(texts), _PORTION):
        found = tokenizer.encode_batch_fast(list(texts[start : start + _PORTION]), add_special_tokens=False)
        rows = [(len(ids), ids.count(unknown)) for ids in (encoding.ids for encoding in found)]
        counts = np.concatenate([counts, np.array(rows, np.int64)])
    counts = counts[counts[:, 0] > 0]
    if not len(counts):
        return UnknownShare(0.0, 0.0)
    return UnknownShare(counts[:, 1].sum() / counts[:, 0].sum(), float((counts[:, 0] == counts[:, 1]).mean()))


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """The id that stands for what the tokenizer does not know; None where it knows every byte."""
    token = getattr(tokenizer.model, "unk_token", None)
    if token is not None:
        found: int | None = tokenizer.token_to_id(token)
        return found
    # The library's Unigram models do not tell theirs but in the definition.
    place: int | None = json.loads(tokenizer.to_str())["model"].get("unk_id")
    return place
