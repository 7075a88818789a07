"""A tag for each word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from trimtab.columns import IGNORED, OutputColumn
from trimtab.nets.batch import Batch
from trimtab.nets.heads._teacher import divergence
from trimtab.nets.states import Answers, States, answer, only

_SURE = 20.0  # logit of the first tag, O, for a word that the encoder has not read


class TagsHead(nn.Module):
    """One state per word -> logits (rows, words, tags); a word behind the encoder's limit is tagged O."""

    reads: ClassVar[str] = "states"
    unread: Tensor
    followed: int = 0  # position of the encoder that reads the words; the network sets it

    def __init__(self, width: int, inputs: int, output: OutputColumn, dropout: float, encoders: nn.ModuleDict) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, output.width))
        unread = torch.zeros(output.width)
        unread[0] = _SURE
        self.register_buffer("unread", unread, persistent=False)

    def forward(self, states: States, tensors: Mapping[str, Tensor]) -> Answers:
        """States (rows, words, width) of the input whose words are tagged -> (rows, words, tags)."""
        words = states.of(self.followed)
        logits: Tensor = self.layers(words.values)
        return answer(torch.where(words.mask.unsqueeze(-1), logits, self.unread.to(logits.dtype)))

    @staticmethod
    def loss(answers: Answers, batch: Batch) -> Tensor:
        """Cross-entropy of each row, (rows,): the mean over its words."""
        smoothing = batch.options.label_smoothing
        losses = functional.cross_entropy(
            only(answers).transpose(1, 2),
            batch.target,
            ignore_index=IGNORED,
            label_smoothing=smoothing,
            reduction="none",
        )
        return losses.sum(1) / (batch.target != IGNORED).sum(1).clamp(min=1)

    @staticmethod
    def distillation_loss(answers: Answers, soft_targets: Answers) -> Tensor:
        """The loss of each row, (rows,), against a teacher's answers."""
        return divergence(only(answers), only(soft_targets))
