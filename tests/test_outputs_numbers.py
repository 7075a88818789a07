"""Several numbers at once, each in its own unit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from head_losses import loss
from places import place
from sklearn import metrics
from sklearn.datasets import load_linnerud

import trimtab
from trimtab import columns, request
from trimtab.audit import quality
from trimtab.columns.numbers import NumbersColumn
from trimtab.errors import TrimtabError
from trimtab.nets.heads.numbers import NumbersHead
from trimtab.progress import Quiet
from trimtab.spec import parse

HOUSES = [{"price": "1,250", "rooms": "3"}, {"price": "2,500", "rooms": ""}, {"price": "5,000", "rooms": "7"}]


def fitted(values: list[object], **options: object) -> NumbersColumn:
    column = columns.fit("numbers", "facts", "facts", values, options)
    assert isinstance(column, NumbersColumn)
    return column


def test_columns_and_lists_are_read_and_come_back_in_their_units() -> None:
    houses = fitted(HOUSES, columns=["price", "rooms"])
    targets = houses.targets(HOUSES)
    assert np.isnan(targets[1, 1])
    assert houses.decode(targets[[0, 2]]) == {"price": [1250, 5000], "rooms": [3, 7]}
    for cells in ([[1, 10], [3, 40]], ["1|10", "3|40"], ["[1, 10]", "[3, 40]"]):
        lists = fitted(cells)
        assert lists.decode(lists.targets(cells)) == {"facts": [[1, 10], [3, 40]]}


def test_bad_cells_have_a_reason() -> None:
    houses, lists = fitted(HOUSES, columns=["price", "rooms"]), fitted([[1, 2], [3, 5]])
    assert houses.usable({"price": "cheap", "rooms": 2}) == "price is 'cheap', not a number"
    assert houses.usable({"price": None, "rooms": "n/a"}) == "no value"
    assert houses.usable({"price": None, "rooms": 2}) is None
    assert lists.usable([1, 2, 3]) == "3 numbers, not 2"
    assert lists.usable(None) == "no value"
    with pytest.raises(TrimtabError, match="'rooms'"):
        fitted([{"price": 1, "rooms": "many"}, {"price": 2, "rooms": "few"}], columns=["price", "rooms"])


def test_metrics_are_means_over_the_numbers_and_those_of_each() -> None:
    random = np.random.default_rng(1)
    truth = random.normal(size=(200, 2)) * [1, 50] + [5, 700]
    column = fitted(truth.tolist(), separator="|")
    targets = column.targets(truth.tolist())
    targets[::7, 1] = np.nan
    outputs = (np.nan_to_num(targets) + random.normal(size=(200, 2)) * 0.5).astype(np.float32)
    found = quality.measure(column, targets, outputs, seed=1, resamples=50)
    predicted, known = column.in_units(outputs), ~np.isnan(targets[:, 1])
    second = metrics.r2_score(truth[known, 1], predicted[known, 1])
    assert found["r2.2"].value == pytest.approx(second, abs=1e-4)
    assert found["r2"].value == pytest.approx((metrics.r2_score(truth[:, 0], predicted[:, 0]) + second) / 2, abs=1e-4)
    assert found["mae.1"].value == pytest.approx(np.abs(truth[:, 0] - predicted[:, 0]).mean(), abs=1e-3)
    assert found["rmse"].value == pytest.approx((found["rmse.1"].value + found["rmse.2"].value) / 2)


def test_the_loss_leaves_out_what_is_unknown() -> None:
    found = loss(NumbersHead, torch.tensor([[1.0, 5.0], [2.0, 2.0]]), torch.tensor([[0.0, float("nan")], [0.0, 1.0]]))
    assert found.tolist() == [1.0, 2.5]


def test_a_column_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    column = fitted(HOUSES, columns=["price", "rooms"])
    column.save(tmp_path)
    assert columns.restore(tmp_path, json.loads((tmp_path / "facts.json").read_text())) == column


def linnerud() -> list[dict[str, object]]:
    """Twenty men at three exercises, ten times with a little noise: waist and weight from what they can do."""
    data, random = load_linnerud(), np.random.default_rng(0)
    return [
        {**{n: round(float(v * random.normal(1, 0.03)), 2) for n, v in zip(data.feature_names, x, strict=True)},
         "Weight": f"{y[0]:.0f}", "Waist": f"{y[1]:.0f}" if (i + turn) % 5 else ""}
        for turn in range(10) for i, (x, y) in enumerate(zip(data.data, data.target, strict=True))
    ]  # fmt: skip


def spec_of(**gates: str) -> dict[str, object]:
    return {"output": {"body": {"type": "numbers", "columns": ["Weight", "Waist"]}}, "gates": gates}


def test_a_launch_learns_several_numbers(tmp_path: Path) -> None:
    rows = linnerud()
    made = place(tmp_path, rows, **spec_of(**{"r2": ">= 0.1", "mae.Waist": "<= 4"}), train={"epochs": 25})
    release = trimtab.launch(made.spec, runs=made.runs)
    manifest = release.manifest
    assert release.released, manifest.why
    assert {gate.name for gate in manifest.gates} == {"r2", "mae.Waist"}
    assert list(manifest.evidence["baselines"]) == ["mean", "ridge regression", "gradient-boosted trees"]
    assert [line["number"] for line in manifest.evidence["parts"]] == ["Weight", "Waist"]
    found = trimtab.load(release.folder).predict(rows[:5]).answers
    assert set(found) == {"Weight", "Waist"}
    assert all(25 < waist < 50 for waist in found["Waist"])
    assert all(120 < weight < 260 for weight in found["Weight"])


def test_a_gate_on_a_number_that_is_not_there_is_an_error_before_training(tmp_path: Path) -> None:
    made = place(tmp_path, linnerud())
    for gate, said in (("r2.Wrist", "no column 'Wrist'"), ("recall.Waist", "not measured on a numbers output")):
        spec = parse({"data": ["rows.csv"], **spec_of(**{gate: ">= 0.5"})})
        with pytest.raises(TrimtabError, match=said):
            request.check(spec, made.folder, tmp_path / "home", Quiet())
