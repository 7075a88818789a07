"""Slices: the part that is answered worse is found, and none is where all are answered alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from tiny_bundle import ROWS as REVIEWS
from tiny_bundle import build, make_manifest

from trimtab import metrics, page, runtime
from trimtab.audit import gates, groups, slices
from trimtab.audit.slices import Answered
from trimtab.checks import Context
from trimtab.checks import slices as check
from trimtab.data.table import Origin, Table
from trimtab.errors import TrimtabError
from trimtab.metrics import Amounts, OneOf
from trimtab.spec import parse_gate

ROWS = 1200
CITIES = np.array(["Oslo", "Rome", "Lima", "Cork", "Bonn"])[np.arange(ROWS) % 5]


def accuracy_of(right: np.ndarray) -> Answered:
    """Answers of two classes, of which these are right."""

    def statistic(rows: np.ndarray) -> metrics.Statistic:
        chances = np.where(right[rows, None], [0.9, 0.1], [0.1, 0.9])
        return metrics.statistic(OneOf(("a", "b"), np.zeros(len(rows), np.int64), chances), "accuracy")

    return Answered("accuracy", len(right), statistic, seed=3)


def random_columns(seed: int, count: int = 12) -> list[groups.Grouping]:
    draw = np.random.default_rng(seed)
    return [groups.grouped(f"c{i}", [f"v{n}" for n in draw.integers(0, 8, ROWS)]) for i in range(count)]


def test_a_group_that_does_worse_is_found_among_a_hundred_that_do_not() -> None:
    right = np.random.default_rng(0).random(ROWS) < np.where(CITIES == "Lima", 0.7, 0.9)
    cities = groups.grouped("city", CITIES.tolist())
    answered = accuracy_of(right)
    found = slices.found(answered, [*random_columns(0), cities])
    assert len(found) == 12 * 8 + 5
    assert [(one.column, one.name) for one in found if one.worse] == [("city", "Lima")]
    lima = found[0]
    assert lima.value == pytest.approx(right[CITIES == "Lima"].mean())
    assert lima.rest == pytest.approx(right[CITIES != "Lima"].mean())
    picked, alone = slices.interval(answered, lima, found), answered.of(lima.rows, 2000)
    assert picked is not None
    assert alone is not None
    assert picked.low < alone.low < lima.value < alone.high < picked.high  # wider: it was picked among many


def test_rows_that_are_all_answered_alike_raise_no_alarm() -> None:
    alarms = 0
    for seed in range(10):
        right = np.random.default_rng(100 + seed).random(ROWS) < 0.85
        alarms += any(one.worse for one in slices.found(accuracy_of(right), random_columns(seed)))
    assert alarms <= 1  # 1 in 20 is to be expected


def test_few_rows_are_never_a_slice_and_wrong_answers_throughout_are() -> None:
    place = np.arange(ROWS)
    names = np.where(place < 29, "few", np.where(place < 65, "lost", "rest")).tolist()
    found = slices.found(accuracy_of(~(place < 65) & (np.arange(ROWS) % 10 > 0)), [groups.grouped("kind", names)])
    assert [(one.name, one.worse) for one in found] == [("lost", True), ("rest", False)]


def test_an_error_in_units_is_worse_where_it_is_larger() -> None:
    draw = np.random.default_rng(5)
    error = draw.normal(size=ROWS) * np.where(CITIES == "Rome", 3.0, 1.0)

    def statistic(rows: np.ndarray) -> metrics.Statistic:
        return metrics.statistic(Amounts(np.zeros(len(rows)), error[rows]), "rmse")

    found = slices.found(Answered("rmse", ROWS, statistic, seed=3), [groups.grouped("city", CITIES.tolist())])
    assert [one.name for one in found if one.worse] == ["Rome"]


@pytest.mark.parametrize(
    ("values", "by", "names"),
    [
        (["b", "a", "", "b"], None, ("a", "b", "no value")),
        ([1, 0, "1", None], None, ("0", "1", "no value")),
        (
            [*map(str, range(40)), "?"],
            None,
            ("below 9.75", "no value"),
        ),
        (["a", "bb", "cccc", "d" * 9], "lengths", ("1.75 to below 3 characters",)),
        (["10115", "20095"] * 20, "names", ("10115", "20095")),
    ],
)
def test_values_say_what_tells_rows_apart(
    values: Sequence[object], by: groups.By | None, names: tuple[str, ...]
) -> None:
    found = groups.grouped("c", values, by)
    assert set(names) <= set(found.names)
    assert len(found.names) <= 5
    assert found.counts.sum() == len(values)


def test_groups_of_two_columns_are_those_that_rows_have() -> None:
    sex, age = groups.grouped("sex", ["f", "m", "f"]), groups.grouped("age", ["old", "old", "young"])
    both = groups.crossed([sex, age])
    assert (both.columns, both.names) == (("sex", "age"), ("f, old", "f, young", "m, old"))


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """The tiny bundle on its rows, fifty times, with a town beside them that no input holds."""
    model = runtime.load(build(tmp_path_factory.mktemp("slices")), threads=1)
    rows = [{**row, "town": f"t{place % 3}"} for place, row in enumerate(REVIEWS * 50)]
    table = Table({name: [row[name] for row in rows] for name in rows[0]}, [Origin("rows.csv", 1)] * len(rows))
    return Context(model, model.inputs, table, table, ["worst_slice.recall.bad"], seed=7)


def test_the_check_looks_at_inputs_and_at_kept_columns_and_the_card_names_the_worst(context: Context) -> None:
    found = check.check(context)
    assert set(found.measured) == {"worst_slice.accuracy", "worst_slice.recall.bad"}
    told = found.evidence["slices"]
    assert {"town", "review", "shop", "stars"} >= {one["column"] for one in told["listed"]}
    assert told["worse"] == len(told["listed"]) > 0
    assert found.measured["worst_slice.accuracy"].value == min(one["measured"]["value"] for one in told["listed"])
    bare = make_manifest(context.inputs, context.output, [])
    (section,) = check.sections(bare.model_copy(update={"evidence": found.evidence}))
    (table,) = [block for block in section.blocks if isinstance(block, page.Table)]
    assert table.rows[0][:2] == (told["listed"][0]["column"], told["listed"][0]["slice"])
    assert not [block for one in check.sections(bare) for block in one.blocks]
    [result] = gates.judge([parse_gate("worst_slice.accuracy", ">= 0.99")], found.measured, remarks=found.remarks)
    assert result.reason.endswith("(100 rows)")


@pytest.mark.parametrize(
    ("name", "bound", "said"),
    [
        ("worst_slice", ">= 0.8", "worst_slice needs a metric"),
        ("worst_slice.size", ">= 0.8", "size is no metric of answers"),
        ("worst_slice.acuracy", ">= 0.8", "no metric named 'acuracy'"),
        ("worst_slice.rmse", ">= 0.8", "rmse is not measured on a label|asks for the worse side"),
        ("worst_slice.recall.hm", ">= 0.8", "no class 'hm'"),
        ("accuracy(town)", ">= 0.8", "no metric named"),
    ],
)
def test_a_gate_on_a_slice_is_a_gate_on_the_metric_of_it(name: str, bound: str, said: str) -> None:
    with pytest.raises(TrimtabError, match=said):
        gates.check_names([parse_gate(name, bound)], "label", ["ham", "spam"])
    gates.check_names([parse_gate("worst_slice.recall.ham", ">= 80%")], "label", ["ham", "spam"])


def test_a_metric_of_a_slice_has_the_good_side_of_the_metric() -> None:
    assert metrics.named("worst_slice.rmse").better == "lower"
    assert metrics.named("worst_slice.accuracy").share
