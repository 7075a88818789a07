"""Rows that are nearly the same in two splits: what is measured on them is remembered, not learned."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

NEAR = 0.6  # Jaccard similarity of word triples (Broder 1997: resemblance of documents) from which rows are near
_BLOCK = 2_000  # held-out rows compared at a time
_READ = 20_000  # training rows read at a time
_LONGEST = 20_000  # characters of a text that are compared
_OCCURRENCES = 100  # training rows that are looked at for one triple
# A word, or one character of a script that is written without spaces.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_PRIMES = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)


@dataclass(frozen=True)
class Near:
    """A held-out row, the training row that is most like it, and how alike they are (0 to 1)."""

    held: int
    train: int
    similarity: float


@dataclass(frozen=True)
class _Triples:
    """Hashed word triples of rows: `hashes[i]` stands in `rows[i]`; no triple twice in a row."""

    rows: np.ndarray
    hashes: np.ndarray
    counts: np.ndarray  # (rows,) different triples of each row


def near(train: Sequence[str], held: Sequence[str]) -> list[Near]:
    """Held-out texts that share most of their word triples with one training text, in the order of `held`.

    Case, punctuation and white space do not count. A text of one or two words is one or two triples of its own.
    """
    if not train or not held:
        return []
    vocabulary: dict[str, int] = {}
    asked = _triples(held, vocabulary)
    known = _relevant(train, np.unique(asked.hashes), vocabulary)
    order = np.argsort(known.hashes, kind="stable")
    hashes, rows = known.hashes[order], known.rows[order]
    found: list[Near] = []
    for block in _blocks(asked, len(held)):
        found += _compare(asked, block, hashes, rows, known.counts)
    return found


def _relevant(texts: Sequence[str], wanted: np.ndarray, vocabulary: dict[str, int]) -> _Triples:
    """The triples of texts that are among the wanted ones; read in blocks, so that memory holds few of the others."""
    parts = []
    for start in range(0, len(texts), _READ):
        part = _triples(texts[start : start + _READ], vocabulary)
        shared = np.isin(part.hashes, wanted)
        parts.append(_Triples(part.rows[shared] + start, part.hashes[shared], part.counts))
    return _Triples(*(np.concatenate(arrays) for arrays in zip(*_arrays(parts), strict=True)))


def _arrays(parts: Sequence[_Triples]) -> list[tuple[np.ndarray, ...]]:
    return [(part.rows, part.hashes, part.counts) for part in parts]


def _triples(texts: Sequence[str], vocabulary: dict[str, int]) -> _Triples:
    ids: list[int] = []
    lengths = np.zeros(len(texts), np.int64)
    for row, text in enumerate(texts):
        words = _WORD.findall(text[:_LONGEST].casefold())
        lengths[row] = len(words)
        ids += [vocabulary.setdefault(word, len(vocabulary) + 1) for word in words]
        ids += (0, 0)
    flat = np.array(ids, np.uint64)
    owner = np.repeat(np.arange(len(texts)), lengths + 2)
    hashes = flat * _PRIMES[0] + np.roll(flat, -1) * _PRIMES[1] + np.roll(flat, -2) * _PRIMES[2]
    starts = np.flatnonzero(flat)
    mixed = hashes[starts] ^ ((owner[starts].astype(np.uint64) + np.uint64(1)) * _PRIMES[1])
    once = starts[np.sort(np.unique(mixed, return_index=True)[1])]
    return _Triples(owner[once], hashes[once], np.bincount(owner[once], minlength=len(texts)))


def _blocks(asked: _Triples, count: int) -> Iterator[slice]:
    edges = np.searchsorted(asked.rows, np.arange(0, count + _BLOCK, _BLOCK))
    return (slice(int(start), int(end)) for start, end in pairwise(edges))


def _compare(
    asked: _Triples, block: slice, hashes: np.ndarray, rows: np.ndarray, known_counts: np.ndarray
) -> list[Near]:
    """Count the triples that pairs of rows share, and keep the best pair of each held-out row."""
    first = np.searchsorted(hashes, asked.hashes[block], "left")
    last = np.minimum(np.searchsorted(hashes, asked.hashes[block], "right"), first + _OCCURRENCES)
    lengths = last - first
    if not lengths.sum():
        return []
    places = np.repeat(first - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
    held = np.repeat(asked.rows[block], lengths)
    pairs, shared = np.unique(held * len(known_counts) + rows[places], return_counts=True)
    held, train = pairs // len(known_counts), pairs % len(known_counts)
    similarity = shared / (asked.counts[held] + known_counts[train] - shared)
    best = np.lexsort((train, -similarity, held))
    best = best[np.unique(held[best], return_index=True)[1]]
    return [Near(int(held[i]), int(train[i]), float(similarity[i])) for i in best if similarity[i] >= NEAR]
