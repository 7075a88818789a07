"""What training methods share whose head is a logistic regression on the vectors of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
from pydantic import Field

from trimtab import columns
from trimtab.columns import EncodedRows, OutputColumn, dense
from trimtab.train import frozen, logistic
from trimtab.train.batches import Rows
from trimtab.train.frozen import Vectors
from trimtab.train.logistic import Regression
from trimtab.train.method import Method, Run

_ROUNDS = 3  # of self-training: each time more rows are believed
_BELIEVED = 0.3  # what a row counts whose answer is the head's own, beside 1 of a labelled row
_NAMED = 2.0  # what the name of a class counts


@dataclass(frozen=True)
class Known:
    """What a head is fitted to: vectors of labelled rows, of rows without an answer, of the names of classes."""

    vectors: np.ndarray  # (rows, width)
    targets: np.ndarray  # (rows,)
    classes: int
    weights: np.ndarray | None = None  # (rows,)
    balanced: bool = False
    unlabelled: np.ndarray | None = None  # (rows, width)
    names: np.ndarray | None = None  # (classes, width)

    def of(self, rows: np.ndarray) -> Known:
        """The same with some of the labelled rows."""
        weights = None if self.weights is None else self.weights[rows]
        own = (self.vectors[rows], self.targets[rows])
        return Known(*own, self.classes, weights, self.balanced, self.unlabelled, self.names)


class FittedHead(Method):
    """The head is fitted when the network is scored, and its last weights are taken."""

    keeps_last: ClassVar[bool] = True
    scored_last: ClassVar[bool] = True
    shared: ClassVar[bool] = False  # few rows, which meet each other in a batch
    strength: float = Field(1.0, gt=0, description="Inverse of the regression's L2 penalty, on vectors of length 1.")
    class_names: bool = Field(False, description="Whether a sentence about each class's name counts as two rows.")
    self_training: float = Field(
        0.0, ge=0, le=1, description="Share of the `unlabelled` rows whose own answers are learnt too, the surest ones."
    )

    def refuses(self, output: OutputColumn, encoders: int) -> str | None:
        """See `Method.refuses`."""
        if not output.one_class:
            return f"the output is of type {columns.word(output.type)}: it learns one class of several"
        if encoders > 1:
            return f"{encoders} encoders read the inputs: it learns from the vectors of one (one reads several texts)"
        return None

    def before_scoring(self, run: Run) -> float | None:
        """Fit the head to the vectors that the encoder gives now; the mean log loss of the labelled rows."""
        data = run.data
        known = Known(
            _vectors(run, data.train),
            dense(data.train_targets),
            data.output.width,
            data.weights,
            run.settings.class_weights == "balanced",
            _vectors(run, data.unlabelled) if self.self_training and data.unlabelled is not None else None,
            _vectors(run, data.names) if self.class_names and data.names is not None else None,
        )
        found = fitted(known, self.strength, self.class_names, self.self_training)
        logistic.put_in(run.network, found)
        return found.loss


def fitted(known: Known, strength: float = 1.0, class_names: bool = False, self_training: float = 0.0) -> Regression:
    """The regression of the labelled rows; with the names of the classes and rows that it answers itself, if asked.

    Self-training (Scudder 1965; Yarowsky 1995): the rows that it is surest of, as many of each class, join the labelled
    ones, in each round more of them.
    """
    vectors, targets = known.vectors, known.targets
    weights = np.ones(len(targets)) if known.weights is None else known.weights.astype(np.float64)
    if class_names and known.names is not None:
        vectors = np.concatenate([vectors, known.names])
        targets = np.concatenate([targets, np.arange(known.classes)])
        weights = np.concatenate([weights, np.full(known.classes, _NAMED)])
    found = logistic.fit(vectors, targets, known.classes, strength, known.balanced, weights)
    more = known.unlabelled
    if not self_training or more is None or not len(more):
        return found
    for number in range(_ROUNDS):
        rows, answers = surest(found.logits(more), self_training * (number + 1) / _ROUNDS)
        found = logistic.fit(
            np.concatenate([vectors, more[rows]]),
            np.concatenate([targets, answers]),
            known.classes,
            strength,
            known.balanced,
            np.concatenate([weights, np.full(len(rows), _BELIEVED)]),
        )
    return found


def surest(logits: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The rows with the clearest answers, as many of each class at most, `share` of all; and these answers."""
    answers = logits.argmax(1)
    sure = -np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1))  # log probability of the answer
    each = max(1, int(len(logits) * share / logits.shape[1]))
    members = (np.flatnonzero(answers == one) for one in range(logits.shape[1]))
    rows = np.concatenate([own[np.argsort(-sure[own], kind="stable")[:each]] for own in members])
    return rows, answers[rows]


def _vectors(run: Run, rows: Rows) -> np.ndarray:
    if isinstance(rows, Vectors):
        return rows.values
    budget = run.settings.batch_tokens * 2
    return frozen.vectors(run.network, cast(EncodedRows, rows), budget, run.devices.device).values
