"""Classes: how often they are right, how sure, and how well the scores tell one from the others."""

from __future__ import annotations

import numpy as np

from trimtab.metrics import (
    AnyOf,
    Levels,
    Metric,
    OneOf,
    Statistic,
    Tagged,
    Written,
    _texts,
    among,
    f1,
    mean,
    mean_over,
    share,
    undefined,
)
from trimtab.metrics import _statistics as statistics
from trimtab.metrics._statistics import EPSILON


def _right(answers: OneOf) -> Statistic:
    return mean(answers.chosen == answers.true)


def _right_places(answers: Tagged) -> Statistic:
    return share(answers.right_positions, answers.positions)


def _macro_f1(answers: OneOf) -> Statistic:
    return statistics.macro_f1(answers.true, answers.chosen, len(answers.classes))


def _macro_f1_of_sets(answers: AnyOf) -> Statistic:
    both = answers.is_true & answers.is_chosen
    parts = list(zip(both.T, answers.is_chosen.T, answers.is_true.T, strict=True))
    return mean_over(range(len(answers.classes)), lambda position: f1(*parts[position]))


def _recall(answers: OneOf, position: int) -> Statistic:
    return statistics.recall(answers.true == position, answers.chosen == position)


def _recall_of_sets(answers: AnyOf, position: int) -> Statistic:
    return statistics.recall(answers.is_true[:, position], answers.is_chosen[:, position])


def _auc(answers: OneOf) -> Statistic:
    return statistics.against_the_rest(statistics.auc, answers.true, answers.chances)


def _auc_of_sets(answers: AnyOf) -> Statistic:
    return mean_over(_told(answers), lambda position: _of_known(answers, position, auc=True))


def _average_precision(answers: OneOf) -> Statistic:
    return statistics.against_the_rest(statistics.average_precision, answers.true, answers.chances)


def _average_precision_of_sets(answers: AnyOf) -> Statistic:
    return mean_over(_told(answers), lambda position: _of_known(answers, position, auc=False))


def _told(answers: AnyOf) -> np.ndarray:
    """The classes that some rows have and others, of which it is known, lack."""
    having, known = answers.is_true.sum(axis=0), answers.known.sum(axis=0)
    return np.flatnonzero((having > 0) & (having < known))


def _of_known(answers: AnyOf, position: int, auc: bool) -> Statistic:
    known = answers.known[:, position]
    measure = statistics.auc if auc else statistics.average_precision
    return among(known, measure(answers.chances[known, position], answers.is_true[known, position]))


def _log_loss(answers: OneOf) -> Statistic:
    return mean(-np.log(np.clip(answers.chance_of_true, EPSILON, 1.0)))


def _log_loss_of_sets(answers: AnyOf) -> Statistic:
    chances = np.clip(np.asarray(answers.chances, np.float64), EPSILON, 1 - EPSILON)
    losses = np.where(answers.known, -np.log(np.where(answers.is_true, chances, 1 - chances)), 0.0)
    return share(losses, answers.known)


def _log_loss_of_places(answers: Tagged) -> Statistic:
    return undefined if answers.losses is None else share(answers.losses, answers.positions)


def _micro_f1(answers: AnyOf) -> Statistic:
    return f1(answers.is_true & answers.is_chosen, answers.is_chosen, answers.is_true)


def _all_flags_right(answers: AnyOf) -> Statistic:
    right = np.asarray((answers.is_true == answers.is_chosen) | ~answers.known)
    measured = np.asarray(answers.known.any(axis=1))
    return share(np.asarray(right.all(axis=1) & measured), measured)


def _all_places_right(answers: Tagged) -> Statistic:
    return mean(answers.right_positions == answers.positions)


def _same_text(answers: Written) -> Statistic:
    return undefined if answers.given is None else mean(_texts.alike(answers.given, answers.true))


def _calibration_error(answers: OneOf) -> Statistic:
    return statistics.calibration_error(answers.confidence, answers.chosen == answers.true)


def _quadratic_kappa(answers: Levels) -> Statistic:
    return statistics.quadratic_kappa(answers.true, answers.chosen, len(answers.classes))


METRICS = (
    Metric(
        "accuracy", "Accuracy", "share of right answers", "higher", of={OneOf: _right, Tagged: _right_places},
        share=True, selects=True, of_rows=True, tile=True,
        gain="The network makes {gone:.0%} fewer mistakes than {name}.",
    ),
    Metric(
        "average_precision", "Average precision",
        "area under the precision-recall curve; the mean over the classes for more than two", "higher",
        of={OneOf: _average_precision, AnyOf: _average_precision_of_sets}, share=True, selects=True, tile=True,
    ),
    Metric(
        "macro_f1", "Macro F1", "mean over the classes of the harmonic mean of precision and recall", "higher",
        of={OneOf: _macro_f1, AnyOf: _macro_f1_of_sets}, share=True, selects=True, tile=True,
    ),
    Metric(
        "micro_f1", "Micro F1", "harmonic mean of precision and recall over all labels of all rows", "higher",
        of={AnyOf: _micro_f1}, share=True, selects=True, tile=True,
    ),
    Metric(
        "recall", "Recall", "share of one class's rows that are found", "higher",
        of_parts={OneOf: _recall, AnyOf: _recall_of_sets}, share=True,
    ),
    Metric(
        "auc", "AUC", "chance that a row of the class scores above a row that is not; the mean of one against the rest "
        "for more than two classes", "higher", of={OneOf: _auc, AnyOf: _auc_of_sets}, share=True, selects=True,
    ),
    Metric(
        "exact_match", "Exact match", "share of rows of which every label, every tag, or the whole text but for white "
        "space, is right", "higher", of={AnyOf: _all_flags_right, Tagged: _all_places_right, Written: _same_text},
        share=True, selects=True, of_rows=True,
    ),
    Metric(
        "quadratic_kappa", "Quadratic kappa", "agreement beyond chance (Cohen's kappa, quadratic weights); far misses "
        "weigh more", "higher", of={Levels: _quadratic_kappa}, selects=True, tile=True,
    ),
    Metric(
        "log_loss", "Log loss", "cost of confidence in wrong answers: mean negative log-likelihood, in nats; lower is "
        "better", "lower", of={OneOf: _log_loss, AnyOf: _log_loss_of_sets, Tagged: _log_loss_of_places}, selects=True,
    ),
    Metric(
        "calibration_error", "Calibration error", "mean gap between confidence and accuracy (expected calibration "
        "error); lower is better", "lower", of={OneOf: _calibration_error}, share=True, resamples=False,
    ),
)  # fmt: skip
