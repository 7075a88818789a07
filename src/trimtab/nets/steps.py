"""Steps: what all encoders of sequences share, from the tensors of a column to embedded steps, and back to states.

A sequence's real steps stand before its padding, as `columns` pads; what the padding holds never matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from trimtab.columns import InputColumn
from trimtab.nets.states import States

_EMBEDDING_STD = 0.1


class StepEmbedding(nn.Module):
    """Ids (rows, steps), by a table of learned vectors, or frames (rows, steps, mels), by a linear map, become steps.

    `table` is the table of ids; None for frames.
    """

    def __init__(self, column: InputColumn, width: int, dropout: float) -> None:
        super().__init__()
        self.key, self.items = column.key, column.holds_items
        self.words = bool(getattr(column, "words", False))
        self.table: nn.Embedding | None = None
        if column.sequence == "ids":
            self.table = nn.Embedding(column.step_size, width)
            nn.init.normal_(self.table.weight, std=_EMBEDDING_STD)
        else:
            self.frames = nn.Linear(column.step_size, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """-> embedded steps (rows, steps, width), zeros where they are padding, and their mask (rows, steps) bool."""
        mask = tensors[f"{self.key}_mask"].bool()
        if self.table is not None:
            steps = self.table(tensors[f"{self.key}_ids"])
        else:
            steps = self.frames(tensors[f"{self.key}_frames"])
        return blank(self.dropout(steps), mask), mask

    def states(self, values: Tensor, mask: Tensor, tensors: Mapping[str, Tensor]) -> States:
        """States of every step; of every word, at its first token, where the column marks words."""
        if self.words:
            first = tensors[f"{self.key}_words"].unsqueeze(-1).expand(-1, -1, values.shape[-1])
            values, mask = values.gather(1, first), tensors[f"{self.key}_word_mask"].bool()
        return as_states(values, mask)


def as_states(values: Tensor, mask: Tensor) -> States:
    """(rows, steps, width) and (rows, steps) bool -> the states of one input."""
    return States(values, mask, torch.zeros_like(mask[0], dtype=torch.long))


def blank(values: Tensor, mask: Tensor) -> Tensor:
    """The values (rows, steps, ...) with zeros where the mask (rows, steps) is False."""
    shape = mask.reshape(*mask.shape, *(1 for _ in values.shape[2:]))
    return values.masked_fill(~shape, 0.0)


def positions(mask: Tensor) -> Tensor:
    """The number of each step among the real ones of its row, from 0: (rows, steps) int64, wherever padding stands."""
    return (mask.long().cumsum(1) - 1).clamp(min=0)


def reversal(mask: Tensor) -> Tensor:
    """The step that stands at each place when a row is reversed within its own length, (rows, steps); its own inverse.

    Padding stays where it is.
    """
    length, place = mask.long().sum(1, keepdim=True), torch.arange(mask.shape[1], device=mask.device)
    return torch.where(place < length, length - 1 - place, place)


def taken(values: Tensor, places: Tensor) -> Tensor:
    """The steps of (rows, steps, width) at the given places (rows, steps)."""
    return values.gather(1, places.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


def attended(mask: Tensor, causal: bool) -> Tensor:
    """Which steps (last dimension) each step sees: (rows, 1, steps, steps) bool; itself always, padding never.

    With `causal`, no step sees a later one.
    """
    place = torch.arange(mask.shape[1], device=mask.device)
    itself = place.unsqueeze(1) == place
    seen = mask.unsqueeze(1) & (place <= place.unsqueeze(1)) if causal else mask.unsqueeze(1)
    return (seen | itself).unsqueeze(1)


def projected(inputs: int, width: int) -> nn.Module:
    """A linear map to the width of the states; nothing where it is that width already."""
    return nn.Identity() if inputs == width else nn.Linear(inputs, width)


def without_gaps(masks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Where each step comes from when the padding between several texts is moved behind all of them, and its mask.

    The masks of texts laid end to end, each (rows, its steps), ones first -> (rows, all steps) twice.
    """
    width = sum(mask.shape[1] for mask in masks)
    step = torch.arange(width, device=masks[0].device).unsqueeze(0)
    source, behind = step, torch.zeros_like(masks[0][:, :1])
    for mask in masks:
        length = mask.sum(1, keepdim=True)
        behind = behind + length
        source = source + (step >= behind).to(step.dtype) * (mask.shape[1] - length)
    return source.clamp(max=width - 1), (step < behind).to(masks[0].dtype)
