"""95% intervals hold the truth in about 95% of cases, also those of what is biased: `benchmarks/intervals.py`."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from benchmarks.intervals import CASES, Case, classes, held, truths

from trimtab.audit import quality
from trimtab.metrics import SumOfSizes, statistic


def share_held(case: Case, rows: int, draws: int, truth: dict[str, float]) -> dict[str, tuple[float, float]]:
    return {name: (share, having) for name, share, having in held(case, truth, rows, draws, seed=7)}


def gap(sure: float) -> Case:
    """Classes that are so many times too sure, of which the calibration error alone is measured."""
    return Case(partial(classes, count=3, sure=sure), ("calibration_error",))


@pytest.mark.parametrize(("sure", "truth"), [(1.0, 0.0005), (1.5, 0.0829)])
def test_intervals_of_the_calibration_error_hold_it_though_the_value_is_too_large(sure: float, truth: float) -> None:
    found = share_held(gap(sure), 150, 60, {"calibration_error": truth})
    assert found["calibration_error"][1] == 1.0
    assert found["calibration_error"][0] >= 0.88
    values = [
        float(statistic(gap(sure).drawn(np.random.default_rng(seed), 150), "calibration_error")(np.ones((150, 1)))[0])
        for seed in range(60)
    ]
    assert np.mean(values) > truth + 0.02


def test_the_truths_that_are_used_are_those_of_very_many_rows() -> None:
    assert truths(gap(1.5), 7)["calibration_error"] == pytest.approx(0.0829, abs=0.001)


def test_rows_that_count_twice_are_as_rows_that_come_twice() -> None:
    """Their error is the same; of users with all their rows twice the interval is too."""
    some = classes(np.random.default_rng(3), 300, sure=2.5)
    sizes = statistic(some, "calibration_error")
    assert isinstance(sizes, SumOfSizes)
    weights = np.random.default_rng(4).integers(1, 3, 300).astype(np.float64)
    ones = np.ones((300, 1))
    assert sizes.weighed(weights)(ones) == pytest.approx(sizes(weights[:, None]))
    assert np.abs(sizes.parts(ones)).sum() == pytest.approx(sizes(ones)[0])
    assert sizes.shares(ones).sum() == pytest.approx(1.0)
    whole = quality.intervals({"calibration_error": lambda: sizes}, 300, 1, 7, 300)["calibration_error"]
    twice = SumOfSizes(np.repeat(sizes.signed, 2, 1), np.repeat(sizes.member, 2, 1), np.ones(600))
    users = np.repeat(np.arange(300), 2).tolist()
    again = quality.intervals({"calibration_error": lambda: twice}, 600, 1, 7, 300, users)["calibration_error"]
    assert (again.value, again.low, again.high) == pytest.approx((whole.value, whole.low, whole.high), abs=1e-9)
    apart = quality.intervals({"calibration_error": lambda: twice}, 600, 1, 7, 300)["calibration_error"]
    assert apart.high - apart.low < whole.high - whole.low


@pytest.mark.slow
@pytest.mark.parametrize("title", CASES)
def test_intervals_hold_the_truth(title: str) -> None:
    """Of 200 draws the share itself is known to 3 points; errors with long tails are known to be a little short."""
    found = share_held(CASES[title], 200, 200, truths(CASES[title], 7))
    assert {name: share for name, (share, _) in found.items() if not 0.89 <= share <= 0.995} == {}
    assert min(having for _, having in found.values()) > 0.95
