"""Few labelled rows: which training methods are tried, and texts made of the names of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.columns import EncodedRows, OutputColumn, Outputs, Targets, dense
from trimtab.data.table import Splits
from trimtab.request.encoder_plan import Chosen
from trimtab.spec import Part, Spec
from trimtab.train import methods
from trimtab.train.fitted_head import FittedHead

# Contrastive learning was ahead up to so many rows of each class where it was published (Tunstall et al. 2022); beyond,
# rows that choose a checkpoint can be spared.
EACH, _MOST = 64, 1000
_ABOUT = "This text is about {}."
_READ, _READ_STEPS = 500, 20_000  # rows without an answer, and their tokens
_LETTERS = 3  # of a name that says something


@dataclass(frozen=True)
class HeldOut:
    """Answers to labelled rows by networks that had not learnt them: by these, confidence is made honest."""

    targets: Targets
    outputs: Outputs


def ways(spec: Spec, output: OutputColumn, chosen: Chosen, splits: Splits) -> tuple[Part, ...]:
    """The training methods that cross-validation is to choose from, the usual one first; none where rows are enough.

    One alone where the spec names it: then its confidence is made honest by cross-validation.
    """
    base, asked = chosen.base, spec.train.training_method
    of_sentences = base is not None and "tokenizer" in base.options and len(chosen.plans) == 1
    if (spec.train.method is not None and asked is None) or not output.one_class or not of_sentences:
        return ()
    if chosen.language_model:  # what it knows of sentences is in what it writes next, not in its states
        return ()
    if asked is not None and not isinstance(methods.made(asked), FittedHead):
        return ()
    rows = len(splits.train) + len(splits.valid)
    if rows > min(_MOST, EACH * output.width):
        return ()
    answers = [dense(output.targets(table.values[output.name])) for table in (splits.train, splits.valid)]
    enough = np.bincount(np.concatenate(answers), minlength=output.width)
    if (enough > 1).sum() < 2:
        return ()
    return (asked,) if asked is not None else (Part(name="contrastive"), Part(name="probe"))


def says_something(name: str) -> bool:
    """Whether a sentence can be made about a class that is called so: not about 0 and 1."""
    return sum(letter.isalpha() for letter in name) >= _LETTERS


def about(output: OutputColumn, columns: Sequence[str]) -> dict[str, list[str | None]]:
    """A text about each class as the values of the inputs; nothing where the names say nothing, such as 0 and 1."""
    if not all(map(says_something, output.classes)):
        return {}
    first, *others = columns
    texts: list[str | None] = [_ABOUT.format(name) for name in output.classes]
    return {first: texts} | {column: [None] * len(texts) for column in others}


def read_rows(rows: EncodedRows, seed: int) -> np.ndarray:
    """Which of the rows without an answer are read: as many as seconds allow, drawn at random, in their order."""
    order = np.random.default_rng(seed).permutation(len(rows))[:_READ]
    return np.sort(order[np.cumsum(rows.steps[order]) <= _READ_STEPS])
