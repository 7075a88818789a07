"""How commands look: messages and progress on stderr, results on stdout."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import IO, Any, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from trimtab.errors import brief, visible


class _Stream(io.TextIOBase):
    """Where stdout or stderr goes now; once whoever reads it has gone, nowhere: a command goes on without readers."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def _now(self) -> TextIO | None:
        """The stream itself: a bar or a spinner puts a stand-in before it, which writes to the console, thus to us."""
        stream = getattr(sys, self.name)
        found: TextIO | None = getattr(stream, "rich_proxied_file", stream)
        return found

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the stream."""
        return getattr(self._now, "encoding", None) or "utf-8"

    def fileno(self) -> int:
        """Of the stream."""
        if self._now is None:
            raise io.UnsupportedOperation("fileno")
        return self._now.fileno()

    def isatty(self) -> bool:
        """Whether a person reads it."""
        return bool(self._now and self._now.isatty())

    def write(self, text: str) -> int:
        """Write what can be written."""
        with self._forsaken():
            if self._now:
                self._now.write(text)
        return len(text)

    def flush(self) -> None:
        """Send what is held back."""
        with self._forsaken():
            if self._now:
                self._now.flush()

    @contextlib.contextmanager
    def _forsaken(self) -> Iterator[None]:
        """After a failure the rest goes nowhere, what other libraries write too; a result that is lost is an error."""
        try:
            yield
        except OSError as error:
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if self.name == "stdout" and error.errno not in _GONE:
                raise


_GONE = (errno.EPIPE, errno.EIO, errno.ENXIO)  # a pipe without a reader, a terminal that was closed


class _Plain(Console):
    """A console on which text stands as it is: no markup, no emoji codes, control characters spelt out.

    What is printed holds names from the user's data. Style is given by `style` or by `rich.text.Text`.
    """

    def __init__(self, stderr: bool = False) -> None:
        stream = cast(IO[str], _Stream("stderr" if stderr else "stdout"))
        super().__init__(file=stream, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """What rich makes of any text: of a line, a cell, a head or a title."""
        return super().render_str(visible(text), **options)


console = _Plain(stderr=True)
result = _Plain()


def styled(*parts: tuple[str, str]) -> Text:
    """A line of parts, each text with its style."""
    return Text.assemble(*((visible(text), style) for text, style in parts))


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    result.file.write(json.dumps(value, ensure_ascii=False, allow_nan=False, default=str) + "\n")
    result.file.flush()


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
        console.print(f"[{self._now():5.0f} s] {name}{': ' if detail else ''}{brief(detail)}", soft_wrap=True)

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
        console.print(f"[{self._now():5.0f} s]   {done}/{total}  {told}{left}", soft_wrap=True)

    def note(self, text: str) -> None:
        """A line of its own."""
        console.print(f"          {brief(text)}", soft_wrap=True)

    def close(self) -> None:
        """Nothing is open."""

    def _now(self) -> float:
        return time.perf_counter() - self.started


class Live:
    """Progress for a terminal: finished stages as lines, the current one as a bar."""

    def __init__(self) -> None:
        self.bar = Progress(
            TextColumn("  {task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}", style="dim", markup=False),
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
        self.status = console.status(styled((f"{name} ", ""), (brief(detail), "dim")))
        self.status.start()

    def tick(self, done: int, total: int, figures: Mapping[str, float | str]) -> None:
        """Move the bar of the current stage."""
        if self.task is None:
            self.status.stop()
            self.task = self.bar.add_task(self.current[0] if self.current else "", total=total, figures="")
            self.bar.start()
        told = visible("  ".join(f"{name} {figure(value)}" for name, value in figures.items()))
        self.bar.update(self.task, completed=done, total=total, figures=told)

    def note(self, text: str) -> None:
        """A dim line above the bar."""
        console.print(f"    {brief(text)}", style="dim", soft_wrap=True)

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
            told = styled(("✓", "green"), (f" {name} ", ""), (f"{brief(detail)}  {seconds:.1f} s", "dim"))
            console.print(told, soft_wrap=True)
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
