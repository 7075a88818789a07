"""Texts: stretches of them, two of them joined, and tokens in place of others (Jiao et al. 2020, arXiv:1909.10351).

Done on token ids, for all rows at once. The special tokens around a text stay where they are, as does each word's first
token where a value is a list of words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab.columns import Encoded, InputColumn, Ragged, Worded, ragged
from trimtab.columns.text import TextColumn
from trimtab.compress.varied import Draw
from trimtab.compress.varied._pieces import between, laid

_STRETCH, _JOINED = 0.45, 0.2  # shares of the rows; the rest stay whole
_LEAST = 2  # tokens of a stretch
_CHANGED_ROWS = 0.7  # share of the rows of which tokens are exchanged
_EXCHANGED = 0.12  # share of their tokens
_LIKE = 0.5  # share of these that become a token like them, where it is known which are; the others any row's


@dataclass(frozen=True)
class _Bodies:
    """Where the tokens of each row stand that are no special ones, and how many of those surround them."""

    before: int
    after: int
    starts: np.ndarray  # (rows,)
    lengths: np.ndarray  # (rows,)


def vary(column: InputColumn, encoded: Encoded, draw: Draw) -> Ragged:
    """Token ids of (rows) -> (count) texts of at most `max_tokens`; `Worded` from `Worded`."""
    assert isinstance(column, TextColumn)
    assert isinstance(encoded, Ragged)
    around = column.surroundings()
    if around is None:
        return encoded.take(draw.picked)
    before, after = map(len, around)
    lengths = np.maximum(0, encoded.lengths - before - after)
    bodies = _Bodies(before, after, encoded.offsets[:-1] + before, lengths)
    if isinstance(encoded, Worded):
        found = _words(encoded, bodies, draw)
        return Worded(_exchanged(found, encoded, bodies, draw), found.offsets, found.words)
    found_texts = _texts(encoded, bodies, column.max_tokens, draw)
    return Ragged(_exchanged(found_texts, encoded, bodies, draw), found_texts.offsets)


def _texts(encoded: Ragged, bodies: _Bodies, most: int, draw: Draw) -> Ragged:
    """Each row as four stretches: what stands before, of the picked row, of its partner, what stands behind."""
    random, picked, partners = draw.random, draw.picked, draw.partners
    whole, others = bodies.lengths[picked], bodies.lengths[partners]
    kind, room = random.random(len(picked)), most - bodies.before - bodies.after
    stretch, join = kind < _STRETCH, (kind >= _STRETCH) & (kind < _STRETCH + _JOINED)
    own = np.where(stretch, between(np.minimum(_LEAST, whole), whole, random), whole)
    own = np.minimum(np.where(join, between(np.minimum(1, whole), whole, random), own), room)
    first = np.where(stretch, between(np.zeros_like(whole), whole - own, random), 0)
    end = np.where(join, np.minimum(between(np.minimum(1, others), others, random), room - own), 0)
    rows, stops = encoded.offsets[:-1][picked], encoded.offsets[1:][picked]
    before, after = _surroundings(encoded.lengths[picked], bodies)
    starts = [rows, bodies.starts[picked] + first, bodies.starts[partners] + others - end, stops - after]
    return laid(encoded.values, np.stack(starts, axis=1), np.stack([before, own, end, after], axis=1))


def _surroundings(lengths: np.ndarray, bodies: _Bodies) -> tuple[np.ndarray, np.ndarray]:
    """How many tokens of rows so long stand before the text and behind it: fewer in a row that has no text at all."""
    before = np.minimum(bodies.before, lengths)
    return before, np.minimum(bodies.after, lengths - before)


def _words(encoded: Worded, bodies: _Bodies, draw: Draw) -> Worded:
    """Stretches of whole words; what stands around them stays."""
    random, picked = draw.random, draw.picked
    cut, positions = random.random(len(picked)) < _STRETCH + _JOINED, random.random((len(picked), 2))
    spans, words = np.zeros((len(picked), 2), np.int64), []
    for number, row in enumerate(picked):
        end = bodies.before + int(bodies.lengths[row])
        firsts = encoded.words[row]
        chosen = positions[number] if cut[number] else np.array([0.0, 1.0])
        spans[number], kept = _span(firsts, bodies.before, end, chosen)
        words.append(kept)
    before, after = _surroundings(encoded.lengths[picked], bodies)
    rows, stops = encoded.offsets[:-1][picked], encoded.offsets[1:][picked]
    starts = np.stack([rows, rows + spans[:, 0], stops - after], axis=1)
    found = laid(encoded.values, starts, np.stack([before, spans[:, 1] - spans[:, 0], after], axis=1))
    return Worded(found.values, found.offsets, ragged(words, np.zeros(0, np.int64)))


def _span(firsts: np.ndarray, begin: int, end: int, positions: np.ndarray) -> tuple[tuple[int, int], np.ndarray]:
    """Tokens from the first to the last word that two numbers of 0 to 1 name, and where those words stand then.

    `firsts` (words,) are the steps of the words' first tokens, -1 for a word that has none: it stays so. The tokens of
    all words are the steps from `begin` to `end`.
    """
    read = np.flatnonzero(firsts >= 0)
    first, last = np.minimum(np.sort(positions) * len(read), len(read) - 1).astype(np.int64)
    if not len(read) or (first, last) == (0, len(read) - 1):
        return (begin, end), firsts
    kept = firsts[read[first] : read[last] + 1]
    start, stop = int(firsts[read[first]]), int(firsts[read[last + 1]]) if last + 1 < len(read) else end
    return (start, stop), np.where(kept >= 0, kept - start + begin, -1)


def _exchanged(found: Ragged, encoded: Ragged, bodies: _Bodies, draw: Draw) -> np.ndarray:
    """The tokens of `found`, some of them, but no special ones, in place of others: (all tokens,)."""
    random, values = draw.random, found.values.copy()
    rows = np.repeat(np.arange(len(found)), found.lengths)
    position = np.arange(len(values)) - found.offsets[:-1][rows]
    inside = (position >= bodies.before) & (position < found.lengths[rows] - bodies.after)
    changed_row = random.random(len(found)) < _CHANGED_ROWS
    positions = np.flatnonzero(inside & changed_row[rows] & (random.random(len(values)) < _EXCHANGED))
    if not len(positions):
        return values
    tokens = laid(encoded.values, bodies.starts[:, None], bodies.lengths[:, None]).values
    others = tokens[random.integers(0, len(tokens), len(positions))]
    if draw.neighbours is not None:
        like = draw.neighbours[values[positions], random.integers(0, draw.neighbours.shape[1], len(positions))]
        others = np.where(random.random(len(positions)) < _LIKE, like, others)
    values[positions] = others
    return values
