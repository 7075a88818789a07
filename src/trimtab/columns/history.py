"""A history becomes item ids: what a user viewed, bought or did, the oldest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from trimtab import part_options
from trimtab.columns import Encoded, InputColumn, Ragged, Reading, _schemas, ragged
from trimtab.columns._lookup import Lookup, begun, lookup
from trimtab.errors import problem
from trimtab.values import list_cells, name_words, parse
from trimtab.values.problems import Problem, written

PADDING = 0
UNKNOWN = 1  # rare in the training rows, or never seen there
START = 2  # stands before every history, so that an empty one has a state too
FIRST = 3  # id of the first known item
_MARKS = "|;,"  # what separates the items of a cell, the surest first; else white space does
_COMMON = 0.05  # share of the cells from which a mark counts as their separator
_MOST_STEPS = 200
_COVERED = 0.95  # of the rows: their histories are kept whole


class Options(part_options.Options):
    """What may be set on a history column."""

    max_steps: int | None = Field(
        None, ge=1, le=5000, description="Items kept of each history, the latest ones. Default: by the data, up to 200."
    )
    min_count: int = Field(1, ge=1, description="Items that occur less often in the training rows share one place.")
    max_items: int = Field(100_000, ge=1, description="Most items that are told apart, the most frequent ones.")
    items: tuple[str, ...] = Field(
        (), description="Items that are known in any case; their ids come first. Filled in for a ranking output."
    )
    seen: bool = Field(
        False, description="Whether the network is told every item of a history. Filled in for a ranking output."
    )


@dataclass(frozen=True)
class HistoryColumn(InputColumn):
    """A user's earlier items; tensors `<key>_ids` and `<key>_mask`, (rows, steps) int64.

    Ids: 0 padding, 1 unknown, 2 start, then the items. A start leads every row, so that an empty history is a row like
    the others. With `seen` also `<key>_seen`, (rows, items of the longest): those beyond `max_steps` too.
    """

    type: ClassVar[str] = "history"
    holds_values: ClassVar[bool] = True
    holds_items: ClassVar[bool] = True
    allowed: ClassVar[str] = "a list of items, or a text of them"
    silent: ClassVar[Literal["words", "empty", "never"]] = "never"  # one without events is a history all the same
    sequence: ClassVar[Literal["ids", "frames"] | None] = "ids"
    padded: ClassVar[tuple[tuple[str, ...], ...]] = (("ids", "mask"), ("seen",))
    name: str
    key: str
    items: tuple[str, ...]  # the item of id 3 is the first
    max_steps: int  # the start not counted
    separators: str  # characters that stand between the items of a cell
    seen: bool = False
    not_missing: tuple[str, ...] = ()  # words for "no value" that are items

    @classmethod
    def encoder_for(cls, values: Sequence[Any]) -> tuple[str, str]:
        """A causal transformer, as SASRec has it (Kang & McAuley 2018, arXiv:1808.09781)."""
        return "transformer", "self-attention over the events, each sees only earlier ones (SASRec)"

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`; behind those of the option `items` stand the others, the most frequent first."""
        chosen = part_options.check(Options, f"column {name!r} ({cls.type})", options)
        separators = _separators(values)
        cells = [(value, _cells(value, separators)) for value in values]
        several = [own for value, own in cells if len(own) > 1 or not isinstance(value, str)]
        words = tuple(sorted({*name_words.among(several), *chosen.items} & parse.NO_VALUE))
        histories = [items(value, separators, words) for value in values]
        if pieces := [piece for piece in map(list_cells.broken, histories) if piece]:
            found = f"{pieces[0]!r}, in {len(pieces):,} of {len(histories):,} rows, is {list_cells.UNREADABLE}"
            raise problem(f"column {name!r} (history)", found, '["a", "b"]; or items with | between them')
        counts = Counter(chain.from_iterable(histories))
        if not counts and not chosen.items:
            said = "no training row has an item"
            raise problem(f"column {name!r} (history)", said, do=f"leave the column out: inputs: {{{name}: ignore}}")
        frequent = [item for item in by_count(counts) if counts[item] >= chosen.min_count][: chosen.max_items]
        known = dict.fromkeys([*chosen.items, *frequent])
        lengths = [len(history) for history in histories] or [1]
        covering = int(np.clip(np.quantile(lengths, _COVERED, method="higher"), 1, _MOST_STEPS))
        return cls(name, key, tuple(known), chosen.max_steps or covering, separators, chosen.seen, words)

    def extended(self, values: Sequence[Any], first: Sequence[str] = ()) -> Self:
        """See `Column.extended`; new items stand behind the others, the most frequent first."""
        counts = Counter(chain.from_iterable(items(value, self.separators, self.not_missing) for value in values))
        known = dict.fromkeys([*first, *self.items])
        names = lookup(tuple(known))
        known |= dict.fromkeys(item for item in by_count(counts) if names.find(item) is None)
        return self if tuple(known) == self.items else replace(self, items=tuple(known))

    def places(self, before: Self) -> tuple[tuple[int, ...], ...]:
        """See `Column.places`: a new item begins as what stands for unknown ones."""
        known = begun(self.items, before.items, ())
        return ((PADDING,), (UNKNOWN,), (START,), *(tuple(FIRST + at for at in own) or (UNKNOWN,) for own in known))

    @property
    def size(self) -> int:
        """Number of ids, the three special ones counted."""
        return FIRST + len(self.items)

    @property
    def step_size(self) -> int:
        """Number of ids."""
        return self.size

    @property
    def longest(self) -> int:
        """The items that are kept, behind a start."""
        return self.max_steps + 1

    @cached_property
    def _known(self) -> Lookup:
        return lookup(self.items)

    def ids(self, value: Any) -> np.ndarray:
        """The ids of all items of a history, (items,) int64."""
        return np.array([self.id(item) for item in items(value, self.separators, self.not_missing)], np.int64)

    def id(self, item: str) -> int:
        """The id of an item."""
        position = self._known.find(item)
        return UNKNOWN if position is None else FIRST + position

    def portable(self, value: Any) -> list[str]:
        """The items as a list."""
        return items(value, self.separators, self.not_missing)

    def invented(self, random: np.random.Generator) -> list[str]:
        """A few items by chance."""
        return [self.items[place] for place in random.integers(0, len(self.items), min(5, self.max_steps)).tolist()]

    def value_schema(self) -> dict[str, Any]:
        """See `InputColumn.value_schema`."""
        listed = {"type": "array", "description": "items, the oldest first"}
        return {"description": self.allowed, "anyOf": [listed, _schemas.SCALAR]}

    def encode(self, values: Sequence[Any]) -> Ragged:
        """The ids of each row's items, all of them; the start is not among them."""
        return ragged([self.ids(value) for value in values], np.empty(0, np.int64))

    def read(self, values: Sequence[Any]) -> Reading:
        """See `InputColumn.read`; a history is told of when none of its items was seen in training."""
        histories = [self.ids(value) for value in values]
        problems = []
        for row, ids in enumerate(histories):
            if len(ids) and (ids == UNKNOWN).all():
                never = not (parse.is_scalar(values[row]) or isinstance(values[row], (list, tuple, np.ndarray)))
                told = f"{written(values[row])} is no list of items" if never else f"none of {len(ids)} items is known"
                problems.append(Problem(self.name, row, "unreadable" if never else "unseen", told, never=never))
        return Reading(ragged(histories, np.empty(0, np.int64)), tuple(problems))

    def sketch_word(self, id: int) -> str:
        """The item."""
        return self.items[id - FIRST] if FIRST <= id < self.size else "(another)"

    def steps(self, encoded: Encoded) -> np.ndarray:
        """The start and the items that are kept, (rows,)."""
        return np.asarray(1 + np.minimum(_ragged(encoded).lengths, self.max_steps))

    def batch(self, encoded: Encoded, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Ids and mask of the given rows, padded on the right; with `seen` all items of each row."""
        histories = _ragged(encoded)
        ends = histories.offsets[1:][rows]
        kept = np.minimum(histories.lengths[rows], self.max_steps)
        ids = _padded(histories.values, ends - kept, kept)
        first = np.full((len(rows), 1), START)
        mask = np.arange(1 + ids.shape[1]) <= kept[:, None]
        tensors = {"ids": np.hstack([first, ids]).astype(np.int64), "mask": mask.astype(np.int64)}
        if self.seen:
            lengths = histories.lengths[rows]
            tensors["seen"] = _padded(histories.values, ends - lengths, lengths, least=1)
        return {f"{self.key}_{part}": tensor for part, tensor in tensors.items()}

    def save(self, folder: Path) -> None:
        """Write `<key>.json`."""
        fields = ("items", "max_steps", "separators", "seen", "not_missing")
        self.write(folder, {name: getattr(self, name) for name in fields})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        words = tuple(state.get("not_missing", ()))  # bundles made before it was asked have none
        kept = (state["max_steps"], state["separators"], state["seen"], words)
        return cls(state["name"], state["key"], tuple(state["items"]), *kept)


def items(value: Any, separators: str = "", words: Container[str] = ()) -> list[str]:
    """The items of a history: of a list, or of a text that `separators` or white space divide.

    With no separators at all, white space divides. `words` are words for "no value" that are items.
    """
    return [parse.label(item) for item in _cells(value, separators) if not parse.is_missing(item, names=words)]


def _cells(value: Any, separators: str) -> Sequence[Any]:
    listed = list_cells.listed(value)
    if listed is not None:
        return listed
    return _divided(value, separators) if isinstance(value, str) else [value]


def by_count(counts: Mapping[str, int]) -> list[str]:
    """Names in the order of their counts, equal ones by name."""
    return sorted(counts, key=lambda name: (-counts[name], name))


def _divided(text: str, separators: str) -> list[str]:
    """The parts of a text; white space is a separator when it is among `separators` or there are none."""
    for mark in separators.strip():
        text = text.replace(mark, "\0")
    if separators.strip() == separators and separators:
        return [part.strip() for part in text.split("\0")]
    return text.replace("\0", " ").split()


def _separators(values: Sequence[Any]) -> str:
    """The characters that divide cells: those of `_MARKS` and the blank that stand in no item's name."""
    cells = [value for value in values if isinstance(value, str) and list_cells.listed(value) is None]
    surest = next((mark for mark in _MARKS if sum(mark in cell for cell in cells) > _COMMON * len(cells)), "")
    names = set(chain.from_iterable(items(value, surest) for value in values))
    return "".join(mark for mark in f"{_MARKS} " if not any(mark in name for name in names))


def _padded(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray, least: int = 0) -> np.ndarray:
    """Stretches of `values` as rows, (rows, longest), padded on the right."""
    position = np.arange(int(lengths.max(initial=least)))
    real = position < lengths[:, None]
    if not len(values):
        return np.full(real.shape, PADDING, np.int64)
    return np.asarray(np.where(real, values[np.where(real, starts[:, None] + position, 0)], PADDING))


def _ragged(encoded: Encoded) -> Ragged:
    assert isinstance(encoded, Ragged)
    return encoded
