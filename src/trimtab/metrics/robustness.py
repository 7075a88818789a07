"""How answers bear what happens to values on their way."""

from __future__ import annotations

from trimtab.metrics import Metric

METRICS = (
    Metric(
        "robustness", "Unchanged answers", "share of answers that stay what they are where values are perturbed; the "
        "mean over its strengths, where there are several", "higher", share=True, checked=True,
        part_of_check="perturbation",
    ),
)  # fmt: skip
