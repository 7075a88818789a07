"""Whether rows of another kind can be told from those of training; `checks/out_of_distribution.py` measures it."""

from __future__ import annotations

from trimtab.metrics import AnyOf, Metric, OneOf

METRICS = (
    Metric(
        "ood.auroc", "Out-of-distribution AUROC", "chance that a test row has a higher score (energy of the logits) "
        "than a row of another kind: one of the files that `foreign` names, else a made-up one", "higher", share=True,
        checked=True, kinds=(OneOf, AnyOf), apart=True,
    ),
)  # fmt: skip
