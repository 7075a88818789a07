"""Which token is next: of logits, what is likeliest, what is drawn, and what may not be written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.programs._options import Decoding

_BLOCK = 64  # logits of which only the greatest is looked at, where few of all are wanted
_NUCLEI = (128, 1024)  # of the likeliest tokens: only where these have less than `top_p` together, more are sorted


def log_totals(logits: np.ndarray) -> np.ndarray:
    """The logarithm of the sum of exponentials, (..., vocabulary) -> (...): logits less it are log-probabilities."""
    most = logits.max(axis=-1, keepdims=True)
    powers = np.subtract(logits, most)
    np.exp(powers, out=powers)
    return np.asarray(np.log(powers.sum(axis=-1)) + most[..., 0])


def leading(logits: np.ndarray, offsets: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best `count` of the sums of logits (rows, beams, vocabulary) and offsets (rows, beams), the greatest first.

    Of each row their beams, their tokens and the sums, (rows, count). Sums are not made of all: the best ones stand in
    those blocks whose greatest are the best of all blocks.
    """
    rows, beams, vocabulary = logits.shape
    whole = vocabulary // _BLOCK * _BLOCK
    blocks = logits[..., :whole].reshape(rows, beams, -1, _BLOCK).max(axis=-1)
    if whole < vocabulary:
        blocks = np.concatenate([blocks, logits[..., whole:].max(axis=-1, keepdims=True)], axis=-1)
    per_beam = blocks.shape[-1]
    best = _first((blocks + offsets[..., None]).reshape(rows, -1), count)
    beam = (best // per_beam)[..., None]
    token = (best % per_beam)[..., None] * _BLOCK + np.arange(_BLOCK)  # (rows, blocks, _BLOCK)
    row = np.arange(rows)[:, None]
    sums = logits[row[..., None], beam, np.minimum(token, vocabulary - 1)] + offsets[row[..., None], beam]
    sums = np.where(token < vocabulary, sums, -np.inf).reshape(rows, -1)
    chosen = _first(sums, count)
    place = (beam * vocabulary + token).reshape(rows, -1)[row, chosen]
    return place // vocabulary, place % vocabulary, sums[row, chosen]


def _first(values: np.ndarray, count: int) -> np.ndarray:
    """Where the greatest of each row stand, the greatest first, (rows, at most count)."""
    if values.shape[1] <= count:
        return np.argsort(-values, axis=1, kind="stable")
    row = np.arange(len(values))[:, None]
    some = np.sort(np.argpartition(-values, count - 1, axis=1)[:, :count], axis=1)
    order = np.argsort(-values[row, some], axis=1, kind="stable")
    return np.asarray(some[row, order])


def drawn(logits: np.ndarray, decoding: Decoding, random: np.random.Generator) -> int:
    """A token of logits (vocabulary,), with probability as `temperature`, `top_k` and `top_p` say, in that order."""
    scaled = logits.astype(np.float64) / decoding.temperature
    count = min(decoding.top_k or len(scaled), len(scaled))
    if decoding.top_p >= 1 and count == len(scaled):
        kept, chances = np.arange(len(scaled)), np.exp(scaled - scaled.max())
    else:
        kept, chances = _nucleus(scaled, count, decoding.top_p)
    sums = np.cumsum(chances)
    return int(kept[min(np.searchsorted(sums, random.random() * sums[-1], side="right"), len(kept) - 1)])


def _nucleus(scaled: np.ndarray, count: int, top_p: float) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that are drawn among, the likeliest first, and how likely each is."""
    most = scaled.max()
    whole = np.exp(scaled - most).sum() if count == len(scaled) else None
    for size in [one for one in _NUCLEI if one < count and whole is not None] + [count]:
        best = _best(scaled, size)
        chances = np.exp(scaled[best] - most)
        enough = top_p * (chances.sum() if whole is None else whole)
        if chances.sum() >= enough:
            break
    kept = int(np.searchsorted(np.cumsum(chances), enough)) + 1  # the one that reaches `top_p` is among them
    return best[:kept], chances[:kept]


def _best(values: np.ndarray, count: int) -> np.ndarray:
    """Where the greatest stand, the greatest first; of equal ones the first."""
    found = np.sort(np.argpartition(-values, count - 1)[:count]) if count < len(values) else np.arange(len(values))
    return np.asarray(found[np.argsort(-values[found], kind="stable")])


def forbidden(ids: Sequence[int], size: int) -> list[int]:
    """Tokens that would write a run of `size` tokens again."""
    if size < 1 or len(ids) < size:
        return []
    begun = tuple(ids[len(ids) - size + 1 :])
    starts = range(len(ids) - size + 1)
    return [ids[start + size - 1] for start in starts if tuple(ids[start : start + size - 1]) == begun]
