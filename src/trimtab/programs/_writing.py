"""Rows that are being written, each at a step of its own: they come and go while the others go on."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence, Set
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from trimtab.programs._beams import Beams
from trimtab.programs._cache import Cache, Step, joined
from trimtab.programs._choosing import drawn, forbidden, leading, log_totals
from trimtab.programs._options import Decoding

Text = Callable[[Sequence[int]], str]  # what token ids say
_SPARE = 8  # one of so many places of the batch may belong to rows that are done, before these are cleared away
_BYTES = 4  # of a character, each of which may be a token
_KEPT = 3  # one of so many tokens is read anew where a row fills what a network sees


@dataclass(frozen=True)
class Begun:
    """Rows whose prompts are read, but for the last token."""

    cache: Cache
    last: np.ndarray  # (rows,) the token that is read next
    prompts: np.ndarray  # (rows,) tokens that the decoder begins with
    read: np.ndarray  # (rows,) tokens, or other steps, that were read of each row
    seeds: Sequence[int]  # of what is drawn, one for each row

    def __len__(self) -> int:
        return len(self.cache)

    def take(self, rows: np.ndarray) -> Begun:
        """The given rows, in that order."""
        seeds = [self.seeds[row] for row in rows.tolist()]
        return Begun(self.cache.take(rows), self.last[rows], self.prompts[rows], self.read[rows], seeds)


class Said(NamedTuple):
    """What was written of a row in one step: a token; with beams all of it, at the end."""

    key: Hashable
    ids: tuple[int, ...]
    scores: tuple[float, ...]  # the log-probability of each
    end: Literal["", "stop", "length"] = ""  # stop: it ended by itself, or before a text of `stop`
    kept: int = -1  # at the end: characters of the whole text that stand before a text of `stop`; -1: all
    margin: float = np.inf  # by how much another choice was less likely, where a writer looks at it


@dataclass
class _Row:
    key: Hashable
    decoding: Decoding
    read: int
    most: int  # tokens that may be written
    random: np.random.Generator
    beams: Beams | None
    ids: list[int] = field(default_factory=list)
    gone: bool = False

    @property
    def width(self) -> int:
        """Places of the batch that it takes."""
        return self.decoding.beams


_Spans = Sequence[tuple[_Row, int]]  # rows, and the first place of each


class Writer:
    """Writes rows step by step, all of those that are there together."""

    def __init__(
        self,
        step: Step,
        eos: Set[int],
        context: int | None,
        text: Text,
        margins: bool = False,
        opening: Sequence[int] | None = None,  # of rows that go on beyond the context; None: they end there
        first: int | None = None,  # the token that every answer begins with
        never: Sequence[int] = (),  # tokens that are not written
    ) -> None:
        self._step, self._eos, self._context, self._text = step, frozenset(eos), context, text
        self._opening, self._first, self._never = opening, first, list(never)
        self._margins = margins
        self._rows: list[_Row] = []  # in the order of their places, those that are gone among them
        self._cache: Cache | None = None
        self._next = np.zeros(0, np.int64)  # the token that is read at each place

    def __len__(self) -> int:
        """Rows that are being written."""
        return sum(not row.gone for row in self._rows)

    @property
    def places(self) -> int:
        """What the rows take of a batch: one place each, with beams several."""
        return sum(row.width for row in self._rows if not row.gone)

    @property
    def tokens(self) -> int:
        """How many tokens may have to be held for the rows that are there, before all of them are done."""
        most = math.inf if self._opening is None or self._context is None else self._context
        return sum(row.width * int(min(row.read + row.most, most)) for row in self._rows if not row.gone)

    def add(self, begun: Begun, keys: Sequence[Hashable], decodings: Sequence[Decoding]) -> None:
        """Write these rows too; each has a key, by which it is spoken of."""
        self._clear(always=True)
        found = zip(keys, decodings, begun.prompts.tolist(), begun.read.tolist(), begun.seeds, strict=True)
        rows = [self._row(*one) for one in found]
        copies = np.repeat(np.arange(len(rows)), [row.width for row in rows])
        cache = begun.cache.take(copies) if len(copies) > len(rows) else begun.cache
        self._cache = cache if self._cache is None else joined([self._cache, cache])
        self._next = np.concatenate([self._next, begun.last[copies]])
        self._rows += rows

    def _row(self, key: Hashable, decoding: Decoding, prompt: int, read: int, seed: int) -> _Row:
        ends = self._context is not None and (self._opening is None or decoding.beams > 1)
        most = min(decoding.longest, (self._context or 0) - prompt + 1) if ends else decoding.longest
        beams = Beams(decoding.beams, decoding.length_penalty) if decoding.beams > 1 else None
        return _Row(key, decoding, read, most, np.random.default_rng([decoding.seed, seed]), beams)

    def remove(self, keys: Set[Hashable]) -> None:
        """Write no more of these rows."""
        for row in self._rows:
            row.gone = row.gone or row.key in keys

    def step(self) -> list[Said]:
        """Write the next token of every row; what was said, in the order in which rows were added."""
        self._clear()
        if self._cache is None:
            return []
        cache, ids = self._rolled(self._cache), self._next[:, None]
        found, self._cache = cache.read(self._step, ids, np.zeros_like(ids))
        logits = found[:, 0]
        totals = log_totals(logits)
        if self._never:
            logits = logits.copy()
            logits[:, self._never] = -np.inf
        spans = self._spans()
        logits = self._with_first(_without_forbidden(logits, spans), totals, spans)
        parents, tokens = np.arange(len(ids)), logits.argmax(axis=1)
        said = self._followed(spans, logits, totals, parents, tokens)
        said += self._chosen(spans, logits, totals, tokens)
        if (parents != np.arange(len(ids))).any():
            self._cache = self._cache.reordered(parents)
        self._next = tokens
        return said

    def _with_first(self, logits: np.ndarray, totals: np.ndarray, spans: _Spans) -> np.ndarray:
        """Logits of which that token is certain which every answer begins with."""
        fresh = [(row, first) for row, first in spans if not (row.beams.running[0].ids if row.beams else row.ids)]
        if self._first is None or not fresh:
            return logits
        places = np.concatenate([np.arange(first, first + row.width) for row, first in fresh])
        logits = logits.copy()
        logits[places] = -np.inf
        logits[places, self._first] = totals[places].reshape(-1)
        return logits

    def _rolled(self, cache: Cache) -> Cache:
        """What was read, of rows that fill what the network sees the last part alone, behind what opens a prompt."""
        if self._opening is None or self._context is None:
            return cache
        lengths, alone = cache.places - cache.starts, [(row, first) for row, first in self._spans() if not row.beams]
        full = [(row, first) for row, first in alone if lengths[first] >= self._context]
        if not full:
            return cache
        kept = self._context // _KEPT
        ids = np.array([[*self._opening, *row.ids[-kept:-1]] for row, _ in full], np.int64)
        _, heads, _, size = cache.past[0].shape
        empty = Cache.empty({}, len(full), len(cache.past) // 2, heads, size)
        _, anew = empty.read(self._step, ids, np.zeros((len(full), 1), np.int64))
        rolled = [first for _, first in full]
        others = np.setdiff1d(np.arange(len(cache)), rolled)
        found = joined([cache.take(others), anew]) if len(others) else anew
        return found.take(np.argsort([*others, *rolled]))

    def _spans(self) -> _Spans:
        """The rows that are written, and the first place of each."""
        firsts = np.cumsum([0, *(row.width for row in self._rows)]).tolist()
        return [(row, first) for row, first in zip(self._rows, firsts, strict=False) if not row.gone]

    def _clear(self, always: bool = False) -> None:
        """Let go of the places of rows that are gone, where that is worth a copy of the others."""
        if self._cache is None:
            return
        living = np.repeat([not row.gone for row in self._rows], [row.width for row in self._rows])
        gone = len(living) - int(living.sum())
        if not gone:
            return
        if not always and gone * _SPARE < len(living):
            self._cache = self._cache.emptied(~living)
            return
        self._rows = [row for row in self._rows if not row.gone]
        kept = np.flatnonzero(living)
        self._cache, self._next = (self._cache.take(kept) if len(kept) else None), self._next[kept]

    def _chosen(self, spans: _Spans, logits: np.ndarray, totals: np.ndarray, tokens: np.ndarray) -> list[Said]:
        """One token for each row without beams; `tokens` has the likeliest ones, and those that are drawn after it."""
        rows = [(row, first) for row, first in spans if row.beams is None]
        if not rows:
            return []
        for row, first in rows:
            if row.decoding.temperature:
                tokens[first] = drawn(logits[first], row.decoding, row.random)
        places = np.array([first for _, first in rows], np.int64)
        scores = (logits[places, tokens[places]] - totals[places]).tolist()
        margins = self._margin(logits, rows)
        found = zip(rows, scores, margins, strict=True)
        return [self._said(row, int(tokens[first]), score, margin) for (row, first), score, margin in found]

    def _margin(self, logits: np.ndarray, rows: _Spans) -> list[float]:
        """By how much the second best token is less likely; what is drawn hangs on the last digit."""
        if not self._margins:
            return [np.inf] * len(rows)
        best = np.partition(logits[[first for _, first in rows]], -2, axis=1)[:, -2:]
        gaps = zip(rows, (best[:, 1] - best[:, 0]).tolist(), strict=True)
        return [0.0 if row.decoding.temperature else gap for (row, _), gap in gaps]

    def _said(self, row: _Row, token: int, score: float, margin: float) -> Said:
        row.ids.append(token)
        kept = self._before_stop(row.ids, row.decoding.stop)
        stopped = token in self._eos or kept >= 0
        row.gone = stopped or len(row.ids) >= row.most
        return Said(row.key, (token,), (score,), "stop" if stopped else "length" if row.gone else "", kept, margin)

    def _before_stop(self, ids: Sequence[int], stop: Sequence[str]) -> int:
        """Characters before the first text that ends an answer; -1 where there is none."""
        if not stop:
            return -1
        window = ids[-_BYTES * (max(map(len, stop)) + 2) :]  # a text that stood further back had ended it before
        if not any(one in self._text(window) for one in stop):
            return -1
        text = self._text(ids)
        return min((place for one in stop if (place := text.find(one)) >= 0), default=-1)

    def _followed(
        self, spans: _Spans, logits: np.ndarray, totals: np.ndarray, parents: np.ndarray, tokens: np.ndarray
    ) -> list[Said]:
        """Beams go on: `parents` and `tokens` say after it of which place each is, and what is read next."""
        said = []
        rows = [(row, first, row.beams) for row, first in spans if row.beams is not None]
        for width in sorted({row.width for row, _, _ in rows}):
            own = [one for one in rows if one[0].width == width]
            places = np.array([first for _, first, _ in own])[:, None] + np.arange(width)
            offsets = np.stack([beams.totals for _, _, beams in own]) - totals[places]
            every = places.size == len(logits)  # then nothing has to be copied
            own_logits = logits.reshape(*places.shape, -1) if every else logits[places]
            best = leading(own_logits, offsets, max(2, 1 + len(self._eos)) * width)
            for (row, first, beams), found in zip(own, zip(*best, strict=True), strict=True):
                last = len(beams.running[0].ids) + 1 >= row.most
                sources, following = beams.advance(*found, self._eos, last)
                if not beams.done:
                    parents[first : first + width] = first + np.array(sources)
                    tokens[first : first + width] = following
                    continue
                row.gone = True
                answer = beams.best
                kept = self._before_stop(answer.ids, row.decoding.stop)
                stopped = answer.ids[-1] in self._eos or kept >= 0
                said.append(
                    Said(row.key, answer.ids, answer.scores, "stop" if stopped else "length", kept, beams.margin)
                )
        return said


def _without_forbidden(logits: np.ndarray, spans: _Spans) -> np.ndarray:
    """Logits of which those are never the best that would write a run of tokens again."""
    rows = [(row, first) for row, first in spans if row.decoding.no_repeat]
    if not rows:
        return logits
    logits = logits.copy()
    for row, first in rows:
        written = [row.ids] if row.beams is None else [one.ids for one in row.beams.running]
        for place, ids in enumerate(written, first):
            logits[place, forbidden(ids, row.decoding.no_repeat)] = -np.inf
    return logits
