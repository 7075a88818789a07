"""How training rows are varied before the network sees them.

One file per input type; the folder is the registry: `augment/image.py` holds `ImageAugment` and its `Options`. Training
rows alone are varied, anew in every step. What is drawn depends on the seed, the step and the part of the batch and on
nothing else, so that a run that was stopped goes on with the same numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from trimtab import registry
from trimtab.columns import EncodedRows, InputColumn, OutputColumn
from trimtab.errors import TrimtabError, problem, several
from trimtab.spec import Choice, Typed

SHOWN_ROWS = 5
VARIANTS = 5  # of each row that is shown


@dataclass(frozen=True)
class Mix:
    """Rows of a batch of which each was mixed with another one of the batch."""

    partner: Tensor  # (rows,) int64: the other row
    share: Tensor  # (rows,) float32, 0 to 1: how much a row is still itself

    def of(self, own: Tensor, others: Tensor) -> Tensor:
        """The losses with each row's own targets and with its partner's, both (rows,), weighed by the shares."""
        return self.share * own + (1 - self.share) * others


class InputAugment(ABC):
    """How the rows of one input are varied. Frozen dataclasses derive from it."""

    @classmethod
    @abstractmethod
    def automatic(cls, column: InputColumn) -> Choice:
        """The options where the user names none, and why; no options where such values are left as they are."""

    @classmethod
    @abstractmethod
    def make(cls, column: InputColumn, values: Sequence[Any], options: Mapping[str, Any], where: str) -> Self:
        """From the raw values of the training rows and checked options. Raises TrimtabError with every bad option."""

    def refuses(self, output: OutputColumn, inputs: int) -> str | None:
        """Why these options make no sense for this output, or beside as many other inputs; None when they do."""
        return None

    @abstractmethod
    def __call__(
        self, tensors: Mapping[str, Tensor], rows: np.ndarray, random: np.random.Generator
    ) -> tuple[dict[str, Tensor], Mix | None]:
        """The input's tensors of a batch, varied, and how its rows were mixed.

        `rows` (rows,) are the batch's row numbers among the training rows.
        """

    def pictures(self, tensors: Mapping[str, Tensor]) -> np.ndarray | None:
        """The tensors as people can look at them, (rows, height, width, 3) uint8; None where there is no picture."""
        return None

    def texts(self, rows: np.ndarray, random: np.random.Generator | None) -> list[str] | None:
        """The given rows as text, varied as `__call__` does if there is `random`; None where there is no text."""
        return None


@dataclass(frozen=True)
class Sheet:
    """Some training rows, each as it is and as the network sees it: for the card."""

    evidence: dict[str, Any]  # plain JSON: the options of each input, and varied texts
    pictures: tuple[np.ndarray, ...]  # of each input that has some: (rows, 1 + variants, height, width, 3) uint8


@dataclass(frozen=True)
class Augmentation:
    """How all inputs of the training rows are varied."""

    parts: Mapping[str, InputAugment]  # by the input's name
    options: Mapping[str, Mapping[str, Any]]
    seed: int

    def __call__(
        self, tensors: Mapping[str, Tensor], rows: np.ndarray, step: int, part: int
    ) -> tuple[dict[str, Tensor], Mix | None]:
        """The tensors of a batch, varied: the same ones for the same step and the same part of the step's batches."""
        varied, mix = dict(tensors), None
        for position, one in enumerate(self.parts.values()):
            changed, mixed = one(varied, rows, self._random(step, part, position))
            varied |= changed
            mix = mixed or mix
        return varied, mix

    def _random(self, step: int, part: int, position: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, step, part, position])

    def sheet(self, rows: EncodedRows) -> Sheet:
        """A few of the training rows, spread over all of them, and what the first steps would make of them."""
        picked = np.unique(np.linspace(0, len(rows) - 1, SHOWN_ROWS).astype(np.int64))
        plain = {key: torch.from_numpy(value) for key, value in rows.batch(picked).items()}
        varied = [self(plain, picked, step, 0)[0] for step in range(VARIANTS)]
        columns = [[one.pictures(tensors) for tensors in (plain, *varied)] for one in self.parts.values()]
        drawn = [[found for found in column if found is not None] for column in columns]
        return Sheet(
            {"options": {name: dict(options) for name, options in self.options.items()}, "texts": self._texts(picked)},
            tuple(np.stack(column, axis=1) for column in drawn if column),
        )

    def _texts(self, rows: np.ndarray) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for position, (name, one) in enumerate(self.parts.items()):
            plain = one.texts(rows, None)
            varied = [one.texts(rows, self._random(step, 0, position)) for step in range(VARIANTS)]
            for number, text in enumerate(plain or ()):
                variants = [texts[number] for texts in varied if texts]
                found.append({"input": name, "as it is": text, "varied": variants})
        return found


def choose(
    kinds: Mapping[str, Typed],
    inputs: Sequence[InputColumn],
    values: Mapping[str, Sequence[Any]],
    output: OutputColumn,
    frozen: Collection[str],
    seed: int,
) -> tuple[Augmentation | None, dict[str, Choice]]:
    """What the spec's `augment` of each input asks for.

    `values` are the raw training rows, `frozen` the inputs whose features are computed once. Returns None where nothing
    is varied, and by spec key the choices that were made. Raises TrimtabError with the problems of all inputs.
    """
    parts: dict[str, InputAugment] = {}
    chosen: dict[str, Mapping[str, Any]] = {}
    made: dict[str, Choice] = {}
    errors: list[TrimtabError] = []
    for column in inputs:
        where = f"inputs.{column.name}.augment"
        try:
            choice = _options(kinds[column.name], column, column.name in frozen, output.aligned, where)
            if choice.reason:
                made[where] = choice
            if output.aligned and isinstance(choice.value, Mapping) and choice.value:
                raise problem(where, "what is answered lies where the input lies: it would not be varied with it",
                              do="leave it out")  # fmt: skip
            if isinstance(choice.value, Mapping) and choice.value:
                found = _kind(column.type, where).make(column, values[column.name], choice.value, where)
                if reason := found.refuses(output, len(inputs)):
                    raise problem(where, reason, do="leave it out")
                parts[column.name], chosen[column.name] = found, choice.value
        except TrimtabError as error:
            errors.append(error)
    if errors:
        raise several(errors)
    return (Augmentation(parts, chosen, seed) if parts else None), made


def _options(kind: Typed, column: InputColumn, frozen: bool, aligned: bool, where: str) -> Choice:
    """The options of one input; with a reason where they are not the user's own."""
    if kind.augment == "none":
        return Choice("none", "")
    if kind.augment != "auto":
        if frozen and kind.augment:
            found = "train.method is frozen: the features of every row are computed once, before training"
            raise problem(where, found, do="train.method: full, or leave augment out")
        return Choice(kind.augment, "")
    if column.type not in registry.names(__name__):
        return Choice("none", "")
    choice: Choice = _kind(column.type, where).automatic(column)
    if not choice.value:
        return Choice("none", "")
    if aligned:
        return Choice("none", "what is answered lies where the input lies, and would not move with it")
    if frozen:
        return Choice("none", "method frozen computes the features of every row once, before training")
    return choice


def _kind(type_name: str, where: str) -> type[InputAugment]:
    known = registry.names(__name__)
    if type_name not in known:
        raise problem(where, f"a column of type {type_name!r} cannot be varied", ", ".join(known))
    found: type[InputAugment] = registry.load(__name__, type_name, f"{registry.camel(type_name)}Augment", where)
    return found
