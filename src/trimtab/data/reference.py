"""What the training data looked like: the baseline that drift is measured against (`reference.npz`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trimtab.columns import EncodedRows, Ragged

_QUANTILES = np.linspace(0, 1, 101)


def write(path: Path, rows: EncodedRows, outputs: np.ndarray) -> None:
    """Write per input column the distribution of its encoded training values, and that of the network's `outputs`.

    A text gives the quantiles of its lengths and how often each token occurs; a category how often each id occurs; a
    number the quantiles of each of its features.
    """
    arrays: dict[str, np.ndarray] = {}
    for column, encoded in zip(rows.columns, rows.encoded, strict=True):
        if isinstance(encoded, Ragged):
            arrays[f"{column.key}.lengths"] = np.quantile(encoded.lengths, _QUANTILES)
            arrays[f"{column.key}.counts"] = np.bincount(encoded.values).astype(np.int64)
        elif np.issubdtype(encoded.dtype, np.integer):
            arrays[f"{column.key}.counts"] = np.bincount(encoded).astype(np.int64)
        else:
            arrays[f"{column.key}.quantiles"] = np.quantile(encoded, _QUANTILES, axis=0).astype(np.float32)
    arrays["outputs.quantiles"] = np.quantile(outputs, _QUANTILES, axis=0).astype(np.float32)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
