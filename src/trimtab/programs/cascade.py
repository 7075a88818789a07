"""Two networks: a small one answers the rows that it is sure of, a larger one the rest.

A row is answered early where the likeliest class has at least the probability `threshold` by the softmax of the small
network's outputs.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from trimtab import part_options
from trimtab.columns import EncodedRows, dense
from trimtab.programs import Graphs, Program, Ran

MODEL, FIRST = "model", "first"


class Options(part_options.Options):
    """Where the small network's answer stands."""

    threshold: float = Field(description="a probability of the likeliest class")
    scale: float = Field(1.0, description="what the small network's outputs are multiplied by")


class CascadeProgram(Program):
    """A small network before a larger one; one output column decodes the outputs of both."""

    takes: ClassVar[type[part_options.Options]] = Options
    graphs: ClassVar[tuple[str, ...]] = (FIRST, MODEL)

    options: Options

    def run(self, graphs: Graphs, rows: EncodedRows) -> Ran:
        """Outputs of the small network where it is sure, else of the larger one."""
        outputs = dense(graphs[FIRST].outputs(rows, np.arange(len(rows))))
        early = confidence(outputs) >= self.options.threshold
        outputs = outputs * np.float32(self.options.scale)
        late = np.flatnonzero(~early)
        if len(late):
            outputs[late] = graphs[MODEL].outputs(rows, late)
        return Ran(outputs, early)

    def settled(self, graphs: Graphs, rows: EncodedRows, tolerance: float) -> np.ndarray:
        """Rows whose log-odds lie further than `tolerance` from the threshold's, (rows,)."""
        found = confidence(dense(graphs[FIRST].outputs(rows, np.arange(len(rows)))))
        return np.asarray(np.abs(_log_odds(found) - _log_odds(np.array(self.options.threshold))) > tolerance)

    @property
    def words(self) -> str:
        """How the two work together."""
        sure = f"{self.options.threshold:.3g}"
        return f"a small network answers the rows of which it is at least {sure} sure, a larger one the rest"


def confidence(outputs: np.ndarray) -> np.ndarray:
    """The probability of the likeliest class by the softmax of its logits, (rows, classes) -> (rows,), float64."""
    logits = np.asarray(outputs, np.float64)
    return np.asarray(1.0 / np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1))


def _log_odds(probabilities: np.ndarray) -> np.ndarray:
    inside = np.clip(probabilities, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(inside / (1 - inside)))
