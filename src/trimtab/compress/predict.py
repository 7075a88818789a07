"""What a network will cost, said before it is exported: its bytes by its shapes, its times by latency tables.

Neither depends on what the network has learnt. What the formulas leave out (the tokenizer's file, the nodes of a graph,
the reading of rows) is that of a network of the same kind that was measured: predictions are its costs, changed by what
the formulas say of both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trimtab.compress import latency
from trimtab.compress.quantize import BLOCK
from trimtab.compress.rewrite import SMALLEST
from trimtab.nets.fitted import FittedNetwork


class _Stored(NamedTuple):
    """How the numbers of a matrix are kept: in so many bits, with a scale for each row, or for each block of a row."""

    bits: int
    block: int = 0  # numbers that share a scale; the last block of a row is filled up. 0: the whole row
    scale: int = 4  # bytes of a scale

    def bytes_of(self, weight: Tensor) -> float:
        rows, width = len(weight), weight.numel() // len(weight)
        block = self.block or width
        return rows * math.ceil(width / block) * (block * self.bits / 8 + self.scale)


_FP32, _FP16, _INT8 = _Stored(32, scale=0), _Stored(16, scale=0), _Stored(8)
_INT4_ROWS = _Stored(4, 32)
# A product's weights and a table in each precision; see `quantize`.
_STORED = {
    "none": (_FP32, _FP32),
    "fp16": (_FP16, _FP16),
    "int8": (_INT8, _INT8),
    "int8_static": (_INT8, _INT8),
    "int8_blocks": (_Stored(8, 128), _INT8),
    "int8_int4": (_INT8, _INT4_ROWS),
    "int4": (_Stored(4, BLOCK), _INT4_ROWS),
}
_WHATEVER = 0.15  # of a call's time that does not depend on the network's size, where there is no latency table


def megabytes(trained: FittedNetwork, precision: str) -> float:
    """MB of the weights in a precision (a name of `quantize.PRECISIONS`, or "none")."""
    product, table = _STORED[precision]
    tables = {id(part.weight) for part in trained.network.modules() if isinstance(part, nn.Embedding)}
    total = 0.0
    for weight in trained.network.parameters():
        if weight.ndim < 2 or weight.numel() < SMALLEST:  # these stay in fp32
            total += 4 * weight.numel()
        else:
            total += (table if id(weight) in tables else product).bytes_of(weight)
    return total / 1e6


@dataclass(frozen=True)
class Predictor:
    """Predicts costs of networks in one precision from those of a network that was measured in it."""

    precision: str
    known: FittedNetwork
    costs: Mapping[str, float]  # of the known network, as measured: size, latency, latency_p95, throughput ...
    tables: Sequence[latency.Table] = ()  # of calls of one row, and of many

    def costs_of(self, shape: FittedNetwork) -> dict[str, float]:
        """What is predicted of each cost that formulas tell of: memory is not."""
        found = {}
        if "size" in self.costs:
            more = megabytes(shape, self.precision) - megabytes(self.known, self.precision)
            found["size"] = self.costs["size"] + more
        for name, many in (("latency", False), ("latency_p95", False), ("throughput", True)):
            if name in self.costs:
                times = self._times(shape, many)
                found[name] = self.costs[name] / times if name == "throughput" else self.costs[name] * times
        return found

    def taught(self, shape: FittedNetwork, costs: Mapping[str, float]) -> Predictor:
        """A predictor that starts from another network, nearer to what is looked for, whose costs were measured."""
        return replace(self, known=shape, costs={**self.costs, **costs})

    def _times(self, shape: FittedNetwork, many: bool) -> float:
        """How many times as long as that of the known network a call takes."""
        table = next((table for table in self.tables if (table.rows > 1) == many), None)
        pair = [None if table is None else latency.predicted(one, table) for one in (shape, self.known)]
        if pair[0] is not None and pair[1]:
            return pair[0] / pair[1]
        return _WHATEVER + (1 - _WHATEVER) * _multiplied(shape) / _multiplied(self.known)


def _multiplied(trained: FittedNetwork) -> int:
    """Weights that rows are multiplied by; tables are looked up."""
    tables = {id(part.weight) for part in trained.network.modules() if isinstance(part, nn.Embedding)}
    weights = [weight for weight in trained.network.parameters() if weight.ndim > 1 and id(weight) not in tables]
    return max(1, sum(torch.numel(weight) for weight in weights))
