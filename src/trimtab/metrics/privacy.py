"""What a network gives away of the rows that it learnt; `checks/privacy.py` and `checks/copied.py` measure it."""

from __future__ import annotations

from trimtab.metrics import Amounts, AnyOf, Metric, OneOf, Texts

METRICS = (
    Metric(
        "privacy.copied", "Copied answers", "share of the written answers of eight words or more that stand, word for "
        "word, in an answer of the training rows", "lower", share=True, checked=True, apart=True, of_making=True,
        kinds=(Texts,),
    ),
    Metric(
        "privacy.membership_auc", "Membership inference AUC", "chance that a training row looks more like one that was "
        "learnt than a test row does, by the better of two attacks: 0.5 says nothing is given away", "lower",
        share=True, checked=True, apart=True, of_making=True, kinds=(OneOf, AnyOf, Amounts),
    ),
    Metric(
        "privacy.membership_tpr", "Membership inference at 1% false positives", "share of the training rows that the "
        "better of two attacks finds where it takes 1% of the test rows for training rows: 0.01 says nothing is "
        "given away", "lower", share=True, checked=True, apart=True, of_making=True, kinds=(OneOf, AnyOf, Amounts),
    ),
)  # fmt: skip
