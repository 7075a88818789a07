"""Categories become ids; rare, unseen and missing ones have places of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from trimtab import part_options
from trimtab.columns import Encoded, InputColumn, Reading, _rewritten, _schemas
from trimtab.columns._lookup import Lookup, begun, lookup
from trimtab.errors import problem
from trimtab.values import many, name_words, parse
from trimtab.values.problems import Problem, written

OTHER = 0  # rare in the training rows, or never seen there
MISSING = 1
_FIRST = 2  # id of the first known category
_SHOWN = 20  # categories that a schema names


class Options(part_options.Options):
    """What may be set on a category column."""

    missing: Literal["category", "mode", "constant"] = Field(
        "category", description="A missing value is a category of its own, the most frequent one, or constant (`fill`)."
    )
    fill: Any = Field(None, description="The category that `missing: constant` puts in.")
    min_count: int | None = Field(
        None, ge=1, description="Categories with fewer training rows share one place. Default: rows / 1000, 2 to 10."
    )
    max_values: int = Field(10_000, ge=1, description="Most categories that are kept, the most frequent ones.")
    not_missing: tuple[str, ...] | None = Field(
        None,
        description="Words for `no value` that are categories, such as [NA] for Namibia. Default: those of 5% of the "
        "cells or more, where other cells are empty.",
    )


@dataclass(frozen=True)
class CategoryColumn(InputColumn):
    """One id per row; tensor `<key>_ids`, (rows,) int64: 0 other, 1 missing, then the known categories."""

    type: ClassVar[str] = "category"
    holds_values: ClassVar[bool] = True
    sliced: ClassVar[Literal["names", "ranges", "lengths"] | None] = "names"
    in_grid: ClassVar[bool] = True
    holds_names: ClassVar[bool] = True
    allowed: ClassVar[str] = "a text or a number"
    silent: ClassVar[Literal["words", "empty", "never"]] = "empty"  # NA is a category of its own
    name: str
    key: str
    categories: tuple[str, ...]  # the category of id 2 is the first
    fill: str | None  # stands for a missing value; None: missing has its own id
    not_missing: tuple[str, ...] = ()  # words for "no value" that are categories
    # Share of the training rows whose category would have had no place without the row: as many are expected later.
    others: float = 0.0

    @classmethod
    def cleaned(cls, missing: str, outliers: str) -> dict[str, Any]:
        """A missing value is a category, unless another one or a constant is to stand for it."""
        repaired = {"impute": "category", "drop": "category", "mean": "category", "median": "category"}
        return {"missing": repaired.get(missing, missing)}

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`; the kept categories are in alphabetical order."""
        chosen = part_options.check(Options, f"column {name!r} ({cls.type})", options)
        words = _words(values, chosen)
        counts = many.counted_labels(values, words)
        if not counts:
            said = "no training row has a value"
            raise problem(f"column {name!r} (category)", said, do=f"leave the column out: inputs: {{{name}: ignore}}")
        by_count = sorted(counts, key=lambda category: (-counts[category], category))
        least = chosen.min_count or _least(len(values))
        kept = [category for category in by_count if counts[category] >= least][: chosen.max_values]
        known = frozenset(kept)
        seldom = sum(count for category, count in counts.items() if count <= least or category not in known)
        return cls(name, key, tuple(sorted(kept)), _fill(name, chosen, by_count[0]), words, seldom / counts.total())

    def extended(self, values: Sequence[Any], first: Sequence[str] = ()) -> Self:
        """See `Column.extended`: categories that some rows have, as many as `fit` asks for, stand behind the others."""
        counts = many.counted_labels(values, self.not_missing)
        least = _least(len(values))
        new = [name for name, count in counts.items() if count >= least and self._unknown(name)]
        return replace(self, categories=(*self.categories, *sorted(new))) if new else self

    def _unknown(self, name: str) -> bool:
        return self._known.find(name) is None and self._spelt(name) is None

    def places(self, before: Self) -> tuple[tuple[int, ...], ...]:
        """See `Column.places`: a new category begins as what stands for unknown ones."""
        known = begun(self.categories, before.categories, ())
        return ((OTHER,), (MISSING,), *(tuple(_FIRST + place for place in own) or (OTHER,) for own in known))

    @property
    def size(self) -> int:
        """Number of ids, the two special ones counted."""
        return _FIRST + len(self.categories)

    @cached_property
    def _known(self) -> Lookup:
        return lookup(self.categories)

    @cached_property
    def _missing_id(self) -> int:
        return MISSING if self.fill is None else self._id(self.fill)

    def _id(self, name: str) -> int:
        position = self._known.find(name)
        return OTHER if position is None else _FIRST + position

    def invented(self, random: np.random.Generator) -> str:
        """One of its categories."""
        return str(random.choice(self.categories))

    @property
    def cell_ids(self) -> int:
        """All ids."""
        return self.size

    def cell(self, values: Sequence[Any]) -> np.ndarray:
        """The id of each value."""
        return self.encode(values).astype(np.float64)

    def value_schema(self) -> dict[str, Any]:
        """See `InputColumn.value_schema`."""
        examples = {"examples": list(self.categories[:_SHOWN])} if self.categories else {}
        return {"description": "a category", **_schemas.SCALAR, **examples}

    def encode(self, values: Sequence[Any]) -> np.ndarray:
        """Ids, (rows,) int64."""
        return self._read(values)[0]

    def read(self, values: Sequence[Any]) -> Reading:
        """See `InputColumn.read`; unseen categories are told where there are more than training leads to expect."""
        return Reading(*self._read(values))

    def read_narrow(self, values: Sequence[Any]) -> Reading:
        """See `InputColumn.read_narrow`."""
        ids, problems = self._read(values)
        return Reading(ids.astype(np.int32), problems)

    def _read(self, values: Sequence[Any]) -> tuple[np.ndarray, tuple[Problem, ...]]:
        ids = many.gathered(self._ids, values)
        rewritten, unseen = [], []
        for row in np.flatnonzero(ids == OTHER).tolist():
            value, quoted = values[row], written(values[row])
            if parse.is_missing(value, names=self.not_missing):  # what stands for it has no place
                continue
            meant = self._spelt(parse.label(value))
            if meant is not None:
                ids[row] = _FIRST + meant
                told = f"{quoted} is read as {self.categories[meant]!r}"
                rewritten.append(Problem(self.name, row, "rewritten", told, lost=0.0))
            elif parse.is_scalar(value):
                unseen.append(Problem(self.name, row, "unseen", quoted))
            else:
                told = f"{quoted} is no category"
                rewritten.append(Problem(self.name, row, "unreadable", told, never=True))
        expected = self.others * int((ids != self._missing_id).sum()) if unseen else 0.0
        # A share that training's rows vouch for, and three standard deviations.
        told_of = unseen if len(unseen) > expected + 3 * math.sqrt(expected) else []
        return ids, (*rewritten, *told_of)

    def _ids(self, values: Sequence[Any]) -> np.ndarray:
        known: Callable[[Any], int] = self._id_of
        if set(map(type, values)) == {str}:  # of others, 1 and True are the same key
            known = {value: self._id_of(value) for value in set(values)}.__getitem__
        return np.fromiter(map(known, values), np.int64, len(values))

    @cached_property
    def _spellings(self) -> dict[str, int]:
        return _rewritten.spellings(self.categories)

    def _spelt(self, name: str) -> int | None:
        """The place of the one category that is written like this but for white space, hyphens or a word for yes."""
        return self._spellings.get(_rewritten.spelling(name))

    def _id_of(self, value: Any) -> int:
        missing = parse.is_missing(value, names=self.not_missing)
        return self._missing_id if missing else self._id(parse.label(value))

    def sketch_word(self, id: int) -> str:
        """The category, or what stands for a missing one and for one that training did not have."""
        return {MISSING: "(missing)", OTHER: "(another)"}.get(id) or self.categories[id - _FIRST]

    def steps(self, encoded: Encoded) -> np.ndarray:
        """One state per row."""
        return np.ones(len(_array(encoded)), np.int64)

    def batch(self, encoded: Encoded, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The ids of the given rows."""
        return {f"{self.key}_ids": _array(encoded)[rows].astype(np.int64, copy=False)}

    def save(self, folder: Path) -> None:
        """Write `<key>.json`."""
        fields = ("categories", "fill", "not_missing", "others")
        self.write(folder, {name: getattr(self, name) for name in fields})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        words = tuple(state.get("not_missing", ()))  # bundles made before it was asked have none
        fill, others = state["fill"], state.get("others", 1.0)
        return cls(state["name"], state["key"], tuple(state["categories"]), fill, words, others)


def _least(rows: int) -> int:
    """How many of so many training rows have a category that gets a place."""
    return min(10, max(2, rows // 1000))


def _words(values: Sequence[Any], chosen: Options) -> tuple[str, ...]:
    """Words for "no value" that are categories; frequent ones where empty cells say that there is none.

    Without empty cells they have the place of missing values, which is a category of its own too.
    """
    if chosen.not_missing is not None or chosen.missing != "category":
        return name_words.kept((), None, chosen.not_missing or ())
    return name_words.frequent(values) if many.missing(values, text=True).any() else ()


def _fill(name: str, chosen: Options, most_frequent: str) -> str | None:
    """The category that stands for a missing one."""
    if chosen.missing == "category":
        return None
    if chosen.missing == "mode":
        return most_frequent
    if chosen.fill is None:
        raise problem(f"column {name!r} (category): fill", "found None", "a category, for `missing: constant`")
    return parse.label(chosen.fill)


def _array(encoded: Encoded) -> np.ndarray:
    assert isinstance(encoded, np.ndarray)
    return encoded
