"""What kind of values a column holds, told by looking at them; every answer comes with its reason."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from inspect import getattr_static
from itertools import pairwise
from typing import Any

import numpy as np

from trimtab import columns, registry
from trimtab.data.dedup import each, missing
from trimtab.rows import folder
from trimtab.values import letters, list_cells, parse

LOOKED_AT = 10_000  # values, evenly spread over the rows
FEW = 20  # different values: up to here an output of numbers is a label
ENOUGH = 0.95  # share of values that must look like numbers (or dates)

SPLIT_MARKS: dict[str, str] = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "eval": "valid",
    "test": "test",
    "testing": "test",
    "holdout": "test",
}
_ID_NAME = re.compile(r"(^|[\s_.-])(id|ids|idx|index|uuid|guid|key|rowid|no|nr|number|unnamed: ?\d+|column_1)$", re.I)
# What pandas calls an index that it writes, and R the names of rows.
_INDEX_NAME = re.compile(r"__index_level_\d+__|level_\d+|unnamed: ?\d+(_level_\d+)?(\.\d+)?|row[ _.]?names?", re.I)
_EXPECTED_TWINS = 10  # pairs of equal numbers that chance would bring: with none of them it was no chance
_ID_CAMEL = re.compile(r"[a-z](Id|ID)$")
_ID_VALUE = re.compile(r"[\w.:/+=#@-]*\d[\w.:/+=#@-]*")
LEADING_ZERO = re.compile(r"0\d+")
_DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})|\d{1,2}[ -][A-Za-z]{3,9}[ -]\d{2,4}"
    r"|[A-Za-z]{3,9}\.? \d{1,2},? \d{4})([T ,]+\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*([AaPp][Mm])?\s*(Z|[+-]\d{2}:?\d{2})?)?"
)
_BEGINNINGS = {
    "image": re.compile(
        rb"\x89PNG|\xff\xd8\xff|GIF8|BM|II\*\0|MM\0\*|RIFF....WEBP|P[1-6]\s|\0\0\0\x0cjP  |....ftypavi[fs]", re.S
    ),
    "audio": re.compile(rb"RIFF....WAVE|fLaC|OggS|ID3|\xff[\xe2-\xff]|FORM....AIF[FC]", re.S),
}


@dataclass(frozen=True)
class Inferred:
    """A column's type (or `ignore`) and why."""

    type: str
    reason: str


@dataclass(frozen=True)
class Look:
    """A column as it is seen: all of its values, and the facts that the rules ask for."""

    name: str
    values: Sequence[Any]
    names: tuple[str, ...] = ()  # words for "no value" that are names here

    @cached_property
    def sample(self) -> list[Any]:
        """Values that are there, at most LOOKED_AT of them, evenly spread."""
        step = max(1, len(self.values) // LOOKED_AT)
        found = [value for value in self.values[::step] if not parse.is_missing(value, names=self.names)]
        return found or [value for value in self.values if not parse.is_missing(value, names=self.names)][:LOOKED_AT]

    @cached_property
    def texts(self) -> list[str]:
        """The sample as canonical text."""
        return [parse.label(value) for value in self.sample]

    @cached_property
    def distinct(self) -> int:
        """Different values among all rows, missing ones left out."""
        return len(set(each(partial(_name, names=self.names), self.values)) - {None})

    @cached_property
    def present(self) -> int:
        """Rows with a value."""
        return int((~missing(self.values, names=self.names)).sum())

    @cached_property
    def distinct_share(self) -> float:
        """Different values among rows with a value."""
        return self.distinct / max(1, self.present)

    @cached_property
    def words(self) -> float:
        """Words of a value, on average; two ideographs count as a word."""
        return sum(map(letters.words, self.texts)) / max(1, len(self.texts))

    @cached_property
    def numbers(self) -> list[float]:
        """The values of the sample that can be read as numbers."""
        decimal = parse.decimal_mark(self.sample)
        read = (number_of(value, decimal) for value in self.sample)
        return [value for value in read if value is not None]

    @cached_property
    def whole(self) -> bool:
        """Whether there are values, and all are whole numbers."""
        numbers = self.numbers
        return bool(numbers) and len(numbers) == len(self.sample) and all(value.is_integer() for value in numbers)

    def share(self, pattern: re.Pattern[str]) -> float:
        """Share of the sample that a pattern matches as a whole."""
        return sum(bool(pattern.fullmatch(text)) for text in self.texts) / max(1, len(self.texts))


def _name(value: Any, names: Sequence[str]) -> str | None:
    return None if parse.is_missing(value, names=names) else parse.label(value)


def number_of(value: Any, decimal: str) -> float | None:
    """The number that a value is; None for what is none."""
    if isinstance(value, (bool, dict, list)):
        return None
    try:
        return parse.number(value, decimal)
    except ValueError:
        return None


# ------------------------------------------------------------------------------------------------------ inputs

Rule = Callable[[Look], Inferred | None]


def _empty(look: Look) -> Inferred | None:
    return None if look.present else Inferred("ignore", "no value in any row")


def _file(look: Look) -> Inferred | None:
    kinds = [_kind_of_file(value) for value in look.sample]
    for type_name in folder.ENDINGS:
        share = kinds.count(type_name) / max(1, len(kinds))
        if share > ENOUGH:
            named = all(isinstance(value, str) and not value.startswith("data:") for value in look.sample)
            files = f"names of {type_name} files" if named else f"{type_name} files"
            return Inferred(type_name, f"{share:.0%} of the values are {files}")
    return None


def _kind_of_file(value: Any) -> str | None:
    """image, audio or None: of a file's name by its ending, of a data: URI by its type, of bytes by the first ones."""
    if isinstance(value, Mapping):
        if "array" in value and "sampling_rate" in value:
            return "audio"
        value = value.get("path") if value.get("bytes") is None else value["bytes"]
    if isinstance(value, (bytes, bytearray)):
        return next((name for name, begins in _BEGINNINGS.items() if begins.match(value)), None)
    if not isinstance(value, str):
        return None
    if value.startswith("data:"):
        return next((name for name in folder.ENDINGS if value.startswith(f"data:{name}/")), None)
    return next((name for name, endings in folder.ENDINGS.items() if value.strip().lower().endswith(endings)), None)


def told_by(wanted: Any) -> Rule:
    """A rule that asks the types themselves, such as a user's own: see `Column.recognised`."""

    def rule(look: Look) -> Inferred | None:
        kinds = _recognising(wanted, os.environ.get(registry.OWN_PARTS, "")) if look.sample else ()
        said = ((kind.type, kind.recognised(look.sample)) for kind in kinds)
        return next((Inferred(name, why) for name, why in said if why), None)

    return rule


@cache
def _recognising(wanted: Any, own_parts: str) -> tuple[type[columns.Column], ...]:
    """The types that know values of their own; all are imported, once for each place of own parts."""
    kinds = [columns.kind(name, "column") for name in columns.types_of(wanted)]
    silent = columns.Column.__dict__["recognised"]
    return tuple(kind for kind in kinds if getattr_static(kind, "recognised") is not silent)


def _nested(look: Look) -> Inferred | None:
    if any(isinstance(value, (bytes, bytearray)) for value in look.sample):
        return Inferred("ignore", "holds bytes that are neither pictures nor sounds")
    objects = [value for value in look.sample if isinstance(value, dict)]
    if objects:
        keys = ", ".join(map(str, objects[0]))
        return Inferred("ignore", f"holds objects with the keys {keys}: write a part of them into a column of its own")
    nested = any(isinstance(value, (list, tuple, set, np.ndarray)) for value in look.sample)
    written = nested or sum(list_cells.listed(value) is not None for value in look.sample) > ENOUGH * len(look.sample)
    return Inferred("ignore", "holds lists or objects; write history for lists of items") if written else None


def _constant(look: Look) -> Inferred | None:
    if look.distinct > 1:
        return None
    missing = len(look.values) - look.present
    if missing > 0.01 * len(look.values):
        return Inferred("category", f"one value, {look.texts[0][:40]!r}, and {missing:,} rows without it")
    return Inferred("ignore", f"every value is {look.texts[0][:40]!r}")


def _split_marks(look: Look) -> Inferred | None:
    if {text.casefold() for text in look.texts} <= SPLIT_MARKS.keys():
        return Inferred("ignore", f"names the split of each row; to cut the rows by it write split: {look.name}")
    return None


def _index(look: Look) -> Inferred | None:
    """Row numbers that a program saved with the table, also of rows that were sorted, filtered or sampled since."""
    if not look.whole:
        return None
    if _INDEX_NAME.fullmatch(look.name.strip()):
        return Inferred("ignore", f"an index that a program saved; to learn from it: {_kept(look.name)}")
    if look.present >= FEW and _are_row_numbers(look.numbers):
        return Inferred("ignore", f"numbers of rows: whole, and none comes twice; to learn from it: {_kept(look.name)}")
    return None


def _kept(name: str) -> str:
    return f"inputs: {{{name}: number, ...}}"


def _are_row_numbers(numbers: Sequence[float]) -> bool:
    """Whether numbers (whole ones) come once each although as many drawn at random would often come twice."""
    span = max(numbers) - min(numbers) + 1
    return len(set(numbers)) >= 0.99 * len(numbers) and len(numbers) ** 2 / (2 * span) >= _EXPECTED_TWINS


def _identifier(look: Look) -> Inferred | None:
    if look.present < FEW or look.distinct_share < ENOUGH or look.words > 1.5:
        return None
    whole, named = look.whole, _has_id_name(look.name)
    counts_up = len({after - before for before, after in pairwise(look.numbers)}) == 1
    if whole and (named or counts_up):
        return Inferred("ignore", "an id: a whole number that is different in every row")
    if not look.numbers and (named or look.share(_ID_VALUE) > ENOUGH):
        return Inferred("ignore", "an id: a code that is different in every row")
    return None


def _reference(look: Look) -> Inferred | None:
    if look.whole and look.distinct > FEW and _has_id_name(look.name):
        return Inferred("category", f"its name says that the numbers stand for things ({look.distinct:,} different)")
    return None


def _has_id_name(name: str) -> bool:
    return bool(_ID_NAME.search(name) or _ID_CAMEL.search(name))


def _date(look: Look) -> Inferred | None:
    if look.share(_DATE) < ENOUGH or len(look.numbers) >= ENOUGH * len(look.sample):  # 1951.50 is an amount
        return None
    return Inferred("ignore", "dates, which no column type reads: add columns such as weekday or age in days")


def _code(look: Look) -> Inferred | None:
    zeros = look.share(LEADING_ZERO)
    if zeros == 0 or len(look.numbers) < ENOUGH * len(look.sample):
        return None
    return Inferred("category", f"codes, not numbers: {zeros:.0%} begin with a 0")


def _truth(look: Look) -> Inferred | None:
    if {text.casefold() for text in look.texts} <= {"true", "false", "yes", "no", "y", "n", "t", "f"}:
        return Inferred("category", "true or false")
    return None


def _quantity(look: Look) -> Inferred | None:
    share = len(look.numbers) / len(look.sample)
    if share < ENOUGH:
        return None
    others = "" if share == 1 else f", the other {1 - share:.1%} count as missing"
    every = "every value is a number" if share == 1 else f"{share:.1%} of the values are numbers"
    return Inferred("number", f"{every} ({look.distinct:,} different){others}")


def _prose(look: Look) -> Inferred | None:
    long = look.words >= 4 and look.distinct_share > 0.1
    very_long = look.words >= 12 and look.distinct > FEW
    codes = look.words < 1.5 and look.share(_ID_VALUE) > 0.5
    if long or very_long or (look.distinct_share > 0.5 and look.distinct > FEW and not codes):
        return Inferred("text", f"{look.words:.1f} words on average, {look.distinct_share:.0%} of the values different")
    return None


RULES: tuple[Rule, ...] = (
    _empty,
    told_by(columns.InputColumn),
    _file,
    _nested,
    _constant,
    _split_marks,
    _index,
    _date,
    _identifier,
    _code,
    _truth,
    _reference,
    _quantity,
    _prose,
)


def input_type(name: str, values: Sequence[Any]) -> Inferred:
    """text, number, category, or ignore: the first rule that knows the column decides."""
    look = Look(name, values)
    found = (rule(look) for rule in RULES)
    category = Inferred("category", f"{look.distinct:,} different values in {look.present:,} rows")
    return next((inferred for inferred in found if inferred), category)


# ----------------------------------------------------------------------------------------------------- columns


def holds_words(values: Sequence[Any]) -> bool:
    """Whether a column holds lists of words."""
    look = Look("", values)
    lists = [items for items in map(list_cells.listed, look.sample) if items is not None]
    texts = all(isinstance(item, str) for items in lists for item in items)
    return bool(lists) and len(lists) >= ENOUGH * len(look.sample) and texts


def is_split(name: str, values: Sequence[Any]) -> bool:
    """Whether a column says for each row to which split it belongs."""
    look = Look(name, values)
    return look.present > 0 and look.distinct > 1 and _split_marks(look) is not None
