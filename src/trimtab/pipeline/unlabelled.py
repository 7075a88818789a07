"""Rows without an answer, for students to learn from the uncompressed network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from trimtab import rows, runtime
from trimtab.columns import InputColumn
from trimtab.errors import TrimtabError, problem, several
from trimtab.progress import Progress
from trimtab.rows import Rejected
from trimtab.spec import Compress, Spec

_MOST = 200_000  # rows read of each file


def read(spec: Spec, inputs: Sequence[InputColumn], folder: Path, progress: Progress) -> dict[str, list[Any]]:
    """The raw values of the files that `compress.unlabelled` names, by column; nothing where it names none.

    Raises TrimtabError, for all files at once, where one cannot be read or lacks an input.
    """
    names = spec.compress.unlabelled if isinstance(spec.compress, Compress) else ()
    found: dict[str, list[Any]] = {}
    wrong: list[TrimtabError] = []
    for name in names:
        try:
            for column, values in _values(folder / name, inputs, spec.encoding).items():
                found.setdefault(column, []).extend(values)
        except TrimtabError as error:
            wrong.append(error)
    if wrong:
        raise several(wrong)
    if found:
        progress.note(f"rows without an answer, for distillation: {len(next(iter(found.values()))):,}")
    return found


def _values(path: Path, inputs: Sequence[InputColumn], encoding: str | None) -> dict[str, list[Any]]:
    rejected: list[Rejected] = []
    read_rows = list(islice(rows.read(path, rejected.append, encoding=encoding), _MOST))
    if not read_rows:
        raise problem("compress.unlabelled", f"{path} has no rows", do="leave it out")
    given = [row.values for row in read_rows]
    runtime.check_names(inputs, {key for row in given for key in row})
    return runtime.gathered(inputs, given, path.parent)
