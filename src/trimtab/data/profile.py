"""A first look at a file: what its columns hold, which one is probably the answer, and data warnings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import columns
from trimtab.columns import Column, OutputColumn
from trimtab.data import clean, data_warnings, dedup, infer, infer_output, read
from trimtab.data.data_warnings import DataWarning
from trimtab.data.table import Table
from trimtab.errors import problem, shortened
from trimtab.values import parse

_EXAMPLES = 3
_SHORT = 60  # characters of an example
MOST_CLASSES = 100  # of a column that is taken for the answer without being named

# Names of columns that usually hold the answer, the surest first.
OUTPUT_NAMES = (
    "label",
    "target",
    "class",
    "y",
    "sentiment",
    "category",
    "output",
    "outcome",
    "answer",
    "diagnosis",
    "intent",
    "topic",
    "species",
    "spam",
    "fraud",
    "churn",
    "survived",
    "rating",
    "score",
    "stars",
    "quality",
    "price",
)


@dataclass(frozen=True)
class Guess:
    """A column or value that was chosen, and why."""

    value: str
    reason: str


@dataclass(frozen=True)
class ColumnProfile:
    """One column: its type and why, its gaps, examples, and figures that fit its type (words, or a number's range)."""

    name: str
    type: str
    reason: str
    missing: int
    distinct: int
    examples: list[str]
    figures: dict[str, float]


@dataclass(frozen=True)
class Profile:
    """What `trimtab init` tells; plain values throughout.

    `answers`: rows of each class, the most frequent first, or the range of a number. `repeated`: rows whose inputs are
    equal to those of an earlier row; `conflicts`: sets of equal rows with different answers.
    """

    files: list[str]
    rows: int
    rejected: int
    columns: list[ColumnProfile]
    output: Guess
    output_type: str
    split: str | None
    answers: dict[str, float]
    unanswered: int
    repeated: int
    conflicts: int
    warnings: list[DataWarning]
    notes: list[str]

    def column(self, name: str) -> ColumnProfile:
        """The profile of a column."""
        return next(column for column in self.columns if column.name == name)


def profile(patterns: Sequence[str], folder: Path, output: str | None = None, encoding: str | None = None) -> Profile:
    """Look at files (relative to `folder`). Raises TrimtabError when no column can be the output."""
    found = read.load(patterns, folder, encoding)
    table = found.table
    if output is not None:
        read.column(table, output, "--output", "the data")
    looks = {name: infer.input_type(name, values) for name, values in table.values.items()}
    split = next((name for name, values in table.values.items() if infer.is_split(name, values)), None)
    guess = Guess(output, "named by --output") if output else _guess(table, looks)
    answer = infer_output.proposed_type(guess.value, table.values[guess.value])
    looks |= _told_from(answer.type, guess.value, table, looks)
    looks[guess.value] = answer
    inputs = [name for name, look in looks.items() if look.type != "ignore" and name != guess.value]
    answers = infer_output.answers(guess.value, table.values[guess.value])
    gone = dedup.missing(answers.values, names=answers.names)
    answered = [row for row, absent in enumerate(gone) if not absent]
    if not answered:
        raise problem(f"output: {guess.value}", "no row has a value", "a column with the answers to learn")
    rows = dedup.located(table.take(answered), {name: looks[name].type for name in inputs}, folder)
    keys = dedup.keys(rows, {name: looks[name].type for name in inputs}) if inputs else dedup.distinct_keys(len(rows))
    given = dedup.Numbered.of(rows.values[guess.value], parse.label)
    return Profile(
        files=[file.file for file in found.files],
        rows=len(table),
        rejected=len(found.rejected),
        columns=[
            _column(look, answers if name == guess.value else infer.Look(name, table.values[name]))
            for name, look in looks.items()
        ],
        output=guess,
        output_type=answer.type,
        split=split,
        answers=_answers(rows.values[guess.value], answer.type),
        unanswered=len(table) - len(rows),
        repeated=len(keys) - len(np.unique(keys)),
        conflicts=clean.conflicts(keys, given),
        warnings=_warnings(rows, looks, inputs, guess.value),
        notes=found.notes,
    )


def _column(look: infer.Inferred, seen: infer.Look) -> ColumnProfile:
    examples = list(dict.fromkeys(" ".join(text.split()) for text in seen.texts[:200]))[:_EXAMPLES]
    return ColumnProfile(
        name=seen.name,
        type=look.type,
        reason=look.reason,
        missing=len(seen.values) - seen.present,
        distinct=seen.distinct,
        examples=[shortened(text, _SHORT) for text in examples],
        figures=_kind(look).figures(seen.values),
    )


def _kind(look: infer.Inferred) -> type[Column]:
    """The class of a column's type; `Column` itself, which tells nothing, where the column is ignored."""
    return Column if look.type == "ignore" else columns.kind(look.type, "column")


def _answers(values: Sequence[Any], type_name: str) -> dict[str, float]:
    kind = columns.kind(type_name, "output")
    if kind.holds_numbers:
        return kind.figures(values)  # type: ignore[no-any-return]
    if kind.several:
        column: OutputColumn = columns.fit(type_name, "output", "output", values, {})
        return column.counts([value for value in values if column.usable(value) is None])
    return dict(Counter(dedup.each(parse.label, values)).most_common()) if kind.one_class else {}


def _told_from(
    type_name: str, output: str, table: Table, looks: Mapping[str, infer.Inferred]
) -> dict[str, infer.Inferred]:
    """The looks of the inputs of an output that is told from a single one; nothing where that is not clear."""
    wanted = columns.kind(type_name, "output").reads
    others = [name for name in looks if name != output]
    lists = [name for name in others if infer.holds_words(table.values[name])]
    fitting = lists or [name for name in others if looks[name].type == wanted]
    if wanted is None or len(fitting) != 1:
        return {}
    why = f"{type_name} are told from one {wanted}"
    return {name: infer.Inferred(wanted if name in fitting else "ignore", why) for name in others}


def _warnings(
    rows: Table, looks: Mapping[str, infer.Inferred], inputs: Sequence[str], output: str
) -> list[DataWarning]:
    columns = {name: (looks[name].type, rows.values[name]) for name in inputs}
    kinds = {name: _kind(look) for name, look in looks.items()}
    # Numbers and names of classes, one in a cell, say nothing of a person.
    answers = [name for name, kind in kinds.items() if issubclass(kind, OutputColumn) and kind.single]
    texts = {name: rows.values[name] for name in looks if name not in answers}
    headers = [name for name in looks if parse.is_missing(name) or _is_cell(name)]
    no_header = [DataWarning(name, "header", "looks like a value: is the first line a header?") for name in headers]
    leakage = data_warnings.target_leakage(columns, rows.values[output], looks[output].type)
    numbers = {name: rows.values[name] for name, kind in kinds.items() if kind.holds_numbers}
    return no_header + leakage + data_warnings.units(numbers) + data_warnings.personal(texts)


def _is_cell(name: str) -> bool:
    """A column's name that looks like a value: a number, or a sentence."""
    try:
        return parse.number(name) is not None
    except ValueError:
        return len(name.split()) > 12


# ----------------------------------------------------------------------------------------------------- guessing


def _guess(table: Table, looks: Mapping[str, infer.Inferred]) -> Guess:
    """The column to predict: by its name, else by its place, else by how few values it has."""
    possible = [name for name, look in looks.items() if _can_be_output(name, look, table.values[name])]
    by_name = sorted((_rank(name), place, name) for place, name in enumerate(possible) if _rank(name) is not None)
    if by_name:
        return Guess(by_name[0][2], "its name says so")
    last = list(looks)[-1]
    if last in possible and _kind(looks[last]).holds_names:
        return Guess(last, "the last column, with few different values")
    names = [name for name in possible if _kind(looks[name]).holds_names]
    few = sorted((infer_output.answers(name, table.values[name]).distinct, name) for name in names)
    if few:
        return Guess(few[0][1], f"the column with the fewest different values ({few[0][0]})")
    if last in possible:
        return Guess(last, "the last column")
    raise problem("output", "no column looks like an answer", ", ".join(looks), "name it: --output COLUMN")


def _can_be_output(name: str, look: infer.Inferred, values: Sequence[Any]) -> bool:
    if _kind(look).holds_numbers:
        return True
    answers = infer_output.output_type(name, values).type
    kind = columns.kind(answers, "output")
    if kind.per_position or (kind.several and _rank(name) is not None):
        return True
    seen = infer_output.answers(name, values)
    return _kind(look).holds_names and 2 <= seen.distinct <= MOST_CLASSES and seen.distinct_share <= 0.5


def _rank(name: str) -> int | None:
    """Place in OUTPUT_NAMES of a name, or of one of its words; whole names come first."""
    plain = name.strip().casefold()
    if plain in OUTPUT_NAMES:
        return OUTPUT_NAMES.index(plain)
    parts = [part for part in re.split(r"[\W_]+", plain) if part in OUTPUT_NAMES and len(part) > 1]
    return len(OUTPUT_NAMES) + min(map(OUTPUT_NAMES.index, parts)) if parts else None
