"""What is doubtful about the rows themselves; `checks/data.py` finds it."""

from __future__ import annotations

from trimtab.metrics import Metric, OneOf

METRICS = (
    Metric(
        "data.label_errors", "Label errors", "estimated share of rows, of all splits, whose label is wrong, by models "
        "that did not learn the row they answer; rows that nobody could tell apart are counted too", "lower",
        share=True, checked=True, apart=True, of_making=True, kinds=(OneOf,),
    ),
    Metric(
        "data.leaked_rows", "Leaked test rows", "share of test rows that stand among the training rows too, but for "
        "case, white space and, in texts, a few words", "lower", share=True, checked=True, apart=True,
        of_making=True,
    ),
    Metric(
        "data.conflicting_rows", "Conflicting rows", "share of rows, of all splits, whose inputs equal those of a row "
        "with another answer", "lower", share=True, checked=True, apart=True,
    ),
    Metric(
        "data.giveaway_columns", "Columns that give the answer away", "inputs of which each alone tells 98% of the "
        "answers, or a number by a correlation of 0.98: such a column is often filled in after the answer is known",
        "lower", checked=True, apart=True,
    ),
    Metric(
        "data.personal_data", "Personal data", "share of rows, of all splits, with a cell that looks like an e-mail "
        "address, a phone, card, account or identity number or an IP address", "lower", share=True, checked=True,
        apart=True,
    ),
)  # fmt: skip
