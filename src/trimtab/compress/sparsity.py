"""Unstructured pruning: the weights of least magnitude become zero (Zhu and Gupta 2017, arXiv:1710.01878).

It makes nothing faster: ONNX Runtime multiplies by the zeros as by any other number. The files stay as large as they
were, too, until something compresses them: half the weights as zeros take about half off a gzip or zip of an fp32
model, less off one in int8. Where latency or size on disk is what is asked for, prune by structure (`prune`) instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trimtab.compress import Skip
from trimtab.nets.fitted import FittedNetwork, built

_MATRICES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Embedding)


@dataclass(frozen=True)
class Schedule:
    """A share of zeros that rises from nothing to `final` within `steps`: fast at first, then slower.

    `steps` are optimizer steps, or the part of the training by whose end `final` is reached: `Schedule(0.8, 0.7)`. To
    train with it, call `apply(network, schedule.share(step))` after a step, if not after each: weights that are zero
    may come back as long as others are smaller. When all is done, `sparse` makes the share exact, for the best weights
    may be those of an earlier step.
    """

    final: float
    steps: float

    def share(self, step: float) -> float:
        """The share after `step`, in the same unit as `steps`."""
        left = 1 - min(1.0, max(0.0, step) / self.steps) if self.steps else 0.0
        return self.final * (1 - left**3)


def sparse(trained: FittedNetwork, share: float) -> FittedNetwork | Skip:
    """The network with this share of the weights of each matrix at zero; norms and biases stay.

    What it costs in quality is won back in part by distillation (`Schedule`).
    """
    if not 0 < share < 1:
        return Skip(f"a share of {share:g} of the weights at zero: it must lie between 0 and 1")
    made = (*trained.made, f"{share:.0%} of the weights at zero")
    found = built(trained.architecture, trained.inputs, trained.output, trained.network.state_dict(), made=made)
    apply(found.network, share)
    return found


@torch.no_grad()
def apply(network: nn.Module, share: float) -> None:
    """Set the weights of least magnitude of each matrix to zero, in place: `share` of them, rounded."""
    for weight in _matrices(network):
        count = round(share * weight.numel())
        if count:
            magnitudes = weight.abs().flatten()
            bound = magnitudes.kthvalue(count).values
            below, equal = magnitudes < bound, magnitudes == bound
            least = below | (equal & (equal.cumsum(0) <= count - below.sum()))  # of equal ones the first
            weight.masked_fill_(least.reshape(weight.shape), 0.0)


def zeros(network: nn.Module) -> float:
    """The share of all weights of matrices that is zero."""
    weights = list(_matrices(network))
    return sum(int((weight == 0).sum()) for weight in weights) / max(1, sum(weight.numel() for weight in weights))


def _matrices(network: nn.Module) -> Iterator[Tensor]:
    """The weights that are pruned, each once though modules share it."""
    found = [module.weight for module in network.modules() if isinstance(module, _MATRICES)]
    return iter({id(weight): weight for weight in found}.values())
