"""Sound as rooms and microphones make it: noise at five distances, louder and softer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trimtab.columns import InputColumn
from trimtab.columns.audio import AudioColumn
from trimtab.perturb import Perturbation, Random
from trimtab.values import parse

Change = Callable[[np.ndarray, Random, float], np.ndarray]


def _noise(samples: np.ndarray, random: Random, decibels: float) -> np.ndarray:
    """White noise, so many decibels below the sound."""
    power = float(np.sqrt(np.mean(samples**2))) * 10 ** (-decibels / 20)
    return samples + random.normal(0, power, len(samples)).astype(np.float32)


def _gain(samples: np.ndarray, random: Random, decibels: float) -> np.ndarray:
    return samples * np.float32(10 ** (decibels / 20 * (1 if random.random() < 0.5 else -1)))


def _of_samples(change: Change) -> Callable[[InputColumn, Sequence[Any], Random, float], list[Any]]:
    def apply(column: InputColumn, values: Sequence[Any], random: Random, strength: float) -> list[Any]:
        assert isinstance(column, AudioColumn)
        return [
            value if parse.is_missing(value) else change(column.waveform(value), random, strength) for value in values
        ]

    return apply


PERTURBATIONS = (
    Perturbation("background", "white noise, 30 to 5 dB below", _of_samples(_noise), (30.0, 20.0, 15.0, 10.0, 5.0)),
    Perturbation("loudness", "louder or softer by 3 to 15 dB", _of_samples(_gain), (3.0, 6.0, 9.0, 12.0, 15.0)),
)
