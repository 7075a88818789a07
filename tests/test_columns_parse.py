"""The one rule for raw values: a csv cell and a JSON value mean the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trimtab.values import parse


@pytest.mark.parametrize(
    "value", [None, float("nan"), np.float32("nan"), "", "  ", "NA", "n/a", "null", "?", "-", " NaN "]
)
def test_no_value_is_recognised(value: object) -> None:
    assert parse.is_missing(value)


@pytest.mark.parametrize("value", ["None", "Na", "0", 0, False, "no", "--x", [], "inf"])
def test_a_value_that_only_looks_empty_is_kept(value: object) -> None:
    assert not parse.is_missing(value)


def test_text_may_consist_of_a_word_that_means_nothing_elsewhere() -> None:
    assert not parse.is_missing("NA", text=True)
    assert not parse.is_missing("?", text=True)
    assert parse.is_missing(" ", text=True)


@pytest.mark.parametrize(
    ("value", "decimal", "number"),
    [
        ("7", ".", 7.0),
        (" 7 ", ".", 7.0),
        ("007", ".", 7.0),
        ("1e3", ".", 1000.0),
        (".5", ".", 0.5),
        ("5.", ".", 5.0),
        ("1,500", ".", 1500.0),
        ("1,234,567.5", ".", 1234567.5),
        ("1 500", ".", 1500.0),
        ("1\N{NO-BREAK SPACE}500", ",", 1500.0),
        ("1'500", ".", 1500.0),
        ("1,5", ",", 1.5),
        ("1.500,25", ",", 1500.25),
        ("1.500", ",", 1500.0),
        ("$3", ".", 3.0),
        ("-$3.50", ".", -3.5),
        ("3 €", ",", 3.0),
        ("45%", ".", 45.0),
        ("\N{MINUS SIGN}3", ".", -3.0),
        ("\N{EN DASH}3", ".", -3.0),
        ("₹1,09,900", ".", 109900.0),
        ("Rs. 12,34,567.50/-", ".", 1234567.5),
        ("(1,234.50)", ".", -1234.5),
        ("($5)", ".", -5.0),
        ("(5) €", ",", -5.0),
        ("1,234-", ".", -1234.0),
        ("5,-", ",", 5.0),
        ("5.-", ".", 5.0),
        ("USD 5", ".", 5.0),
        ("R$ 1.500,25", ",", 1500.25),
        ("CHF 1\N{RIGHT SINGLE QUOTATION MARK}234.50", ".", 1234.5),
        ("1\N{NARROW NO-BREAK SPACE}234,5", ",", 1234.5),
        ("\N{FULLWIDTH DIGIT ONE}\N{FULLWIDTH DIGIT TWO}", ".", 12.0),
        ("\N{ARABIC-INDIC DIGIT ONE}\N{ARABIC THOUSANDS SEPARATOR}\N{ARABIC-INDIC DIGIT TWO}00", ".", 1200.0),
        ("True", ".", 1.0),
        (True, ".", 1.0),
        (np.int64(3), ".", 3.0),
        (1.5, ",", 1.5),
    ],
)
def test_numbers_are_read_as_people_write_them(value: object, decimal: str, number: float) -> None:
    assert parse.number(value, decimal) == number


@pytest.mark.parametrize(
    "value",
    ["abc", "inf", math.inf, "1e999", 10**400, "1_000", "1,5", "0,500", "1,50,00", "1.2.3", "$", "%", "12a", [1], {}],
)
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="number"):
        parse.number(value)


def test_a_missing_number_is_none() -> None:
    assert [parse.number(value) for value in (None, "", "NA", math.nan, np.float64("nan"))] == [None] * 5


@pytest.mark.parametrize(
    ("values", "mark"),
    [
        (["1,5", "2"], ","),
        (["1,500", "2,500"], "."),
        (["1.5", "1,500"], "."),
        (["1.500,5", "2"], ","),
        (["1.500", "2.250"], "."),
        (["0,500"], ","),
        ([1.5, "1,5", None], ","),
        (["a, b", "c, d"], "."),
        ([], "."),
    ],
)
def test_the_decimal_mark_is_told_by_cells_that_can_be_read_one_way_only(values: list[object], mark: str) -> None:
    assert parse.decimal_mark(values) == mark


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ([1, 1.0, "1", " 1 ", "1.0", np.int64(1), np.float32(1)], "1"),
        ([True, "True", np.bool_(True)], "True"),
        (["007"], "007"),
        (["1.10"], "1.10"),
        ([1.5, "1.5"], "1.5"),
        ([-2.0, "-2"], "-2"),
    ],
)
def test_a_class_has_one_name_however_it_is_stored(values: list[object], name: str) -> None:
    assert {parse.label(value) for value in values} == {name}
