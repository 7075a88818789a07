"""The splits of MovieLens-100k that every contestant is given."""

from collections import Counter

import pytest
from benchmarks.movielens import Event, in_order, leave_one_out, part


def test_events_of_one_second_stay_in_the_order_of_the_file() -> None:
    found = [Event("10", "a", 5, 7), Event("2", "b", 5, 9), Event("2", "c", 5, 3), Event("2", "d", 5, 3)]
    assert [event.item for event in in_order(found)] == ["c", "d", "b", "a"]


@pytest.mark.parametrize(
    ("users", "splits"),
    [
        ("1111", "train train valid test"),
        ("111223", "train valid test valid test test"),
        ("", ""),
    ],
)
def test_the_last_event_of_a_user_is_a_test_row_and_the_one_before_it_a_validation_row(users: str, splits: str) -> None:
    assert leave_one_out(list(users)) == splits.split()


def test_a_tenth_of_the_clicks_is_for_testing_and_a_tenth_for_validation() -> None:
    found = Counter(part(str(user), str(item)) for user in range(100) for item in range(100))
    assert found["test"] == pytest.approx(1000, abs=100)
    assert found["valid"] == pytest.approx(1000, abs=100)
    assert found["train"] == 10_000 - found["test"] - found["valid"]
