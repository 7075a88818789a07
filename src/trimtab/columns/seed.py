"""Seeds become numbers by chance: the same ones for the same seed on every machine, for networks that draw or write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from trimtab import part_options
from trimtab.columns import Encoded, InputColumn, dense
from trimtab.values import parse

_SIZE = 64


class Options(part_options.Options):
    """What may be set on a column of seeds."""

    size: int = Field(_SIZE, ge=1, le=4096, description="Numbers by chance that a seed becomes: the size of the noise.")


@dataclass(frozen=True)
class SeedColumn(InputColumn):
    """A seed; tensor `<key>_noise`, (rows, size) float32, of a standard normal distribution.

    Where the data lack the column, rows are numbered in it; a row of a request without a seed has the seed 0.
    """

    type: ClassVar[str] = "seed"
    numbered: ClassVar[bool] = True
    allowed: ClassVar[str] = "a whole number, or any text"
    name: str
    key: str
    size: int

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`."""
        return cls(name, key, part_options.check(Options, f"column {name!r} ({cls.type})", options).size)

    def value_schema(self) -> dict[str, Any]:
        """See `InputColumn.value_schema`."""
        return {"description": f"{self.allowed}; the same seed gives the same answer", "type": _SEEDS}

    def invented(self, random: np.random.Generator) -> int:
        """Any whole number."""
        return int(random.integers(1_000_000))

    def encode(self, values: Sequence[Any]) -> np.ndarray:
        """Noise, (rows, size) float32; a missing seed counts as 0."""
        found = np.empty((len(values), self.size), np.float32)
        for row, value in enumerate(values):
            found[row] = _noise(value, self.size)
        return found

    def steps(self, encoded: Encoded) -> np.ndarray:
        """One state per row."""
        return np.ones(len(dense(encoded)), np.int64)

    def sketched(self, values: Sequence[Any], encoded: Encoded) -> dict[str, np.ndarray]:
        """Nothing: seeds say nothing of rows."""
        return {}

    def batch(self, encoded: Encoded, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The noise of the given rows."""
        return {f"{self.key}_noise": np.asarray(dense(encoded)[rows])}

    def save(self, folder: Path) -> None:
        """Write `<key>.json`."""
        self.write(folder, {"size": self.size})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        return cls(state["name"], state["key"], state["size"])


_SEEDS = ["integer", "string", "number", "null"]


def _noise(seed: Any, size: int) -> np.ndarray:
    """Standard normal numbers, (size,) float32, by Box and Muller of raw bits, which numpy promises to keep."""
    said = "0" if parse.is_missing(seed) else parse.label(seed)
    key = int.from_bytes(blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest())
    bits = np.random.Philox(key=key).random_raw(2 * size)
    radius, angle = ((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(2, size)
    return np.asarray(np.sqrt(-2 * np.log1p(-radius)) * np.cos(2 * np.pi * angle), np.float32)
