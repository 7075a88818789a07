"""Integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365) of a trained network, for one row.

Numbers, pixels and frames are moved from a baseline to their values; ids by the vectors of their table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trimtab.columns import OUTPUTS
from trimtab.errors import problem
from trimtab.nets.fitted import FittedNetwork

_CHUNK = 16  # points of the path in a batch


@dataclass(frozen=True)
class Integrated:
    """What each number of the moved tensors adds, by tensor, without the dimension of rows; of ids, what each id adds.

    `start` and `end` are the network's outputs, (width,), at the baseline and of the row.
    """

    added: Mapping[str, np.ndarray]
    start: np.ndarray
    end: np.ndarray


def integrated(
    fitted: FittedNetwork,
    tensors: Mapping[str, np.ndarray],
    baseline: Mapping[str, np.ndarray],
    slope: Callable[[np.ndarray], np.ndarray],
    points: int,
) -> Integrated:
    """Integrate by Gauss-Legendre's rule, whose error falls quickly with the points.

    `tensors` are those of one row, (1, ...); those that `baseline` names, with arrays of the same shape, are moved.
    `slope` gives what is explained by the outputs, (points, width) -> its derivatives, (points, width).
    """
    nodes, weights = np.polynomial.legendre.leggauss(points)
    along, weights = (nodes + 1) / 2, weights / 2
    added = {name: np.zeros(array.shape[1:]) for name, array in baseline.items()}
    for first in range(0, points, _CHUNK):
        part = slice(first, first + _CHUNK)
        for name, found in _Moved(fitted, tensors, baseline, along[part]).gradients(slope):
            added[name] += np.tensordot(weights[part], found, axes=1)
    ends = _Moved(fitted, tensors, baseline, np.array([0.0, 1.0])).outputs.detach().numpy()
    return Integrated(added, ends[0], ends[1])


@dataclass(frozen=True)
class _Leaf:
    """Numbers on the path, (points, ...), and how far they move in all; they belong to these tensors, end to end."""

    names: tuple[str, ...]
    values: Tensor
    span: Tensor


class _Moved:
    """The network at some points of the path: `outputs`, (points, width), and what was moved."""

    def __init__(
        self,
        fitted: FittedNetwork,
        tensors: Mapping[str, np.ndarray],
        baseline: Mapping[str, np.ndarray],
        along: np.ndarray,
    ) -> None:
        self.along = torch.tensor(along, dtype=torch.float32)
        self.leaves: list[_Leaf] = []
        self.read = {name: torch.from_numpy(np.repeat(array, len(along), axis=0)) for name, array in tensors.items()}
        start = {name: torch.from_numpy(array) for name, array in baseline.items()}
        for name in [name for name in start if not name.endswith("_ids")]:
            self.read[name] = self._leaf((name,), self.read[name].float(), start[name].float())
        with ExitStack() as hooks:
            for entry in fitted.architecture.encoders:
                names = tuple(name for key in entry.reads if (name := f"{key}_ids") in start)
                if names:
                    hooks.enter_context(self._tables(fitted.network.encoders[entry.key], names, start))
            self.outputs: Tensor = fitted.network(self.read)[OUTPUTS].values
        if still := set(start) - {name for leaf in self.leaves for name in leaf.names}:
            found = f"{min(still)} is read between other tokens, which have no path"
            raise problem("method gradients", found, do="take another method")

    def _leaf(self, names: tuple[str, ...], end: Tensor, start: Tensor) -> Tensor:
        share = self.along.reshape(-1, *[1] * (end.ndim - 1))
        leaf = (start + share * (end - start)).detach().requires_grad_()
        self.leaves.append(_Leaf(names, leaf, (end - start).detach()))
        return leaf

    @contextmanager
    def _tables(self, encoder: nn.Module, names: tuple[str, ...], start: Mapping[str, Tensor]) -> Iterator[None]:
        """While it lasts, the tables of an encoder give vectors on the path; texts that are read together as one."""
        ids = torch.cat([self.read[name] for name in names], dim=-1)
        first = torch.cat([start[name] for name in names], dim=-1).expand_as(ids)

        def on_path(module: nn.Module, given: tuple[Any, ...], vectors: Tensor) -> Tensor:
            assert isinstance(module, nn.Embedding)
            if given[0].shape != ids.shape or not torch.equal(given[0], ids):  # positions, segments
                return vectors
            return self._leaf(names, vectors, functional.embedding(first, module.weight))

        handles = [one.register_forward_hook(on_path) for one in encoder.modules() if isinstance(one, nn.Embedding)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def gradients(self, slope: Callable[[np.ndarray], np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
        """Of each tensor the gradient of what is explained times how far each number moves, (points, ...)."""
        towards = torch.tensor(slope(self.outputs.detach().numpy()), dtype=torch.float32)
        values = [leaf.values for leaf in self.leaves]
        found = torch.autograd.grad(self.outputs, values, towards, allow_unused=True, materialize_grads=True)
        for leaf, gradient in zip(self.leaves, found, strict=True):
            times = (gradient * leaf.span).double().numpy()
            if not leaf.names[0].endswith("_ids"):
                yield leaf.names[0], times
            elif len(leaf.names) == 1:
                yield leaf.names[0], times.sum(axis=-1)
            else:
                ends = np.cumsum([self.read[name].shape[-1] for name in leaf.names])[:-1]
                yield from zip(leaf.names, np.split(times.sum(axis=-1), ends, axis=-1), strict=True)
