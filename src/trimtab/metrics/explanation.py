"""Whether explanations are true to the network; `checks/explanation.py` measures it."""

from __future__ import annotations

from trimtab.metrics import Amounts, AnyOf, Metric, OneOf, Ranked, SeveralAmounts

METRICS = (
    Metric(
        "explanation.faithfulness", "Faithful explanations", "chance that an answer's score falls further where the "
        "parts of a row go that speak for it most, by its explanation, than where as many go by chance; 0.5 is no "
        "better than chance", "higher", share=True, checked=True, apart=True,
        kinds=(OneOf, AnyOf, Amounts, SeveralAmounts, Ranked),
    ),
)  # fmt: skip
