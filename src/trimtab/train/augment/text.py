"""Text: typing errors, words left out, words that change places.

The raw text is changed and encoded again, so that the network sees the tokens that such a text would have when served.
The operations on words are two of the four of Wei and Zou 2019 (arXiv:1901.11196); nothing is put in that was not said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from trimtab import part_options
from trimtab.columns import InputColumn, OutputColumn
from trimtab.spec import Choice
from trimtab.train.augment import InputAugment, Mix
from trimtab.values import parse
from trimtab.values.typing_errors import WORDS, mistyped

_SHOWN = 200  # characters


class Options(part_options.Options):
    """What may be set under `augment` of a text."""

    typos: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Chance of each word of four letters or more to be mistyped: a key beside, two letters twisted, "
        "one left out or typed twice.",
    )
    delete: float = Field(0.0, ge=0, le=0.9, description="Chance of each word to be left out; one always stays.")
    swap: float = Field(0.0, ge=0, le=1, description="Chance of each word to change places with the next one.")


@dataclass(frozen=True)
class TextAugment(InputAugment):
    """The column's tensors of texts with other words."""

    column: InputColumn
    values: Sequence[Any]
    chosen: Options

    @classmethod
    def automatic(cls, column: InputColumn) -> Choice:
        """Nothing: one word (`not`) or one letter of a code can be what the answer hangs on."""
        return Choice({}, "")

    @classmethod
    def make(cls, column: InputColumn, values: Sequence[Any], options_: Mapping[str, Any], where: str) -> Self:
        """See `InputAugment.make`."""
        return cls(column, values, part_options.check(Options, where, options_))

    def refuses(self, output: OutputColumn, inputs: int) -> str | None:
        """Words must keep their places where each of them is answered."""
        if output.per_position and (self.chosen.delete or self.chosen.swap):
            return f"delete and swap move words, but {output.type!r} answers each word at its place"
        return None

    def __call__(
        self, tensors: Mapping[str, Tensor], rows: np.ndarray, random: np.random.Generator
    ) -> tuple[dict[str, Tensor], Mix | None]:
        """See `InputAugment`."""
        device = next(iter(tensors.values())).device
        encoded = self.column.encode([self._varied(self.values[row], random) for row in rows])
        batch = self.column.batch(encoded, np.arange(len(rows)))
        return {key: torch.from_numpy(value).to(device) for key, value in batch.items()}, None

    def texts(self, rows: np.ndarray, random: np.random.Generator | None) -> list[str] | None:
        """See `InputAugment`; cut to what a card has room for."""
        plain = [self.values[row] for row in rows]
        shown = [self._varied(value, random) for value in plain] if random else plain
        lines = []
        for value in shown:
            words = map(str, value) if isinstance(value, (list, tuple)) else parse.text(value).split()
            lines.append(" ".join(words)[:_SHOWN])
        return lines

    def _varied(self, value: Any, random: np.random.Generator) -> Any:
        """A text, or a list of words, with other words."""
        if isinstance(value, (list, tuple)):
            return [self._mistyped(str(word), random) for word in value]
        pieces = cast("list[str]", WORDS.findall(parse.text(value)))
        positions = [position for position, piece in enumerate(pieces) if not piece.isspace()]
        self._swap(pieces, positions, random)
        for position in positions:
            pieces[position] = self._mistyped(pieces[position], random)
        return "".join(self._thinned(pieces, positions, random))

    def _swap(self, pieces: list[str], positions: Sequence[int], random: np.random.Generator) -> None:
        swapped = random.random(max(0, len(positions) - 1)) < self.chosen.swap
        for one, other in [(positions[i], positions[i + 1]) for i in np.flatnonzero(swapped).tolist()]:
            pieces[one], pieces[other] = pieces[other], pieces[one]

    def _mistyped(self, word: str, random: np.random.Generator) -> str:
        return word if random.random() >= self.chosen.typos else mistyped(word, random)

    def _thinned(self, pieces: list[str], positions: Sequence[int], random: np.random.Generator) -> list[str]:
        """Without the words that are left out and the white space behind them."""
        gone = random.random(len(positions)) < self.chosen.delete
        if gone.all() and len(positions):
            gone[random.integers(len(positions))] = False
        left_out = {position for position, out in zip(positions, gone, strict=True) if out}
        spaces = {
            position + 1 for position in left_out if position + 1 < len(pieces) and pieces[position + 1].isspace()
        }
        return [piece for position, piece in enumerate(pieces) if position not in left_out | spaces]
