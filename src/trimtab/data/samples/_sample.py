"""A sample: a small real data set, written as one csv file or as a folder of files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from trimtab import rows
from trimtab.data.samples._archive import Archive
from trimtab.errors import problem

Cells = list[dict[str, Any]]


@dataclass(frozen=True)
class Table:
    """Rows, written as csv."""

    rows: Callable[[], Cells]
    suffix: ClassVar[str] = ".csv"

    def write(self, target: Path) -> int:
        """Write the file; the number of rows."""
        table = self.rows()
        with rows.writer(target, "csv", list(table[0])) as sink:
            sink.write(table)
        return len(table)


@dataclass(frozen=True)
class Folder:
    """Files in folders of classes: pairs of a path below the target and its bytes."""

    files: Callable[[], Iterator[tuple[str, bytes]]]
    suffix: ClassVar[str] = ""

    def write(self, target: Path) -> int:
        """Write the files; how many. What lies there under other names stays."""
        count = 0
        for count, (name, content) in enumerate(self.files(), start=1):  # noqa: B007 # told after the loop
            file = target / name
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            except OSError as error:
                raise problem(str(file), f"cannot be written ({error.strerror})") from error
        return count


@dataclass(frozen=True)
class Sample:
    """A data set: what it is, the column to predict, where it comes from, what it is taken from, how it is made.

    `archive` is None for what an installed package holds; `kind` is the output's type where a look cannot tell it.
    """

    about: str
    output: str
    source: str
    licence: str
    archive: Archive | None
    made: Table | Folder
    kind: str | None = None
