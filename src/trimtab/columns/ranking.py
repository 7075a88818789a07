"""The next item: every item of the catalogue gets a score, the best ones are the answer."""

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
from trimtab.columns import IGNORED, OUTPUTS, OutputColumn, Outputs, Targets, _schemas, certain, dense, flat, ragged
from trimtab.columns._lookup import Lookup, begun, lookup
from trimtab.columns.history import by_count
from trimtab.errors import problem
from trimtab.metrics import Kind, Ranked, first
from trimtab.values import name_words, parse

MOST_ITEMS = 50_000  # every row is answered with a score for each
_DECIMALS = 4  # of a confidence
LEFT_OUT = -1e9  # the score of an item that must not be answered


class Options(part_options.Options):
    """What may be set on a ranking output."""

    user: str | None = Field(
        None, description="The data holds one event a row: the column that says whose it is. Default: rows as they are."
    )
    time: str | None = Field(None, description="The column of when an event was. Default: the order of the file.")
    times: Literal["number", "y-m-d", "d/m/y", "m/d/y"] | None = Field(
        None, description="How times are written. Default: told by the whole column; new events are read alike."
    )
    holdout: Literal["last", "time"] = Field(
        "last",
        description="Events that are kept back. `last`: each user's last is tested on, the one before it chooses the "
        "checkpoint. `time`: the latest events of all, in the shares of `split`.",
    )
    distinct: bool = Field(
        False, description="Whether equal events of a moment count once. Filled in by `clean: {duplicates: drop}`."
    )
    repeat: bool = Field(False, description="Whether an item that stands in the history may be answered again.")
    min_count: int = Field(1, ge=1, description="Items with fewer events in the training rows are never answered.")
    classes: tuple[Any, ...] | None = Field(None, min_length=2, description="The items. Default: those of training.")
    not_missing: tuple[str, ...] | None = Field(None, description=name_words.OPTION)


@dataclass(frozen=True)
class RankingColumn(OutputColumn):
    """One item of a catalogue; the network gives a score for each.

    An answer is an item or, for a row that teaches all along its history, a list of items, one for each state: the
    next item after the start, after the first event, ...; None where nothing is to be learned.
    """

    type: ClassVar[str] = "ranking"
    holds_values: ClassVar[bool] = True
    baselines: ClassVar[str | None] = "items"
    recipe: ClassVar[str | None] = "histories"
    events: ClassVar[str | None] = "history"
    answers: ClassVar[Kind] = Ranked
    headline: ClassVar[str] = "ndcg@10"
    has_names: ClassVar[bool] = True
    tie_break: ClassVar[str | None] = None
    name: str
    key: str
    classes: tuple[str, ...] = ()
    repeat: bool = False
    each_step: bool = False  # whether training rows have an answer for each state
    user: str | None = None  # the column of the events that says whose they are
    time: str | None = None  # and when they were
    not_missing: tuple[str, ...] = ()  # words for "no value" that are items
    times: str | None = None  # how the times of the events are written
    distinct: bool = False  # whether an event that repeats one of the same user, item and time counts once

    @classmethod
    def words_kept(cls, values: Sequence[Any], options: Mapping[str, Any]) -> tuple[str, ...]:
        """Those among the items that are given, else frequent ones."""
        items = chain.from_iterable(value if isinstance(value, (list, tuple)) else (value,) for value in values)
        return name_words.kept(list(items), options.get("classes"), options.get("not_missing"))

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`; the most frequent items come first. Raises TrimtabError for less than two items."""
        chosen = part_options.check(Options, f"column {name!r} ({cls.type})", options)
        each_step = chosen.user is not None and any(isinstance(value, (list, tuple)) for value in values)
        words = cls.words_kept(values, options)
        counts = Counter(chain.from_iterable(_items(value, words) for value in values))
        found = [item for item in by_count(counts) if counts[item] >= chosen.min_count]
        classes = tuple(map(parse.label, chosen.classes)) if chosen.classes else tuple(found)
        where = f"column {name!r} (ranking)"
        if not 2 <= len(classes) <= MOST_ITEMS:
            allowed = f"2 to {MOST_ITEMS:,} items: every one gets a score in every row"
            rare = f" with {chosen.min_count:,} events or more" if chosen.min_count > 1 else ""
            do = "set min_count to leave rare items out" if len(classes) > MOST_ITEMS else ""
            raise problem(where, f"found {len(classes):,} items{rare}", allowed, do)
        return cls(
            name, key, classes, chosen.repeat, each_step, chosen.user, chosen.time, words, chosen.times, chosen.distinct
        )

    def extended(self, values: Sequence[Any], first: Sequence[str] = ()) -> Self:
        """See `Column.extended`; new items stand behind the others, the most frequent first."""
        counts = Counter(chain.from_iterable(_items(value, self.not_missing) for value in values))
        new = [item for item in by_count(counts) if self._known.find(item) is None]
        if len(self.classes) + len(new) > MOST_ITEMS:
            said = f"{len(self.classes):,} items and {len(new):,} new ones"
            raise problem(f"column {self.name!r} (ranking)", said, f"at most {MOST_ITEMS:,} items")
        return replace(self, classes=(*self.classes, *new)) if new else self

    def places(self, before: Self) -> tuple[tuple[int, ...], ...]:
        """See `Column.places`: a new item begins as the mean of all others."""
        return begun(self.classes, before.classes, range(before.width))

    def unsure(self, outputs: Outputs) -> np.ndarray:
        """See `OutputColumn.unsure`: by the shares of the best two items."""
        scores = np.sort(certain(dense(outputs)).astype(np.float64), axis=1)
        odds = np.exp(scores - scores[:, -1:])
        return np.asarray(1 - (odds[:, -1] - odds[:, -2]) / odds.sum(axis=1))

    @property
    def width(self) -> int:
        """One score per item."""
        return len(self.classes)

    @cached_property
    def _known(self) -> Lookup:
        return lookup(self.classes)

    def index(self, item: Any) -> int | None:
        """The place of an item among the classes."""
        missing = parse.is_missing(item, names=self.not_missing)
        return None if missing else self._known.find(parse.label(item))

    def usable(self, value: Any) -> str | None:
        """None for a known item, or for a list that has one; else the reason."""
        found = _items(value, self.not_missing)
        if not found:
            return parse.no_value(value)
        if self.user is None and isinstance(value, (list, tuple)):
            return "a list, where one item is answered"
        if all(self._known.find(item) is None for item in found):
            return f"no item named {found[0]!r} in training"
        return None

    def targets(self, values: Sequence[Any]) -> Targets:
        """Item indices, (rows,) int64; for lists a `Ragged`, `IGNORED` where an entry is None or no known item."""
        for value in values:
            if reason := self.usable(value):
                raise ValueError(f"{self.name}: {reason}")
        lists = [value for value in values if isinstance(value, (list, tuple))]
        if not lists:
            return np.array([self.index(value) for value in values], np.int64)
        if len(lists) < len(values):
            raise ValueError(f"{self.name}: some rows hold a list of items, others a single one")
        rows = [np.array([self._target(item) for item in row], np.int64) for row in lists]
        return ragged(rows, np.empty(0, np.int64))

    def _target(self, item: Any) -> int:
        position = self.index(item)
        return IGNORED if position is None else position

    def counts(self, values: Sequence[Any]) -> dict[str, float]:
        """Answers that are each item."""
        found = self.targets(values)
        positions = flat(found)[OUTPUTS]
        counted = np.bincount(positions[positions != IGNORED], minlength=self.width)
        return dict(zip(self.classes, counted.tolist(), strict=True))

    def decode(self, outputs: Outputs, top: int = 1) -> dict[str, list[Any]]:
        """The best item and its share of the softmax as `score`; with `top` above 1 that many, in order.

        An item that was left out (see `repeat`) is never among them.
        """
        scores = certain(dense(outputs))
        best = first(scores, max(1, top))
        odds = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf)).sum(axis=1, keepdims=True)
        chosen = np.take_along_axis(scores, best, axis=1)
        shares = np.round(np.exp(chosen - chosen[:, :1], dtype=np.float64) / odds, _DECIMALS)
        word = "share" if self.name == "score" else "score"
        answers: dict[str, list[Any]] = {self.name: [self.classes[row[0]] for row in best], word: shares[:, 0].tolist()}
        if top > 1:
            listed = zip(best, shares, chosen > LEFT_OUT / 2, strict=True)
            answers[f"{self.name}_top"] = [self._listed(word, *row) for row in listed]
        return answers

    def answer_schema(self) -> dict[str, dict[str, Any]]:
        """See `OutputColumn.answer_schema`."""
        word = "share" if self.name == "score" else "score"
        schema = {self.name: _schemas.one_of(self.classes), word: _schemas.SHARE}
        return schema | {f"{self.name}_top": _schemas.best(self.name, self.classes, word)}

    def _listed(self, word: str, items: np.ndarray, shares: np.ndarray, kept: np.ndarray) -> list[dict[str, Any]]:
        pairs = zip(items[kept], shares[kept], strict=True)
        return [{self.name: self.classes[item], word: float(share)} for item, share in pairs]

    def answered(self, targets: Targets, outputs: Outputs) -> Ranked:
        """The score of every item beside the right one."""
        return Ranked(self.classes, dense(targets), dense(outputs))

    def balance(self, values: Sequence[Any]) -> dict[str, float]:
        """How many items there are, and answers."""
        items = [item for value in values for item in (value if isinstance(value, list) else [value]) if item]
        return {"items": len({parse.label(item) for item in items}), "answers": len(items)}

    def save(self, folder: Path) -> None:
        """Write `<key>.json`."""
        fields = ("classes", "repeat", "each_step", "user", "time", "not_missing", "times", "distinct")
        self.write(folder, {name: getattr(self, name) for name in fields})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        words = tuple(state.get("not_missing", ()))  # bundles made before it was asked have none
        events = (state["user"], state["time"], words, state.get("times"), state.get("distinct", False))
        kept = (state["repeat"], state["each_step"], *events)
        return cls(state["name"], state["key"], tuple(state["classes"]), *kept)


def _items(value: Any, words: Container[str]) -> list[str]:
    """The items of an answer."""
    answers = value if isinstance(value, (list, tuple)) else (value,)
    return [parse.label(item) for item in answers if not parse.is_missing(item, names=words)]
