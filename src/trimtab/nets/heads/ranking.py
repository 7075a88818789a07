"""A score for every item: what comes next in a history."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from trimtab.columns import IGNORED
from trimtab.columns.history import FIRST, START
from trimtab.columns.ranking import LEFT_OUT, RankingColumn
from trimtab.errors import problem
from trimtab.nets.batch import Batch
from trimtab.nets.states import Answers, States, answer, only
from trimtab.nets.steps import StepEmbedding


class RankingHead(nn.Module):
    """States -> scores: the product of the history's last state with the vector of each item.

    The items' vectors are those by which the history is read (Kang & McAuley 2018, arXiv:1808.09781). The means of all
    other inputs are added to every state of the history. Without a history, the mean of all states is scored.
    """

    reads: ClassVar[str] = "states"

    def __init__(self, width: int, inputs: int, output: RankingColumn, dropout: float, encoders: nn.ModuleDict) -> None:
        super().__init__()
        found = _histories(encoders)
        self.each_step = output.each_step
        self.position = found[0][0] if found else None
        self.seen = [f"{embedding.key}_seen" for _, embedding in found]
        self.width = output.width
        # In a tuple, for a weight that two modules own would be written twice.
        self.tied = tuple(
            embedding.table
            for _, embedding in found[:1]
            if embedding.table is not None and embedding.table.embedding_dim == width
        )
        self.items = None if self.tied else nn.Linear(width, output.width)
        self.beside = nn.Linear(width, width) if found and inputs > 1 else None
        self.dropout = nn.Dropout(dropout)
        if found and self.each_step:
            _check_causal(list(encoders.values())[found[0][0]], found[0][1])

    def forward(self, states: States, tensors: dict[str, Tensor]) -> Answers:
        """-> (rows, items); while it learns from an answer for each step, (rows, steps of the history, items)."""
        return answer(self._answered(states, tensors))

    def _answered(self, states: States, tensors: dict[str, Tensor]) -> Tensor:
        if self.position is None:
            return self._scores(_mean(states, states.mask))
        own = states.source == self.position
        values = states.values
        if self.beside is not None:
            values = values + self.beside(_mean(states, states.mask & ~own)).unsqueeze(1)
        if self.training and self.each_step:
            return self._scores(values[:, own])
        last = ((states.mask & own) * torch.arange(values.shape[1], device=values.device)).argmax(1)
        scores = self._scores(values.gather(1, last.reshape(-1, 1, 1).expand(-1, 1, values.shape[2])).squeeze(1))
        return scores if self.training else self._without_seen(scores, tensors)

    @staticmethod
    def loss(answers: Answers, batch: Batch) -> Tensor:
        """Cross-entropy over all items, (rows,): of the answer, or the mean over those of each step that has one."""
        scores, targets, smoothing = only(answers), batch.target, batch.options.label_smoothing
        if scores.ndim == 2:
            return functional.cross_entropy(scores, targets, label_smoothing=smoothing, reduction="none")
        each = functional.cross_entropy(
            scores.flatten(0, 1), targets.flatten(), label_smoothing=smoothing, reduction="none", ignore_index=IGNORED
        )
        answered = (targets != IGNORED).sum(1).clamp(min=1)
        mean: Tensor = each.reshape(targets.shape).sum(1) / answered
        return mean

    def _scores(self, values: Tensor) -> Tensor:
        values = self.dropout(values)
        if self.items is not None:
            scores: Tensor = self.items(values)
            return scores
        (table,) = self.tied
        return values @ table.weight[FIRST : FIRST + self.width].T

    def _without_seen(self, scores: Tensor, tensors: dict[str, Tensor]) -> Tensor:
        """The scores (rows, items) with those of the histories' items at `LEFT_OUT`."""
        for name in self.seen:
            if name in tensors:
                # Ids that are no item's, and items that are never answered, go to a place of their own.
                positions = tensors[name] - FIRST
                positions = torch.where((positions >= 0) & (positions < self.width), positions, self.width)
                met = torch.zeros_like(scores[:, :1]).expand(-1, self.width + 1).scatter(1, positions, 1.0)
                scores = scores.masked_fill(met[:, : self.width] > 0, LEFT_OUT)
        return scores


def _histories(encoders: nn.ModuleDict) -> list[tuple[int, StepEmbedding]]:
    """The embeddings of histories, each with the position of its encoder."""
    return [
        (position, module)
        for position, encoder in enumerate(encoders.values())
        for module in encoder.modules()
        if isinstance(module, StepEmbedding) and module.items
    ]


def _mean(states: States, picked: Tensor) -> Tensor:
    """The mean of the picked states of each row, (rows, width); zeros where there is none."""
    weight = picked.unsqueeze(-1).to(states.values.dtype)
    return (states.values * weight).sum(1) / weight.sum(1).clamp(min=1.0)


@torch.no_grad()
def _check_causal(encoder: nn.Module, embedding: StepEmbedding) -> None:
    """Raises TrimtabError when the state of the start depends on what comes after it: training would learn to copy."""
    training, key = encoder.training, embedding.key
    device = next(encoder.parameters()).device
    ids = torch.tensor([[START, FIRST], [START, FIRST + 1]], device=device)
    states: States = encoder.eval()({f"{key}_ids": ids, f"{key}_mask": torch.ones_like(ids)})
    encoder.train(training)
    if not torch.allclose(states.values[0, 0], states.values[1, 0], atol=1e-5):
        found = "an encoder whose states see later events, from which a ranking of events cannot learn"
        raise problem(f"the encoder of {key}", found, "transformer, lstm, gru")
