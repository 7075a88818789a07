"""The network: one encoder per input column -> one sequence of states -> fusion -> head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from trimtab import registry
from trimtab.columns import InputColumn, OutputColumn
from trimtab.nets.pretrained import PretrainedEncoder
from trimtab.nets.states import lay_end_to_end


class Architecture(BaseModel):
    """All that is needed, beside the columns, to build the network again: the bundle's `network.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(gt=0)  # of every state
    fusion: str
    dropout: float
    head: str
    text: dict[str, Any] | None = None  # the Hugging Face configuration of the text encoder, with model_type


class Network(nn.Module):
    """Tensors of the input columns -> outputs (rows, output.width)."""

    def __init__(
        self, architecture: Architecture, inputs: Sequence[InputColumn], output: OutputColumn, where: str = "network"
    ) -> None:
        super().__init__()
        configs = {"text": architecture.text or {}}
        self.encoders = nn.ModuleDict(
            {
                column.key: _part("encoders", column.type, where)(
                    column, architecture.width, configs.get(column.type, {})
                )
                for column in inputs
            }
        )
        self.fusion = _part("fusions", architecture.fusion, "fusion")(architecture.width, len(inputs))
        self.head = _part("heads", architecture.head, where)(
            self.fusion.width, len(inputs), output.width, architecture.dropout
        )

    def pretrained(self) -> Iterator[PretrainedEncoder]:
        """The encoders whose weights come from a base."""
        for encoder in self.encoders.values():
            if isinstance(encoder, PretrainedEncoder):
                yield encoder

    def vectors(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """One vector per row, as the head reads them: (rows, fusion width)."""
        states = lay_end_to_end([encoder(tensors) for encoder in self.encoders.values()])
        fused: Tensor = self.fusion(states)
        return fused

    def forward(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The outputs of each row: logits (rows, classes), or a standardised number (rows, 1)."""
        outputs: Tensor = self.head(self.vectors(tensors))
        return outputs


def _part(folder: str, name: str, where: str) -> Any:
    """`encoders`, `text` -> the class TextEncoder of `nets/encoders/text.py`."""
    suffix = registry.camel(folder.removesuffix("s"))
    return registry.load(f"trimtab.nets.{folder}", name, f"{registry.camel(name)}{suffix}", where)
