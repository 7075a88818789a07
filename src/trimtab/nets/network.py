"""The network: one encoder per input -> one sequence of states -> fusion -> head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from trimtab import registry
from trimtab.columns import InputColumn, OutputColumn
from trimtab.nets.pretrained import PretrainedEncoder
from trimtab.nets.states import Answers, States, lay_end_to_end


class EncoderEntry(BaseModel):
    """One encoder: its name in `nets/encoders/`, the keys of the columns that it reads, and its options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    reads: tuple[str, ...]
    config: dict[str, Any] = {}

    @property
    def key(self) -> str:
        """Its name among the modules of a network: that of no other entry, and of nothing that a module has itself.

        Keys of columns hold no hyphen, and no attribute of a module begins with `in_`.
        """
        return f"in_{'-'.join(self.reads)}"


def one_each(inputs: Sequence[InputColumn], config: Mapping[str, Any] | None = None) -> tuple[EncoderEntry, ...]:
    """For each column the encoder called like its type; `config` is that of the text encoders."""
    return tuple(
        EncoderEntry(name=c.type, reads=(c.key,), config=dict(config or {}) if c.is_text else {}) for c in inputs
    )


class Architecture(BaseModel):
    """All that is needed, beside the columns, to build the network again: the bundle's `network.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(gt=0)  # of every state
    encoders: tuple[EncoderEntry, ...]
    fusion: str
    fusion_config: dict[str, Any] = {}
    dropout: float
    head: str
    head_config: dict[str, Any] = {}


class Network(nn.Module):
    """Tensors of the input columns -> answers by name, as `output.tensors` declares them."""

    def __init__(
        self, architecture: Architecture, inputs: Sequence[InputColumn], output: OutputColumn, where: str = "network"
    ) -> None:
        super().__init__()
        learnt = [] if output.learnt_as is None else [output.learnt_as]
        columns = {column.key: column for column in (*inputs, *learnt)}
        width, entries = architecture.width, architecture.encoders
        self.encoders = nn.ModuleDict(
            {
                entry.key: encoder_kind(entry.name, where)([columns[key] for key in entry.reads], width, entry.config)
                for entry in entries
            }
        )
        self.output = output
        self.former_names = {"_".join(entry.reads): entry.key for entry in entries}
        head = head_kind(architecture.head, where)
        self.fusion: nn.Module | None = None
        fused = len(entries)  # parts that the head still has to weigh against each other
        if head.reads == "vector":
            kind = part("fusions", architecture.fusion, "fusion")
            self.fusion = kind(width, len(entries), architecture.fusion_config)
            width, fused = int(self.fusion.width), 1 if kind.deep else fused  # type: ignore[arg-type]
        own = (architecture.head_config,) if architecture.head_config else ()
        self.head = head(width, fused, output, architecture.dropout, self.encoders, *own)
        if head.reads == "states" and inputs:
            key = inputs[output.follows(inputs)].key
            self.head.followed = next(position for position, entry in enumerate(entries) if key in entry.reads)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As any module does; also weights from before encoders had the names that they have now."""
        return super().load_state_dict(self.with_present_names(state_dict), strict, assign)

    def with_present_names(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """Weights by the names that they have in this network; an encoder was once called `<column>_<column>`."""
        held = {tuple(name.split(".")[:2]) for name in weights}
        if all(("encoders", key) in held for key in self.encoders):
            return dict(weights)
        return {self._present_name(name): value for name, value in weights.items()}

    def _present_name(self, name: str) -> str:
        part, *rest = name.split(".")
        if part != "encoders" or rest[0] not in self.former_names:
            return name
        return ".".join([part, self.former_names[rest[0]], *rest[1:]])

    def pretrained(self) -> Iterator[PretrainedEncoder]:
        """The encoders whose weights come from a base."""
        for encoder in self.encoders.values():
            if isinstance(encoder, PretrainedEncoder) and encoder.based:
                yield encoder

    def states(self, tensors: Mapping[str, Tensor]) -> States:
        """The states of all inputs, laid end to end."""
        return lay_end_to_end([encoder(tensors) for encoder in self.encoders.values()])

    def vectors(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """One vector per row, as a head that reads vectors takes them: (rows, fusion width)."""
        assert self.fusion is not None
        fused: Tensor = self.fusion(self.states(tensors))
        return fused

    def forward(self, tensors: Mapping[str, Tensor]) -> Answers:
        """The answers of each row: logits (rows, classes), a standardised number (rows, 1), tags for each place ..."""
        answers: Answers
        if self.head.reads == "tensors":
            answers = self.head(tensors)
        else:
            answers = self.head(*((self.states(tensors), tensors) if self.fusion is None else (self.vectors(tensors),)))
        return answers


def encoder_kind(name: str, where: str) -> Any:
    """The class of `nets/encoders/<name>.py`. Raises TrimtabError, with the nearest name, when there is none."""
    return part("encoders", name, where)


def reads(encoder: Any, kind: type[InputColumn]) -> bool:
    """Whether an encoder reads columns of a type: one that it names, or any sequence where it reads `sequences`."""
    return kind.type in encoder.types or (kind.sequence is not None and getattr(encoder, "sequences", False))


def head_kind(name: str, where: str) -> Any:
    """The class of `nets/heads/<name>.py`."""
    return part("heads", name, where)


def taught(network: Network) -> bool:
    """Whether the head is told the right answers among the tensors, and says how likely those are: see `nets.heads`."""
    return bool(getattr(network.head, "taught", False))


def part(folder: str, name: str, where: str) -> Any:
    """`encoders`, `text` -> the class TextEncoder of `nets/encoders/text.py`."""
    suffix = registry.camel(folder.removesuffix("s"))
    return registry.load(f"trimtab.nets.{folder}", name, f"{registry.camel(name)}{suffix}", where)
