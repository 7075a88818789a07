"""Files of rows of another kind, with the inputs alone: nothing says what would be right for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import rows, runtime
from trimtab.columns import InputColumn
from trimtab.errors import problem
from trimtab.rows import Rejected

_MOST = 1000  # rows that are kept, spread over all


def read(
    names: Sequence[str],
    inputs: Sequence[InputColumn],
    folder: Path,
    note: Callable[[str], None],
    encoding: str | None = None,
) -> dict[str, list[Any]]:
    """The raw values of the inputs, at most 1,000 rows; empty where no file is named. Names are relative to `folder`.

    Raises TrimtabError for a file that cannot be read, has no rows, or lacks an input that is needed.
    """
    found: dict[str, list[Any]] = {column.name: [] for column in inputs} if names else {}
    for path in rows.find(names, folder):
        for name, values in _of_file(path, inputs, note, encoding).items():
            found[name] += values
    count = len(next(iter(found.values()), ()))
    kept = np.unique(np.linspace(0, count - 1, min(count, _MOST)).astype(np.int64)).tolist()
    return {name: [values[row] for row in kept] for name, values in found.items()}


def _of_file(
    path: Path, inputs: Sequence[InputColumn], note: Callable[[str], None], encoding: str | None
) -> dict[str, list[Any]]:
    aside: list[Rejected] = []
    given = [row.values for row in rows.read(path, aside.append, encoding=encoding)]
    if not given:
        raise problem("foreign", f"{path} has no rows", do="leave it out")
    absent = runtime.check_names(inputs, {key for row in given for key in row}, str(path))
    if absent:
        note(f"{path}: {runtime.absent_columns(absent, list(given[0]))}")
    if aside:
        note(f"{path}: {len(aside):,} rows cannot be read, such as line {aside[0].line}: {aside[0].reason}")
    return runtime.gathered(inputs, given, path.parent)
