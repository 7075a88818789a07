"""One class per row: how likely a language model finds the name of each class behind the row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from trimtab.columns import OutputColumn
from trimtab.nets.encoders.causal import CausalEncoder
from trimtab.nets.graphs import NamedGraph
from trimtab.nets.heads.label import LabelHead
from trimtab.nets.states import Answers, States, answer


class LikelihoodHead(nn.Module):
    """Input tensors -> the log-likelihood of each of `choices`, token ids with their end: (rows, choices).

    It has no weights: what it knows is the language model's.
    """

    reads: ClassVar[str] = "tensors"
    program: ClassVar[str] = "stepwise"
    loss = staticmethod(LabelHead.loss)

    def __init__(
        self,
        width: int,
        inputs: int,
        output: OutputColumn,
        dropout: float,
        encoders: nn.ModuleDict,
        config: Mapping[str, Any],
    ) -> None:
        super().__init__()
        (model,) = encoders.values()
        assert isinstance(model, CausalEncoder)
        self.model = (model,)  # in a tuple, for a weight that two modules own would be written twice
        self.choices: list[list[int]] = config["choices"]
        self.ends = {"bos": config["end"], "eos": [config["end"]], "pad": config["pad"]}

    def forward(self, tensors: Mapping[str, Tensor]) -> Answers:
        """-> (rows, choices)."""
        return answer(self.model[0].likelihoods(tensors, self.choices))

    @property
    def program_options(self) -> dict[str, Any]:
        """What `programs.stepwise` has to know of the graph, and what it is to weigh."""
        return {**self.model[0].program_options, **self.ends, "choices": self.choices}

    def graphs(
        self,
        states: Callable[[Mapping[str, Tensor]], States],
        example: Mapping[str, Tensor],
        moving: Mapping[str, tuple[int, ...]],
    ) -> Iterator[NamedGraph]:
        """The step of the language model; it reads the inputs itself."""
        yield self.model[0].step()
