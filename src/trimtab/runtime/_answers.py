"""What comes out of a model: predictions, the outputs behind them, and what runs a network to outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from trimtab.columns import EncodedRows, OutputColumn, Outputs, in_order
from trimtab.runtime._graphs import Graph
from trimtab.values.problems import Problem


@dataclass(frozen=True)
class Predictions:
    """The answers to some rows, in their order."""

    outputs: Outputs  # what the network gave: logits (rows, classes), a standardised number (rows, 1) ...
    answers: dict[str, list[Any]]  # answer column -> one value per row
    problems: tuple[Problem, ...] = ()  # values that could not be read, were never seen in training, were cut ...
    early: np.ndarray | None = None  # (rows,) which were answered before every network ran: see `programs.Ran`

    def __len__(self) -> int:
        return len(self.outputs)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {name: values[row] for name, values in self.answers.items()}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[row] for row in range(len(self)))

    def rows(self) -> list[dict[str, Any]]:
        """One mapping per row, such as {"sentiment": "positive", "confidence": 0.97}."""
        return list(self)

    def problems_of(self, row: int) -> tuple[Problem, ...]:
        """What was wrong with the values of one row; a column that no row has is told of the first."""
        return tuple(one for one in self.problems if one.row == row)


@dataclass(frozen=True)
class Answered:
    """The network's outputs for some rows, in their order."""

    outputs: Outputs
    problems: tuple[Problem, ...]  # of the values, column by column
    early: np.ndarray | None = None  # as in `Predictions`


@dataclass(frozen=True)
class Answering:
    """A network whose tensors are the answers of an output column: what a program runs."""

    graph: Graph
    output: OutputColumn

    def outputs(self, rows: EncodedRows, picked: np.ndarray) -> Outputs:
        """Outputs of the picked rows, in batches of like length, within the entry's cost and rows of a batch."""
        costs = rows.costs[picked] + self.output.answer_cost
        batches, positions = self.graph.batches(costs), rows.positions(self.output)
        parts = self.graph.run_each([partial(rows.batch, picked[batch]) for batch in batches])
        return in_order(batches, parts, self.output.tensors, None if positions is None else positions[picked])

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `programs.Runnable`."""
        return self.graph.run(tensors)

    def batches(self, costs: np.ndarray) -> list[np.ndarray]:
        """See `programs.Runnable`."""
        return self.graph.batches(costs)

    def text(self, ids: Sequence[int]) -> str:
        """See `programs.Runnable`."""
        return self.output.text(ids)
