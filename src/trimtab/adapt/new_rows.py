"""New labelled rows for a bundle: whether it can learn from them at all, told before anything is spent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import columns, rows
from trimtab.adapt.source import Source
from trimtab.columns import OutputColumn
from trimtab.data import infer_output, read
from trimtab.errors import problem, shortened
from trimtab.progress import Progress
from trimtab.spec import Spec
from trimtab.values import many, parse

_SHOWN = 5  # answers that a message shows


def check(source: Source, data: str, spec: Spec, folder: Path, progress: Progress) -> None:
    """Raises TrimtabError for a file that made the bundle, that lacks a column, or that holds other answers."""
    made_of = rows.find((*spec.data, *((spec.test,) if spec.test else ())), folder) if spec.data else []
    if Path(data).resolve() in [path.resolve() for path in made_of]:
        raise problem(data, "the bundle was made of this file", do="put the new rows into a file of their own")
    table = read.load((str(Path(data).absolute()),), folder, spec.encoding).table
    output = source.network.output
    events = [name for name in (output.user, getattr(output, "time", None)) if name]
    inputs = [c.name for c in source.network.inputs if not (events and c.holds_items)]
    for name in (*inputs, *(output.sources or (output.name,)), *events):
        read.column(table, name, f"column {name!r}", data)
    if not output.sources:
        _check_answers(output, table.values[output.name], data, progress)


def _check_answers(output: OutputColumn, values: Sequence[Any], where: str, progress: Progress) -> None:
    """Raises TrimtabError where no row has an answer, or where none is like those that the bundle gives."""
    names = tuple(getattr(output, "not_missing", ()))
    present = [value for value in values if not parse.is_missing(value, names=names)]
    if not present:
        raise problem(where, f"no row has a value of {output.name!r}", "rows with their right answers")
    if any(output.usable(value) is None for value in present):
        return
    found = list(dict.fromkeys(map(str, present)))
    listed = shortened(", ".join(found[:_SHOWN]), 100)
    known = shortened(", ".join(output.classes[:_SHOWN]), 100) or f"{columns.word(output.type)} answers"
    if _is_another_type(output, present, found):
        said = f"{output.name!r} holds {listed}: other answers than the bundle gives ({columns.word(output.type)})"
        raise problem(where, said, known, "write the answers as the bundle's data did, or launch a spec of its own")
    progress.note(f"{where}: none of the answers ({listed}) is known to the bundle, which answers {known}")


def _is_another_type(output: OutputColumn, present: Sequence[Any], found: Sequence[str]) -> bool:
    """Whether answers, none of which is known, cannot be more of the same kind."""
    if not output.has_names and not output.per_position:  # numbers: there is nothing new to be learnt of what is none
        return True
    told = columns.kind(infer_output.output_type(output.name, present).type, "output")
    if (told.has_names, told.per_position) != (output.has_names, output.per_position):
        return True
    if not output.has_names:
        return False
    return (_are_numbers(found) and not _are_numbers(output.classes)) or len(found) > max(2, len(present) / 2)


def _are_numbers(names: Sequence[str]) -> bool:
    return len(names) > 0 and not np.isnan(many.numbers(list(names))).any()
