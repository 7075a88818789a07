"""Fewer blocks: pretrained text encoders as our own compact ones, and which of their blocks are kept.

Layers are dropped as Sanh et al. (2019, arXiv:1910.01108) and Sajjad et al. (2020, arXiv:2004.03844) did: the rest keep
their weights, and distillation teaches them to do without.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trimtab.columns.text import TextColumn
from trimtab.compress import Skip
from trimtab.nets.encoders.compact import CompactEncoder
from trimtab.nets.encoders.conformer import ConformerEncoder
from trimtab.nets.encoders.text import TextEncoder
from trimtab.nets.encoders.transformer import TransformerEncoder
from trimtab.nets.fitted import FittedNetwork, built
from trimtab.nets.network import EncoderEntry

# Ours -> that of transformers, for the blocks of a kind of model; queries, keys and values are one map in ours.
_BERT = {
    "queries": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "out": ("attention.output.dense",),
    "attention_norm": ("attention.output.LayerNorm",),
    "inner": ("intermediate.dense",),
    "outer": ("output.dense",),
    "norm": ("output.LayerNorm",),
}
_DISTILBERT = {
    "queries": ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    "out": ("attention.out_lin",),
    "attention_norm": ("sa_layer_norm",),
    "inner": ("ffn.lin1",),
    "outer": ("ffn.lin2",),
    "norm": ("output_layer_norm",),
}


@dataclass(frozen=True)
class _Kind:
    """Where a kind of model has its blocks and what they are called, and what its configuration calls their shape."""

    blocks: str
    parts: Mapping[str, tuple[str, ...]]
    neurons: str = "intermediate_size"
    activation: str = "hidden_act"
    dropout: str = "hidden_dropout_prob"
    epsilon: str | None = "layer_norm_eps"  # None: 1e-12, not configurable


_STANDARD = _Kind("encoder.layer", _BERT)
_KINDS = {
    "bert": _STANDARD,
    "roberta": _STANDARD,
    "xlm-roberta": _STANDARD,
    "camembert": _STANDARD,
    "electra": _STANDARD,
    "distilbert": _Kind("transformer.layer", _DISTILBERT, "hidden_dim", "activation", "dropout", None),
}
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


def compact(trained: FittedNetwork) -> FittedNetwork | Skip:
    """The same network with each BERT-kind text encoder as our own `compact`; equal outputs, and other encoders as is.

    The table of positions is cut to the steps that the columns can have.
    """
    entries = [_compacted(trained, entry) for entry in trained.architecture.encoders]
    reasons = [entry.reason for entry in entries if isinstance(entry, Skip)]
    if len(reasons) == len(entries):
        return Skip("; ".join(dict.fromkeys(reasons)))
    weights = dict(trained.network.state_dict())
    chosen: list[EncoderEntry] = []
    for old, new in zip(trained.architecture.encoders, entries, strict=True):
        chosen.append(old if isinstance(new, Skip) else new)
        if isinstance(new, EncoderEntry):
            prefix = f"encoders.{old.key}."
            given = {k.removeprefix(prefix): value for k, value in weights.items() if k.startswith(prefix)}
            weights = {name: value for name, value in weights.items() if not name.startswith(prefix)}
            encoder = trained.network.encoders[old.key]
            assert isinstance(encoder, TextEncoder)
            weights |= {prefix + name: value for name, value in _translated(encoder, given, new).items()}
    architecture = trained.architecture.model_copy(update={"encoders": tuple(chosen)})
    return built(architecture, trained.inputs, trained.output, weights, made=trained.made)


def keep(trained: FittedNetwork, layers: Sequence[int]) -> FittedNetwork | Skip:
    """The same network with only these blocks of each encoder that has so many, in their order.

    Encoders of a shape that is not ours are carried over; Skip where no encoder can lose a block.
    """
    wanted = sorted(set(layers))
    if not wanted or wanted[0] < 0:
        return Skip(f"layers {_listed(wanted)}: at least one, and none below 0")
    weights = dict(trained.network.state_dict())
    chosen: list[EncoderEntry] = []
    reasons: list[str] = []
    counts: list[int] = []
    for entry in trained.architecture.encoders:
        key = entry.key
        found = _kept(trained.network.encoders[key], entry, wanted)
        chosen.append(entry if isinstance(found, Skip) else found)
        if isinstance(found, Skip):
            reasons.append(found.reason)
            continue
        counts.append(len(trained.network.encoders[key].blocks))  # type: ignore[arg-type]
        weights = _renumbered(weights, f"encoders.{key}.blocks.", wanted)
    if not counts:
        return Skip("; ".join(dict.fromkeys(reasons)))
    architecture = trained.architecture.model_copy(update={"encoders": tuple(chosen)})
    of = " and ".join(str(count) for count in dict.fromkeys(counts))
    made = (*trained.made, f"layer{'s' * (len(wanted) > 1)} {_listed(wanted)} of {of}")
    return built(architecture, trained.inputs, trained.output, weights, made=made)


def narrow(trained: FittedNetwork, width: int, frequencies: Mapping[str, np.ndarray]) -> FittedNetwork | Skip:
    """Token vectors of `width` numbers and a linear map behind them, as in ALBERT (Lan et al. 2020, arXiv:1909.11942).

    They are the principal components of the vectors before, each token weighed by the root of how often it occurs:
    `frequencies` has the counts of the ids of each text column, by its key. Other encoders are carried over.
    """
    weights = dict(trained.network.state_dict())
    chosen: list[EncoderEntry] = []
    for entry in trained.architecture.encoders:
        encoder = trained.network.encoders[entry.key]
        if not isinstance(encoder, CompactEncoder) or encoder.embed.embedding_dim <= width:
            chosen.append(entry)
            continue
        counts = np.sum([frequencies[key] for key in entry.reads], axis=0)
        prefix = f"encoders.{entry.key}."
        weights |= {prefix + name: value for name, value in _factored(encoder, width, counts).items()}
        chosen.append(entry.model_copy(update={"config": {**entry.config, "embedding": width}}))
    if tuple(chosen) == trained.architecture.encoders:
        return Skip(f"no encoder of ours has token vectors of more than {width} numbers")
    architecture = trained.architecture.model_copy(update={"encoders": tuple(chosen)})
    made = (*trained.made, f"token vectors of {width}")
    return built(architecture, trained.inputs, trained.output, weights, made=made)


def _factored(encoder: CompactEncoder, width: int, counts: np.ndarray) -> dict[str, Tensor]:
    """`embed` and `widen` whose product is nearest to the vectors before, by the weighted squared distance."""
    table = encoder.embed.weight.detach().double()
    weights = torch.from_numpy(np.sqrt(counts + 1.0)).unsqueeze(1)
    mean = (table * weights).sum(0) / weights.sum()
    centred = table - mean
    _, axes = torch.linalg.eigh((centred * weights).T @ centred)
    kept = axes.flip(1)[:, :width]
    kept = kept * torch.sign(kept.gather(0, kept.abs().argmax(0, keepdim=True)))
    old = encoder.widen
    map_before = old.weight.detach().double() if isinstance(old, nn.Linear) else torch.eye(table.shape[1]).double()
    bias = map_before @ mean + (old.bias.detach().double() if isinstance(old, nn.Linear) else 0.0)
    found = {"embed.weight": centred @ kept, "widen.weight": map_before @ kept, "widen.bias": bias}
    return {name: value.float().contiguous() for name, value in found.items()}


def depth(trained: FittedNetwork) -> int:
    """Blocks of the deepest encoder that `keep` can shorten; 0 where there is none."""
    found = (encoder for encoder in trained.network.encoders.values() if isinstance(encoder, tuple(_SHORTER)))
    return max((len(encoder.blocks) for encoder in found), default=0)  # type: ignore[arg-type]


def evenly(of: int, kept: int) -> tuple[int, ...]:
    """Which of the layers are best kept where nothing was measured: the first, and others evenly apart.

    Every other layer, as DistilBERT was started (3 of 6 -> 0, 2, 4), stays the best of the fixed choices behind
    distillation.
    """
    if not 0 < kept <= of:
        raise ValueError(f"{kept} of {of} layers")
    return tuple(number * of // kept for number in range(kept))


def _compacted(trained: FittedNetwork, entry: EncoderEntry) -> EncoderEntry | Skip:
    """The entry of the compact encoder that does the same, or why there is none."""
    encoder = trained.network.encoders[entry.key]
    if not isinstance(encoder, TextEncoder):
        return Skip(f"the encoder {entry.name} is no pretrained transformer of texts")
    shape: Any = encoder.model.config
    kind = _KINDS.get(str(shape.model_type))
    if kind is None:
        return Skip(f"{shape.model_type} computes otherwise than BERT")
    settings: dict[str, Any] = shape.to_dict()
    activation = str(settings[kind.activation])
    if activation not in _ACTIVATIONS:
        return Skip(f"its activation is {activation}")
    if settings.get("position_embedding_type", "absolute") != "absolute":
        return Skip("its positions are relative")
    if settings.get("embedding_size", shape.hidden_size) != shape.hidden_size:
        return Skip("its embeddings are normalised before they are widened")
    if settings.get("is_decoder") or settings.get("add_cross_attention"):
        return Skip("it is a decoder")
    heads = int(shape.num_attention_heads)
    layer = {"heads": heads, "neurons": int(settings[kind.neurons])}
    steps = sum(c.max_tokens for c in trained.inputs if isinstance(c, TextColumn) and c.key in entry.reads)
    most = int(encoder.model.config.max_position_embeddings)  # type: ignore
    config = {
        "width": int(shape.hidden_size),
        "head_width": int(shape.hidden_size) // heads,
        "layers": [dict(layer) for _ in range(encoder.blocks)],
        "positions": min(most, encoder.first_position + steps),  # those that the texts can reach
        "first_position": encoder.first_position,
        "segments": encoder.segments,
        "epsilon": float(settings[kind.epsilon]) if kind.epsilon else 1e-12,
        "activation": _ACTIVATIONS[activation],
        "dropout": float(settings[kind.dropout]),
    }
    return EncoderEntry(name="compact", reads=entry.reads, config=config)


def _translated(encoder: TextEncoder, given: Mapping[str, Tensor], entry: EncoderEntry) -> dict[str, Tensor]:
    """The weights of the compact encoder, from those of one of transformers."""
    kind = _KINDS[str(encoder.model.config.model_type)]  # type: ignore[union-attr]
    table = "model.embeddings."
    positions = given[f"{table}position_embeddings.weight"][: entry.config["positions"]]
    found = {"embed.weight": given[f"{table}word_embeddings.weight"]}
    segments = given.get(f"{table}token_type_embeddings.weight")
    if segments is not None and (not encoder.segments or len(entry.reads) == 1):
        positions = positions + segments[0]  # the same for every step
    elif segments is not None:
        found["segments.weight"] = segments
    found["positions.weight"] = positions
    found |= _named("norm", given, [f"{table}LayerNorm"])
    for number in range(encoder.blocks):
        for ours, theirs in kind.parts.items():
            names = [f"model.{kind.blocks}.{number}.{name}" for name in theirs]
            found |= _named(f"blocks.{number}.{ours}", given, names)
    return found | {name: value for name, value in given.items() if name.startswith("project.")}


def _named(ours: str, given: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    """Weight and bias of one map out of several, laid one below the other."""
    return {f"{ours}.{part}": torch.cat([given[f"{name}.{part}"] for name in names]) for part in ("weight", "bias")}


def _kept(encoder: nn.Module, entry: EncoderEntry, wanted: Sequence[int]) -> EncoderEntry | Skip:
    """The entry of the encoder with fewer blocks."""
    shorter = _SHORTER.get(type(encoder))
    if shorter is None:
        return Skip(f"the encoder {entry.name} has no blocks that can be left out")
    blocks = len(encoder.blocks)  # type: ignore[arg-type]
    if wanted[-1] >= blocks:
        return Skip(f"the encoder {entry.name} has {blocks} blocks, there is no {wanted[-1]}")
    if len(wanted) == blocks:
        return Skip(f"all {blocks} blocks would stay")
    return entry.model_copy(update={"config": entry.config | shorter(entry.config, wanted)})


def _renumbered(weights: Mapping[str, Tensor], prefix: str, wanted: Sequence[int]) -> dict[str, Tensor]:
    """Without the blocks that go; the others are counted from 0."""
    new = {str(old): str(number) for number, old in enumerate(wanted)}
    pattern = re.compile(rf"{re.escape(prefix)}(\d+)\.")
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        match = pattern.match(name)
        if match is None:
            found[name] = value
        elif match.group(1) in new:
            found[f"{prefix}{new[match.group(1)]}.{name[match.end() :]}"] = value
    return found


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


# The encoders whose blocks can be left out -> what then changes in their options.
_SHORTER: dict[type[nn.Module], Callable[[Mapping[str, Any], Sequence[int]], dict[str, Any]]] = {
    CompactEncoder: lambda config, wanted: {"layers": [config["layers"][number] for number in wanted]},
    TransformerEncoder: lambda config, wanted: {"layers": len(wanted)},
    ConformerEncoder: lambda config, wanted: {"layers": len(wanted)},
}
