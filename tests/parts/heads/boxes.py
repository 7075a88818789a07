"""A score for each state, and a box for the likeliest three."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from trimtab.columns import OutputColumn
from trimtab.nets.batch import Batch
from trimtab.nets.states import Answers, Padded, States

MOST = 3
STRIDE = 2.0  # steps of the input that a state stands for
NEVER = -1e4


class BoxesHead(nn.Module):
    """States -> `boxes` (rows, 3, 2), of shorter rows fewer, and `scores` (rows, states, 1)."""

    reads: ClassVar[str] = "states"
    followed: int = 0

    def __init__(self, width: int, inputs: int, output: OutputColumn, dropout: float, encoders: nn.ModuleDict) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 3)

    def forward(self, states: States, tensors: Mapping[str, Tensor]) -> Answers:
        own = states.of(self.followed)
        found = self.layer(functional.pad(own.values, (0, 0, 0, MOST)))  # a row may have fewer states than boxes
        mask = functional.pad(own.mask, (0, MOST))
        scores = found[..., :1].masked_fill(~mask.unsqueeze(-1), NEVER)
        best = scores.squeeze(-1).topk(MOST, dim=1).indices
        around = found[..., 1:].exp().gather(1, best.unsqueeze(-1).expand(-1, -1, 2))
        middle = (best.unsqueeze(-1) * STRIDE).to(around.dtype)
        boxes = torch.cat([middle - around[..., :1], middle + around[..., 1:]], -1)
        count = own.lengths
        return {"boxes": Padded(boxes, count.clamp(max=MOST)), "scores": Padded(scores, count)}

    @staticmethod
    def loss(answers: Answers, batch: Batch) -> Tensor:
        """Whether each state lies in a box, and how far each box is from the true one that is nearest."""
        (boxes, counts), (scores, steps) = answers["boxes"], answers["scores"]
        truth, given = batch.targets["boxes"]
        place = torch.arange(scores.shape[1], device=scores.device)
        real, known = place < steps.unsqueeze(1), torch.arange(truth.shape[1]) < given.unsqueeze(1)
        middle = (place * STRIDE).reshape(1, -1, 1)
        inside = (middle >= truth[:, None, :, 0]) & (middle < truth[:, None, :, 1]) & known.unsqueeze(1)
        wrong = functional.binary_cross_entropy_with_logits(
            scores.squeeze(-1), inside.any(-1).to(scores.dtype), reduction="none"
        )
        apart = (boxes.unsqueeze(2) - truth.unsqueeze(1)).abs().mean(-1).masked_fill(~known.unsqueeze(1), 1e4)
        nearest = apart.min(-1).values * (torch.arange(MOST) < counts.unsqueeze(1)) * (given > 0).unsqueeze(1)
        return (wrong * real).sum(1) / steps + 0.1 * nearest.mean(1)
