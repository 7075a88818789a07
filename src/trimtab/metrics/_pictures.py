"""Pictures compared pixel by pixel, and window by window."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trimtab.metrics._answers import Drawn

_BLOCK = 4_000_000  # pixels that are compared at a time
_MOST_DECIBELS = 100.0  # of equal pictures, whose ratio is infinite
_WINDOW = 7  # pixels on a side of what structures are compared in
_K1, _K2, _LEVELS = 0.01, 0.03, 255.0


def of_pictures(answers: Drawn, measure: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """What a measure of (rows, channels, height, width) float64, wanted and drawn, says of each row, (rows,)."""
    step = max(1, _BLOCK // max(1, answers.true[:1].size))
    parts = [
        measure(answers.true[i : i + step].astype(np.float64), answers.drawn[i : i + step].astype(np.float64))
        for i in range(0, len(answers.true), step)
    ]
    return np.concatenate([np.zeros(0), *parts])


def peak_ratio(true: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """10 log10(255² / mean squared error) of each picture, (rows,); 100 for equal ones."""
    squared = ((true - drawn) ** 2).mean(axis=(1, 2, 3))
    return np.asarray(np.minimum(_MOST_DECIBELS, 10 * np.log10(_LEVELS**2 / np.maximum(squared, 1e-12))))


def structural_similarity(true: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The mean over windows of 7 x 7 pixels and over channels, (rows,) (Wang et al. 2004, IEEE TIP 13).

    Windows weigh alike and variances are those of samples, as scikit-image has it by default. Of smaller pictures the
    window is as large as an odd number of pixels lets it be.
    """
    side = min(_WINDOW, true.shape[2] - 1 + true.shape[2] % 2, true.shape[3] - 1 + true.shape[3] % 2)
    sample = side**2 / max(1, side**2 - 1)
    mean, other = _windows(true, side), _windows(drawn, side)
    spread = sample * (_windows(true**2, side) - mean**2)
    other_spread = sample * (_windows(drawn**2, side) - other**2)
    together = sample * (_windows(true * drawn, side) - mean * other)
    c1, c2 = (_K1 * _LEVELS) ** 2, (_K2 * _LEVELS) ** 2
    top = (2 * mean * other + c1) * (2 * together + c2)
    return np.asarray((top / ((mean**2 + other**2 + c1) * (spread + other_spread + c2))).mean(axis=(1, 2, 3)))


def _windows(pixels: np.ndarray, side: int) -> np.ndarray:
    """The mean of every window of so many pixels on a side that lies inside, by sums from the corner on."""
    sums = np.pad(pixels, ((0, 0), (0, 0), (1, 0), (1, 0))).cumsum(axis=2).cumsum(axis=3)
    rows = sums[:, :, side:] - sums[:, :, :-side]
    return np.asarray((rows[..., side:] - rows[..., :-side]) / side**2)
