"""An answer that is written by the decoder of a pretrained model, whose encoder reads the row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from trimtab.columns import IGNORED
from trimtab.columns.written_text import GIVEN, IDS, WrittenTextColumn
from trimtab.nets.batch import Batch, right
from trimtab.nets.encoders.encoder_decoder import EncoderDecoderEncoder
from trimtab.nets.graphs import NamedGraph
from trimtab.nets.states import Answers, Padded, States


class EncoderDecoderHead(nn.Module):
    """Input tensors and right answers -> the log-probability of each token of these, (rows, tokens, 1).

    It has no weights: what it knows is the pretrained model's.
    """

    reads: ClassVar[str] = "tensors"
    taught: ClassVar[bool] = True
    program: ClassVar[str] = "stepwise"

    def __init__(
        self, width: int, inputs: int, output: WrittenTextColumn, dropout: float, encoders: nn.ModuleDict
    ) -> None:
        super().__init__()
        (model,) = encoders.values()
        assert isinstance(model, EncoderDecoderEncoder)
        self.model = (model,)  # in a tuple, for a weight that two modules own would be written twice
        self.start, self.pad, self.decoding = output.start, output.pad, dict(output.decoding)
        first = {} if output.first is None else {"first": output.first}
        self.ends = {"bos": output.start, "eos": [output.end], "pad": output.pad, "longest": output.max_tokens, **first}

    def forward(self, tensors: Mapping[str, Tensor]) -> Answers:
        """-> `given`."""
        ids = right(tensors, IDS)
        known = ids != IGNORED
        answers = torch.where(known, ids, self.pad)
        logits = self.model[0].following(tensors, functional.pad(answers[:, :-1], (1, 0), value=self.start)).float()
        given = logits.log_softmax(-1).gather(-1, answers.unsqueeze(-1))
        return {GIVEN: Padded(given * known.unsqueeze(-1), known.sum(1))}

    @staticmethod
    def loss(answers: Answers, batch: Batch) -> Tensor:
        """The mean loss of each row's tokens, (rows,)."""
        given = answers[GIVEN]
        assert given.lengths is not None
        return -given.values.sum((1, 2)) / given.lengths.clamp(min=1)

    @property
    def program_options(self) -> dict[str, Any]:
        """What `programs.stepwise` has to know of the graphs, and how it is to write."""
        return {**self.model[0].program_options, **self.ends, **self.decoding}

    def graphs(
        self,
        states: Callable[[Mapping[str, Tensor]], States],
        example: Mapping[str, Tensor],
        moving: Mapping[str, tuple[int, ...]],
    ) -> Iterator[NamedGraph]:
        """The encoder, and the step of the decoder."""
        yield from self.model[0].graphs(example, moving)
