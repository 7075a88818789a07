"""Quantization-aware training: the network learns while its weights, and what they are multiplied with, are rounded.

Gradients pass the rounding as if it were not there (Bengio et al. 2013, arXiv:1308.3432; Jacob et al. 2018,
arXiv:1712.05877). The grids are those of `quantize`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from trimtab.compress.quantize import BITS
from trimtab.compress.rewrite import SMALLEST

_ACTIVATION_BITS = 8
_TABLE_BITS = 8


@contextmanager
def fake_quantized(network: nn.Module, bits: int = BITS, activations: bool = True) -> Iterator[None]:
    """While this lasts, `network` computes as its int8 file will; afterwards its weights lie on the grids.

    Linear layers, convolutions and tables are rounded, those of less than `SMALLEST` numbers left alone; with
    `activations`, what linear layers read too, each vector by its own range. Training inside changes the weights
    behind the rounding, whose names and places stay the same; a deep copy made inside is none of the network's own.
    """
    parts: list[Any] = [part for part in network.modules() if type(part) in (*_FORWARD, nn.Embedding)]
    large = [part for part in parts if part.weight.numel() >= SMALLEST]
    handles: list[RemovableHandle] = []
    swapped: list[nn.Module] = []
    for part in large:
        if isinstance(part, nn.Embedding):
            handles.append(part.register_forward_hook(_round_rows))
            continue
        if activations and isinstance(part, nn.Linear):
            handles.append(part.register_forward_pre_hook(_round_inputs))
        setattr(part, "forward", partial(_FORWARD[type(part)], part, bits))  # noqa: B010  it is a method
        swapped.append(part)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for part in swapped:
            delattr(part, "forward")
        _snap(large, bits)


@torch.no_grad()
def _snap(parts: list[Any], bits: int) -> None:
    for part in parts:
        part.weight.copy_(on_grid(part.weight, _TABLE_BITS if isinstance(part, nn.Embedding) else bits))


@torch.no_grad()
def on_grid(weights: Tensor, bits: int) -> Tensor:
    """Weights (channels, ...) at the nearest points of their channels' grids, as `quantize.symmetric` lays them."""
    levels = 2 ** (bits - 1) - 1
    largest = weights.abs().amax(tuple(range(1, weights.dim())), keepdim=True)
    scales = torch.where(largest > 0, largest / levels, 1.0)
    return (weights / scales).round().clamp(-levels, levels) * scales


def _passed(values: Tensor, rounded: Tensor) -> Tensor:
    """The rounded values, with the gradient of the values themselves."""
    return values + (rounded - values).detach()


def _linear(part: nn.Linear, bits: int, values: Tensor) -> Tensor:
    return functional.linear(values, _passed(part.weight, on_grid(part.weight, bits)), part.bias)


def _convolution(part: nn.Conv1d | nn.Conv2d, bits: int, values: Tensor) -> Tensor:
    made: Tensor = part._conv_forward(values, _passed(part.weight, on_grid(part.weight, bits)), part.bias)
    return made


_FORWARD: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
}


def _round_inputs(_part: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
    """Each vector that is multiplied, (..., width), on its own grid."""
    return (_each_on_grid(given[0], _ACTIVATION_BITS),)


def _round_rows(_table: nn.Module, _given: tuple[Tensor], rows: Tensor) -> Tensor:
    """Rows that were looked up, (..., width), each on its own grid: as good as rounding the whole table, and cheap."""
    return _each_on_grid(rows, _TABLE_BITS)


def _each_on_grid(vectors: Tensor, bits: int) -> Tensor:
    return _passed(vectors, on_grid(vectors.reshape(-1, vectors.shape[-1]), bits).reshape(vectors.shape))
