"""What little is kept of a value, to tell later whether values have moved: no text or picture can be read off it."""

from __future__ import annotations

import numpy as np

from trimtab.columns._containers import Encoded, Ragged

BUCKETS = 64  # that ids are counted in; several ids share one
_MOST = 8  # means of pictures, sounds and vectors that are kept, spread over all
_HASH = np.uint32(2654435761)  # Knuth's multiplicative hashing


def sketched(encoded: Encoded) -> dict[str, np.ndarray]:
    """Features of encoded rows by name: (rows,) float64 for amounts, int64 for ids, (rows, BUCKETS) int64 for counts.

    Of ids in rows of different lengths the length and how often each bucket of ids occurs; of frames the length and
    means; of pictures means and spread; of a category its id; of numbers some of them.
    """
    if isinstance(encoded, Ragged):
        length = {"length": encoded.lengths.astype(np.float64)}
        if np.issubdtype(encoded.values.dtype, np.integer):
            return {**length, "tokens": counted(bucket(encoded.values), encoded, BUCKETS)}
        flat = encoded.values.reshape(len(encoded.values), -1)
        sums = np.stack([row_sums(flat[:, place], encoded) for place in _places(flat.shape[1])], axis=1)
        return {**length, **_spread("mean", sums / np.maximum(encoded.lengths, 1)[:, None])}
    if encoded.ndim > 2:
        inner = tuple(range(2, encoded.ndim))
        means, deviation = encoded.mean(axis=inner), encoded.std(axis=tuple(range(1, encoded.ndim)))
        return {**_spread("mean", means), "contrast": deviation.astype(np.float64)}
    if np.issubdtype(encoded.dtype, np.integer):
        return {"value": encoded.astype(np.int64)} if encoded.ndim == 1 else _spread("value", encoded)
    return _spread("value", encoded.reshape(len(encoded), -1))


def bucket(ids: np.ndarray) -> np.ndarray:
    """The bucket of each id."""
    return ((ids.astype(np.uint32) * _HASH) >> np.uint32(26)).astype(np.int64)


def counted(places: np.ndarray, rows: Ragged, width: int) -> np.ndarray:
    """How often each place, from 0 to `width`, occurs in each row, (rows, width)."""
    row = np.repeat(np.arange(len(rows)), rows.lengths)
    return np.bincount(row * width + places, minlength=len(rows) * width).reshape(len(rows), width)


def row_sums(values: np.ndarray, rows: Ragged) -> np.ndarray:
    """The sum of each row's values, (rows,), of one value for each step."""
    return np.bincount(np.repeat(np.arange(len(rows)), rows.lengths), values, minlength=len(rows))


def _places(width: int) -> list[int]:
    return sorted(set(np.linspace(0, width - 1, min(width, _MOST)).round().astype(int).tolist()))


def _spread(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Some columns of values, as features of their own."""
    places = _places(values.shape[1])
    kept = {place: values[:, place].astype(np.float64) for place in places}
    return {name if len(places) == 1 else f"{name}_{place}": column for place, column in kept.items()}
