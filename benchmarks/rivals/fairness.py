"""fairlearn on answers that are there: `python -m benchmarks.rivals.fairness ANSWERS.csv SEED`.

Its gaps of the test rows' answers, with percentiles of rows drawn again; and its ThresholdOptimizer, fitted to the
scores of the validation rows, on the test rows.
"""

from __future__ import annotations

import sys
from pathlib import Path

import fairlearn
import numpy as np
import pandas
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.base import BaseEstimator

from benchmarks.measure import answer_with

GAPS = {"equalized_odds_gap": equalized_odds_difference, "demographic_parity_gap": demographic_parity_difference}
RESAMPLES = 100


class Scores(BaseEstimator):
    """An estimator whose only input is its score."""

    def fit(self, rows: np.ndarray, true: np.ndarray) -> Scores:
        """Nothing is learnt."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """The scores."""
        return np.asarray(rows).reshape(-1)


def main(answers: str, seed: str) -> None:
    """Print the gaps, their intervals, and what ThresholdOptimizer makes of the same scores."""
    table = pandas.read_csv(Path(answers))
    valid, test = (table[table.part == part] for part in ("valid", "test"))
    found = {"gaps": gaps(test, int(seed)), "fairlearn": fairlearn.__version__}
    optimizer = ThresholdOptimizer(
        estimator=Scores(), constraints="equalized_odds", objective="accuracy_score", prefit=True,
        predict_method="predict",
    )  # fmt: skip
    optimizer.fit(valid[["score"]].to_numpy(), valid.true, sensitive_features=valid.group)
    made = optimizer.predict(test[["score"]].to_numpy(), sensitive_features=test.group, random_state=int(seed))
    own = test.assign(answer=np.asarray(made))
    answer_with({**found, "threshold_optimizer": {"accuracy": float((own.answer == own.true).mean()), **values(own)}})


def values(table: pandas.DataFrame) -> dict[str, float]:
    """Each gap of the table's answers."""
    return {name: float(gap(table.true, table.answer, sensitive_features=table.group)) for name, gap in GAPS.items()}


def gaps(table: pandas.DataFrame, seed: int) -> dict[str, list[float]]:
    """Each gap, and the 2.5% and 97.5% quantiles of it among rows drawn again."""
    random = np.random.default_rng(seed)
    drawn = [values(table.iloc[random.integers(0, len(table), len(table))]) for _ in range(RESAMPLES)]
    ends = {name: np.quantile([one[name] for one in drawn], [0.025, 0.975]).tolist() for name in GAPS}
    return {name: [value, *ends[name]] for name, value in values(table).items()}


if __name__ == "__main__":
    main(*sys.argv[1:])
