"""Spans of tags: found where borders and type are both right."""

from __future__ import annotations

from trimtab.metrics import Metric, Statistic, Tagged, f1, share


def _f1(answers: Tagged) -> Statistic:
    return f1(answers.right_spans, answers.found_spans, answers.true_spans)


def _precision(answers: Tagged) -> Statistic:
    return share(answers.right_spans, answers.found_spans)


def _recall(answers: Tagged) -> Statistic:
    return share(answers.right_spans, answers.true_spans)


METRICS = (
    Metric(
        "span_f1", "Span F1", "harmonic mean of precision and recall over whole spans, borders and type both right",
        "higher", of={Tagged: _f1}, share=True, selects=True, tile=True,
    ),
    Metric(
        "span_precision", "Span precision", "share of the found spans that are right", "higher",
        of={Tagged: _precision}, share=True,
    ),
    Metric(
        "span_recall", "Span recall", "share of the right spans that are found", "higher", of={Tagged: _recall},
        share=True,
    ),
)  # fmt: skip
