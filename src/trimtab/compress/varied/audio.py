"""Sound: shifted, louder or softer, with noise, partly blanked, and some clips with another one in the background."""

from __future__ import annotations

import math

import numpy as np
import torch

from trimtab.columns import Encoded, InputColumn, Ragged, ragged
from trimtab.columns.audio import AudioColumn
from trimtab.compress.varied import Draw
from trimtab.train.augment.audio import AudioAugment

_CHANGES = {"shift": 0.1, "gain": 6.0, "noise": 0.1, "time_masks": 1, "frequency_masks": 1}
_MIXED = 0.3  # share of the rows
_LEAST, _MOST = 0.02, 0.5  # power of the other clip, of which one's own has the rest
_BLOCK = 256  # clips at a time


def vary(column: InputColumn, encoded: Encoded, draw: Draw) -> Ragged:
    """Log-mel frames, values (all frames, mels) float32; each clip stays as long as it is."""
    assert isinstance(column, AudioColumn)
    assert isinstance(encoded, Ragged)
    augment = AudioAugment.make(column, [], _CHANGES, f"inputs.{column.name}")
    rows: list[np.ndarray] = []
    for start in range(0, len(draw.picked), _BLOCK):
        block = slice(start, start + _BLOCK)
        clips = _mixed(column, encoded, draw.picked[block], draw.partners[block], draw.random)
        tensors = {name: torch.from_numpy(value) for name, value in column.batch(clips, np.arange(len(clips))).items()}
        frames = augment(tensors, draw.picked[block], draw.random)[0][f"{column.key}_frames"].numpy()
        rows += [clip[:length].astype(np.float32) for clip, length in zip(frames, clips.lengths, strict=True)]
    return ragged(rows, encoded.values[:0])


def _mixed(
    column: AudioColumn, encoded: Ragged, picked: np.ndarray, partners: np.ndarray, random: np.random.Generator
) -> Ragged:
    """The picked clips, some of them with another one added, as powers add."""
    chosen, powers = random.random(len(picked)) < _MIXED, random.uniform(_LEAST, _MOST, len(picked))
    rows = []
    for row, other, mixed, power in zip(picked, partners, chosen, powers, strict=True):
        clip = encoded[row].copy()
        if mixed:
            both = min(len(clip), len(encoded[other]))
            clip[:both] = _added(column, clip[:both], encoded[other][:both], float(power))
        rows.append(clip)
    return ragged(rows, encoded.values[:0])


def _added(column: AudioColumn, one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """The frames of two sounds at once, (frames, mels); the other one has `share` of the power."""
    mean, std = np.array(column.mean), np.array(column.std)
    logarithms = np.logaddexp(one * std + mean + math.log1p(-share), other * std + mean + math.log(share))
    return np.asarray((logarithms - mean) / std)
