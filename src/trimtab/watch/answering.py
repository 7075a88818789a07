"""Rows that the bundle answers here: of a file that no server ever saw, and of a baseline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from trimtab import rows as row_files
from trimtab import runtime
from trimtab.columns import Outputs, read_rows
from trimtab.errors import problem
from trimtab.rows import Rejected, Row
from trimtab.runtime import Model, histories
from trimtab.watch import baseline
from trimtab.watch.baseline import Baseline
from trimtab.watch.log import Entry, Kept
from trimtab.watch.sketch import Sketcher, by_row, confidences

_PORTION = 512  # rows answered at a time
_MOST = 2000  # rows of a baseline: more tell little more


@dataclass(frozen=True)
class RowFile:
    """Rows of a file, read one after the other."""

    data: str
    format: str | None = None
    encoding: str | None = None
    labels: str | None = None  # the column with the right answers

    def kept(self, model: Model, note: Any) -> Iterator[Kept]:
        """Its rows as a log would hold them, answered here; those that cannot be read are errors.

        Raises TrimtabError where the rows have not the columns that the bundle reads, or not that of the labels.
        """
        bad: list[Rejected] = []
        source = histories.gathered(model, self._read(model, bad, note), note)
        sketcher, folder, place = Sketcher.of(model), self._folder, 0
        iterator, first = iter(source), True
        while portion := list(islice(iterator, _PORTION)):
            if first:
                self._check(model, [*(source.names or ()), *portion[0].values], note)
                first = False
            for entry, row in zip(entries(model, sketcher, portion, folder), portion, strict=True):
                place += 1
                label = row.values.get(self.labels) if self.labels else None
                yield Kept(place, entry, label, self.labels is not None and label is not None)
        if first:
            raise problem(self.data, "holds no rows")
        for one in bad:
            place += 1
            yield Kept(place, Entry(model.serving.hash, error=one.reason, time=math.nan), None, False)

    def baseline(self, model: Model, note: Any) -> Baseline:
        """The baseline that its rows make; the column of labels is by default called like the output."""
        bad: list[Rejected] = []
        source = histories.gathered(model, self._read(model, bad, note), note)
        found = list(source)
        if len(found) < baseline.FEWEST:
            raise problem(self.data, f"holds {len(found)} rows", f"at least {baseline.FEWEST}, to hold others against")
        self._check(model, list(found[0].values), note)
        found = found[:: -(-len(found) // _MOST)]
        values = runtime.gathered(model.inputs, [row.values for row in found], self._folder)
        name = self.labels or model.output.name
        right = [row.values.get(name) for row in found]
        labelled = any(value is not None for value in right)
        return made(model, values, right if labelled else None)

    @property
    def _folder(self) -> Path:
        return Path() if self.data == "-" or Path(self.data).is_dir() else Path(self.data).parent

    def _read(self, model: Model, bad: list[Rejected], note: Any) -> row_files.Rows:
        return row_files.read(self.data, bad.append, self.format, note, self.encoding, model.serving.encoding)

    def _check(self, model: Model, names: Sequence[str], note: Any) -> None:
        absent = runtime.check_names(model.inputs, names, self.data)
        if absent:
            note(runtime.absent_columns(absent, names))
        if self.labels and self.labels not in names:
            raise problem(self.data, f"no column {self.labels!r} with the right answers", ", ".join(map(repr, names)))


def entries(model: Model, sketcher: Sketcher, portion: Sequence[Row], folder: Path) -> list[Entry]:
    """Rows answered, as a log holds them; when, nobody knows."""
    values = runtime.gathered(model.inputs, [row.values for row in portion], folder)
    encoded, _ = read_rows(model.inputs, values)
    outputs = model.outputs(encoded)
    answers = model.output.decode(outputs)
    sketches = by_row(sketcher.sketches(values, encoded, outputs, answers), len(portion))
    sure = confidences(model.output, answers)
    told = [model.output.logged({name: own[row] for name, own in answers.items()}) for row in range(len(portion))]
    return [
        Entry(model.serving.hash, answer=answer, confidence=confidence, sketch=sketch, time=math.nan)
        for answer, confidence, sketch in zip(told, sure, sketches, strict=True)
    ]


def made(
    model: Model,
    values: Mapping[str, Sequence[Any]],
    right: Sequence[Any] | None,
    quotes: bool = True,
    known: Outputs | None = None,
) -> Baseline:
    """The baseline of rows that the bundle did not learn from: raw values by column, and the right answers.

    `known` are their outputs, where they were answered before. With `quotes` off it keeps no single row's bins.
    """
    encoded, _ = read_rows(model.inputs, values)
    outputs = model.outputs(encoded) if known is None else known
    answers = model.output.decode(outputs)
    sketches = Sketcher.of(model).sketches(values, encoded, outputs, answers)
    found = baseline.fitted(sketches, len(encoded), quotes)
    return found if right is None else baseline.with_labels(found, sketches, model.output, right)
