"""What the user asks for: the Spec, its gates, and how both are read."""

from trimtab.spec.gates import METRICS, UNITS, Gate, Metric, Operator, drop, parse_gate, parse_gates
from trimtab.spec.model import (
    Choice,
    Clean,
    ColumnType,
    Compress,
    Lora,
    Part,
    Recipe,
    Spec,
    Split,
    Train,
    Typed,
    typed,
)
from trimtab.spec.reading import override, parse, read

__all__ = [
    "METRICS", "UNITS", "Choice", "Clean", "ColumnType", "Compress", "Gate", "Lora", "Metric", "Operator",
    "Part", "Recipe", "Spec", "Split", "Train", "Typed", "drop", "override", "parse", "parse_gate", "parse_gates",
    "read", "typed",
]  # fmt: skip
