"""Pictures are learnt by what a second network cannot tell from real ones (Goodfellow et al. 2014, arXiv:1406.2661).

The discriminator is told the inputs too, learns in the same steps by an optimizer of its own, and is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trimtab import columns
from trimtab.columns import OutputColumn
from trimtab.nets.batch import Batch
from trimtab.nets.drawing import Discriminator, seeds
from trimtab.nets.network import Network
from trimtab.nets.states import Answers, only
from trimtab.pretrained import Base
from trimtab.spec import Choice
from trimtab.train import optimizer
from trimtab.train.augment import Mix
from trimtab.train.method import Method, Run
from trimtab.train.optimizer import Optimizers
from trimtab.train.settings import Settings

_RATE = 1e-3
_BETAS = (0.0, 0.99)  # of Adam: two networks that move against each other bear little momentum


class AdversarialMethod(Method):
    """The discriminator's loss and, with its weights held, what it says of the drawn pictures."""

    keeps_last: ClassVar[bool] = True  # no distance from the wanted picture says how real a drawn one is
    loss: Literal["hinge", "least_squares"] = Field("hinge", description="hinge or least_squares.")
    keep: Literal["spectral", "penalty"] = Field(
        "spectral",
        description="What keeps the discriminator smooth: spectral (norm of its weights) or penalty (on its gradients "
        "at real pictures).",
    )
    penalty: float = Field(1.0, gt=0, description="Weight of the gradient penalty, for `keep: penalty`.")
    pixels: float = Field(
        0.0,
        ge=0,
        description="Weight of the distance from the wanted picture, beside: for inputs that say what is drawn.",
    )
    rate: float | None = Field(
        None, gt=0, description="Learning rate of the discriminator. Default: twice that of the network."
    )
    channels: int = Field(32, ge=8, le=512, description="Channels of the discriminator at full size.")

    def refuses(self, output: OutputColumn, encoders: int) -> str | None:
        """See `Method.refuses`."""
        return None if output.drawn_shape else f"{columns.word(output.type)} answers are no pictures"

    def defaults(self, rows: int, base: Base | None) -> dict[str, Choice]:
        """See `Method.defaults`."""
        return {"learning_rate": Choice(_RATE, "two networks that learn against each other")}

    def optimizers(self, network: Network, settings: Settings) -> Optimizers:
        """One rate for all weights of the network."""
        for module in network.modules():
            if isinstance(module, nn.Embedding):
                module.sparse = False
        return Optimizers(optimizer.plain(network, settings.learning_rate, _BETAS), None)

    def second(self, network: Network) -> nn.Module | None:
        """The discriminator."""
        shape = network.output.drawn_shape
        assert shape is not None  # see `refuses`
        width = network.head.told // len(network.encoders)
        return Discriminator(network.encoders, width, shape, self.channels, self.keep == "spectral")

    def second_optimizer(self, second: nn.Module, settings: Settings) -> torch.optim.Optimizer:
        """At a rate of its own."""
        return optimizer.plain(second, self.rate or 2 * settings.learning_rate, _BETAS)

    def given(self, run: Run, tensors: dict[str, Tensor], targets: Answers) -> dict[str, Tensor]:
        """With other noise in every step."""
        return {**tensors, **{seed.noise: torch.randn_like(tensors[seed.noise]) for seed in seeds(run.network)}}

    def losses(self, run: Run, answers: Answers, batch: Batch, mix: Mix | None) -> Tensor:
        """Of each row, (rows,): what both networks have to gain."""
        judge, drawn = run.second, only(answers)
        assert judge is not None
        real = batch.target.float() / 255
        judge.requires_grad_(False).eval()  # in evaluation spectral norms stay as they are
        own = -judge(drawn, batch.tensors) if self.loss == "hinge" else (judge(drawn, batch.tensors) - 1) ** 2
        if self.pixels:
            plain: Callable[[Answers, Batch], Tensor] = run.network.head.loss
            own = own + self.pixels * plain(answers, batch)
        judge.requires_grad_(True).train()
        both = {name: torch.cat([one, one]) for name, one in batch.tensors.items()}
        said = judge(torch.cat([real, drawn.detach()]), both)
        of_real, of_drawn = said.chunk(2)
        if self.loss == "hinge":
            told = functional.relu(1 - of_real) + functional.relu(1 + of_drawn)
        else:
            told = (of_real - 1) ** 2 + of_drawn**2
        found: Tensor = own + told
        return found + self._penalty(judge, real, batch.tensors) if self.keep == "penalty" else found

    def _penalty(self, judge: nn.Module, real: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
        """The squared gradient at real pictures, (rows,) (Mescheder et al. 2018, arXiv:1801.04406)."""
        pictures = real.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(judge(pictures, tensors).sum(), pictures, create_graph=True)
        return self.penalty / 2 * slope.square().sum(1)
