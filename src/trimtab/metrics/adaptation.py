"""What a bundle that goes on learning lost on rows of before, and gained on new ones."""

from __future__ import annotations

from trimtab.metrics import Metric

METRICS = (
    Metric(
        "forgetting", "Forgetting", "of a bundle that was adapted: what it lost on the old test rows, in the metric "
        "that the card tells first: in points, `<= 0.01` of accuracy; of an error in units of its own as a part of it",
        "lower", share=True, checked=True, apart=True, of_making=True,
    ),
    Metric(
        "gain", "Gain", "of a bundle that was adapted: what it gained on the new test rows, in the same metric",
        "higher", checked=True, apart=True, of_making=True, gate=False,
    ),
)  # fmt: skip
