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
    Objective,
    Part,
    Prompting,
    Recipe,
    Search,
    Spec,
    Split,
    Train,
    TrainingMethod,
    Typed,
    folder_name,
    typed,
)
from trimtab.spec.reading import override, parse, read
from trimtab.spec.space import Dimension, dimension, written

__all__ = [
    "UNITS", "WEIGHTS", "AnswerRule", "Choice", "Clean", "ColumnType", "Compress", "Cost", "Dimension", "Fairness",
    "Gate", "Lora", "Objective", "Operator", "Part", "Prompting", "Recipe", "Search", "Spec", "Split", "Train",
    "TrainingMethod", "Typed", "dimension", "folder_name", "override", "parse", "parse_gate", "parse_gates",
    "read", "typed", "written",
]  # fmt: skip
