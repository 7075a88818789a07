"""Whether confidence can be relied on: answer sets and intervals, answers that are withheld, rows of another kind.

`checks/confidence.py` measures them on the test rows, by what the validation rows said.
"""

from __future__ import annotations

from trimtab.metrics import Amounts, Metric, OneOf

METRICS = (
    Metric(
        "conformal.coverage", "Coverage", "share of rows whose answer set, of a number its interval, holds the right "
        "answer", "higher", share=True, checked=True, kinds=(OneOf, Amounts), apart=True,
    ),
    Metric(
        "conformal.set_size", "Set size", "mean number of classes in an answer set; of two sets with the same coverage "
        "the smaller one says more", "lower", checked=True, kinds=(OneOf,), apart=True,
    ),
    Metric(
        "conformal.width", "Interval width", "from one end of a number's interval to the other, in its unit", "lower",
        checked=True, kinds=(Amounts,), apart=True,
    ),
    Metric(
        "selective.accuracy", "Accuracy of given answers", "share of right answers among those that are not withheld",
        "higher", share=True, checked=True, kinds=(OneOf,), needs="answers", apart=True,
    ),
    Metric(
        "selective.answered", "Given answers", "share of rows that are answered, rather than withheld", "higher",
        share=True, checked=True, kinds=(OneOf,), needs="answers", apart=True,
    ),
    Metric(
        "selective.aurc", "Area under the risk-coverage curve", "mean share of mistakes among the most sure answers, "
        "over all shares of the rows; the less, the surer right answers are than mistakes",
        "lower", share=True, checked=True, kinds=(OneOf,), apart=True,
    ),
)  # fmt: skip
