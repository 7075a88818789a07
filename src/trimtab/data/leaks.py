"""Rows that are nearly the same in two splits: what is measured on them is remembered, not learned.

Texts are compared by their word triples (Broder 1997, "On the resemblance and containment of documents"). Hashes of the
triples find the pairs that may be alike; those few are then compared exactly.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import overload

import numpy as np

from trimtab.data.table import Table
from trimtab.values import many

NEAR = 0.6  # Jaccard similarity of word triples from which rows are near
_READ = 20_000  # texts that are hashed at a time
_BLOCK = 2_000  # held-out rows compared at a time
_LONGEST = 20_000  # characters of a text that are compared
_OCCURRENCES = 100  # training rows that are looked at for one triple
_CANDIDATES = 5  # training rows that are compared exactly with a held-out row
_SIEVE_BITS = 24, 28  # at least, at most: 16 MB to 256 MB
_SIEVE_SHARE = 16  # places of the table for each triple that is wanted

# A word, or one character of a script that is written without spaces.
_WORD = re.compile(r"[\u3000-\ud7af]|[^\W_\u3000-\ud7af]+")

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 2**64))
_MIX = np.array([0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5], np.uint64)

# What a byte of UTF-8 text is: between words, in a word, a character that is a word by itself, or a continuation.
_BETWEEN, _LETTER, _IDEOGRAPH, _CONTINUED = range(4)
_KIND = np.zeros(256, np.uint8)
_KIND[[*b"0123456789abcdefghijklmnopqrstuvwxyz"]] = _LETTER
_KIND[0xC3:0xE2] = _LETTER  # C2 and E2 lead punctuation and signs, EF full-width ones
_KIND[0xF0:0xF5] = _LETTER
_KIND[0xE3:0xEE] = _IDEOGRAPH
_KIND[0x80:0xC0] = _CONTINUED


@dataclass(frozen=True)
class Near:
    """A held-out row, the training row that is most like it, and how alike they are (0 to 1)."""

    held: int
    train: int
    similarity: float


@dataclass(frozen=True)
class _Triples:
    """Hashed word triples of rows: `hashes[i]` stands in `rows[i]`; rows ascend."""

    rows: np.ndarray
    hashes: np.ndarray

    def take(self, positions: np.ndarray) -> _Triples:
        return _Triples(self.rows[positions], self.hashes[positions])


def near_in_each(train: Sequence[str], held: Sequence[Sequence[str]]) -> list[list[Near]]:
    """What `near` finds in each of several sequences of held-out texts; training texts are read once."""
    edges = np.cumsum([0, *map(len, held)])
    found = near(train, _Chained(held, edges))
    return [
        [replace(one, held=one.held - int(begin)) for one in found if begin <= one.held < end]
        for begin, end in pairwise(edges)
    ]


class LazyTexts(Sequence[str]):
    """Texts of rows that are made when they are asked for, `block` by block."""

    @abstractmethod
    def block(self, start: int, stop: int) -> list[str]:
        """The texts of the rows from `start` to before `stop`."""

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            start, stop, _ = row.indices(len(self))
            return self.block(start, stop)
        return self.block(row, row + 1)[0]


class _Chained(LazyTexts):
    """Texts of several sequences, one behind the other."""

    def __init__(self, parts: Sequence[Sequence[str]], edges: np.ndarray) -> None:
        self.parts, self.edges = parts, edges.tolist()

    def __len__(self) -> int:
        return int(self.edges[-1])

    def block(self, start: int, stop: int) -> list[str]:
        """See `LazyTexts`."""
        cut = zip(self.parts, self.edges, strict=False)
        return [text for part, edge in cut for text in part[max(0, start - edge) : max(0, stop - edge)]]


class JoinedTexts(LazyTexts):
    """The texts of some columns of each row of a table, as one."""

    def __init__(self, table: Table, names: Sequence[str]) -> None:
        self.columns = [table.values[name] for name in names]

    def __len__(self) -> int:
        return len(self.columns[0])

    def block(self, start: int, stop: int) -> list[str]:
        """See `LazyTexts`."""
        texts = [many.read_as_text(column[start:stop]) for column in self.columns]
        return texts[0] if len(texts) == 1 else list(map(" \n ".join, zip(*texts, strict=True)))


def near(train: Sequence[str], held: Sequence[str]) -> list[Near]:
    """Held-out texts that share most of their word triples with one training text, in the order of `held`.

    Case, punctuation and white space do not count. The last words of a text make triples with nothing after them.
    """
    if not train or not held:
        return []
    asked = _joined([_hash_block(held[start : start + _READ], start) for start in range(0, len(held), _READ)])
    mixed = asked.hashes ^ ((asked.rows.astype(np.uint64) + np.uint64(1)) * _PRIME)
    asked = asked.take(np.sort(np.unique(mixed, return_index=True)[1]))  # each triple once in a row
    known, known_words = _relevant(train, asked.hashes)
    known = known.take(np.argsort(known.hashes, kind="stable"))
    words = np.bincount(asked.rows, minlength=len(held))
    found: list[Near] = []
    edges = np.searchsorted(asked.rows, np.arange(0, len(held) + _BLOCK, _BLOCK)).tolist()
    for start, end in pairwise(edges):
        for row, candidates in _candidates(asked, slice(start, end), known, words, known_words).items():
            compared = [Near(row, candidate, similarity(held[row], train[candidate])) for candidate in candidates]
            best = max(compared, key=lambda near: (near.similarity, -near.train))
            found += [best] if best.similarity >= NEAR else []
    return sorted(found, key=lambda near: near.held)


def similarity(one: str, other: str) -> float:
    """Jaccard similarity of the word triples of two texts."""
    first, second = triples(one), triples(other)
    return len(first & second) / max(1, len(first | second))


def triples(text: str) -> set[tuple[str, ...]]:
    """Every word of a text with the two after it."""
    words = _WORD.findall(text[:_LONGEST].casefold())
    return {tuple(words[position : position + 3]) for position in range(len(words))}


# ----------------------------------------------------------------------------------------------------- hashing


def _joined(parts: Sequence[_Triples]) -> _Triples:
    return _Triples(np.concatenate([part.rows for part in parts]), np.concatenate([part.hashes for part in parts]))


def _hash_block(texts: Sequence[str], first_row: int) -> _Triples:
    """The triples of some texts, whose words are hashed all at once as the bytes of one long text."""
    data, ends_of_rows = _written(texts)
    starts, ends = _words(data)
    # A polynomial of each word's bytes, modulo 2^64, from differences of running sums.
    powers = _powers(_PRIME, len(data))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum((data.astype(np.uint64) + np.uint64(1)) * powers)])
    words = (sums[ends] - sums[starts]) * _powers(_INVERSE, len(data))[starts]
    rows = np.searchsorted(ends_of_rows, starts, "right")
    hashes = words * _MIX[0]
    for after in (1, 2):
        same = np.zeros(len(rows), bool)
        same[:-after] = rows[after:] == rows[:-after]
        hashes += np.where(same, np.roll(words, -after), np.uint64(0)) * _MIX[after]
    return _Triples(rows + first_row, hashes ^ (hashes >> np.uint64(29)))


def _written(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Texts without their case as bytes, a NUL behind each, and where each ends."""
    whole = "\0".join(texts) + "\0"
    if whole.isascii() and whole.count("\0") == len(texts):
        data = np.frombuffer(whole.lower().encode(), np.uint8)
        ends = np.flatnonzero(data == 0) + 1
        if np.diff(ends, prepend=0).max() <= _LONGEST:
            return data, ends
    written = [text[:_LONGEST].casefold().encode("utf-8", "replace") + b"\0" for text in texts]
    return np.frombuffer(b"".join(written), np.uint8), np.cumsum(list(map(len, written)))


def _words(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where words start and end in UTF-8 bytes."""
    kind = _KIND[data]
    position = np.arange(len(data))
    character = kind[np.maximum.accumulate(np.where(kind != _CONTINUED, position, 0))]
    before = np.concatenate([[_BETWEEN], character[:-1]])
    is_start = (kind == _IDEOGRAPH) | ((kind == _LETTER) & (before != _LETTER))
    is_stop = is_start | (character == _BETWEEN)
    starts = np.flatnonzero(is_start)
    stops = np.flatnonzero(is_stop)
    return starts, stops[np.searchsorted(stops, starts, "right")]


def _powers(base: np.uint64, count: int) -> np.ndarray:
    """1, base, base^2, ... modulo 2^64."""
    factors = np.full(count, base, np.uint64)
    factors[:1] = 1
    return np.asarray(np.cumprod(factors))


# --------------------------------------------------------------------------------------------------- comparing


def _relevant(texts: Sequence[str], wanted: np.ndarray) -> tuple[_Triples, np.ndarray]:
    """The triples of texts that are among the wanted ones, and each text's words; the others are dropped at once.

    A table of their low bits drops most of them before they are looked up.
    """
    different = np.sort(wanted)
    different = different[np.diff(different, prepend=~different[:1]) != 0]
    least, most = _SIEVE_BITS
    size = 2 ** min(most, max(least, (_SIEVE_SHARE * len(different)).bit_length()))
    mask = np.uint64(size - 1)
    sieve = np.zeros(size, bool)
    sieve[different & mask] = True
    parts, words = [], np.zeros(len(texts), np.int64)
    for start in range(0, len(texts), _READ):
        part = _hash_block(texts[start : start + _READ], start)
        own = np.bincount(part.rows - start)
        words[start : start + len(own)] = own
        part = part.take(np.flatnonzero(sieve[part.hashes & mask]))
        positions = np.minimum(np.searchsorted(different, part.hashes), max(0, len(different) - 1))
        parts.append(part.take(np.flatnonzero(different[positions] == part.hashes)) if len(different) else part)
    return _joined(parts), words


def _candidates(
    asked: _Triples, block: slice, known: _Triples, words: np.ndarray, known_words: np.ndarray
) -> dict[int, list[int]]:
    """Training rows that share enough triples with a held-out row to be near it, the likeliest first."""
    first = np.searchsorted(known.hashes, asked.hashes[block], "left")
    last = np.searchsorted(known.hashes, asked.hashes[block], "right")
    lengths = np.minimum(last - first, _OCCURRENCES)
    if not lengths.sum():
        return {}
    positions = np.repeat(first - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
    held, train = np.repeat(asked.rows[block], lengths), known.rows[positions]
    width = len(known_words)
    pairs, shared = np.unique(held * width + train, return_counts=True)
    enough = shared >= NEAR * words[pairs // width]
    pairs, shared = pairs[enough], shared[enough]
    likely = shared / (words[pairs // width] + known_words[pairs % width] - shared)
    found: dict[int, list[int]] = {}
    for position in np.lexsort((pairs, -likely)):
        row, candidate = divmod(int(pairs[position]), width)
        if len(found.setdefault(row, [])) < _CANDIDATES:
            found[row].append(candidate)
    return found
