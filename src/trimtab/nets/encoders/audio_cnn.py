"""Sound: two-dimensional convolutions over frames and mel bands.

It is not called `cnn`, for that one reads pictures, whose rows all have one size: here padding has to be kept out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trimtab import part_options
from trimtab.columns import InputColumn
from trimtab.nets import steps
from trimtab.nets.states import States


class Options(part_options.Options):
    """What may be set on an audio_cnn."""

    stages: int = Field(3, ge=1, le=6, description="Stages of two convolutions, 1 to 6; each halves frames and bands.")
    channels: int = Field(32, ge=1, le=512, description="Channels of the first stage; each stage doubles them.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout of whole channels after each stage, 0 to 1.")


class Stage(nn.Module):
    """Two convolutions with batch norm and ReLU, then the largest of each two frames and each two bands."""

    def __init__(self, inputs: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, channels, 3, padding=1, bias=False) for before in (inputs, channels)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in self.convolutions)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(rows, inputs, frames, bands), (rows, frames) -> the same with `channels` channels, half as long and high.

        A frame or a band that is left over stands alone.
        """
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            values = functional.relu(norm(convolution(values)))
            values = values.masked_fill(~mask[:, None, :, None], 0.0)
        halved = functional.max_pool2d(functional.pad(values, (0, values.shape[3] % 2, 0, 1)), 2)
        return self.dropout(halved), mask[:, ::2]


class AudioCnnEncoder(nn.Module):
    """Log-mel frames -> one state for each `2 ** stages` frames."""

    types: ClassVar[frozenset[str]] = frozenset({"audio"})
    states_width: ClassVar[int] = 128

    def __init__(self, columns: Sequence[InputColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        (column,) = columns
        chosen = part_options.check(Options, f"inputs.{column.name}.encoder", config)
        self.key = column.key
        self.stages = nn.ModuleList()
        inputs, bands = 1, int(column.mels)  # type: ignore[attr-defined]
        for stage in range(chosen.stages):
            channels = chosen.channels * 2**stage
            self.stages.append(Stage(inputs, channels, chosen.dropout))
            inputs, bands = channels, -(-bands // 2)
        self.project = nn.Linear(inputs * bands, width)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_frames` (rows, frames, mels), `<key>_mask` -> states (rows, frames / 2 ** stages, width)."""
        mask = tensors[f"{self.key}_mask"].bool()
        values = steps.blank(tensors[f"{self.key}_frames"], mask).unsqueeze(1)
        for stage in self.stages:
            values, mask = stage(values, mask)
        features = values.transpose(1, 2).flatten(2)  # (rows, frames, channels x bands)
        return steps.as_states(functional.relu(self.project(features)), mask)
