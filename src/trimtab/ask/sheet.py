"""A csv of rows to label: all their columns, and one for the answer that is filled in row by row."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from trimtab import files
from trimtab.columns import OutputColumn
from trimtab.errors import nearest, problem
from trimtab.values import list_cells, parse

_BROAD = 10  # classes up to which each has a key of its own


@dataclass(frozen=True)
class Sheet:
    """Rows, and what was answered to them so far: an empty text where nothing was."""

    names: tuple[str, ...]  # the columns of the rows
    rows: tuple[Mapping[str, str], ...]
    answers: tuple[str, ...]
    column: str  # of the answer

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], names: Sequence[str], column: str) -> Self:
        """Rows without an answer."""
        own = tuple(name for name in names if name != column)
        cells = tuple({name: _cell(row.get(name)) for name in own} for row in rows)
        return cls(own, cells, ("",) * len(cells), column)

    @classmethod
    def read(cls, path: Path, column: str) -> Self:
        """What `save` wrote. Raises TrimtabError for another file."""
        with files.reading(str(path)):
            try:
                lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""), strict=True))
            except (UnicodeDecodeError, csv.Error) as error:
                raise problem(
                    str(path), f"cannot be read as csv ({error})", "the file that `trimtab ask` wrote"
                ) from None
        if not lines or column not in lines[0]:
            found = f"has no column named {column!r}" if lines else "holds no rows"
            raise problem(str(path), found, nearest(column, lines[0]) if lines else "", "name another --output")
        names = tuple(name for name in lines[0] if name != column and isinstance(name, str))
        rows = tuple({name: line[name] or "" for name in names} for line in lines)
        return cls(names, rows, tuple((line[column] or "").strip() for line in lines), column)

    def answered(self, row: int, answer: str) -> Self:
        """The sheet with the answer to a row; an empty one takes it back."""
        return replace(self, answers=(*self.answers[:row], answer, *self.answers[row + 1 :]))

    @property
    def done(self) -> int:
        """Rows that have an answer."""
        return sum(map(bool, self.answers))

    def save(self, path: Path) -> None:
        """Write the csv; a kill leaves the one before."""
        text = io.StringIO(newline="")
        sink = csv.DictWriter(text, [*self.names, self.column], lineterminator="\n")
        sink.writeheader()
        for row, answer in zip(self.rows, self.answers, strict=True):
            sink.writerow({**row, self.column: answer})
        with files.writing(str(path)):
            files.write(path, text.getvalue())


def _cell(value: Any) -> str:
    return "" if value is None else list_cells.text(value) if isinstance(value, (list, tuple, dict)) else str(value)


# ------------------------------------------------------------------------------------------------- what is answered


@dataclass(frozen=True)
class Question:
    """What may be answered to a row."""

    name: str  # the column
    classes: tuple[str, ...]  # of which one, or `several`, are answered; none: it is written
    several: bool
    separator: str  # between several ones in a cell
    output: OutputColumn

    @classmethod
    def of(cls, output: OutputColumn) -> Self:
        """The question that the answers of a bundle are answers to."""
        listed = () if output.per_position else output.classes
        return cls(output.name, listed, output.several, str(getattr(output, "separator", "|")), output)

    @property
    def by_key(self) -> bool:
        """Whether one key answers."""
        return bool(self.classes) and not self.several and len(self.classes) < _BROAD

    def said(self, text: str) -> str | None:
        """The answer that a line says, by number or name; None where it says none."""
        parts = text.replace(",", " ").split() if self.several and self.classes else [text.strip()]
        if self.classes:
            found = [self._class(part) for part in parts]
            if not found or None in found:
                return None
            return self.separator.join(dict.fromkeys(filter(None, found)))
        if not text.strip() or parse.is_missing(text):
            return None
        return text.strip() if self.output.usable(text.strip()) is None else None

    def _class(self, part: str) -> str | None:
        if part.isdecimal() and 1 <= int(part) <= len(self.classes):
            return self.classes[int(part) - 1]
        alike = [name for name in self.classes if name.casefold() == part.strip().casefold()]
        return part.strip() if part.strip() in self.classes else alike[0] if len(alike) == 1 else None
