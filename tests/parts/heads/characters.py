"""Connectionist temporal classification (Graves et al. 2006)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from trimtab.columns import OUTPUTS, OutputColumn
from trimtab.nets.batch import Batch
from trimtab.nets.states import Answers, Padded, States


class CharactersHead(nn.Module):
    """States -> logits (rows, steps, characters and the blank), as many steps as states."""

    reads: ClassVar[str] = "states"
    followed: int = 0

    def __init__(self, width: int, inputs: int, output: OutputColumn, dropout: float, encoders: nn.ModuleDict) -> None:
        super().__init__()
        self.layer = nn.Linear(width, output.width)

    def forward(self, states: States, tensors: Mapping[str, Tensor]) -> Answers:
        own = states.of(self.followed)
        return {OUTPUTS: Padded(self.layer(own.values), own.lengths)}

    @staticmethod
    def loss(answers: Answers, batch: Batch) -> Tensor:
        logits, steps = answers[OUTPUTS]
        targets, lengths = batch.targets["targets"]
        shares = functional.log_softmax(logits, -1).transpose(0, 1)
        found = functional.ctc_loss(shares, targets.clamp(min=0), steps, lengths, reduction="none", zero_infinity=True)
        return found / lengths
