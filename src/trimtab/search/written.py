"""Networks whose answers are written: the trained network, run as its files are, and how far the two lie apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from trimtab import programs, runtime
from trimtab.columns import EncodedRows, OutputColumn, Outputs, Ragged, Targets, length_batches, named, taken
from trimtab.nets.fitted import FittedNetwork
from trimtab.nets.graphs import NamedGraph
from trimtab.nets.network import Network
from trimtab.train import devices, loop

_ROWS = 48  # validation rows on which both are compared
_COST = 2048  # of a batch
_TIE = 1e-3  # log-probabilities that lie nearer than this may be told apart either way


def has_program(network: Network) -> bool:
    """Whether the network is run as several graphs by a program of its head, rather than at once."""
    return bool(getattr(network.head, "program", ""))


@dataclass(frozen=True)
class _Trained:
    """A graph of the trained network, as a program runs the files of a bundle."""

    graph: NamedGraph
    output: OutputColumn

    @torch.no_grad()
    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The tensors that the graph gives, by their names."""
        given = (torch.from_numpy(np.ascontiguousarray(tensors[name])) for name in self.graph.example)
        found = self.graph.module(*given)
        return {name: one.numpy() for name, one in zip(self.graph.gives, found, strict=True)}

    def batches(self, costs: np.ndarray) -> list[np.ndarray]:
        """Which rows of such costs are computed together."""
        return length_batches(costs, _COST)

    def text(self, ids: Sequence[int]) -> str:
        """What token ids of an answer say."""
        return self.output.text(ids)

    def outputs(self, rows: EncodedRows, picked: np.ndarray) -> Outputs:
        """No graph of several gives answers."""
        raise NotImplementedError


def apart(
    trained: FittedNetwork, graphs: Sequence[NamedGraph], model: runtime.Model, rows: EncodedRows, targets: Targets
) -> float:
    """The largest difference between the trained network and its files, of some rows that are alike for both.

    That of the log-probability of each token of the right answers; infinite where the likeliest tokens, one after the
    other, are not the same, unless two of them are as good as equally likely.
    """
    picked = np.unique(np.linspace(0, len(rows) - 1, min(_ROWS, len(rows))).astype(np.int64))
    some, right = rows.take(picked), taken(targets, picked)
    here = loop.predict(trained.network, some, max(_COST, int(some.steps.max())), devices.device(), right)
    trained.network.cpu()  # where its graphs are
    there = model.judged(model.outputs(some), some, right)
    given = named(there)["given"]
    assert isinstance(here, Ragged)
    assert isinstance(given, Ragged)
    likely = float(np.abs(here.values - given.values).max(initial=0.0))
    scale = max(1.0, float(np.abs(here.values).max(initial=0.0)))
    head = trained.network.head
    program = programs.opened(head.program, head.program_options, [graph.name for graph in graphs], "network")
    greedy = program.decoding({"beams": 1, "temperature": 0})
    own = {graph.name: _Trained(graph, trained.output) for graph in graphs}
    one, other = named(greedy.run(own, some).outputs), named(replace(model, program=greedy).outputs(some))
    alike = [np.array_equal(one["ids"][row], other["ids"][row]) for row in range(len(some))]
    sure = greedy.settled(own, some, _TIE) if not all(alike) else alike
    same = all(equal or not settled for equal, settled in zip(alike, sure, strict=True))
    return likely / scale if same and not math.isnan(likely) else math.inf
