"""A count: the logarithm of a Poisson rate."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from trimtab.columns import OutputColumn
from trimtab.nets.batch import Batch
from trimtab.nets.states import Answers, answer, only


class CountHead(nn.Module):
    """One vector per row -> the logarithm of the rate (rows, 1)."""

    reads: ClassVar[str] = "vector"

    def __init__(self, width: int, inputs: int, output: OutputColumn, dropout: float, encoders: nn.ModuleDict) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 64), nn.GELU(), nn.Linear(64, 1))

    def forward(self, vectors: Tensor) -> Answers:
        """(rows, width) -> (rows, 1)."""
        return answer(self.layers(vectors))

    @staticmethod
    def loss(answers: Answers, batch: Batch) -> Tensor:
        """Poisson negative log-likelihood of each row, (rows,)."""
        rates = only(answers).squeeze(-1)
        return functional.poisson_nll_loss(rates, batch.target.to(rates.dtype), reduction="none")

    @staticmethod
    def distillation_loss(answers: Answers, soft_targets: Answers) -> Tensor:
        """Poisson deviance of each row, (rows,), from the teacher's rate; both are logarithms of rates, (rows, 1)."""
        found, wanted = only(answers).squeeze(-1), only(soft_targets).squeeze(-1)
        return functional.poisson_nll_loss(found, wanted.exp(), reduction="none") - wanted.exp() * (1 - wanted)
