"""Tests of one's own; `checks/behaviour.py` runs them."""

from __future__ import annotations

from trimtab.metrics import Metric

METRICS = (
    Metric(
        "behaviour", "Tests of one's own", "share of the cases of a test that pass; `all`: of the cases of all tests; "
        "`worst`: of the test of which the fewest pass", "higher", share=True, checked=True, part_of_check="test",
    ),
)  # fmt: skip
