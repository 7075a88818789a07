"""Rows that were set aside, written to a file: one JSON object for each, with its file, line, reason and text."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from trimtab import files
from trimtab.rows import Rejected, Writer, writer


def write(path: Path, found: Sequence[Rejected]) -> None:
    """Write all of them at once; the file is whole at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in found))


@dataclass
class Aside:
    """Counts rows that cannot be read while others are answered, and passes them on to a file."""

    sink: Writer | None
    count: int = 0
    first: list[Rejected] = field(default_factory=list)

    def __call__(self, bad: Rejected) -> None:
        """One more row."""
        self.count += 1
        self.first = self.first or [bad]
        if self.sink:
            self.sink.write([asdict(bad)])

    def summary(self, target: Path | None) -> str:
        """How many there were, where the first one stands, and where they are now."""
        first = f"{self.first[0].file}:{self.first[0].line}: {self.first[0].reason}"
        kept = f"written to {target}" if target else "keep them with --rejected FILE"
        return f"{self.count:,} rows could not be read (first: {first}); {kept}"


@contextlib.contextmanager
def writing(target: Path | None) -> Iterator[Aside]:
    """What rows that cannot be read are given to; with a `target`, they are written there as they come."""
    if target is None:
        yield Aside(None)
        return
    with writer(target, "jsonl", [one.name for one in fields(Rejected)]) as sink:
        yield Aside(sink)
