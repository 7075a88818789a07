"""Files become one table: the union of their columns, each row with its origin."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import rows
from trimtab.data.cells import Growing
from trimtab.data.table import Origins, Table
from trimtab.errors import nearest, problem
from trimtab.rows import Rejected
from trimtab.rows.folder import LABEL
from trimtab.values import parse


@dataclass(frozen=True)
class FileRead:
    """What one file held."""

    file: str
    format: str
    rows: int
    rejected: int
    columns: tuple[str, ...]
    encoding: str | None = None  # of what is not UTF-8


@dataclass(frozen=True)
class Loaded:
    """All rows of some files, those that could not be read, and remarks."""

    table: Table
    rejected: list[Rejected]
    files: list[FileRead]
    notes: list[str]

    @property
    def encoding(self) -> str | None:
        """What most rows of the files that are not UTF-8 were read as; None where all are UTF-8."""
        found: Counter[str] = Counter()
        for file in self.files:
            found.update({file.encoding: file.rows} if file.encoding else {})
        return max(found, key=lambda name: found[name], default=None)


def load(
    patterns: Sequence[str],
    folder: Path,
    encoding: str | None = None,
    known: str | None = None,
    blocks: int | None = None,
) -> Loaded:
    """Read files (globs allowed, relative to `folder`); a column that a row lacks is None there.

    `encoding`, `known` and `blocks` are those of `rows.read`. Raises TrimtabError for a missing file, for one
    without rows, and for files that share no column.
    """
    columns: dict[str, Growing] = {}
    lines = array("q")
    rejected: list[Rejected] = []
    files: list[FileRead] = []
    notes: list[str] = []
    for path in rows.find(patterns, folder):
        shown = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
        shown = shown.replace(f"{rows.HUB}{folder}{os.sep}", rows.HUB)
        before = len(rejected)
        read = partial(rows.read, path, note=notes.append, encoding=encoding, known=known, blocks=blocks)
        found = _append(read, shown, columns, lines, rejected.append)
        files.append(replace(found, rejected=len(rejected) - before))
        _check_rows(files[-1], rejected[before:])
    if len(lines) == 1 and files[0].format in ("json", "jsonl"):
        keys = ", ".join(columns)
        raise problem(files[0].file, f"one JSON object, with the keys {keys}: that is a single row", rows.LAYOUTS)
    notes += _compare(files)
    of_file = np.repeat(np.arange(len(files), dtype=np.int32), [file.rows for file in files])
    origins = Origins(tuple(file.file for file in files), of_file, np.array(lines, np.int64))
    table = Table({name: column.cells() for name, column in columns.items()}, origins)
    return Loaded(table, rejected, files, [note.replace(str(folder) + os.sep, "") for note in notes])


def _append(
    read: Callable[..., rows.Rows],
    shown: str,
    columns: dict[str, Growing],
    lines: array[int],
    reject: rows.Reject,
) -> FileRead:
    """Add a file's rows to the columns; new columns are None in the rows before."""
    start = len(lines)
    encodings: list[str] = []
    source = read(reject=lambda row: reject(replace(row, file=shown)), told=encodings.append)
    named = _folder_names if source.format == rows.FOLDER else _as_read
    names = dict.fromkeys(source.names or ())
    for block in source.blocks():
        values = named(block.values)
        for name in values:
            if name not in columns:
                columns[name] = Growing(missing=len(lines))
        nothing = [None] * len(block.lines)
        for name, column in columns.items():
            column.extend(values.get(name, nothing))
        names |= dict.fromkeys(values)
        lines.extend(block.lines)
    return FileRead(shown, source.format, len(lines) - start, 0, tuple(names), next(iter(encodings), None))


def _as_read(values: dict[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    return values


def _folder_names(values: dict[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """The rows of files in class folders, whose names are classes as they stand."""
    return {name: list(map(parse.Name, own)) if name == LABEL else own for name, own in values.items()}


def _check_rows(file: FileRead, rejected: Sequence[Rejected]) -> None:
    if file.rows:
        return
    if rejected:
        first = rejected[0]
        found = f"every row was set aside ({len(rejected)}); the first: line {first.line}, {first.reason}"
        raise problem(file.file, found, f"rows with {', '.join(file.columns)}" if file.columns else "")
    raise problem(file.file, "there are no rows under the header", do="is the first line really a header?")


def _compare(files: Sequence[FileRead]) -> list[str]:
    """Say where files differ in their columns; raises TrimtabError when they share none."""
    union = dict.fromkeys(name for file in files for name in file.columns)
    shared = set(union).intersection(*(file.columns for file in files))
    if not shared:
        found = "; ".join(f"{file.file}: {', '.join(file.columns)}" for file in files)
        raise problem("data", f"the files have no column in common ({found})", "files of the same kind of rows")
    lacking = [(file.file, [name for name in union if name not in file.columns]) for file in files]
    return [f"{file} has no column {', '.join(names)}: empty in its rows" for file, names in lacking if names]


def column(table: Table, name: str, where: str, file: str) -> Sequence[Any]:
    """A column's values; raises TrimtabError with the nearest name when there is none."""
    if name not in table.values:
        raise problem(where, f"{file} has no column named {name!r}", nearest(name, table.values))
    return table.values[name]
