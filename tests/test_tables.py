"""Promises to those whose rows are numbers and categories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from places import place
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.metrics import average_precision_score, roc_auc_score
from tiny_bundle import write_tokenizer

import trimtab
from trimtab import columns, spec
from trimtab.audit.baselines import baselines
from trimtab.data.table import Origin, Table
from trimtab.metrics import OneOf, statistics
from trimtab.train.settings import Settings, choose


def patients() -> list[dict[str, object]]:
    """Cells of tumours: four numbers, one of them sometimes missing, and a category."""
    data = load_breast_cancer()
    return [
        {"radius": f"{x[0]:.4g}", "texture": f"{x[1]:.4g}" if row % 9 else "", "points": f"{x[27]:.4g}",
         "smoothness": f"{x[4]:.4g}", "size": "large" if x[3] > 600 else "small", "kind": data.target_names[y]}
        for row, (x, y) in enumerate(zip(data.data, data.target, strict=True))
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------------- launches


def test_a_table_gets_choices_of_its_own_and_trees_as_a_rival(tmp_path: Path) -> None:
    made = place(tmp_path, patients(), output="kind", gates={"auc": ">= 0.95"})
    manifest = trimtab.launch(made.spec, runs=made.runs).manifest
    assert manifest.released, manifest.why
    chosen = {entry.key: entry.value for entry in manifest.automatic}
    assert chosen["fusion"] == "deepfm"
    assert manifest.evidence["differs"] <= 1e-4
    assert set(manifest.evidence["baselines"]) == {"majority", "logistic regression", "gradient-boosted trees"}
    assert manifest.evidence["baselines"]["gradient-boosted trees"]["auc"]["value"] > 0.9
    assert "gradient-boosted trees" in (tmp_path / "runs" / "rows" / "bundle" / "card.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_fusion_with_options_reaches_the_bundle(tmp_path: Path) -> None:
    fusion = {"name": "dcn", "layers": 1, "rank": 4, "hidden": [16]}
    made = place(tmp_path, patients(), output="kind", fusion=fusion, train={"epochs": 2})
    manifest = trimtab.launch(made.spec, runs=made.runs).manifest
    assert manifest.spec["fusion"] == fusion
    assert manifest.evidence["differs"] <= 1e-4
    answers = trimtab.load(tmp_path / "runs" / "rows" / "bundle").predict([{"radius": "12", "size": "vast"}]).answers
    assert answers["kind"][0] in ("benign", "malignant")  # with most cells missing, and a category never seen


# -------------------------------------------------------------------------------------------------------- settings


def settings(rows: int, **asked: Any) -> Settings:
    wanted = spec.parse({"data": "rows.csv", "output": "kind", **asked})
    output = columns.fit("label", "kind", "kind", ["a", "b"], {})
    steps, counts = np.full(rows, 6), np.array([rows // 2, rows // 2])
    return choose(wanted, output, None, rows, steps, counts, torch.device("cpu"), kind="table")[0]


@pytest.mark.parametrize(("rows", "batch"), [(800, 32), (10_000, 128), (30_000, 256), (500_000, 256)])
def test_the_batches_of_a_table_grow_with_its_rows(rows: int, batch: int) -> None:
    chosen = settings(rows)
    assert chosen.batch_tokens == batch * 6
    assert 6 <= chosen.epochs <= 20


def test_what_the_spec_says_of_a_table_is_kept() -> None:
    chosen = settings(1000, train={"epochs": 3, "patience": 1, "learning_rate": 0.01}, gates={"auc": ">= 0.5"})
    assert (chosen.epochs, chosen.patience, chosen.learning_rate, chosen.score) == (3, 1, 0.01, "auc")
    assert settings(1000).patience > 1


# ------------------------------------------------------------------------------------------------------------ bins


def test_a_number_gets_bins_where_there_are_rows_enough_for_them() -> None:
    values = np.random.default_rng(0).normal(size=2000)
    assert columns.fit("number", "n", "n", values[:199].tolist(), {}).features == 1
    assert columns.fit("number", "n", "n", values[:500].tolist(), {}).features == 6
    assert columns.fit("number", "n", "n", values.tolist(), {}).features == 21
    assert columns.fit("number", "n", "n", values.tolist(), {"bins": 0}).features == 1


def test_numbers_that_are_mostly_zero_still_have_bins_for_the_rest() -> None:
    gains = np.where(np.arange(3000) % 12, 0.0, np.random.default_rng(0).lognormal(8, 1, 3000))
    column = columns.fit("number", "gain", "gain", gains.tolist(), {"bins": 16, "outliers": "keep"})
    assert len(column.edges) > 14
    inside = np.histogram(gains[gains > 0], np.array(column.edges[1:]))[0]
    assert inside.min() >= 5  # 250 numbers are not zero
    assert column.edges[0] == 0.0
    assert column.edges[-1] == gains.max()


def test_few_distinct_numbers_have_a_bin_between_each_two() -> None:
    column = columns.fit("number", "n", "n", [1, 2, 2, 2, 4] * 40, {"bins": 8, "outliers": "keep"})
    assert column.edges == (1.0, 2.0, 4.0)


# ----------------------------------------------------------------------------------------------------------- baseline


def fitted(values: dict[str, list[Any]], kinds: dict[str, str], output: str, kind: str, tests: int = 2) -> Any:
    """Columns, training rows, test rows (every second one, or one of `tests`) and the output."""
    size = len(values[output])
    train, test = (Table({n: [v[i] for i in rows] for n, v in values.items()}, [Origin("rows.csv", i) for i in rows])
                   for rows in ([i for i in range(size) if i % tests], list(range(0, size, tests))))  # fmt: skip
    keys = columns.keys(list(values))
    inputs = [columns.fit(of, name, keys[name], train.values[name], {}) for name, of in kinds.items()]
    return inputs, train, test, columns.fit(kind, output, keys[output], train.values[output], {})


def test_trees_learn_a_product_of_categories_that_a_linear_model_cannot() -> None:
    draw = np.random.default_rng(0)
    first, second = draw.integers(0, 12, 2400), draw.integers(0, 12, 2400)
    values = {
        "shop": [f"shop {i}" for i in first],
        "day": [f"day {i}" for i in second],
        "sold": ["yes" if (a % 2) == (b % 2) else "no" for a, b in zip(first, second, strict=True)],
    }
    found = baselines(*fitted(values, {"shop": "category", "day": "category"}, "sold", "label"), seed=7)
    assert found["gradient-boosted trees"]["auc"].value > 0.95
    assert found["logistic regression"]["auc"].value < 0.6


def test_trees_split_on_what_is_missing_too() -> None:
    age = [None if row % 2 else 30 + row % 7 for row in range(400)]
    values = {"age": age, "kind": ["a" if value is None else "b" for value in age]}
    found = baselines(*fitted(values, {"age": "number"}, "kind", "label", tests=3), seed=7)
    assert found["gradient-boosted trees"]["accuracy"].value == 1.0


def test_trees_are_called_after_what_they_can_read(tmp_path: Path) -> None:
    data = load_wine()
    values = {"note": ["a dry wine", "a sweet wine"] * 89, "alcohol": data.data[:, 0].tolist(),
              "colour": data.data[:, 9].tolist(), "grape": [str(y) for y in data.target]}  # fmt: skip
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json", values["note"][:2])
    inputs, train, test, output = fitted(values, {"alcohol": "number", "colour": "number"}, "grape", "label")
    text = columns.fit("text", "note", "note", train.values["note"], {"tokenizer": str(tokenizer)})
    found = baselines([text, *inputs], train, test, output, seed=7)
    assert list(found)[-1] == "gradient-boosted trees (numbers and categories only)"
    assert list(found)[-1] not in baselines([text], train, test, output, seed=7)
    assert list(baselines(inputs, train, test, output, seed=7))[-1] == "gradient-boosted trees"


def test_trees_answer_a_number_and_give_the_same_answers_twice() -> None:
    data = load_diabetes()
    values: dict[str, list[Any]] = {name: data.data[:, i].tolist() for i, name in enumerate(data.feature_names)}
    values["progression"] = data.target.tolist()
    given = fitted(values, dict.fromkeys(data.feature_names, "number"), "progression", "number")
    found = baselines(*given, seed=7)
    assert found["gradient-boosted trees"]["r2"].value > 0.25
    assert found == baselines(*given, seed=7)


# ------------------------------------------------------------------------------------------------ average precision


@pytest.mark.parametrize("decimals", [1, 8])
def test_average_precision_of_two_classes_is_scikit_learns_for_any_row_weights(decimals: int) -> None:
    draw = np.random.default_rng(0)
    truth, score = draw.integers(0, 2, 300), np.round(draw.random(300), decimals)
    weights = draw.integers(0, 3, (300, 4)).astype(np.float64)
    found = statistics(OneOf(["a", "b"], truth, np.stack([1 - score, score], axis=1)))["average_precision"]()(weights)
    expected = [average_precision_score(truth, score, sample_weight=column) for column in weights.T]
    assert found == pytest.approx(expected, abs=1e-12)


def test_average_precision_of_several_classes_is_the_mean_of_one_against_the_rest() -> None:
    draw = np.random.default_rng(1)
    truth, shares = draw.integers(0, 3, 200), draw.dirichlet([1, 1, 1], 200)
    made = statistics(OneOf(["a", "b", "c"], truth, shares))
    assert made["average_precision"]()(np.ones((200, 1)))[0] == pytest.approx(
        average_precision_score(np.eye(3)[truth], shares, average="macro")
    )
    assert made["auc"]()(np.ones((200, 1)))[0] == pytest.approx(roc_auc_score(truth, shares, multi_class="ovr"))


def test_average_precision_can_be_a_gate() -> None:
    (gate,) = spec.parse_gates({"average_precision": ">= 60%"})
    assert gate.met(0.61)
    assert settings(1000, gates={"average_precision": ">= 0.6"}).score == "average_precision"
