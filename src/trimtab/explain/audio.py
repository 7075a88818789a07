"""The slices of a sound; one that is left out is silent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trimtab.columns import InputColumn
from trimtab.columns.audio import HOP, WINDOW, AudioColumn
from trimtab.explain import Parts, Path, Unit, grouped
from trimtab.values import parse

_SHORTEST = 0.05  # seconds of a slice
_SLICES = 32


def parts(column: InputColumn, value: Any, most: int, seen: Mapping[str, np.ndarray]) -> Parts:
    """A unit for each slice of what the network hears; none where no sound is there."""
    assert isinstance(column, AudioColumn)
    if parse.is_missing(value):
        return Parts((), lambda kept: value)
    samples = column.waveform(value)
    slices = max(1, min(most, _SLICES, int(len(samples) / (column.rate * _SHORTEST))))
    groups = grouped(len(samples), slices)
    number = np.repeat(np.arange(len(groups)), [last - first + 1 for first, last in groups])
    seconds = [(first / column.rate, (last + 1) / column.rate) for first, last in groups]

    def of(kept: np.ndarray) -> np.ndarray:
        return np.where(kept[number], samples, np.float32(0))

    return Parts(tuple(Unit(column.name, f"{start:.2f} to {end:.2f} s", (start, end)) for start, end in seconds), of)


def path(column: InputColumn, value: Any, parts: Parts) -> Path:
    """Its frames, from mean ones; a frame belongs to the slice in which its middle lies."""
    assert isinstance(column, AudioColumn)
    frames = column.encode([value])[0]
    middles = np.arange(len(frames)) * HOP + WINDOW / 2
    starts = np.array([unit.place[0] for unit in parts.units])
    number = np.searchsorted(starts, middles, side="right") - 1
    return Path("frames", np.broadcast_to(number[:, None], frames.shape), np.zeros_like(frames))
