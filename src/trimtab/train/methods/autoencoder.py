"""Pictures are learnt by what they lack of those that were wanted; with a prior, as codes that can be drawn by chance.

Variational: Kingma and Welling 2014, arXiv:1312.6114; given the inputs, Sohn et al. 2015. A second network reads the
wanted picture to a code, which stands in for the noise of the seed; served is the part that draws alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor, nn

from trimtab import columns
from trimtab.columns import OutputColumn
from trimtab.errors import problem
from trimtab.nets.batch import Batch
from trimtab.nets.drawing import Recogniser, seeds
from trimtab.nets.network import Network
from trimtab.nets.states import Answers, only
from trimtab.train.augment import Mix
from trimtab.train.method import Method, Run

_DIVERGENCE = "code.divergence"  # from the prior: beside the tensors of the inputs


class AutoencoderMethod(Method):
    """The loss of the head; with a prior, and as much of the divergence of codes from it."""

    prior: float = Field(
        0.0,
        ge=0,
        description="Weight of the prior, such as 1 (variational): needs an input of type seed. 0: the answers are "
        "learnt from the inputs alone.",
    )
    channels: int = Field(32, ge=8, le=512, description="Channels of the network that reads codes off, at full size.")

    def refuses(self, output: OutputColumn, encoders: int) -> str | None:
        """See `Method.refuses`."""
        return None if output.drawn_shape else f"{columns.word(output.type)} answers are no pictures"

    def second(self, network: Network) -> nn.Module | None:
        """What reads a wanted picture to its code."""
        if not self.prior:
            return None
        found, shape = list(seeds(network)), network.output.drawn_shape
        if len(found) != 1 or shape is None:
            said = f"{self.prior:g}, but {len(found)} inputs are seeds"
            raise problem("train.method (autoencoder): prior", said, "one input of type seed, whose noise codes become")
        width = found[0].project.out_features
        return Recogniser(network.encoders, width, shape, self.channels, found[0].size)

    def given(self, run: Run, tensors: dict[str, Tensor], targets: Answers) -> dict[str, Tensor]:
        """With the code of the wanted picture in place of noise."""
        if run.second is None:
            return tensors
        (seed,) = seeds(run.network)
        mean, spread = run.second(only(targets).float() / 255, tensors)
        code = mean + torch.exp(spread / 2) * torch.randn_like(mean)
        divergence = (mean**2 + spread.exp() - 1 - spread).sum(1) / 2
        return {**tensors, seed.noise: code, _DIVERGENCE: divergence}

    def losses(self, run: Run, answers: Answers, batch: Batch, mix: Mix | None) -> Tensor:
        """The loss of each row, (rows,), for each number of a picture."""
        loss: Callable[[Answers, Batch], Tensor] = run.network.head.loss
        found = loss(answers, batch)
        if run.second is None:
            return found
        return found + self.prior * batch.tensors[_DIVERGENCE] / batch.target.shape[1]
