"""Pictures without a network: the mean one, that of the nearest training row, what is read as it is, or smoothed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.neighbors import NearestNeighbors

from trimtab.audit.linear import features
from trimtab.columns import InputColumn, OutputColumn, dense
from trimtab.data.table import Table
from trimtab.metrics import Answers

_SIDE = 3  # pixels of the window whose median is taken


def answers(
    inputs: Sequence[InputColumn], train: Table, test: Table, output: OutputColumn, seed: int
) -> dict[str, Answers]:
    """Pixels from 0 to 1, (rows, numbers), by each; pictures that are read are brought to the size of those drawn."""
    known, asked = (dense(output.targets(table.values[output.name])) for table in (train, test))
    mean = known.mean(axis=0, dtype=np.float64) / 255
    given = {output.constant: np.broadcast_to(mean.astype(np.float32), asked.shape)}
    told = [column for column in inputs if not column.numbered]
    if told:
        seen, unseen = features(told, train, test)
        nearest = NearestNeighbors(n_neighbors=1).fit(seen).kneighbors(unseen, return_distance=False)[:, 0]
        given["nearest training row"] = known[nearest] / np.float32(255)
    for column in told:
        if column.simply == "pixels":
            read = dense(output.targets(test.values[column.name]))
            given[f"{column.name} as it is"] = read / np.float32(255)
            given[f"median of {_SIDE} x {_SIDE} pixels of {column.name}"] = _smoothed(read, output) / np.float32(255)
    return {name: output.answered_simply(asked, found) for name, found in given.items()}


def _smoothed(read: np.ndarray, output: OutputColumn) -> np.ndarray:
    """Levels, (rows, numbers), each the median of the window around it; beyond the edge stands what is at the edge."""
    assert output.drawn_shape is not None
    pictures = read.reshape(len(read), *output.drawn_shape)
    around = _SIDE // 2
    padded = np.pad(pictures, ((0, 0), (0, 0), (around, around), (around, around)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (_SIDE, _SIDE), axis=(2, 3))
    medians = [np.median(one, axis=(-2, -1)) for one in windows]  # a picture at a time: a window has nine of them
    return np.asarray(medians, np.float32).reshape(read.shape)
