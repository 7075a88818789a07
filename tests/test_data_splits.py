"""What the strategies of splits promise: what goes together stays together, and what is added moves nothing."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from test_data_prepare import Rows, prepared, sentences, write

from trimtab import registry
from trimtab.data import splits
from trimtab.data.prepare import Prepared
from trimtab.errors import TrimtabError


def parts(found: Prepared, name: str = "text") -> dict[Any, str]:
    """The split of each row, by what stands in one of its columns."""
    tables = {"train": found.splits.train, "valid": found.splits.valid, "test": found.splits.test}
    return {value: part for part, table in tables.items() for value in table.values[name]}


def unequal(count: int, seed: int = 0) -> Rows:
    """Sentences of four classes, the rarest in one of forty rows, and a number."""
    kinds = random.Random(seed + 1)
    names = ["a"] * 28 + ["b"] * 8 + ["c"] * 3 + ["d"]
    return [row | {"label": kinds.choice(names), "n": kinds.random()} for row in sentences(count, seed)]


@pytest.mark.parametrize("by", ["stratified", "hash"])
@pytest.mark.parametrize("output", [{"label": "label"}, {"n": "number"}])
def test_a_row_keeps_its_split_when_a_fifth_more_rows_are_added(
    tmp_path: Path, by: str, output: dict[str, str]
) -> None:
    table = unequal(1200)
    random.Random(5).shuffle(table)
    asked = {"split": {"by": by, "valid": 0.15, "test": 0.2}, "inputs": {"text": "text"}}
    before = parts(prepared(write(tmp_path / "a.csv", table[:1000]), output, **asked))
    after = parts(prepared(write(tmp_path / "b.csv", table), output, **asked))
    assert len(before) == 1000
    assert {text: after[text] for text in before} == before


def test_the_shares_by_threshold_are_near_those_asked_for(tmp_path: Path) -> None:
    rows = prepared(write(tmp_path / "a.csv", unequal(3000)), "label", inputs={"text": "text"}).report["rows"]
    assert abs(rows["valid"] - 300) < 50
    assert abs(rows["test"] - 300) < 50


def test_every_class_of_five_rows_is_in_every_split(tmp_path: Path) -> None:
    table = sentences(1000)
    for number in range(60):  # twelve classes of five rows: by threshold alone half of them had no test row
        table[number]["label"] = f"rare {number % 12}"
    found = prepared(write(tmp_path / "a.csv", table), "label")
    for part in ("train", "valid", "test"):
        assert len(found.report["balance"][part]) == 14
        assert min(found.report["balance"][part].values()) > 0


def test_a_class_always_keeps_a_row_to_learn_from(tmp_path: Path) -> None:
    table = sentences(1000)
    for number in range(300):  # 150 classes of two rows each
        table[number]["label"] = f"rare {number % 150}"
    found = prepared(write(tmp_path / "a.csv", table), "label", split={"valid": 0.3, "test": 0.3})
    assert len(found.classes) == 152
    assert found.report["unanswerable"] == {"valid": 0, "test": 0}


def test_few_rows_have_exact_shares_and_it_is_said(tmp_path: Path) -> None:
    found = prepared(write(tmp_path / "a.csv", sentences(400)), "label")
    assert found.report["rows"] == {"train": 320, "valid": 40, "test": 40}
    assert "exact shares of every class (fewer than 500 different rows)" in found.report["split"]
    many = prepared(write(tmp_path / "b.csv", sentences(600)), "label")
    assert many.report["split"] == (
        "stratified, by content hash: a row keeps its split when rows are added; valid 0.1, test 0.1"
    )


# ------------------------------------------------------------------------------------------------------- groups


def of_customers(count: int, customers: int) -> Rows:
    drawn = random.Random(2)
    return [row | {"customer": f"customer {drawn.randrange(customers)}"} for row in sentences(count)]


@pytest.mark.parametrize("customers", [12, 300])
def test_rows_of_one_group_never_sit_in_two_splits(tmp_path: Path, customers: int) -> None:
    file = write(tmp_path / "a.csv", of_customers(1500, customers))
    found = prepared(file, "label", split={"by": "group", "group": "customer", "test": 0.2})
    own = [set(table.values["customer"]) for table in (found.splits.train, found.splits.valid, found.splits.test)]
    there = len({row["customer"] for row in of_customers(1500, customers)})
    assert sum(map(len, own)) == len(set.union(*own)) == there
    assert list(found.inputs) == ["text"]  # the group is no input
    assert f"by group: {there} groups of 'customer'" in found.report["split"]


def test_a_group_keeps_its_split_when_rows_and_groups_are_added(tmp_path: Path) -> None:
    table = of_customers(1500, 300)
    asked = {"split": {"by": "group", "group": "customer"}}
    before = parts(prepared(write(tmp_path / "a.csv", table[:1000]), "label", **asked), "customer")
    after = parts(prepared(write(tmp_path / "b.csv", table), "label", **asked), "customer")
    assert len(after) > len(before)
    assert {name: after[name] for name in before} == before


def test_rows_without_a_group_are_groups_of_one(tmp_path: Path) -> None:
    table = [row | {"customer": ""} for row in sentences(800)]
    rows = prepared(write(tmp_path / "a.csv", table), "label", split={"by": "group", "group": "customer"}).report
    assert min(rows["rows"].values()) > 50


def test_groups_of_a_given_test_file_are_not_trained_on(tmp_path: Path) -> None:
    table = of_customers(600, 200)
    held = [row | {"customer": f"customer {number % 20}"} for number, row in enumerate(sentences(40, seed=9))]
    test = str(write(tmp_path / "t.csv", held))
    asked = {"split": {"by": "group", "group": "customer"}, "test": test}
    found = prepared(write(tmp_path / "a.csv", table), "label", **asked)
    measured = {row["customer"] for row in held}
    assert not measured & {*found.splits.train.values["customer"], *found.splits.valid.values["customer"]}
    assert found.report["leaks"]["groups_removed"]["train"] == sum(row["customer"] in measured for row in table)


# --------------------------------------------------------------------------------------------------------- time


@pytest.mark.parametrize("written", ["{0:%Y-%m-%d}", "{0:%d.%m.%Y}", "{1}"])
def test_the_latest_rows_are_tested_on(tmp_path: Path, written: str) -> None:
    table = sentences(200)
    for number, row in enumerate(table):
        day = date(2026, 1, 1) + timedelta(days=number // 2)
        row["made"] = written.format(day, number // 2)
    order = {row["text"]: number for number, row in enumerate(table)}
    random.Random(1).shuffle(table)
    found = prepared(write(tmp_path / "a.csv", table), "label", split={"by": "time", "time": "made"})
    places = {part: [order[text] for text in table.values["text"]] for part, table in vars(found.splits).items()}
    assert max(places["train"]) < min(places["valid"]) <= max(places["valid"]) < min(places["test"])
    assert found.report["rows"] == {"train": 160, "valid": 20, "test": 20}
    assert list(found.inputs) == ["text"]


def test_rows_whose_time_cannot_be_read_are_set_aside(tmp_path: Path) -> None:
    table = [row | {"made": str(number)} for number, row in enumerate(sentences(100))]
    table[3]["made"], table[4]["made"] = "", "soon"
    found = prepared(write(tmp_path / "a.csv", table), "label", split={"by": "time", "time": "made"})
    assert [row.reason for row in found.rejected] == ["made: no time", "made: 'soon' cannot be read as a time"]


def test_the_test_file_needs_no_column_of_the_cut(tmp_path: Path) -> None:
    table = [row | {"made": str(number)} for number, row in enumerate(sentences(100))]
    test = str(write(tmp_path / "t.csv", sentences(20, seed=4)))
    found = prepared(write(tmp_path / "a.csv", table), "label", split={"by": "time", "time": "made"}, test=test)
    assert found.report["rows"] == {"train": 90, "valid": 10, "test": 20}


# ------------------------------------------------------------------------------------------------------- the spec


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"by": "grup"}, "no splits named 'grup'"),
        ({"by": "group"}, "the option 'group' is needed"),
        ({"by": "group", "group": "custmer"}, "no column named 'custmer'"),
        ({"by": "hash", "salt": 3}, "no option named 'salt'"),
        ({"train": 0.7, "valid": 0.1, "test": 0.1}, "must add up to 1"),
        ({"by": "group", "group": "label"}, "'label' is also the output"),
    ],
)
def test_what_the_spec_says_of_the_cut_is_checked(tmp_path: Path, split: dict[str, Any], message: str) -> None:
    file = write(tmp_path / "a.csv", of_customers(60, 30))
    with pytest.raises(TrimtabError, match=message):
        prepared(file, "label", split=split)


def test_every_strategy_says_what_it_does() -> None:
    names = registry.names("trimtab.data.splits")
    assert names == ["group", "hash", "position", "stratified", "time"]
    for name in names:
        kind = registry.load("trimtab.data.splits", name, registry.camel(name), "test")
        assert issubclass(kind, splits.Strategy)
        assert kind.__doc__


def test_numbers_are_cut_alike_without_looking_at_quantiles(tmp_path: Path) -> None:
    found = load_diabetes()
    table = [{"a": row[0], "b": row[1], "c": row[2], "y": y} for row, y in zip(found.data, found.target, strict=True)]
    many = [row | {"c": row["c"] + step} for step in range(4) for row in table]
    means = [part["mean"] for part in prepared(write(tmp_path / "d.csv", many), "y").report["balance"].values()]
    assert max(means) - min(means) < 0.15 * float(np.std(found.target))


# ------------------------------------------------------------------------------------------------ kept columns


def test_kept_columns_travel_with_the_rows_and_are_no_inputs(tmp_path: Path) -> None:
    table = [row | {"city": f"city {len(row['text']) % 7}", "id": number} for number, row in enumerate(sentences(600))]
    cities = {row["text"]: row["city"] for row in table}
    found = prepared(write(tmp_path / "a.csv", table), "label", keep=["city", "id"])
    assert list(found.inputs) == ["text"]
    assert found.kept == ("city", "id")
    for split in (found.splits.train, found.splits.valid, found.splits.test):
        assert [cities[text] for text in split.values["text"]] == split.values["city"]


def test_a_kept_column_may_be_an_input_too(tmp_path: Path) -> None:
    table = [row | {"city": f"city {number % 7}"} for number, row in enumerate(sentences(100))]
    asked = {"keep": "city", "inputs": {"text": "text", "city": "category"}}
    found = prepared(write(tmp_path / "a.csv", table), "label", **asked)
    assert list(found.inputs) == ["text", "city"]
    assert found.kept == ()


@pytest.mark.parametrize(("keep", "message"), [("town", "no column named 'town'"), ("label", "is also the output")])
def test_a_column_that_cannot_be_kept_is_an_error(tmp_path: Path, keep: str, message: str) -> None:
    with pytest.raises(TrimtabError, match=message):
        prepared(write(tmp_path / "a.csv", sentences(60)), "label", keep=keep)


def test_five_hundred_classes_are_prepared_and_cut(tmp_path: Path) -> None:
    drawn = random.Random(4)
    table = [row | {"label": f"class {int(500 * drawn.random() ** 2)}"} for row in sentences(8000)]
    found = prepared(write(tmp_path / "a.csv", table), "label")
    counts = Counter(row["label"] for row in table)
    assert set(found.classes) == {name for name, count in counts.items() if count > 1}
    assert len(found.classes) > 490
    for part, own in found.report["balance"].items():
        assert all(own[name] > 0 for name in found.classes if part == "train" or counts[name] >= 5)
    assert found.report["unanswerable"] == {"valid": 0, "test": 0}
