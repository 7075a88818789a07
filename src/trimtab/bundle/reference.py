"""What the training data looked like: the baseline that drift is measured against (`reference.npz`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trimtab import files
from trimtab.columns import Encoded, EncodedRows, Outputs, Ragged, flat

_QUANTILES = np.linspace(0, 1, 101)
_MOST_NUMBERS = 1_000_000  # numbers of a column that are looked at, evenly from all
_MOST_VALUES = 10_000  # of images, or frames of sound, that are looked at
_ROWS = "rows."  # no column's array is called so
BESIDE = "beside/"  # before names of what other rooms keep: no key of a column holds a slash
_MOST_OUTPUTS = 1000  # a ranking of a whole catalogue has too many


def write(path: Path, rows: EncodedRows, outputs: Outputs, seen: Mapping[str, np.ndarray]) -> None:
    """Write per input column the distribution of its encoded training values, and that of the network's `outputs`.

    A text gives the quantiles of its lengths and how often each token occurs; a category how often each id occurs; a
    number the quantiles of each of its features. `seen` are fingerprints of rows by split, to know them again.
    """
    known = {f"{_ROWS}{part}": found for part, found in seen.items()}
    _save(path, _inputs(rows) | known | _answers(outputs))


def answered(path: Path, outputs: Outputs, more: EncodedRows | None = None) -> None:
    """Put the distribution of these outputs in the place of the one that is there: another network is served.

    `more` are the training rows of columns that are read beside.
    """
    with np.load(path, allow_pickle=False) as kept:
        arrays = {name: kept[name] for name in kept.files}
    _save(path, arrays | ({} if more is None else _inputs(more)) | _answers(outputs))


def seen(path: Path) -> dict[str, np.ndarray]:
    """The fingerprints of rows by split that `write` was given; none of an older bundle, or of a copy without them."""
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as kept:
        return {name.removeprefix(_ROWS): kept[name] for name in kept.files if name.startswith(_ROWS)}


def of(path: Path, key: str) -> dict[str, np.ndarray]:
    """What `write` kept of one column: `counts`, `quantiles`, `lengths`; nothing of a bundle without the file."""
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as kept:
        return {name.removeprefix(f"{key}."): kept[name] for name in kept.files if name.startswith(f"{key}.")}


def put(path: Path, name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep arrays of another room beside those of the columns; `of(path, BESIDE + name)` gives them back."""
    with np.load(path, allow_pickle=False) as kept:
        known = {one: kept[one] for one in kept.files}
    _save(path, known | {f"{BESIDE}{name}.{one}": array for one, array in arrays.items()})


def _inputs(rows: EncodedRows) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for column, encoded in zip(rows.columns, rows.encoded, strict=True):
        held = encoded
        if isinstance(encoded, np.ndarray) and encoded.ndim == 1 and np.issubdtype(encoded.dtype, np.floating):
            # As few rows are held; of very many numbers some.
            held = column.widened(encoded[:: -(-len(encoded) // _MOST_NUMBERS) or 1])
        arrays |= {f"{column.key}.{name}": array for name, array in _looks(held).items()}
    return arrays


def _answers(outputs: Outputs) -> dict[str, np.ndarray]:
    return {
        f"{name}.quantiles": np.quantile(part, _QUANTILES, axis=0).astype(np.float32)
        for name, part in flat(outputs).items()
        if part.shape[1] <= _MOST_OUTPUTS and len(part)
    }


def _save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with files.aside(path) as place:
        np.savez_compressed(place, **arrays)  # type: ignore[arg-type]


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
