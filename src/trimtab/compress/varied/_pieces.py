"""Rows of different lengths, put together from stretches of others."""

from __future__ import annotations

import numpy as np

from trimtab.columns import Ragged


def laid(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> Ragged:
    """Row i is `values[starts[i, k]:starts[i, k] + lengths[i, k]]` for every k, end to end; both (rows, pieces)."""
    flat = lengths.reshape(-1)
    before = np.cumsum(flat) - flat
    source = np.repeat(starts.reshape(-1) - before, flat) + np.arange(int(flat.sum()))
    offsets = np.concatenate([[0], np.cumsum(lengths.sum(axis=1))])
    return Ragged(values[source], offsets.astype(np.int64))


def between(least: np.ndarray, most: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A whole number of each range, both ends among them: (rows,), (rows,) -> (rows,) int64."""
    return np.asarray(random.integers(least, np.maximum(least, most), endpoint=True))
