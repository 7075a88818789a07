"""The answers of the rows are learnt, by the loss of the head."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from trimtab.nets.batch import Batch
from trimtab.nets.states import Answers
from trimtab.train.augment import Mix
from trimtab.train.method import Method, Run


class SupervisedMethod(Method):
    """The loss of the head; of mixed rows, the shares' mean of the losses with both rows' answers."""

    def losses(self, run: Run, answers: Answers, batch: Batch, mix: Mix | None) -> Tensor:
        """The loss of each row, (rows,)."""
        loss: Callable[[Answers, Batch], Tensor] = run.network.head.loss
        own = loss(answers, batch)
        return own if mix is None else mix.of(own, loss(answers, batch.with_targets_of(mix.partner)))
