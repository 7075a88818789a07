"""Sounds of nothing that was recorded: white noise, a tone; as long as the sounds that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trimtab.columns import InputColumn
from trimtab.columns.audio import AudioColumn
from trimtab.foreign import Kind, Random

_LOUD = 0.1  # root mean square, full scale 1
_LOWEST, _HIGHEST = 0.01, 0.25  # of a tone, as a part of the rate


def _noise(column: InputColumn, values: Sequence[Any], random: Random) -> list[Any]:
    assert isinstance(column, AudioColumn)
    lengths = [len(column.waveform(value)) for value in values]
    return [random.normal(0, _LOUD, length).astype(np.float32) for length in lengths]


def _tone(column: InputColumn, values: Sequence[Any], random: Random) -> list[Any]:
    assert isinstance(column, AudioColumn)
    lengths = [len(column.waveform(value)) for value in values]
    turns = 2 * np.pi * random.uniform(_LOWEST, _HIGHEST, len(values))
    return [
        (2**0.5 * _LOUD * np.sin(turn * np.arange(length))).astype(np.float32)
        for turn, length in zip(turns, lengths, strict=True)
    ]


KINDS = (Kind("white noise", _noise), Kind("a tone", _tone))
