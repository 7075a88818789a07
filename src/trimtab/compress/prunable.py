"""The layers of encoders that can lose units: attention heads, feed-forward neurons, convolution channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import nn

from trimtab.nets.network import EncoderEntry


class Layer(NamedTuple):
    """Units side by side in a layer of an encoder, and the modules whose weights tell of them.

    The first dimension of the makers' weights is (groups, units, size), laid out in this order; the input of the module
    `reader` is (units, size).
    """

    kind: str  # heads, neurons, channels
    makers: tuple[str, ...]
    reader: str
    units: int
    size: int = 1
    groups: int = 1
    norm: str | None = None  # the norm in front, whose bias takes what the layer gave on average where no unit stays


def layers_of(entry: EncoderEntry, encoder: nn.Module) -> list[Layer]:
    """The layers of an encoder that can lose units; none for an encoder that is not listed here."""
    return LAYERS[entry.name](entry.config, encoder) if entry.name in LAYERS else []


def _compact(config: Mapping[str, Any], _: nn.Module) -> list[Layer]:
    found = []
    for number, layer in enumerate(config["layers"]):
        at, before = f"blocks.{number}", f"blocks.{number - 1}.norm" if number else "norm"
        size = config.get("head_width", 32)
        found += [
            Layer("heads", (f"{at}.queries",), f"{at}.out", layer["heads"], size, 3, before),
            Layer("neurons", (f"{at}.inner",), f"{at}.outer", layer["neurons"], norm=f"{at}.attention_norm"),
        ]
    return [layer for layer in found if layer.units]


def _transformer(_: Mapping[str, Any], encoder: nn.Module) -> list[Layer]:
    blocks: Any = encoder.blocks
    return [
        Layer("neurons", (f"blocks.{number}.inner",), f"blocks.{number}.outer", block.inner.out_features)
        for number, block in enumerate(blocks)
    ]


def _cnn(_: Mapping[str, Any], encoder: nn.Module) -> list[Layer]:
    trunk: Any = encoder.trunk
    convolutions = [(number, part) for number, part in enumerate(trunk.layers) if isinstance(part, nn.Conv2d)]
    readers = [f"trunk.layers.{number}" for number, _ in convolutions[1:]] + ["project"]
    return [
        Layer("channels", (f"trunk.layers.{number}", f"trunk.layers.{number + 1}"), reader, part.out_channels)
        for (number, part), reader in zip(convolutions, readers, strict=True)
    ]


LAYERS: dict[str, Callable[[Mapping[str, Any], nn.Module], list[Layer]]] = {
    "compact": _compact,
    "transformer": _transformer,
    "cnn": _cnn,
}
