"""Texts about other people; `checks/counterfactual.py` measures how they are answered."""

from __future__ import annotations

from trimtab.metrics import Metric

METRICS = (
    Metric(
        "counterfactual", "Same answer about other people", "share of answers that stay what they are where words of a "
        "text that say who a person is are swapped", "higher", share=True, checked=True, part_of_check="swap",
    ),
)  # fmt: skip
