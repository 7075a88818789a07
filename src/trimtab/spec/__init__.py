"""What the user asks for: the Spec, its gates, and how both are read."""

from trimtab.spec.gates import UNITS, Gate, Operator, parse_gate, parse_gates
from trimtab.spec.model import (
    WEIGHTS,
    AnswerRule,
    Choice,
    Clean,
    ColumnType,
    Compress,
    Cost,
    Fairness,
    Lora,
    Part,
    Prompting,
    Recipe,
    Spec,
    Split,
    Train,
    TrainingMethod,
    Typed,
    folder_name,
    typed,
)
from trimtab.spec.reading import override, parse, read

__all__ = [
    "UNITS", "WEIGHTS", "AnswerRule", "Choice", "Clean", "ColumnType", "Compress", "Cost", "Fairness", "Gate",
    "Lora", "Operator", "Part", "Prompting", "Recipe", "Spec", "Split", "Train", "TrainingMethod", "Typed",
    "folder_name", "override", "parse", "parse_gate", "parse_gates", "read", "typed",
]  # fmt: skip
