"""Convolutions over the steps of a text (Kim 2014, arXiv:1408.5882), or of a history or a sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trimtab import part_options
from trimtab.columns import InputColumn
from trimtab.nets import steps
from trimtab.nets.states import States, single


class Options(part_options.Options):
    """What may be set on a textcnn."""

    kernels: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (3, 4, 5), min_length=1, description="Steps that each kind of filter sees, 1 to 64."
    )
    filters: int = Field(100, ge=1, le=4096, description="Filters of each kind.")
    embedding: int | None = Field(
        None, ge=1, le=4096, description="Width of an embedded token, event or frame. Default: that of the states."
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout of embedded steps, 0 to 1.")
    pooled: bool | None = Field(
        None,
        description="Whether the largest value of each filter over a row is its one state. Default: true for a text, "
        "false for a history, a sound and a list of words.",
    )


class TextcnnEncoder(nn.Module):
    """Filters of several lengths, side by side, through a linear map: a state per row, of their largest values.

    Without `pooled`, a state per step, of the filters around it.
    """

    types: ClassVar[frozenset[str]] = frozenset()
    sequences: ClassVar[bool] = True
    states_width: ClassVar[int] = 128

    def __init__(self, columns: Sequence[InputColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        (column,) = columns
        chosen = part_options.check(Options, f"inputs.{column.name}.encoder", config)
        inputs = chosen.embedding or width
        self.embed = steps.StepEmbedding(column, inputs, chosen.dropout)
        self.filters = nn.ModuleList(nn.Conv1d(inputs, chosen.filters, kernel) for kernel in chosen.kernels)
        whole = column.is_text and not self.embed.words
        self.pooled = whole if chosen.pooled is None else chosen.pooled
        self.project = nn.Linear(chosen.filters * len(chosen.kernels), width)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_ids` (rows, steps) or `<key>_frames` (rows, steps, mels) -> states (rows, 1 or steps, width)."""
        values, mask = self.embed(tensors)
        channels = values.transpose(1, 2)
        found = [_around(channels, kernel) for kernel in self.filters]
        features = functional.relu(torch.cat(found, dim=1)).transpose(1, 2)
        if self.pooled:  # no filter is below zero, so that a padded step never is the largest
            return single(self.project(steps.blank(features, mask).amax(1)))
        return self.embed.states(self.project(features), mask, tensors)


def _around(channels: Tensor, kernel: nn.Module) -> Tensor:
    """(rows, inputs, steps) -> (rows, filters, steps), zeros on both sides as beyond the text."""
    beyond = int(kernel.kernel_size[0]) - 1  # type: ignore[index]
    found: Tensor = kernel(functional.pad(channels, (beyond // 2, beyond - beyond // 2)))
    return found
