"""A series: a list of numbers in one cell, such as the readings of a sensor; each number is a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from trimtab import part_options
from trimtab.columns import Encoded, InputColumn, Ragged, ragged


class Options(part_options.Options):
    """A series has no options."""


@dataclass(frozen=True)
class SeriesColumn(InputColumn):
    """Standardised numbers; tensors `<key>_values` float32 and `<key>_mask` int64, both (rows, steps)."""

    type: ClassVar[str] = "series"
    imputes: ClassVar[bool] = False
    padded: ClassVar[tuple[tuple[str, ...], ...]] = (("values", "mask"),)
    name: str
    key: str
    mean: float
    std: float

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`."""
        part_options.check(Options, f"column {name!r} ({cls.type})", options)
        found = np.concatenate([_numbers(value) for value in values])
        return cls(name, key, float(found.mean()), float(found.std()) or 1.0)

    @classmethod
    def refuses(cls, value: Any) -> str | None:
        """A cell that holds no list of numbers."""
        return None if len(_numbers(value)) else "no list of numbers"

    def encode(self, values: Sequence[Any]) -> Ragged:
        """A served row always gets an answer: what is no list of numbers counts as one mean number."""
        rows = [(_numbers(value) - self.mean) / self.std for value in values]
        return ragged([row if len(row) else np.zeros(1) for row in rows], np.zeros(0))

    def steps(self, encoded: Encoded) -> np.ndarray:
        """The length of each series."""
        assert isinstance(encoded, Ragged)
        return encoded.lengths

    def batch(self, encoded: Encoded, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Padded on the right to the longest of the rows."""
        assert isinstance(encoded, Ragged)
        mask = np.arange(encoded.lengths[rows].max(initial=1)) < encoded.lengths[rows][:, None]
        values = np.zeros(mask.shape, np.float32)
        values[mask] = np.concatenate([encoded[row] for row in rows]) if len(rows) else []
        return {f"{self.key}_values": values, f"{self.key}_mask": mask.astype(np.int64)}

    def save(self, folder: Path) -> None:
        """Write `<key>.json`."""
        self.write(folder, {"mean": self.mean, "std": self.std})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        return cls(state["name"], state["key"], state["mean"], state["std"])


def _numbers(value: Any) -> np.ndarray:
    """The numbers of a list, (steps,); none where it is something else."""
    try:
        found = np.array(value, np.float64).reshape(-1)
    except (TypeError, ValueError):
        return np.zeros(0)
    return found if np.isfinite(found).all() else np.zeros(0)
