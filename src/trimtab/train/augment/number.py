"""Numbers: Gaussian noise on the scaled value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from trimtab import part_options
from trimtab.columns import InputColumn
from trimtab.columns.number import NumberColumn
from trimtab.spec import Choice
from trimtab.train.augment import InputAugment, Mix


class Options(part_options.Options):
    """What may be set under `augment` of a number."""

    noise: float = Field(
        0.0, ge=0, le=10, description="Standard deviation of the Gaussian noise, in those of the training rows."
    )


# From what a column's scale made of a number back to the number.
_BACK: dict[str, Callable[[NumberColumn, np.ndarray], np.ndarray]] = {
    "standard": lambda column, scaled: scaled,
    "log": lambda column, scaled: np.asarray(np.sign(scaled) * np.expm1(np.abs(scaled)) * column.unit),
    "quantile": lambda column, scaled: np.asarray(np.interp(scaled, column.scores, column.landmarks)),
    "none": lambda column, scaled: scaled,
}


@dataclass(frozen=True)
class NumberAugment(InputAugment):
    """`<key>_values` (rows, features) of numbers with noise on them; a missing one stays what it is."""

    column: NumberColumn
    noise: float

    @classmethod
    def automatic(cls, column: InputColumn) -> Choice:
        """Nothing: how much noise a number stands depends on what it measures."""
        return Choice({}, "")

    @classmethod
    def make(cls, column: InputColumn, values: Sequence[Any], options_: Mapping[str, Any], where: str) -> Self:
        """See `InputAugment.make`."""
        assert isinstance(column, NumberColumn)
        chosen = part_options.check(Options, where, options_)
        return cls(column, chosen.noise * (column.std if column.scale == "none" else 1.0))

    def __call__(
        self, tensors: Mapping[str, Tensor], rows: np.ndarray, random: np.random.Generator
    ) -> tuple[dict[str, Tensor], Mix | None]:
        """See `InputAugment`; the noise is added to the scaled number, and all features follow from the sum."""
        name, noise = f"{self.column.key}_values", random.normal(0.0, self.noise, len(rows))
        varied = moved(self.column, tensors[name].cpu().numpy(), noise)
        return {name: torch.from_numpy(varied).to(tensors[name].device)}, None


def moved(column: NumberColumn, features: np.ndarray, by: np.ndarray) -> np.ndarray:
    """The features (rows, features) of numbers that are larger by `by` (rows,), in their scale; a missing one stays."""
    scaled = features[:, 0].astype(np.float64) + by
    numbers = _BACK[column.scale](column, scaled * column.spread + column.center)
    absent = features[:, 1] > 0 if column.flagged else np.zeros(len(features), bool)
    return column.featured(np.where(absent, np.nan, numbers))
