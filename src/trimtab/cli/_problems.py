"""What commands tell of values that were answered though they could not be read, or were never seen in training."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from trimtab import rows
from trimtab.errors import problem
from trimtab.rows import Row, Writer
from trimtab.values.problems import Problem, Tally

_FIELDS = ("line", "column", "kind", "reason", "lost")

MostUnread = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE",
        help="Exit with 1 when more of a column's values, such as 5%, cannot be read or were never seen in training. "
        "Default: it is only told.",
    ),
]


@dataclass
class Told:
    """Counts the problems of chunk after chunk, and passes them on to a file."""

    sink: Writer | None = None
    tally: Tally = field(default_factory=Tally)

    def add(self, chunk: Sequence[Row], problems: Sequence[Problem]) -> None:
        """Count the problems of some rows."""
        self.tally.add(len(chunk), problems, lambda row: f"line {chunk[row].line}")
        if self.sink and problems:
            told = [{"line": chunk[one.row].line, **asdict(one)} for one in problems]
            self.sink.write([{name: line[name] for name in _FIELDS} for line in told])

    def early(self, note: Callable[[str], None]) -> None:
        """What has to be told at once: columns of which not one value so far means anything to the network."""
        if self.tally.unread()[1] >= 1:
            self.tell(note)

    def tell(self, note: Callable[[str], None]) -> None:
        """A line for each column and kind."""
        for line in self.tally.lines():
            note(line)

    def hold(self, most: float | None, note: Callable[[str], None]) -> None:
        """End the command with 1 when more than a share of a column's values means nothing to the network."""
        column, found = self.tally.unread()
        if most is not None and found > most:
            note(f"--most-unread: {found:.1%} of the values of {column!r} could not be read or were never seen")
            raise typer.Exit(1)


@contextlib.contextmanager
def telling(target: Path | None) -> Iterator[Told]:
    """Counts of problems, which are also written to a file of json lines where one is named."""
    if target is None:
        yield Told()
        return
    with rows.writer(target, "jsonl", _FIELDS) as sink:
        yield Told(sink)


def share(text: str | None) -> float | None:
    """`5%` or `0.05` as a share. Raises TrimtabError for anything else."""
    if text is None:
        return None
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise problem("--most-unread", f"found {text!r}", "a share of the rows, such as 5% or 0.05")
    return found
