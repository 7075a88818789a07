"""A tag for each word: named entities as spans of words (BIO), or any other class of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from pydantic import Field

from trimtab.columns import (
    OutputColumn,
    Outputs,
    Ragged,
    Statistics,
    Targets,
    _lists,
    _options,
    _state,
    certain,
    parse,
    ragged,
)
from trimtab.columns import _statistics as measures
from trimtab.errors import nearest, problem

OUTSIDE = "O"  # the tag of a word of no span; always the first
_BEGIN, _INSIDE = "B-", "I-"
_MOST_TAGS = 1000
_DECIMALS = 4  # of a confidence


class Options(_options.Options):
    """What may be set on a column of tags."""

    tags: tuple[str, ...] | None = Field(
        None, min_length=1, description="The tags. Default: those of the training rows, with B- and I- of every type."
    )


class Spans(NamedTuple):
    """Spans of all rows, end to end: each from `start` up to, not with, `end`, with the number of its type."""

    start: np.ndarray
    end: np.ndarray
    type: np.ndarray


@dataclass(frozen=True)
class TagsColumn(OutputColumn):
    """A tag for each word of a text; the network gives logits, (places, tags), for each row.

    Where all tags are O, B-<type> or I-<type>, they mark spans as conlleval reads them: an I- that does not follow its
    own type begins a span. Else each tag but O is a span of one word.
    """

    type: ClassVar[str] = "tags"
    metrics: ClassVar[tuple[str, ...]] = (
        "span_f1", "span_precision", "span_recall", "accuracy", "exact_match", "log_loss",
    )  # fmt: skip
    headline: ClassVar[str] = "span_f1"
    tie_break: ClassVar[str | None] = "log_loss"
    per_place: ClassVar[bool] = True
    reads: ClassVar[str | None] = "text"
    name: str
    key: str
    tags: tuple[str, ...] = (OUTSIDE,)

    @classmethod
    def input_options(cls) -> Mapping[str, Any]:
        """The text is a list of words."""
        return {"words": True}

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`. Raises TrimtabError where no word has a tag, and for what are no tags but sentences."""
        chosen = _options.check(Options, name, cls.type, options)
        where = f"column {name!r} (tags)"
        found = set(chain.from_iterable(map(_lists.words, values))) - {OUTSIDE, ""}
        tags = _complete({*(chosen.tags or found)} - {OUTSIDE})
        if unknown := sorted(found - set(tags)):
            raise problem(f"{where}: tags", f"training rows hold {unknown[0]!r}", nearest(unknown[0], tags))
        if not tags:
            raise problem(where, f"no word of a training row has another tag than {OUTSIDE}", "tags such as B-person")
        if len(tags) > _MOST_TAGS:
            raise problem(where, f"{len(tags):,} different tags", f"at most {_MOST_TAGS}, such as B-person", "see type")
        return cls(name, key, (OUTSIDE, *tags))

    @property
    def width(self) -> int:
        """One logit per tag."""
        return len(self.tags)

    @cached_property
    def marks_spans(self) -> bool:
        """Whether the tags are O, B- and I-."""
        return _are_bio(self.tags)

    @cached_property
    def types(self) -> tuple[str, ...]:
        """The types of spans; number 0 is none."""
        return tuple(dict.fromkeys(tag[2:] if self.marks_spans and tag != OUTSIDE else tag for tag in self.tags))

    @cached_property
    def _type_of(self) -> np.ndarray:
        """The number of each tag's type, (tags,)."""
        names = [tag[2:] if self.marks_spans and tag != OUTSIDE else tag for tag in self.tags]
        return np.array([self.types.index(name) for name in names], np.int64)

    @cached_property
    def _begins(self) -> np.ndarray:
        """Which tags begin a span wherever they stand, (tags,) bool."""
        return np.array([tag != OUTSIDE and not (self.marks_spans and tag[:2] == _INSIDE) for tag in self.tags])

    @cached_property
    def _places(self) -> dict[str, int]:
        return {tag: place for place, tag in enumerate(self.tags)}

    def usable(self, value: Any) -> str | None:
        """None for a list of known tags, else the reason."""
        tags = [] if parse.is_missing(value) else _lists.words(value)
        if not tags:
            return "no value"
        unknown = next((tag for tag in tags if tag not in self._places), None)
        return None if unknown is None else f"no tag named {unknown!r} in training"

    def misfit(self, value: Any, inputs: Sequence[Any]) -> str | None:
        """A row has to have as many tags as words."""
        words, tags = len(_lists.words(inputs[0])), len(_lists.words(value))
        return None if words == tags else f"as many tags as words are needed: {words} words, {tags} tags"

    def targets(self, values: Sequence[Any]) -> Ragged:
        """The number of each word's tag, (all words,) int64. Raises ValueError for what is not usable."""
        for value in values:
            if reason := self.usable(value):
                raise ValueError(f"{self.name}: {reason}")
        rows = [np.array([self._places[tag] for tag in _lists.words(value)], np.int64) for value in values]
        return ragged(rows, np.zeros(0, np.int64))

    def spans(self, tags: np.ndarray, offsets: np.ndarray) -> Spans:
        """The spans of tag numbers, (all words,), of rows that begin at `offsets`."""
        types = self._type_of[tags]
        before = np.concatenate([[0], types[:-1]])[: len(types)]
        before[offsets[:-1][offsets[:-1] < len(types)]] = 0
        begins = (types > 0) & (self._begins[tags] | (types != before))
        start = np.flatnonzero(begins)
        stops = np.append(np.flatnonzero(begins | (types == 0)), len(types))
        stops = np.union1d(stops, offsets)
        return Spans(start, stops[np.searchsorted(stops, start, side="right")], types[start])

    def chosen(self, outputs: Ragged) -> np.ndarray:
        """The likeliest tag of each place, (all places,); an I- that begins a span becomes a B-."""
        return self.valid(np.asarray(outputs.values.argmax(axis=1), np.int64), outputs.offsets)

    def valid(self, tags: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """The same spans, written such that each begins with a B-."""
        if not self.marks_spans:
            return tags
        found, written = self.spans(tags, offsets), tags.copy()
        written[found.start] = np.array([self._begin_of[kind] for kind in found.type], np.int64)
        return written

    @cached_property
    def _begin_of(self) -> dict[int, int]:
        return {int(self._type_of[place]): int(place) for place in np.flatnonzero(self._begins)}

    def counts(self, values: Sequence[Any]) -> dict[str, float]:
        """Spans of each type."""
        found = self.targets(values)
        counted = Counter(self.spans(found.values, found.offsets).type.tolist())
        return {name: counted[number] for number, name in enumerate(self.types) if number}

    def decode(self, outputs: Outputs, top: int = 1) -> dict[str, list[Any]]:
        """The tag of every word, and the spans: type, first word, the word after the last, mean probability."""
        assert isinstance(outputs, Ragged)
        outputs = Ragged(certain(outputs.values), outputs.offsets)
        tags, offsets = self.chosen(outputs), outputs.offsets
        found = self.spans(tags, offsets)
        share = _softmax(outputs.values).max(axis=1, initial=0.0)
        spans: list[list[dict[str, Any]]] = [[] for _ in range(len(outputs))]
        rows = np.searchsorted(offsets, found.start, side="right") - 1
        for row, start, end, kind in zip(rows, *found, strict=True):
            first = int(offsets[row])
            confidence = round(float(share[start:end].mean()), _DECIMALS)
            placed = {"start": int(start) - first, "end": int(end) - first}
            spans[row].append({"type": self.types[kind], **placed, "confidence": confidence})
        names = [[self.tags[tag] for tag in tags[a:b]] for a, b in pairwise(offsets)]
        return {self.name: names, f"{self.name}_spans": spans}

    def statistics(self, targets: Targets, outputs: Outputs) -> Statistics:
        """F1, precision and recall of spans (type and borders must be right), accuracy of words, and log loss."""
        assert isinstance(targets, Ragged)
        assert isinstance(outputs, Ragged)
        share = _softmax(outputs.values)[np.arange(len(outputs.values)), targets.values]
        losses = -np.log(np.clip(share, measures.EPSILON, 1.0))
        per_row = {"log_loss": partial(measures.share, _row_sums(losses, targets.offsets), targets.lengths)}
        return {**self.answer_statistics(targets, self.chosen(outputs)), **per_row}

    def answer_statistics(self, targets: Ragged, chosen: np.ndarray) -> Statistics:
        """The statistics of tags that were answered, (all places,)."""
        offsets = targets.offsets
        true, found = self.spans(targets.values, offsets), self.spans(chosen, offsets)
        right = _row_counts(found.start[_agree(found, true)], offsets)
        asked, given = _row_counts(true.start, offsets), _row_counts(found.start, offsets)
        hits = _row_sums((chosen == targets.values).astype(np.float64), offsets)
        return {
            "span_f1": partial(measures.f1, right, given, asked),
            "span_precision": partial(measures.share, right, given),
            "span_recall": partial(measures.share, right, asked),
            "accuracy": partial(measures.share, hits, targets.lengths),
            "exact_match": partial(measures.mean, hits == targets.lengths),
        }

    def per_type(self, targets: Ragged, chosen: np.ndarray) -> list[dict[str, Any]]:
        """Of each type of span: how many there are, were answered, and were answered rightly."""
        true, found = self.spans(targets.values, targets.offsets), self.spans(chosen, targets.offsets)
        right = found.type[_agree(found, true)]
        counted = [np.bincount(types, minlength=len(self.types)) for types in (true.type, found.type, right)]
        rows = zip(self.types, *(counts.tolist() for counts in counted), strict=True)
        return [{"type": name, "true": a, "answered": b, "right": c} for name, a, b, c in rows if name != OUTSIDE]

    def save(self, folder: Path) -> None:
        """Write `<key>.json`."""
        _state.write(folder, self, {"tags": self.tags})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        return cls(state["name"], state["key"], tuple(state["tags"]))


def _are_bio(tags: Sequence[str]) -> bool:
    return all(tag == OUTSIDE or (tag[:2] in (_BEGIN, _INSIDE) and len(tag) > 2) for tag in tags)


def _complete(tags: set[str]) -> tuple[str, ...]:
    """All tags in order; of spans, B- and I- of every type, whichever was seen."""
    if not _are_bio(sorted(tags)):
        return tuple(sorted(tags))
    types = sorted({tag[2:] for tag in tags})
    return tuple(prefix + name for name in types for prefix in (_BEGIN, _INSIDE))


def _agree(found: Spans, true: Spans) -> np.ndarray:
    """Which of the spans found are true ones, type and borders, (spans found,) bool."""
    known = {start: (end, kind) for start, end, kind in zip(*map(np.ndarray.tolist, true), strict=True)}
    listed = zip(*map(np.ndarray.tolist, found), strict=True)
    return np.array([known.get(start) == (end, kind) for start, end, kind in listed], bool)


def _row_counts(places: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """How many of the places lie in each row, (rows,)."""
    rows = np.searchsorted(offsets, places, side="right") - 1
    return np.bincount(rows, minlength=len(offsets) - 1)


def _row_sums(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The sum of each row's values, (rows,)."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(sums[offsets[1:]] - sums[offsets[:-1]])


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.asarray(logits, np.float64)
    odds = np.exp(shifted - shifted.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))
