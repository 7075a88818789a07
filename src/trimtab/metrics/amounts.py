"""Numbers: how far the answers lie off, in the user's units; of several the mean, and each; of pictures the levels."""

from __future__ import annotations

import numpy as np

from trimtab.metrics import Amounts, Drawn, Levels, Metric, SeveralAmounts, Statistic, among, mean, mean_over
from trimtab.metrics._pictures import of_pictures
from trimtab.metrics._statistics import r2, root_mean


def _rmse(answers: Amounts) -> Statistic:
    return root_mean(answers.residuals**2)


def _mae(answers: Amounts) -> Statistic:
    return mean(np.abs(answers.residuals))


def _r2(answers: Amounts) -> Statistic:
    return r2(np.asarray(answers.true, np.float64), answers.residuals**2)


def _distance(answers: Levels) -> Statistic:
    return mean(np.abs(answers.units[answers.chosen] - answers.units[answers.true]))


def _pixels(answers: Drawn) -> Statistic:
    return mean(of_pictures(answers, lambda true, drawn: np.abs(drawn - true).mean(axis=(1, 2, 3))))


def _rmse_of_one(answers: SeveralAmounts, position: int) -> Statistic:
    rows, own = answers.one(position)
    return among(rows, _rmse(own))


def _mae_of_one(answers: SeveralAmounts, position: int) -> Statistic:
    rows, own = answers.one(position)
    return among(rows, _mae(own))


def _r2_of_one(answers: SeveralAmounts, position: int) -> Statistic:
    rows, own = answers.one(position)
    return among(rows, _r2(own))


def _mean_rmse(answers: SeveralAmounts) -> Statistic:
    return mean_over(_known(answers), lambda position: _rmse_of_one(answers, position))


def _mean_mae(answers: SeveralAmounts) -> Statistic:
    return mean_over(_known(answers), lambda position: _mae_of_one(answers, position))


def _mean_r2(answers: SeveralAmounts) -> Statistic:
    return mean_over(_known(answers), lambda position: _r2_of_one(answers, position))


def _known(answers: SeveralAmounts) -> np.ndarray:
    """The numbers that some row has."""
    return np.flatnonzero(~np.isnan(answers.true).all(axis=0))


METRICS = (
    Metric(
        "rmse", "RMSE", "root of the mean squared error", "lower", of={Amounts: _rmse, SeveralAmounts: _mean_rmse},
        of_parts={SeveralAmounts: _rmse_of_one}, selects=True,
    ),
    Metric(
        "mae", "MAE", "mean size of the error", "lower",
        of={Amounts: _mae, SeveralAmounts: _mean_mae, Levels: _distance, Drawn: _pixels},
        of_parts={SeveralAmounts: _mae_of_one}, selects=True, tile=True,
    ),
    Metric(
        "r2", "R²", "share of the variance that is explained", "higher", of={Amounts: _r2, SeveralAmounts: _mean_r2},
        of_parts={SeveralAmounts: _r2_of_one}, selects=True, tile=True,
        gain="The network makes {gone:.0%} less squared error than {name}.",
    ),
)  # fmt: skip
