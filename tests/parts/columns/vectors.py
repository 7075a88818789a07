"""A sequence of float vectors: positions of a pen, frames of a sensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from trimtab.columns import Encoded, InputColumn, Ragged, placed, ragged


@dataclass(frozen=True)
class VectorsColumn(InputColumn):
    """Tensors `<key>_values` (rows, steps, size) float32 and `<key>_mask` (rows, steps) int64."""

    type: ClassVar[str] = "vectors"
    imputes: ClassVar[bool] = False
    padded: ClassVar[tuple[tuple[str, ...], ...]] = (("values", "mask"),)
    name: str
    key: str
    size: int

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        return cls(name, key, np.asarray(values[0]).shape[1])

    def encode(self, values: Sequence[Any]) -> Ragged:
        blank = np.zeros((1, self.size), np.float32)
        rows = [np.asarray(value, np.float32) if isinstance(value, list) and value else blank for value in values]
        return ragged(rows, blank[:0])

    def steps(self, encoded: Encoded) -> np.ndarray:
        return placed(encoded).lengths

    def batch(self, encoded: Encoded, rows: np.ndarray) -> dict[str, np.ndarray]:
        found = placed(encoded)
        mask = np.arange(found.lengths[rows].max(initial=1)) < found.lengths[rows][:, None]
        return {f"{self.key}_values": found.padded(rows, 0), f"{self.key}_mask": mask.astype(np.int64)}

    def save(self, folder: Path) -> None:
        self.write(folder, {"size": self.size})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        return cls(state["name"], state["key"], state["size"])
