"""Categories as tables have them: a cell is empty, or in capitals."""

from __future__ import annotations

from typing import Any

from trimtab.perturb import Perturbation, Random, one_by_one


def _missing(value: Any, random: Random) -> None:
    return None


def _upper(value: Any, random: Random) -> Any:
    return value.upper() if isinstance(value, str) else value


def _never_seen(value: Any, random: Random) -> str:
    return f"never seen {random.integers(1_000_000)}"


PERTURBATIONS = (
    Perturbation("missing_category", "one category of the row is missing", one_by_one(_missing), one_cell=True),
    Perturbation("new_category", "one category of the row was never seen", one_by_one(_never_seen), one_cell=True),
    Perturbation("category_in_capitals", "one category of the row is in capitals", one_by_one(_upper), one_cell=True),
)
