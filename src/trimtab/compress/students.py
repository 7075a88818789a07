"""New small networks for texts, to be distilled from the uncompressed one: `static`, `conv` and `tiny`.

Only the encoders of texts are new. They begin with the teacher's token vectors, reduced to their principal components;
all other encoders, the fusion and the head are the teacher's own, so that a student has little left to learn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trimtab.columns import InputColumn
from trimtab.columns.text import TextColumn
from trimtab.compress import Skip
from trimtab.nets.fitted import FittedNetwork, built
from trimtab.nets.network import EncoderEntry

_PAIRS = 16_384  # most rows of the table of token pairs: "not good" is more than two words


class Size(NamedTuple):
    """Layers, and their width."""

    layers: int
    width: int


@dataclass(frozen=True)
class Kind:
    """An encoder in place of the teacher's."""

    encoder: str
    config: Callable[[Sequence[TextColumn], Size], dict[str, Any]]
    size: Size
    table: str  # the module that holds its token vectors
    scale: float  # standard deviation of the vectors that it begins with
    positions: bool  # whether it has a state for each step
    told: str  # what it is, for people


def _static(columns: Sequence[TextColumn], size: Size) -> dict[str, Any]:
    return {"embedding": size.width, "pairs": min(_PAIRS, columns[0].vocabulary)}


def _conv(columns: Sequence[TextColumn], size: Size) -> dict[str, Any]:
    """Token vectors are no wider than 128: the table is most of the bytes."""
    return {"embedding": min(128, size.width), "hidden": size.width, "layers": size.layers}


def _tiny(columns: Sequence[TextColumn], size: Size) -> dict[str, Any]:
    """Narrow blocks."""
    block = {"heads": max(1, size.width // 32), "neurons": 3 * size.width}
    steps = sum(column.longest for column in columns)
    shape = {"width": size.width, "head_width": 32, "layers": [block] * size.layers}
    return shape | {"positions": steps, "segments": len(columns)}


KINDS: dict[str, Kind] = {
    "static": Kind(
        "static", _static, Size(1, 192), "table", 0.1, False, "the mean of vectors of {width} of tokens, pairs"
    ),
    "conv": Kind("conv", _conv, Size(2, 128), "table", 0.3, False, "{layers} convolutions of {width} channels"),
    "tiny": Kind("compact", _tiny, Size(2, 192), "embed", 0.05, True, "{layers} blocks of width {width}"),
}


def student(
    name: str, teacher: FittedNetwork, seed: int = 0, layers: int | None = None, width: int | None = None
) -> FittedNetwork | Skip:
    """The student of this kind with the weights that it begins with: what it shares with the teacher, and by `seed`.

    `layers` and `width` of it where they are not the kind's own.
    """
    kind = KINDS[name]
    columns = {column.key: column for column in teacher.inputs}
    size = Size(layers or kind.size.layers, width or kind.size.width)
    entries = [
        _replaced(entry, [columns[key] for key in entry.reads], kind, size) for entry in teacher.architecture.encoders
    ]
    if all(entry is None for entry in entries):
        return Skip("no input is a text" if kind.positions else "no input is a text that is answered as a whole")
    if teacher.network.fusion is None and not kind.positions:
        return Skip("each word is answered, for which one vector of a text is too little")
    chosen = [new or old for new, old in zip(entries, teacher.architecture.encoders, strict=True)]
    shape = teacher.architecture.model_copy(update={"encoders": tuple(chosen)})
    begun = built(shape, teacher.inputs, teacher.output, seed=seed)
    weights = begun.network.state_dict()
    prefixes = tuple(f"encoders.{entry.key}." for entry in entries if entry)
    weights |= {
        key: value
        for key, value in teacher.network.state_dict().items()
        if not key.startswith(prefixes) and key in weights and weights[key].shape == value.shape
    }
    for new, old in zip(entries, teacher.architecture.encoders, strict=True):
        if new is not None:
            weights |= _vectors(teacher.network.encoders[old.key], new, kind, weights)
    told = f"{name}: {kind.told.format(layers=size.layers, width=size.width)}"
    return built(shape, teacher.inputs, teacher.output, weights, made=(*teacher.made, told))


def _replaced(entry: EncoderEntry, columns: Sequence[InputColumn], kind: Kind, size: Size) -> EncoderEntry | None:
    """The student's encoder; None where the teacher's stays, for it reads no texts."""
    texts = [column for column in columns if isinstance(column, TextColumn)]
    if len(texts) < len(columns) or (not kind.positions and any(column.words for column in texts)):
        return None
    return EncoderEntry(name=kind.encoder, reads=entry.reads, config=kind.config(texts, size))


def _vectors(old: nn.Module, new: EncoderEntry, kind: Kind, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The student's token vectors: the principal components of the teacher's, by name in the student's weights."""
    name = f"encoders.{new.key}.{kind.table}.weight"
    wanted = weights[name]
    found = token_table(old, len(wanted))
    if found is None:
        return {}
    reduced = components(found.float(), wanted.shape[1])
    begun = wanted.clone()
    begun[:, : reduced.shape[1]] = reduced * (kind.scale / reduced.std().clamp(min=1e-12))
    return {name: begun}


def token_table(encoder: nn.Module, tokens: int) -> Tensor | None:
    """The vectors of an encoder's tokens, (tokens, width); None where it has no such table."""
    tables = [module.weight.detach() for module in encoder.modules() if isinstance(module, nn.Embedding)]
    return next((table for table in tables if len(table) == tokens), None)


def components(table: Tensor, width: int) -> Tensor:
    """The first `width` principal components of the rows of (rows, columns).

    Each has the sign that makes its largest entry positive, so that equal tables give equal components.
    """
    centred = (table - table.mean(0)).double()
    _, axes = torch.linalg.eigh(centred.T @ centred)
    kept = axes.flip(1)[:, :width]
    signs = torch.sign(kept.gather(0, kept.abs().argmax(0, keepdim=True)))
    reduced: Tensor = (centred @ (kept * signs)).float()
    return reduced
