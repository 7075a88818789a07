"""What a head becomes that a program runs as several networks: a graph for each, as `export` takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class NamedGraph:
    """A network of a bundle: `module` takes the tensors of `example`, in their order, and gives those called `gives`.

    `moving` are the dimensions of each tensor that differ from call to call; all of them are above 1 in `example`, and
    such that no two that may differ are equal.
    """

    name: str
    module: nn.Module
    example: Mapping[str, Tensor]
    moving: Mapping[str, tuple[int, ...]]
    gives: tuple[str, ...]
