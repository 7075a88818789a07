"""Which of the known names a value means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Lookup:
    """Places of names, found exactly or, where only one name has these letters, whatever their case."""

    exact: dict[str, int]
    folded: dict[str, int]

    def find(self, name: str) -> int | None:
        """The place of a name; None when it is not known, or known in several cases but not in this one."""
        position = self.exact.get(name)
        return self.folded.get(name.casefold()) if position is None else position


def lookup(names: Sequence[str]) -> Lookup:
    """Prepare to find `names` by their place."""
    times = Counter(name.casefold() for name in names)
    exact = {name: position for position, name in enumerate(names)}
    return Lookup(exact, {name.casefold(): position for name, position in exact.items() if times[name.casefold()] == 1})


def begun(names: Sequence[str], before: Sequence[str], start: Iterable[int]) -> tuple[tuple[int, ...], ...]:
    """For each of `names` its place among those of before; for a new one the places `start`."""
    known, others = {name: (place,) for place, name in enumerate(before)}, tuple(start)
    return tuple(known.get(name, others) for name in names)
