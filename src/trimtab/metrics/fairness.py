"""Groups of people compared; `checks/fairness.py` measures it by the columns that the spec calls `protected`.

The definitions are those of fairlearn's `MetricFrame`, differences and ratios between the groups furthest apart.
"""

from __future__ import annotations

from trimtab.metrics import Amounts, AnyOf, Metric, OneOf

_OF = "; of two classes the second one is meant, of more the class where it is worst, or the one that is named"

METRICS = (
    Metric(
        "fairness.demographic_parity_gap", "Demographic parity gap", "largest difference between groups in the share "
        f"of rows that are answered with the class{_OF}", "lower", share=True, checked=True, kinds=(OneOf, AnyOf),
        by_column=True, of_class=True,
    ),
    Metric(
        "fairness.demographic_parity_ratio", "Demographic parity ratio", "least share of a group that is answered with "
        f"the class, as a part of the largest{_OF}", "higher", share=True, checked=True, kinds=(OneOf, AnyOf),
        by_column=True, of_class=True,
    ),
    Metric(
        "fairness.equalized_odds_gap", "Equalized odds gap", "largest difference between groups in the true positive "
        f"rate, or in the false positive rate if that is larger{_OF}", "lower", share=True, checked=True,
        kinds=(OneOf, AnyOf), by_column=True, of_class=True,
    ),
    Metric(
        "fairness.equal_opportunity_gap", "Equal opportunity gap", "largest difference between groups in the true "
        f"positive rate{_OF}", "lower", share=True, checked=True, kinds=(OneOf, AnyOf), by_column=True, of_class=True,
    ),
    Metric(
        "fairness.accuracy_gap", "Accuracy gap", "largest difference between groups in the share of right answers",
        "lower", share=True, checked=True, kinds=(OneOf,), by_column=True,
    ),
    Metric(
        "fairness.mean_error_gap", "Mean error gap", "largest difference between groups in the mean of predicted minus "
        "actual", "lower", checked=True, kinds=(Amounts,), by_column=True,
    ),
    Metric(
        "fairness.mae_gap", "MAE gap", "largest difference between groups in the mean size of the error", "lower",
        checked=True, kinds=(Amounts,), by_column=True,
    ),
    Metric(
        "fairness.quality_gap", "Quality gap", "largest difference between groups in the metric that the card tells "
        "first", "lower", checked=True, by_column=True,
    ),
)  # fmt: skip
