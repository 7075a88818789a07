"""The characters of a sound, as many as it has: none of the network's steps belongs to one of them (CTC)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from trimtab.columns import OUTPUTS, OutputColumn, Outputs, OutputTensor, Ragged, Targets, placed, ragged
from trimtab.metrics import Kind, OneOf


@dataclass(frozen=True)
class CharactersColumn(OutputColumn):
    """Logits of a blank and of each character, for each step that the head gives."""

    type: ClassVar[str] = "characters"
    headline: ClassVar[str] = "accuracy"
    answers: ClassVar[Kind] = OneOf
    name: str
    key: str
    alphabet: str

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        return cls(name, key, "".join(sorted(set("".join(values)))))

    @property
    def width(self) -> int:
        return len(self.alphabet) + 1

    @property
    def tensors(self) -> tuple[OutputTensor, ...]:
        return (OutputTensor(OUTPUTS, self.width, "step"),)

    def usable(self, value: Any) -> str | None:
        return None if isinstance(value, str) and value and set(value) <= set(self.alphabet) else "no such characters"

    def targets(self, values: Sequence[Any]) -> Ragged:
        return ragged([np.array([1 + self.alphabet.index(c) for c in v]) for v in values], np.zeros(0, np.int64))

    def decode(self, outputs: Outputs, top: int = 1) -> dict[str, list[Any]]:
        return {self.name: ["".join(self.alphabet[one - 1] for one in row) for row in _collapsed(placed(outputs))]}

    def answered(self, targets: Targets, outputs: Outputs) -> OneOf:
        """Whether all characters of a row are right."""
        truth, found = placed(targets), _collapsed(placed(outputs))
        right = np.array([list(truth[row]) == list(one) for row, one in enumerate(found)])
        return OneOf(("wrong", "right"), np.ones(len(right), np.int64), np.stack([~right, right], 1).astype(float))

    def save(self, folder: Path) -> None:
        self.write(folder, {"alphabet": self.alphabet})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        return cls(state["name"], state["key"], state["alphabet"])


def _collapsed(outputs: Ragged) -> list[np.ndarray]:
    """The likeliest of each step, once where it repeats, without blanks."""
    rows = (outputs[row].argmax(1) for row in range(len(outputs)))
    return [row[(row > 0) & (np.diff(row, prepend=-1) != 0)] for row in rows]
