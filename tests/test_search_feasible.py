"""The largest cut that meets the gates on cost: found by few measurements, whatever the predictions are worth.

Measurements are made up, so that nothing here depends on how quick a machine is.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.audit import quick
from trimtab.compress import predict
from trimtab.compress.quantize import PRECISIONS
from trimtab.search.feasible import first_that_fits, load
from trimtab.spec import parse_gates

few = settings(max_examples=100, derandomize=True, deadline=None, database=None)


class Ladder:
    """Networks whose loads fall, and a prediction that is off by a factor until one of them was measured."""

    def __init__(self, loads: list[float], off: float) -> None:
        self.loads, self.off, self.measured = loads, off, list[int]()

    def measure(self, at: int) -> float:
        self.measured.append(at)
        self.off = 1.0
        return self.loads[at]

    def guess(self, dear: int, fits: int) -> int:
        predicted = (at for at in range(dear + 1, fits) if self.off * self.loads[at] <= 1)
        return next(predicted, fits)


loads = st.lists(st.floats(0.1, 4), min_size=1, max_size=20).map(lambda found: sorted(found, reverse=True))


@few
@given(loads, st.floats(0.3, 3))
def test_the_largest_that_fits_is_found_although_the_first_prediction_is_wrong(found: list[float], off: float) -> None:
    ladder = Ladder(found, off)
    at = first_that_fits(len(found), ladder.guess, ladder.measure)
    assert at == next((at for at, one in enumerate(found) if one <= 1), None)
    most = len(found) if at is None else 4
    assert len(ladder.measured) <= most
    assert (at in ladder.measured) == (at is not None)


@few
@given(loads, st.randoms(use_true_random=False))
def test_what_is_taken_was_measured_to_fit_whatever_is_predicted(found: list[float], draw) -> None:
    ladder = Ladder(found, 1.0)
    at = first_that_fits(len(found), lambda dear, fits: draw.randint(0, len(found) + 2), ladder.measure)
    assert len(set(ladder.measured)) == len(ladder.measured)
    taken = len(found) - 1 if at is None else at
    assert taken in ladder.measured
    assert (found[taken] <= 1) == (at is not None)


def test_a_load_is_that_of_the_tightest_gate_and_leaves_room_for_what_a_hurry_may_be_wrong_by() -> None:
    gates = parse_gates({"size": "<= 8 MB", "latency": "<= 2 ms", "throughput": ">= 1000 rows/s", "drop": "<= 1%"})
    assert load(gates, {"size": 8.0}) == 1.0
    assert load(gates, {"size": 4.0, "latency": 1.84}) == pytest.approx(1.0)
    assert load(gates, {"size": 4.0, "latency": 0.1, "throughput": 500.0}) == pytest.approx(2 / 0.88)
    assert load(gates, {"drop": 1.0}) == 0.0
    assert load(parse_gates({"size": "<= 0 MB"}), {"size": 1.0}) == float("inf")


def test_the_bytes_of_every_precision_are_known() -> None:
    assert set(predict._STORED) == {"none", *PRECISIONS}


# ---------------------------------------------------------------------------------------------------- measurements


def rounds(*taken: list[float]):
    """Measures these times, a round each call, and the last of them ever after."""
    left = list(taken)
    return lambda: np.array(left.pop(0) if len(left) > 1 else left[0])


def test_of_repeated_calls_the_quickest_count() -> None:
    least, spread = quick.quickest(rounds([4.0, 9.0, 5.0], [8.0, 4.0, 5.0], [4.0, 4.0, 5.0]), seconds=60)
    assert least.tolist() == [4.0, 4.0, 5.0]
    assert spread == pytest.approx(0.25)


def test_measurements_are_repeated_until_another_round_changes_nothing() -> None:
    made = []

    def measure() -> np.ndarray:
        made.append(8.0 / 2 ** min(len(made), 3))
        return np.array([made[-1]])

    least, spread = quick.quickest(measure, seconds=60)
    assert made == [8.0, 4.0, 2.0, 1.0, 1.0]
    assert least.tolist() == [1.0]
    assert spread == 7.0


def test_two_rounds_are_made_even_without_time() -> None:
    made = []
    quick.quickest(lambda: made.append(1.0) or np.array([1.0 / len(made)]), seconds=0)
    assert len(made) == 2


def test_the_share_of_the_cores_is_a_share() -> None:
    assert 0 < quick.share(2, seconds=0.02) <= 1
