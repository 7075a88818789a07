"""What a language model reads of a row: the ids of its columns between ids that are the same for all rows.

Before a row may stand others with their answers (few-shot prompts, Brown et al. 2020, arXiv:2005.14165): those that are
most alike by the words that they share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from pydantic import Field

from trimtab import part_options

Ids = tuple[int, ...]


class Example(part_options.Options):
    """A row with its answer, as it stands before others."""

    asked: Ids = Field(description="tokens up to where the answer begins")
    answer: Ids = Field(description="tokens of the answer")


class Prompt(part_options.Options):
    """How a prompt is made of the token ids of a row's columns."""

    opening: Ids = Field((), description="tokens before everything else")
    pieces: tuple[str | Ids, ...] = Field(
        description="of a row: tokens, and keys of columns, up to where it is answered"
    )
    between: Ids = Field((), description="tokens behind the answer of an example")
    longest: int | None = Field(
        None, ge=1, description="most tokens of a prompt; examples that do not fit are left out. None: any number"
    )
    examples: tuple[Example, ...] = Field((), description="rows of which the most alike stand before a row")
    most: int = Field(0, ge=0, description="most examples before a row")

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that are read."""
        return tuple(piece for piece in self.pieces if isinstance(piece, str))

    def asked(self, columns: Mapping[str, Sequence[int]]) -> list[int]:
        """A row alone, of the ids of its columns, up to where it is answered."""
        return [token for piece in self.pieces for token in (columns[piece] if isinstance(piece, str) else piece)]

    def of(self, columns: Mapping[str, Sequence[int]]) -> list[int]:
        """The whole prompt of a row; the most alike example stands last. A row that is too long loses its beginning."""
        own = self.asked(columns)
        left = math.inf if self.longest is None else self.longest - len(self.opening) - len(own)
        before: list[list[int]] = []
        for one in self._alike(own):
            example = self.examples[one]
            shown = [*example.asked, *example.answer, *self.between]
            if len(shown) <= left:
                before.insert(0, shown)
                left -= len(shown)
        return [*self.opening, *(token for shown in before for token in shown), *own[int(max(0, -left)) :]]

    def _alike(self, own: Sequence[int]) -> list[int]:
        """The most alike examples, the best first. A row is no example of itself: its answer would be given away."""
        if not self.most:
            return []
        scores = np.zeros(len(self.examples))
        for token in set(own) & self._known.keys():
            rows, weight = self._known[token]
            scores[rows] += weight
        order = np.argsort(-scores / self._norms, kind="stable").tolist()
        return [one for one in order if list(self.examples[one].asked) != list(own)][: self.most]

    @cached_property
    def _known(self) -> dict[int, tuple[np.ndarray, float]]:
        """Token -> the examples that hold it, and the square of its inverse document frequency."""
        found: dict[int, list[int]] = {}
        for row, example in enumerate(self.examples):
            for token in set(example.asked):
                found.setdefault(token, []).append(row)
        return {
            token: (np.array(rows), float(np.log((1 + len(self.examples)) / (1 + len(rows))) ** 2))
            for token, rows in found.items()
        }

    @cached_property
    def _norms(self) -> np.ndarray:
        """The length of each example's vector of tf-idf, of tokens that are there or not: (examples,)."""
        squares = np.zeros(len(self.examples))
        for rows, weight in self._known.values():
            squares[rows] += weight
        return np.sqrt(np.maximum(squares, 1e-12))
