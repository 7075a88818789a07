"""Histories: stretches of them, of which some events are left out and some are those of others."""

from __future__ import annotations

import numpy as np

from trimtab.columns import Encoded, InputColumn, Ragged
from trimtab.compress.varied import Draw
from trimtab.compress.varied._pieces import between, laid

_CUT, _STRETCH = 0.5, 0.25  # shares of the rows: the last events cut off; the first ones too. The rest stay whole
_CHANGED_ROWS = 0.5  # share of the rows of which events are left out and exchanged
_LEFT_OUT, _EXCHANGED = 0.1, 0.05  # shares of their events


def vary(column: InputColumn, encoded: Encoded, draw: Draw) -> Ragged:
    """Item ids of (rows) -> (count) histories; none that had an event is left without."""
    assert isinstance(encoded, Ragged)
    random, whole = draw.random, encoded.lengths[draw.picked]
    kind = random.random(len(whole))
    lengths = np.where(kind < _CUT + _STRETCH, between(np.minimum(1, whole), whole, random), whole)
    first = between(np.zeros_like(whole), whole - lengths, random)
    first[kind < _CUT] = 0
    found = laid(encoded.values, (encoded.offsets[:-1][draw.picked] + first)[:, None], lengths[:, None])
    return _changed(found, encoded.values, draw)


def _changed(found: Ragged, events: np.ndarray, draw: Draw) -> Ragged:
    """Some events left out, but the last of a row, and some that are other rows' or like them."""
    if not len(found.values):
        return found
    rows = np.repeat(np.arange(len(found)), found.lengths)
    chance = np.where((draw.random.random(len(found)) < _CHANGED_ROWS)[rows], draw.random.random(len(rows)), 1.0)
    values = found.values.copy()
    exchanged = np.flatnonzero((chance > _LEFT_OUT) & (chance < _LEFT_OUT + _EXCHANGED))
    if draw.neighbours is None:  # as frequent as they are in any row
        values[exchanged] = events[draw.random.integers(0, len(events), len(exchanged))]
    else:
        places = draw.random.integers(0, draw.neighbours.shape[1], len(exchanged))
        values[exchanged] = draw.neighbours[values[exchanged], places]
    kept = chance >= _LEFT_OUT
    kept[found.offsets[1:][found.lengths > 0] - 1] = True
    lengths = np.bincount(rows[kept], minlength=len(found))
    return Ragged(values[kept], np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
