"""What happens to values on their way to a model, and should not change its answer: one file per type of column.

The folder is the registry: `perturb/text.py` holds `PERTURBATIONS`, those of the type `text`. The right answer stays
what it was, as with a typing error. A type without a file is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab import registry
from trimtab.columns import InputColumn

Random = np.random.Generator
Apply = Callable[[InputColumn, Sequence[Any], Random, float], Sequence[Any]]


@dataclass(frozen=True)
class Perturbation:
    """One way in which values differ from what was trained on.

    `apply(column, values, random, strength)` gives as many values; one that it does not change is the same object.
    """

    name: str  # as gates write it: `robustness.typos`
    meaning: str
    apply: Apply
    strengths: tuple[float, ...] = (1.0,)  # as `apply` takes them, the weakest first
    one_cell: bool = False  # of a row with several columns of the type one is changed, by chance, rather than all


def of_type(name: str) -> tuple[Perturbation, ...]:
    """Those of a type of column."""
    if name not in registry.names(__name__):
        return ()
    found: tuple[Perturbation, ...] = registry.load(__name__, name, "PERTURBATIONS", f"perturb/{name}.py")
    return found


@dataclass(frozen=True)
class Budget:
    """How far an attack along gradients may move each number that a network reads of a value."""

    part: str  # the column's tensor
    radius: float
    bounds: tuple[float, float]  # of a number
    said: str  # the radius for people
    values: Callable[[np.ndarray], list[Any]]  # from the moved tensor, (rows, ...), to values that a column reads


def budget(name: str) -> Budget | None:
    """That of a type of column, which its file calls `BUDGET`; None where it has none."""
    if name not in registry.names(__name__):
        return None
    return getattr(registry.module(__name__, name, f"perturb/{name}.py"), "BUDGET", None)


def one_by_one(change: Callable[[Any, Random], Any]) -> Apply:
    """`apply` of what changes each value by itself; what comes back equal is the value that it was."""

    def apply(column: InputColumn, values: Sequence[Any], random: Random, strength: float) -> list[Any]:
        changed = [change(value, random) for value in values]
        return [old if new == old else new for old, new in zip(values, changed, strict=True)]

    return apply
