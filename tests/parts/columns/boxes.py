"""Boxes along a sequence, any number of them: a start and an end each; and for each state whether it lies in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from trimtab.columns import Named, OutputColumn, Outputs, OutputTensor, Targets, named, placed, ragged
from trimtab.metrics import Kind, OneOf

MOST = 3  # boxes of a row


@dataclass(frozen=True)
class BoxesColumn(OutputColumn):
    """`boxes` (up to 3, 2): those of the states with the highest of the `scores` (states, 1), the highest first."""

    type: ClassVar[str] = "boxes"
    headline: ClassVar[str] = "accuracy"
    answers: ClassVar[Kind] = OneOf
    name: str
    key: str

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        return cls(name, key)

    @property
    def width(self) -> int:
        return 2

    @property
    def tensors(self) -> tuple[OutputTensor, ...]:
        return (OutputTensor("boxes", 2, "step"), OutputTensor("scores", 1, "step"))

    def usable(self, value: Any) -> str | None:
        return None if isinstance(value, list) else "no list of boxes"

    def targets(self, values: Sequence[Any]) -> Named:
        rows = [np.array(value, np.float32).reshape(-1, 2) for value in values]
        return Named({"boxes": ragged(rows, np.zeros((0, 2), np.float32))})

    def decode(self, outputs: Outputs, top: int = 1) -> dict[str, list[Any]]:
        return {self.name: [boxes.round(2).tolist() for boxes in _kept(outputs)]}

    def answered(self, targets: Targets, outputs: Outputs) -> OneOf:
        """Whether a row has a box that is a true one up to half of its length, or rightly none."""
        truth = placed(named(targets)["boxes"])
        right = np.array([_hit(truth[row], found) for row, found in enumerate(_kept(outputs))])
        return OneOf(("wrong", "right"), np.ones(len(right), np.int64), np.stack([~right, right], 1).astype(float))

    def save(self, folder: Path) -> None:
        self.write(folder, {})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        return cls(state["name"], state["key"])


def _kept(outputs: Outputs) -> list[np.ndarray]:
    """The boxes of each row whose state is likelier in one than not."""
    boxes, scores = (placed(named(outputs)[name]) for name in ("boxes", "scores"))
    likely = [np.sort(scores[row][:, 0])[::-1][: len(boxes[row])] > 0 for row in range(len(boxes))]
    return [boxes[row][one] for row, one in enumerate(likely)]


def _hit(truth: np.ndarray, found: np.ndarray) -> bool:
    if not len(truth) or not len(found):
        return len(truth) == len(found)
    shared = np.minimum(truth[:, None, 1], found[:, 1]) - np.maximum(truth[:, None, 0], found[:, 0])
    both = np.maximum(truth[:, None, 1], found[:, 1]) - np.minimum(truth[:, None, 0], found[:, 0])
    return bool((shared / both).max() > 0.5)
