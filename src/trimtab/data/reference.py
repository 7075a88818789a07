"""What the training data looked like: the baseline that drift is measured against (`reference.npz`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trimtab.columns import Encoded, EncodedRows, Outputs, Ragged

_QUANTILES = np.linspace(0, 1, 101)
_MOST_VALUES = 10_000  # of images, or frames of sound, that are looked at
_MOST_OUTPUTS = 1000  # a ranking of a whole catalogue has too many


def write(path: Path, rows: EncodedRows, outputs: Outputs) -> None:
    """Write per input column the distribution of its encoded training values, and that of the network's `outputs`.

    A text gives the quantiles of its lengths and how often each token occurs; a category how often each id occurs; a
    number the quantiles of each of its features.
    """
    arrays: dict[str, np.ndarray] = {}
    for column, encoded in zip(rows.columns, rows.encoded, strict=True):
        arrays |= {f"{column.key}.{name}": array for name, array in _looks(encoded).items()}
    flat = outputs.values if isinstance(outputs, Ragged) else outputs
    if flat.shape[1] <= _MOST_OUTPUTS:
        arrays["outputs.quantiles"] = np.quantile(flat, _QUANTILES, axis=0).astype(np.float32)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def _looks(encoded: Encoded) -> dict[str, np.ndarray]:
    """The distribution of one column; of many numbers per row (pixels, frames), that of their means."""
    if isinstance(encoded, Ragged):
        lengths = {"lengths": np.quantile(encoded.lengths, _QUANTILES)}
        if not np.issubdtype(encoded.values.dtype, np.integer):
            return {**lengths, "quantiles": np.quantile(encoded.values[:_MOST_VALUES], _QUANTILES, axis=0)}
        return {**lengths, "counts": np.bincount(encoded.values).astype(np.int64)}
    if encoded.ndim > 2:
        means = encoded[:_MOST_VALUES].mean(axis=tuple(range(2, encoded.ndim)))
        return {"quantiles": np.quantile(means, _QUANTILES, axis=0).astype(np.float32)}
    if np.issubdtype(encoded.dtype, np.integer):
        return {"counts": np.bincount(encoded).astype(np.int64)}
    return {"quantiles": np.quantile(encoded, _QUANTILES, axis=0).astype(np.float32)}
