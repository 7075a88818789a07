"""Sound: shifts in time, louder or softer, noise, and SpecAugment (Park et al. 2019, arXiv:1904.08779).

All of it is done on the log-mel frames, for whole batches at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from trimtab import part_options
from trimtab.columns import InputColumn
from trimtab.columns.audio import AudioColumn
from trimtab.spec import Choice
from trimtab.train.augment import InputAugment, Mix

_DARK, _BRIGHT = -2.5, 2.5  # standard deviations that a picture of the frames shows as black and white


class Options(part_options.Options):
    """What may be set under `augment` of a sound."""

    shift: float = Field(
        0.0, ge=0, le=1, description="Largest shift in time, as a share of the clip; its edge fills the gap."
    )
    gain: float = Field(0.0, ge=0, le=60, description="Largest change of loudness, up or down, in dB.")
    noise: float = Field(
        0.0, ge=0, le=10, description="Standard deviation of Gaussian noise on the normalised log-mel frames."
    )
    time_masks: int = Field(0, ge=0, le=20, description="SpecAugment: stretches of time that are blanked.")
    time_mask: float = Field(0.1, gt=0, le=1, description="Their largest length, as a share of the clip.")
    frequency_masks: int = Field(0, ge=0, le=20, description="SpecAugment: ranges of mel bands that are blanked.")
    frequency_mask: float = Field(0.2, gt=0, le=1, description="Their largest width, as a share of the bands.")


@dataclass(frozen=True)
class AudioAugment(InputAugment):
    """`<key>_frames` (rows, frames, mels); a blanked frame or band is 0, the mean of the training rows."""

    key: str
    std: tuple[float, ...]  # (mels,) of the log-mel values before they were normalised
    chosen: Options

    @classmethod
    def automatic(cls, column: InputColumn) -> Choice:
        """Small changes, none of which changes what is heard."""
        found = {"shift": 0.1, "gain": 6.0, "time_masks": 1, "frequency_masks": 1}
        return Choice(found, "clips start and sound a little different each time; small SpecAugment")

    @classmethod
    def make(cls, column: InputColumn, values: Sequence[Any], options_: Mapping[str, Any], where: str) -> Self:
        """See `InputAugment.make`."""
        assert isinstance(column, AudioColumn)
        return cls(column.key, column.std, part_options.check(Options, where, options_))

    def __call__(
        self, tensors: Mapping[str, Tensor], rows: np.ndarray, random: np.random.Generator
    ) -> tuple[dict[str, Tensor], Mix | None]:
        """See `InputAugment`."""
        frames, real = tensors[f"{self.key}_frames"], tensors[f"{self.key}_mask"].bool()
        lengths, chosen = real.sum(dim=1), self.chosen
        device = frames.device
        if chosen.shift:
            frames = _shifted(frames, lengths, _drawn(random.uniform(-chosen.shift, chosen.shift, len(rows)), device))
        if chosen.gain:
            decibel = _drawn(random.uniform(-chosen.gain, chosen.gain, len(rows)), device)
            nepers = decibel[:, None, None] * (math.log(10) / 10)  # of power, as the log-mel values are
            frames = frames + nepers / torch.tensor(self.std, device=device)
        if chosen.noise:
            frames = frames + _drawn(random.normal(0.0, chosen.noise, frames.shape), device)
        blanked = torch.zeros_like(frames, dtype=torch.bool)
        for _ in range(chosen.time_masks):
            blanked |= _stretch(frames.shape[1], lengths, chosen.time_mask, random)[:, :, None]
        for _ in range(chosen.frequency_masks):
            bands = torch.full_like(lengths, frames.shape[2])
            blanked |= _stretch(frames.shape[2], bands, chosen.frequency_mask, random)[:, None, :]
        return {f"{self.key}_frames": frames.masked_fill(blanked | ~real[:, :, None], 0.0)}, None

    def pictures(self, tensors: Mapping[str, Tensor]) -> np.ndarray | None:
        """Time to the right, frequency upwards, loud is bright: (rows, mels, frames, 3) uint8."""
        frames = tensors[f"{self.key}_frames"].cpu().numpy().transpose(0, 2, 1)[:, ::-1]
        grey = 255 * (np.clip(frames, _DARK, _BRIGHT) - _DARK) / (_BRIGHT - _DARK)
        return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=-1)


def _drawn(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(device)


def _shifted(frames: Tensor, lengths: Tensor, shares: Tensor) -> Tensor:
    """Every clip moved by its share of its length; what moves out is lost, and the edge fills the gap."""
    positions = (
        torch.arange(frames.shape[1], device=frames.device)[None, :] - (shares * lengths).round().long()[:, None]
    )
    source = torch.minimum(positions.clamp(min=0), (lengths - 1).clamp(min=0)[:, None])
    return torch.gather(frames, 1, source[:, :, None].expand_as(frames))


def _stretch(positions: int, lengths: Tensor, share: float, random: np.random.Generator) -> Tensor:
    """A stretch of 0 to `share` of each row's length, anywhere within it: (rows, places) bool."""
    width = _drawn(random.uniform(0.0, share, len(lengths)), lengths.device) * lengths
    start = _drawn(random.uniform(0.0, 1.0, len(lengths)), lengths.device) * (lengths - width)
    position = torch.arange(positions, device=lengths.device)[None, :]
    return (position >= start.round()[:, None]) & (position < (start + width).round()[:, None])
