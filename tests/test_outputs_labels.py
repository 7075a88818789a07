"""Several labels at once: what is not known is neither learnt from nor measured."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from head_losses import loss
from places import place
from sklearn import metrics
from sklearn.datasets import load_digits

import trimtab
from trimtab import columns
from trimtab.__main__ import main
from trimtab.audit import quality
from trimtab.columns.labels import LabelsColumn
from trimtab.data import infer_output
from trimtab.errors import TrimtabError
from trimtab.nets.heads.labels import LabelsHead

CLASSES = ("round", "tall", "wide")


def fitted(values: list[object], **options: object) -> LabelsColumn:
    column = columns.fit("labels", "topics", "topics", values, options)
    assert isinstance(column, LabelsColumn)
    return column


@pytest.mark.parametrize(
    "cells",
    [
        [["a", "b"], ["c"], []],
        ['["a", "b"]', '["c"]', "[]"],
        ["a|b", "c", "b|a|a"],
        ["a; b", "c", " c "],
        ["a, b", "c", "b"],
    ],
)
def test_names_of_a_cell_are_found_however_they_are_written(cells: list[object]) -> None:
    column = fitted(cells)
    assert column.classes == ("a", "b", "c")
    assert column.targets(cells[:2]).tolist() == [[1, 1, 0], [0, 0, 1]]


def test_a_missing_cell_of_several_columns_is_unknown() -> None:
    column = fitted([{"x": "1", "y": ""}, {"x": "no", "y": 1.0}], columns=["x", "y"])
    targets = column.targets([{"x": "1", "y": ""}, {"x": False, "y": "yes"}])
    assert targets[0, 0] == 1
    assert math.isnan(targets[0, 1])
    assert targets[1].tolist() == [0, 1]


def test_bad_cells_have_a_reason() -> None:
    names, cells = fitted(["a|b", "c"]), fitted([{"x": 1, "y": 0}], columns=["x", "y"])
    assert names.usable("") == "no value"
    assert "no class named 'd'" in str(names.usable("a|d"))
    assert "y is '3', not 0 or 1" in str(cells.usable({"x": 1, "y": "3"}))
    assert cells.usable({"x": None, "y": ""}) == "no value"
    assert fitted(["a|b", "c"], empty="none").usable("") is None


def test_options_that_contradict_the_data_are_errors() -> None:
    with pytest.raises(TrimtabError, match="training rows hold 'c'"):
        fitted(["a|b", "c"], classes=["a", "b"])
    with pytest.raises(TrimtabError, match="threshold"):
        fitted(["a|b", "c"], threshold=1.5)
    with pytest.raises(TrimtabError, match="no training row has a class"):
        fitted([[], []])


def answers(rows: int = 300, unknown: float = 0.2) -> tuple[LabelsColumn, np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    outputs = random.normal(size=(rows, 3)).astype(np.float32)
    targets = (outputs + random.normal(size=(rows, 3)) > 0.8).astype(np.float32)
    targets[random.random((rows, 3)) < unknown] = np.nan
    return fitted([list(CLASSES)]), targets, outputs


def test_metrics_are_those_of_scikit_learn() -> None:
    column, targets, outputs = answers(unknown=0.0)
    found = quality.measure(column, targets, outputs, seed=1, resamples=50)
    shares, truth = column.probabilities(outputs), targets.astype(int)
    expected = {
        "micro_f1": metrics.f1_score(truth, shares >= 0.5, average="micro"),
        "macro_f1": metrics.f1_score(truth, shares >= 0.5, average="macro"),
        "auc": metrics.roc_auc_score(truth, shares, average="macro"),
        "average_precision": metrics.average_precision_score(truth, shares, average="macro"),
        "exact_match": metrics.accuracy_score(truth, shares >= 0.5),
        "log_loss": np.mean([metrics.log_loss(truth[:, i], shares[:, i]) for i in range(3)]),
        "recall.tall": metrics.recall_score(truth[:, 1], shares[:, 1] >= 0.5),
    }
    assert {name: found[name].value for name in expected} == pytest.approx(expected)
    assert all(one.low <= one.value <= one.high for one in found.values() if one.low is not None and one.high)


def test_what_is_unknown_changes_no_metric() -> None:
    column, targets, outputs = answers()
    found = quality.measure(column, targets, outputs, seed=1, resamples=20)
    known = ~np.isnan(targets[:, 0])
    single = metrics.average_precision_score(targets[known, 0], column.probabilities(outputs)[known, 0])
    others = [
        metrics.average_precision_score(
            targets[~np.isnan(targets[:, i]), i], column.probabilities(outputs)[~np.isnan(targets[:, i]), i]
        )
        for i in (1, 2)
    ]
    assert found["average_precision"].value == pytest.approx(np.mean([single, *others]))
    altered = np.where(np.isnan(targets), -outputs * 9, outputs).astype(np.float32)
    again = quality.measure(column, targets, altered, seed=1, resamples=20)
    assert again == found


def test_the_loss_leaves_out_what_is_unknown() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.3, 0.2, 0.1]], requires_grad=True)
    targets = torch.tensor([[1.0, float("nan"), 0.0], [float("nan"), float("nan"), 1.0]])
    losses = loss(LabelsHead, logits, targets)
    expected = [(math.log1p(math.exp(-2)) + math.log1p(math.exp(0.5))) / 2, math.log1p(math.exp(-0.1))]
    assert losses.tolist() == pytest.approx(expected, abs=1e-6)
    losses.sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] == logits.grad[1, 0] == logits.grad[1, 1] == 0


def test_thresholds_are_the_best_of_each_class_on_the_validation_rows() -> None:
    column, targets, outputs = answers()
    tuned = column.calibrated(targets, outputs)
    shares = column.probabilities(outputs)
    for number in range(3):
        known = ~np.isnan(targets[:, number])
        truth, scores = targets[known, number], shares[known, number]
        best = max(metrics.f1_score(truth, scores >= cut) for cut in np.unique(scores))
        assert metrics.f1_score(truth, scores >= tuned.thresholds[number]) == pytest.approx(best)
    assert fitted([list(CLASSES)], threshold=0.3).calibrated(targets, outputs).thresholds == (0.3,) * 3
    few = column.calibrated(targets[:4], outputs[:4])
    assert few.thresholds == (0.5,) * 3


def test_answers_are_names_with_their_probabilities_the_likeliest_first(tmp_path: Path) -> None:
    column = fitted([list(CLASSES)])
    column.save(tmp_path)
    state = json.loads((tmp_path / "topics.json").read_text())
    restored = columns.restore(tmp_path, state)
    assert restored == column
    decoded = restored.decode(np.array([[0.5, 3.0, -1.0], [-1.0, -2.0, -3.0]], np.float32), top=2)
    assert decoded["topics"] == [["tall", "round"], []]
    assert decoded["confidence"][0] == pytest.approx([0.9526, 0.6225], abs=1e-4)
    assert [one["topics"] for one in decoded["topics_top"][1]] == ["round", "tall"]


def test_columns_of_several_labels_are_seen_by_looking() -> None:
    assert infer_output.output_type("x", [["a"], ["a", "b"], []] * 10).type == "labels"
    assert infer_output.output_type("x", ["drama|war", "comedy", "comedy|drama", "war"] * 10).type == "labels"
    texts = [f"word {number} of a text | and {number} more" for number in range(60)]
    assert infer_output.output_type("x", texts).type == "label"
    assert infer_output.output_type("x", [[1, 2.5], [3, 4]] * 10).type == "numbers"


def digit_rows(count: int = 400) -> list[dict[str, object]]:
    data = load_digits()
    rows: list[dict[str, object]] = []
    for image, digit in zip(data.images[:count], data.target[:count], strict=True):
        halves = {f"row {i}": f"{image[i].sum():.0f}" for i in range(8)} | {
            f"column {i}": f"{image[:, i].sum():.0f}" for i in range(8)
        }
        told = {"even": digit % 2 == 0, "small": digit < 5, "round": digit in (0, 6, 8, 9)}
        cells = {name: str(int(is_so)) if (len(rows) + i) % 9 else "" for i, (name, is_so) in enumerate(told.items())}
        rows.append({**halves, **cells})
    return rows


def test_a_launch_learns_several_labels_from_columns_with_gaps(tmp_path: Path) -> None:
    rows = digit_rows()
    rows[7]["even"] = "perhaps"
    made = place(
        tmp_path,
        rows,
        output={"traits": {"type": "labels", "columns": ["even", "small", "round"]}},
        train={"epochs": 12},
        gates={"average_precision": ">= 0.75", "recall.round": ">= 0.5", "auc": ">= 0.75"},
    )
    release = trimtab.launch(made.spec, runs=made.runs)
    manifest = release.manifest
    assert release.released, manifest.why
    assert sum(manifest.data["rejected"].values()) == 1
    assert "even is 'perhaps', not 0 or 1" in (made.runs / "rows" / "rejected.jsonl").read_text()
    assert [line["class"] for line in manifest.evidence["parts"]] == ["even", "small", "round"]
    baseline = manifest.evidence["baselines"]["logistic regressions"]["average_precision"]["value"]
    assert 0.5 < baseline < 1
    model = trimtab.load(release.folder)
    assert model.output.sources == ("even", "small", "round")
    asked = [{name: row[name] for name in row if name not in CLASSES} for row in rows[:5]]
    found = model.predict(asked).answers
    assert set(found) == {"traits", "confidence"}
    assert all(set(names) <= {"even", "small", "round"} for names in found["traits"])
    again = trimtab.launch(made.spec, runs=made.runs)
    assert again.manifest.hash == manifest.hash
    assert main(["evaluate", str(release.folder), str(made.folder / "rows.csv"), "--json"]) == 0
