"""Spans of tagged words: where they begin and end, as the borders of their tags say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from trimtab.values.schemes import OUTSIDE, Mark, Scheme, scheme_of


class Spans(NamedTuple):
    """Spans of all rows, end to end: each from `start` up to, not with, `end`, with the number of its type."""

    start: np.ndarray
    end: np.ndarray
    type: np.ndarray


@dataclass(frozen=True)
class Borders:
    """What tags, that of a word of no span first, say of spans.

    Where they have borders (BIO, BIOES, BILOU, ...: see `values.schemes`), they mark spans as conlleval reads them: an
    I- that does not follow its own type begins a span. Else each tag but O is a span of one word.
    """

    tags: tuple[str, ...]

    @cached_property
    def scheme(self) -> Scheme | None:
        """How the tags mark the borders of spans; None where they do not."""
        return scheme_of(self.tags)

    @cached_property
    def marks(self) -> list[Mark]:
        """What each tag says; a tag without borders is a span of one word."""
        plain = [Mark("", "") if tag == OUTSIDE else Mark("S", tag) for tag in self.tags]
        return [self.scheme.read(tag) for tag in self.tags] if self.scheme else plain

    @cached_property
    def types(self) -> tuple[str, ...]:
        """The types of spans; number 0 is none."""
        return (OUTSIDE, *dict.fromkeys(mark.type for mark in self.marks if mark.type))

    @cached_property
    def _type_of(self) -> np.ndarray:
        """The number of each tag's type, (tags,)."""
        return np.array([self.types.index(mark.type) if mark.type else 0 for mark in self.marks], np.int64)

    @cached_property
    def _begins(self) -> np.ndarray:
        """Which tags begin a span wherever they stand, (tags,) bool."""
        return np.array([mark.border in ("B", "S") for mark in self.marks])

    @cached_property
    def _ends(self) -> np.ndarray:
        """Which tags are the last of a span wherever they stand, (tags,) bool."""
        return np.array([mark.border in ("E", "S") for mark in self.marks])

    def spans(self, tags: np.ndarray, offsets: np.ndarray) -> Spans:
        """The spans of tag numbers, (all words,), of rows that begin at `offsets`."""
        types = self._type_of[tags]
        before = np.concatenate([[0], np.where(self._ends[tags], 0, types)[:-1]])[: len(types)]
        before[offsets[:-1][offsets[:-1] < len(types)]] = 0
        begins = (types > 0) & (self._begins[tags] | (types != before))
        start = np.flatnonzero(begins)
        stops = np.append(np.flatnonzero(begins | (types == 0)), len(types))
        stops = np.union1d(stops, offsets)
        return Spans(start, stops[np.searchsorted(stops, start, side="right")], types[start])

    def valid(self, tags: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """The same spans, each with the borders that belong to it."""
        if not self.scheme:
            return tags
        found, written = self.spans(tags, offsets), tags.copy()
        types, single = self._type_of[tags], found.end - found.start == 1
        written[types > 0] = self._tag_of["I"][types[types > 0]]
        written[found.end - 1] = self._tag_of["E"][found.type]
        written[found.start] = np.where(single, self._tag_of["S"][found.type], self._tag_of["B"][found.type])
        return written

    @cached_property
    def _tag_of(self) -> dict[str, np.ndarray]:
        """Border -> the tag of each type, (types,); what a scheme has no letter for is written with the nearest one."""
        given = {(mark.border, mark.type): position for position, mark in enumerate(self.marks)}
        stands_for = {"B": "BSIE", "I": "IBES", "E": "EIBS", "S": "SBIE"}
        return {
            border: np.array(
                [
                    0,
                    *(
                        next(given[other, kind] for other in others if (other, kind) in given)
                        for kind in self.types[1:]
                    ),
                ]
            )
            for border, others in stands_for.items()
        }

    def by_row(self, tags: np.ndarray, offsets: np.ndarray) -> list[set[tuple[int, int, str]]]:
        """The spans of each row: first word, the word after the last, type."""
        spans = self.spans(tags, offsets)
        rows = np.searchsorted(offsets, spans.start, side="right") - 1
        found: list[set[tuple[int, int, str]]] = [set() for _ in range(len(offsets) - 1)]
        for row, start, end, kind in zip(rows, *spans, strict=True):
            found[row].add((int(start - offsets[row]), int(end - offsets[row]), self.types[kind]))
        return found


def agree(found: Spans, true: Spans) -> np.ndarray:
    """Which of the spans found are true ones, type and borders, (spans found,) bool."""
    known = {start: (end, kind) for start, end, kind in zip(*map(np.ndarray.tolist, true), strict=True)}
    listed = zip(*map(np.ndarray.tolist, found), strict=True)
    return np.array([known.get(start) == (end, kind) for start, end, kind in listed], bool)


def row_counts(positions: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """How many of the places lie in each row, (rows,)."""
    rows = np.searchsorted(offsets, positions, side="right") - 1
    return np.bincount(rows, minlength=len(offsets) - 1)
