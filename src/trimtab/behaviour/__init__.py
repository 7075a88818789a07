"""Tests of one's own: what a network must answer, must answer alike, or must become surer of.

The kinds are those of CheckList (Ribeiro et al. 2020, arXiv:2005.04118): minimum functionality (`expect`), invariance
(`agree`) and direction (`up`, `down`). A test has cases; a case is one row, or rows of which the first is the original.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from trimtab import columns
from trimtab.columns import InputColumn, OutputColumn, Outputs, taken
from trimtab.errors import TrimtabError, nearest, problem, several
from trimtab.values import parse

ALL, WORST = "all", "worst"  # what else may be asked of all tests together; no test is called so
Kind = Literal["expect", "agree", "up", "down"]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class OwnTest:
    """A name, what must hold, and the cases that it must hold of."""

    name: str
    kind: Kind
    of: Any  # what is expected; the class that becomes surer, None for a number
    cases: tuple[tuple[Row | str, ...], ...]  # a text alone is a value of the only input that is a text
    tolerance: float = 0.0
    where: str = ""  # the file and the place in it, for messages
    capability: str = ""  # what it is a test of, in the user's words

    @property
    def meaning(self) -> str:
        """What must hold, in a line."""
        if self.kind == "expect":
            return f"answered {told(self.of)}"
        if self.kind == "agree":
            return "answered alike"
        whose = f"confidence in {self.of}" if self.of is not None else "the answer"
        within = f", within {self.tolerance:g}" if self.tolerance else ""
        return f"{whose} does not {'fall' if self.kind == 'up' else 'rise'}{within}"


def names(tests: Sequence[OwnTest]) -> list[str]:
    """What gates may ask for: each test, and all together."""
    return [*(test.name for test in tests), ALL, WORST] if tests else []


def told(expected: Any) -> str:
    """What is expected, in words."""
    if isinstance(expected, Mapping):
        word, value = next(iter(expected.items()))
        return f"not {told(value)}" if word == "not" else f"{word} {told(value)}"
    return " or ".join(map(parse.label, expected)) if isinstance(expected, (list, tuple)) else parse.label(expected)


def check(tests: Sequence[OwnTest], inputs: Sequence[InputColumn] | Sequence[str], output: OutputColumn) -> None:
    """Raises TrimtabError with everything that these inputs and this output can never pass: classes, columns."""
    names = [column if isinstance(column, str) else column.name for column in inputs]
    found = [error for test in tests for error in (*_wrong_rows(test, names), *_wrong_answer(test, output))]
    if found:
        raise several(found)


def _wrong_rows(test: OwnTest, names: Sequence[str]) -> list[TrimtabError]:
    given = dict.fromkeys(name for case in test.cases for row in case if isinstance(row, Mapping) for name in row)
    return [problem(test.where, f"no input {name!r}", nearest(name, names)) for name in given if name not in names]


def _wrong_answer(test: OwnTest, output: OutputColumn) -> list[TrimtabError]:
    if not output.scored:
        return [
            problem(
                test.where,
                f"answers of type {columns.word(output.type)} cannot be tested so",
                "a label, labels, a number",
            )
        ]
    if test.kind in ("up", "down"):
        return _wrong_class(test, output)
    if test.kind == "agree" or not output.classes:
        return [] if test.kind == "agree" or _range(test) else [problem(test.where, f"expects {test.of!r}", _NUMBERS)]
    reasons = [(value, output.usable(value)) for value in _named(test.of)]
    return [
        problem(test.where, reason, nearest(parse.label(value), output.classes)) for value, reason in reasons if reason
    ]


_NUMBERS = "a number, or bounds: {at least: 3}, {at most: 5}, {between: [3, 5]}"


def _wrong_class(test: OwnTest, output: OutputColumn) -> list[TrimtabError]:
    if not output.classes:
        return [] if test.of is None else [problem(test.where, f"{test.kind}: {test.of!r}", f"{test.kind}: true")]
    if test.of is None or parse.label(test.of) not in output.classes:
        name = "true" if test.of is None else parse.label(test.of)
        return [problem(test.where, f"{test.kind}: no class {name!r}", nearest(name, output.classes))]
    return []


def _named(expected: Any) -> list[Any]:
    if isinstance(expected, Mapping):
        return _named(next(iter(expected.values())))
    return list(expected) if isinstance(expected, (list, tuple)) else [expected]


def _range(test: OwnTest) -> tuple[float, float] | None:
    """From where to where a number may lie; None for what is no number."""
    given = test.of if isinstance(test.of, Mapping) else {"between": [test.of, test.of]}
    word, value = next(iter(given.items()))
    try:
        ends = [float(one) for one in (value if isinstance(value, (list, tuple)) else [value])]
    except (TypeError, ValueError):
        return None
    low = -np.inf if word == "at most" else ends[0] - test.tolerance
    high = np.inf if word == "at least" else ends[-1] + test.tolerance
    return low, high


# -------------------------------------------------------------------------------------------------------- passing


def passed(test: OwnTest, output: OutputColumn, outputs: Outputs, first: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Whether each of `rows` passes, (rows,) bool; `first` is the row that each is compared with."""
    return _PASSES[test.kind](test, output, outputs, first, rows)


def _expected(test: OwnTest, output: OutputColumn, outputs: Outputs, first: np.ndarray, rows: np.ndarray) -> np.ndarray:
    answers = [output.decode(outputs)[output.name][row] for row in rows.tolist()]
    if not output.classes:
        low, high = _range(test) or (np.nan, np.nan)
        return np.array([answer is not None and low <= answer <= high for answer in answers], bool)
    wanted = {output.classes[int(i)] for i in _places(output, _named(test.of))}
    other = isinstance(test.of, Mapping)
    given = (set(answer) if isinstance(answer, (list, tuple)) else {answer} for answer in answers)
    return np.array([bool(wanted & classes) is not other for classes in given], bool)


def _places(output: OutputColumn, names: Sequence[Any]) -> list[int]:
    return [output.classes.index(parse.label(name)) for name in names]


def _alike(test: OwnTest, output: OutputColumn, outputs: Outputs, first: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The same answer, or one that every class is as sure of within the tolerance."""
    same = output.agrees(taken(outputs, first), taken(outputs, rows))
    moved = np.abs(output.strengths(outputs)[rows] - output.strengths(outputs)[first]).max(axis=1)
    return np.asarray(same | (moved <= test.tolerance) if test.tolerance else same)


def _moved(test: OwnTest, output: OutputColumn, outputs: Outputs, first: np.ndarray, rows: np.ndarray) -> np.ndarray:
    scores = output.strengths(outputs)
    place = _places(output, [test.of])[0] if output.classes else 0
    change = scores[rows, place] - scores[first, place]
    return np.asarray((change if test.kind == "up" else -change) >= -test.tolerance - _ROUNDING)


_ROUNDING = 1e-9
_PASSES: Mapping[str, Callable[..., np.ndarray]] = {"expect": _expected, "agree": _alike, "up": _moved, "down": _moved}
