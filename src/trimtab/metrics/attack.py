"""Answers under attack; `checks/attack.py` measures them."""

from __future__ import annotations

from trimtab.metrics import Metric, OneOf

METRICS = (
    Metric(
        "attack.survival", "Right answers that survive an attack", "share of right answers that stay right: of texts "
        "when up to two words are mistyped where it hurts most, found with at most 58 calls for each text; of pictures "
        "when each pixel is moved by up to 8 of 255 levels along the gradients of the trained network", "higher",
        share=True, checked=True, kinds=(OneOf,), apart=True,
    ),
)  # fmt: skip
