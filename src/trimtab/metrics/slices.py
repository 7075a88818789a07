"""Parts of the rows that are answered worse than the rest; `checks/slices.py` finds them."""

from __future__ import annotations

from trimtab.metrics import Metric

METRICS = (
    Metric(
        "worst_slice", "Worst slice", "a metric of the part of the test rows (a category, a range of a number, a "
        "length of a text) that is answered worst, of those that are worse than the rest by more than chance "
        "among all that were looked at; of all rows where none is", "higher", checked=True, of_metric=True,
    ),
)  # fmt: skip
