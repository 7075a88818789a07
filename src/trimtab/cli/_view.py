"""How commands look: messages and progress on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False)
result = Console(highlight=False)


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False, default=str) + "\n")


def figure(value: float | str) -> str:
    """A number with the digits that matter."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}".rstrip("0").rstrip(".")


class Lines:
    """Progress as plain lines: for a log file, a pipe or CI."""

    def __init__(self, every_seconds: float = 10.0) -> None:
        self.every = every_seconds
        self.started = self.last = time.perf_counter()
        self.first: tuple[int, float] | None = None  # the current stage's first tick

    def stage(self, name: str, detail: str = "") -> None:
        """A line with the seconds since the start."""
        self.first = None
        console.print(f"[{self._now():5.0f} s] {name}{': ' if detail else ''}{detail}", markup=False, soft_wrap=True)

    def tick(self, done: int, total: int, figures: Mapping[str, float | str]) -> None:
        """A line every few seconds."""
        now = time.perf_counter()
        self.first = self.first or (done, now)
        if now - self.last < self.every and done < total:
            return
        self.last = now
        told = "  ".join(f"{name} {figure(value)}" for name, value in figures.items())
        pace = (now - self.first[1]) / max(1, done - self.first[0])
        left = f"  {pace * (total - done):.0f} s left" if done > self.first[0] else ""
        console.print(f"[{self._now():5.0f} s]   {done}/{total}  {told}{left}", markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """A line of its own."""
        console.print(f"          {text}", markup=False, soft_wrap=True)

    def close(self) -> None:
        """Nothing is open."""

    def _now(self) -> float:
        return time.perf_counter() - self.started


class Live:
    """Progress for a terminal: finished stages as lines, the current one as a bar."""

    def __init__(self) -> None:
        self.bar = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[figures]}"),
            console=console,
            transient=True,
        )
        self.task: TaskID | None = None
        self.current: tuple[str, str, float] | None = None
        self.status = console.status("")

    def stage(self, name: str, detail: str = "") -> None:
        """Close the stage before with its seconds, and open this one."""
        self.close()
        self.current = (name, detail, time.perf_counter())
        self.status = console.status(f"{escape(name)} [dim]{escape(detail)}")
        self.status.start()

    def tick(self, done: int, total: int, figures: Mapping[str, float | str]) -> None:
        """Move the bar of the current stage."""
        if self.task is None:
            self.status.stop()
            self.task = self.bar.add_task(self.current[0] if self.current else "", total=total, figures="")
            self.bar.start()
        told = "  ".join(f"{name} {figure(value)}" for name, value in figures.items())
        self.bar.update(self.task, completed=done, total=total, figures=told)

    def note(self, text: str) -> None:
        """A dim line above the bar."""
        console.print(f"    [dim]{escape(text)}", soft_wrap=True)

    def close(self) -> None:
        """End the current stage."""
        self.status.stop()
        if self.task is not None:
            self.bar.stop()
            self.bar.remove_task(self.task)
            self.task = None
        if self.current:
            name, detail, start = self.current
            seconds = time.perf_counter() - start
            console.print(f"[green]✓[/] {escape(name)} [dim]{escape(detail)}  {seconds:.1f} s", soft_wrap=True)
            self.current = None


class Silent(Lines):
    """`--quiet`: only what goes wrong is told."""

    def stage(self, name: str, detail: str = "") -> None:
        """Told to nobody."""

    def tick(self, done: int, total: int, figures: Mapping[str, float | str]) -> None:
        """Told to nobody."""

    def note(self, text: str) -> None:
        """Told to nobody."""


def progress(quiet: bool) -> Lines | Live:
    """The view that fits where stderr goes."""
    return Silent() if quiet else Live() if console.is_terminal else Lines()
