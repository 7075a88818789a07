"""Token ids of many rows: put end to end, padded to a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.columns import Ragged


def end_to_end(parts: Sequence[Ragged]) -> Ragged:
    lengths = np.concatenate([[0], *(part.lengths for part in parts)])
    ids = np.concatenate([np.empty(0, np.int64), *(part.values for part in parts)])
    return Ragged(ids, np.cumsum(lengths, dtype=np.int64))


def first_tokens(words: Sequence[int | None], count: int) -> np.ndarray:
    """The step of each word's first token, (count,) int64; -1 for a word that has none."""
    first = np.full(count, -1, np.int64)
    for step, word in enumerate(words):
        if word is not None and first[word] < 0:
            first[word] = step
    return first


def padded_ids(found: Ragged, rows: np.ndarray, fill: int) -> tuple[np.ndarray, np.ndarray]:
    """Values and mask of the given rows, filled up on the right to the longest of them, (rows, longest)."""
    starts = found.offsets[rows]
    lengths = found.offsets[rows + 1] - starts
    longest = int(lengths.max(initial=1))
    position = np.arange(longest)
    if lengths.min(initial=longest) == longest:  # the rule for one row, and frequent where rows are sorted by length
        return found.values[starts[:, None] + position].astype(np.int64, copy=False), np.ones(
            (len(rows), longest), np.bool_
        )
    mask = position < lengths[:, None]
    source = np.where(mask, starts[:, None] + position, 0)
    values = found.values if len(found.values) else np.full(1, fill, np.int64)
    return np.where(mask, values[source], np.int64(fill)), mask
