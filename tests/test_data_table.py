"""What the table of raw values promises: what was read comes back as it was, and some rows of it are no copy."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from typing import Any

import numpy as np
import pytest

from trimtab.data.cells import Cells
from trimtab.data.dedup import Numbered
from trimtab.data.table import Origin, Origins, Table
from trimtab.data.working import Working
from trimtab.values import many
from trimtab.values.parse import Name

LONG = 70_000  # values: more than are looked at at a time

COLUMNS: dict[str, list[Any]] = {
    "different texts": [f"text {number} \N{SNOWMAN}" for number in range(LONG)],
    "repeated texts": [("yes", "no", None)[number % 3] for number in range(LONG)],
    "texts and gaps": [None if number % 5 == 0 else f"{number}" for number in range(LONG)],
    "half a pair": ["\ud83d", "a", None],
    "names": [Name(("1.0", "NA")[number % 2]) for number in range(LONG)],
    "floats": [number / 3 for number in range(LONG)],
    "whole numbers": list(range(LONG)),
    "beyond 64 bits": [2**70, 1],
    "truth": [True, False, None],
    "one and true": [1, True, 1.0, "1"],
    "texts first, then lists": [*(f"t{number}" for number in range(LONG)), ["a"], {"b": 1}],
    "nothing": [None] * LONG,
    "empty": [],
}


@pytest.mark.parametrize("name", COLUMNS)
def test_values_come_back_as_they_were(name: str) -> None:
    values = COLUMNS[name]
    cells = Cells.of(iter(values))
    back = list(cells)
    assert back == values
    assert [type(value) for value in back] == [type(value) for value in values]
    assert cells == values
    assert cells[1:3] == values[1:3]
    assert cells[::7] == values[::7]


@pytest.mark.parametrize("name", [name for name, values in COLUMNS.items() if len(values) > 10])
def test_a_view_of_a_view_has_the_rows_in_the_order_asked_for(name: str) -> None:
    values = COLUMNS[name]
    rows = np.random.default_rng(1).permutation(len(values))
    some = Cells.of(values).take(rows).take(range(10, 40))
    assert list(some) == [values[row] for row in rows[10:40]]
    assert [some[place] for place in (0, -1)] == [values[rows[10]], values[rows[39]]]


def test_a_value_that_repeats_is_asked_about_once() -> None:
    asked: Counter[Any] = Counter()

    def length(value: Any) -> int:
        asked[value] += 1
        return len(value)

    cells = Cells.of(["a", "bb", "ccc"] * 1000)
    assert many.each(length, cells) == [1, 2, 3] * 1000
    assert set(asked.values()) == {1}
    assert many.each(length, cells.take([1, 1])) == [2, 2]
    assert asked["a"] == 1  # what no row of a view has is not asked about


def test_the_rows_of_a_table_keep_their_origins() -> None:
    first = Origins.of([Origin("a.csv", 2), Origin("b.csv", 2), Origin("a.csv", 3)])
    table = Table({"x": ["p", "q", "r"]}, first).take([2, 1])
    assert list(table.origins) == [Origin("a.csv", 3), Origin("b.csv", 2)]
    both = first.followed_by(Origins.of([Origin("t.csv", 9)]))
    assert [both[place] for place in (0, 3)] == [Origin("a.csv", 2), Origin("t.csv", 9)]


def test_short_texts_take_a_third_of_what_python_s_own_take() -> None:
    tracemalloc.start()
    cells = Cells.of(f"{number / 7:.4f}" for number in range(300_000))
    held, _ = tracemalloc.get_traced_memory()  # polars's own memory is not counted: 16 bytes a text
    tracemalloc.stop()
    assert len(cells) == 300_000
    assert held + 16 * len(cells) < 300_000 * 65 / 3


def test_a_permutation_of_all_rows_permutes_everything_of_them() -> None:
    table = Table({"x": ["p", "q", "r"]}, Origins.of([Origin("a.csv", line) for line in (2, 3, 4)]))
    keys = np.array([7, 8, 9], np.uint64)
    rows = Working(table, np.array([-1, 0, 2], np.int8), keys, Numbered.of(["no", "yes", "no"]), [], {})
    turned = rows.take([2, 0, 1])
    assert list(turned.table.values["x"]) == ["r", "p", "q"]
    assert [origin.line for origin in turned.table.origins] == [4, 2, 3]
    assert turned.keys.tolist() == [9, 7, 8]
    assert turned.given.tolist() == [2, -1, 0]
    assert [turned.answers[row] for row in range(3)] == ["no", "no", "yes"]
