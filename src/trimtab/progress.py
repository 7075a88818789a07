"""What a long stage tells while it runs, and where its seconds went.

The rooms report to a `Progress`; the command line decides how it looks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Receives the events of a run: stages, ticks inside a stage, and remarks worth a line of their own."""

    def stage(self, name: str, detail: str = "") -> None:
        """A new stage begins (the one before has ended)."""

    def tick(self, done: int, total: int, figures: Mapping[str, float | str]) -> None:
        """`done` of `total` units of the current stage; `figures` such as epoch, loss, rows/s."""

    def note(self, text: str) -> None:
        """One line that the user should read: an automatic choice, a warning, a doubt."""


class Quiet:
    """Reports to nobody; the default when Trimtab is used from Python."""

    def stage(self, name: str, detail: str = "") -> None:
        """Told to nobody."""

    def tick(self, done: int, total: int, figures: Mapping[str, float | str]) -> None:
        """Told to nobody."""

    def note(self, text: str) -> None:
        """Told to nobody."""


class Laps:
    """A clock of one stage: each part is given the seconds since the part before."""

    def __init__(self) -> None:
        self.started = self._last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def lap(self, part: str) -> None:
        """What was done since the last lap was this part."""
        now = time.perf_counter()
        self.seconds[part] = round(self.seconds.get(part, 0.0) + now - self._last, 2)
        self._last = now

    @property
    def total(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started
