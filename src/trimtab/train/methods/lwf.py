"""The answers of the rows are learnt, and what an earlier network answered is kept: learning without forgetting.

Li and Hoiem 2016, arXiv:1606.09282. The targets are `TRUE`, the right answers, and `EARLIER`, the network's outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from trimtab.columns import OUTPUTS
from trimtab.nets.batch import Batch
from trimtab.nets.states import Answers, Padded
from trimtab.train.augment import Mix
from trimtab.train.method import Method, Run

TRUE, EARLIER = "targets", "earlier"


class LwfMethod(Method):
    """The loss of the head and, beside it, that against the outputs of the network before."""

    of_a_spec: ClassVar[bool] = False  # it needs a network that has learnt before
    against: Callable[[Answers, Answers], Tensor]  # the loss of answers against those of another network, (rows,)
    known: tuple[int, ...]  # where the outputs of the network before stand among those of today
    share: float = 1.0  # weight of the loss against them

    def losses(self, run: Run, answers: Answers, batch: Batch, mix: Mix | None) -> Tensor:
        """The loss of each row, (rows,); rows are not mixed."""
        own: Callable[[Answers, Batch], Tensor] = run.network.head.loss
        learnt = own(answers, replace(batch, targets={TRUE: batch.targets[TRUE]}))
        known = torch.tensor(self.known, device=learnt.device)
        today: Mapping[str, Padded] = {
            name: padded._replace(values=padded.values.index_select(-1, known)) for name, padded in answers.items()
        }
        return learnt + self.share * self.against(today, {OUTPUTS: batch.targets[EARLIER]})
