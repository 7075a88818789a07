"""What `weight` promises: a row counts as much as its weight says, in training, in choosing and in every metric."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_data_prepare import Rows, prepared, write

import trimtab
from trimtab import columns
from trimtab.audit import quality
from trimtab.errors import TrimtabError


def rows(count: int = 700) -> Rows:
    """Numbers whose sign is the label; six of ten rows say the opposite, and weigh nothing."""
    drawn = random.Random(3)
    table: Rows = []
    for number in range(count):
        x = drawn.choice([-1, 1]) * drawn.uniform(0.2, 2.0)
        wrong = number % 10 < 6
        table.append({"x": round(x, 5), "w": 0 if wrong else 1.5, "label": "up" if (x > 0) != wrong else "down"})
    return table


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    file = write(folder / "a.csv", rows())
    train = {"epochs": 8, "learning_rate": 0.01, "patience": 8}
    spec = {"data": str(file), "output": "label", "inputs": {"x": "number"}, "weight": "w", "train": train}
    return trimtab.launch({**spec, "gates": {"accuracy": ">= 0.95"}}, runs=folder / "runs")


def test_rows_that_weigh_nothing_teach_nothing(release: Any) -> None:
    model = trimtab.load(release.folder)
    found = [model.predict([{"x": x}])[0]["label"] for x in (-1.5, -0.5, 0.5, 1.5)]
    assert found == ["down", "down", "up", "up"]


def test_metrics_and_baselines_count_rows_by_their_weight(release: Any) -> None:
    assert release.released
    assert release.manifest.measured["accuracy"].value > 0.95  # of all rows alike it were 0.4
    baseline = release.manifest.evidence["baselines"]
    assert all(metrics["accuracy"]["value"] < 0.75 for metrics in baseline.values())


def test_weights_are_no_input(release: Any) -> None:
    assert [column.name for column in trimtab.load(release.folder).inputs] == ["x"]


def test_a_weight_of_two_measures_as_the_row_twice() -> None:
    output = columns.fit("label", "y", "y", ["a", "b"], {})
    targets, outputs = np.array([0, 1, 1, 0]), np.array([[2.0, 0], [0, 1], [3, 0], [0, 1]])
    twice = np.array([0, 1, 1, 2, 3])
    weighed = quality.measure(output, targets, outputs, 7, weights=np.array([1.0, 2.0, 1.0, 1.0]))
    repeated = quality.measure(output, targets[twice], outputs[twice], 7)
    assert weighed.keys() == repeated.keys()
    for name in weighed:
        assert weighed[name].value == pytest.approx(repeated[name].value)


@pytest.mark.parametrize(
    ("cell", "message"), [("", "a.csv:5: no value"), ("-1", "'-1' is below zero"), ("many", "'many' is not a number")]
)
def test_a_weight_that_is_none_is_an_error_that_names_its_line(tmp_path: Path, cell: str, message: str) -> None:
    table = rows(60)
    table[3]["w"] = cell
    with pytest.raises(TrimtabError, match=message):
        prepared(write(tmp_path / "a.csv", table), "label", weight="w")


def test_a_split_of_rows_that_weigh_nothing_is_an_error(tmp_path: Path) -> None:
    table = [row | {"w": 0} for row in rows(60)]
    with pytest.raises(TrimtabError, match="every train row weighs 0"):
        prepared(write(tmp_path / "a.csv", table), "label", weight="w")


@pytest.mark.parametrize(
    ("asked", "message"),
    [({"weight": "v"}, "no column named 'v'"), ({"weight": "w", "inputs": {"w": "number"}}, "'w' is also an input")],
)
def test_a_column_that_cannot_weigh_is_an_error(tmp_path: Path, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(TrimtabError, match=message):
        prepared(write(tmp_path / "a.csv", rows(60)), "label", **asked)
