"""A count: how many times something happens; the network gives the logarithm of the rate (Poisson regression)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np

from trimtab import part_options
from trimtab.columns import OutputColumn, Outputs, Targets, dense
from trimtab.metrics import Amounts, Kind
from trimtab.values import parse


class Options(part_options.Options):
    """A count has no options."""


@dataclass(frozen=True)
class CountColumn(OutputColumn):
    """A whole number, 0 or more."""

    type: ClassVar[str] = "count"
    baselines: ClassVar[str | None] = "amounts"
    constant: ClassVar[str] = "mean"
    single: ClassVar[bool] = True
    headline: ClassVar[str] = "r2"
    strata: ClassVar[Literal["classes", "quantiles", "none"]] = "quantiles"
    answers: ClassVar[Kind] = Amounts
    name: str
    key: str
    mean: float  # of the training rows: outputs are logarithms of shares of it

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`."""
        part_options.check(Options, f"column {name!r} ({cls.type})", options)
        known = [parse.number(value) or 0.0 for value in values]
        return cls(name, key, max(float(np.mean(known)), 1e-6))

    @property
    def width(self) -> int:
        """The logarithm of the rate."""
        return 1

    def usable(self, value: Any) -> str | None:
        """None for a whole number of 0 or more."""
        try:
            found = parse.number(value)
        except ValueError:
            found = None
        return None if found is not None and found >= 0 and found.is_integer() else f"{value!r} is no count"

    def targets(self, values: Sequence[Any]) -> np.ndarray:
        """Shares of the mean count, (rows,) float32."""
        return np.array([(parse.number(value) or 0.0) / self.mean for value in values], np.float32)

    def decode(self, outputs: Outputs, top: int = 1) -> dict[str, list[Any]]:
        """The expected count."""
        return {self.name: np.round(self._counts(outputs), 3).tolist()}

    def answered(self, targets: Targets, outputs: Outputs) -> Amounts:
        """The expected counts beside the true ones: measured and shown like any amounts."""
        return Amounts(dense(targets) * self.mean, self._counts(outputs))

    def answered_simply(self, targets: Targets, predicted: np.ndarray) -> Amounts:
        """What the baselines predict are shares of the mean count, as the targets are."""
        return Amounts(dense(targets) * self.mean, predicted * self.mean)

    def _counts(self, outputs: Outputs) -> np.ndarray:
        found: np.ndarray = np.exp(np.clip(dense(outputs)[:, 0].astype(np.float64), -20, 20)) * self.mean
        return found

    def save(self, folder: Path) -> None:
        """Write `<key>.json`."""
        self.write(folder, {"mean": self.mean})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        return cls(state["name"], state["key"], state["mean"])
