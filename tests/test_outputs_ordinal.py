"""Levels in an order: answers can only be consistent, and far misses cost more."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from head_losses import loss
from places import place
from sklearn import metrics
from sklearn.datasets import load_diabetes

import trimtab
from trimtab import columns
from trimtab.audit import quality
from trimtab.columns.ordinal import OrdinalColumn
from trimtab.errors import TrimtabError
from trimtab.nets.heads.ordinal import OrdinalHead


def fitted(values: list[object], **options: object) -> OrdinalColumn:
    column = columns.fit("ordinal", "grade", "grade", values, options)
    assert isinstance(column, OrdinalColumn)
    return column


def test_numbers_are_in_the_order_of_their_value_and_names_in_the_one_that_is_given() -> None:
    assert fitted(["10", "9", 2, 9.0]).classes == ("2", "9", "10")
    named = fitted(["high", "low"], levels=["low", "mid", "high"])
    assert named.classes == ("low", "mid", "high")
    assert named.targets(["mid", "HIGH"]).tolist() == [1, 2]


def test_an_order_that_is_not_known_is_an_error() -> None:
    with pytest.raises(TrimtabError, match=r"levels: \[high, low\]"):
        fitted(["high", "low"])
    with pytest.raises(TrimtabError, match="most training rows hold others: 'huge'"):
        fitted(["high", "huge", "huge"], levels=["low", "high"])
    with pytest.raises(TrimtabError, match="at least two levels"):
        fitted(["3", "3"])
    assert fitted(["1", "2"]).usable("7") == "no level named '7' in training"


def test_the_chances_of_being_above_a_level_can_only_fall() -> None:
    column = fitted(list("12345"))
    outputs = np.random.default_rng(1).normal(scale=4, size=(500, column.width)).astype(np.float32)
    shares = column.probabilities(outputs)
    assert shares.min() >= 0
    assert shares.sum(axis=1) == pytest.approx(np.ones(500))
    # The median: at most half of the probability lies on either side of it.
    for share, chosen in zip(shares, column.chosen(outputs), strict=True):
        assert share[:chosen].sum() <= 0.5 + 1e-12
        assert share[chosen + 1 :].sum() <= 0.5 + 1e-12


def test_the_loss_is_the_likelihood_of_the_level() -> None:
    column = fitted(list("1234"))
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(2))
    targets = torch.tensor([0, 1, 2, 3, 3, 0])
    shares = column.probabilities(logits.numpy())[np.arange(6), targets.numpy()]
    assert loss(OrdinalHead, logits, targets).numpy() == pytest.approx(-np.log(shares), abs=1e-5)


def test_metrics_are_those_of_scikit_learn() -> None:
    column = fitted(list("13579"))
    random = np.random.default_rng(4)
    targets = random.integers(0, 5, 400)
    outputs = random.normal(size=(400, 4)).astype(np.float32) + (targets[:, None] > np.arange(4)) * 2.0
    chosen = column.chosen(outputs)
    found = quality.measure(column, targets, outputs, seed=1, resamples=100)
    kappa = metrics.cohen_kappa_score(targets, chosen, weights="quadratic")
    assert found["quadratic_kappa"].value == pytest.approx(kappa)
    assert found["mae"].value == pytest.approx(2 * np.abs(targets - chosen).mean())  # in the units of the levels
    assert found["accuracy"].value == pytest.approx((targets == chosen).mean())
    assert found["recall.5"].value == pytest.approx(metrics.recall_score(targets == 2, chosen == 2))
    assert found["log_loss"].value == pytest.approx(metrics.log_loss(targets, column.probabilities(outputs)))
    assert found["quadratic_kappa"].low < kappa < found["quadratic_kappa"].high


def test_a_resample_of_kappa_is_the_kappa_of_the_resampled_rows() -> None:
    column = fitted(list("1234"))
    random = np.random.default_rng(5)
    targets, outputs = random.integers(0, 4, 60), random.normal(size=(60, 3)).astype(np.float32)
    statistic = column.statistics(targets, outputs)["quadratic_kappa"]()
    drawn = random.integers(0, 60, 60)
    weights = np.bincount(drawn, minlength=60).astype(float)[:, None]
    expected = metrics.cohen_kappa_score(targets[drawn], column.chosen(outputs)[drawn], weights="quadratic")
    assert statistic(weights)[0] == pytest.approx(expected)


def test_answers_come_back_from_the_saved_column(tmp_path: Path) -> None:
    column = fitted(["low", "high"], levels=["low", "mid", "high"])
    column.save(tmp_path)
    restored = columns.restore(tmp_path, json.loads((tmp_path / "grade.json").read_text()))
    decoded = restored.decode(np.array([[4.0, 4.0], [4.0, -4.0], [-4.0, 0.0]], np.float32), top=3)
    assert decoded["grade"] == ["high", "mid", "low"]
    assert all(share > 0.9 for share in decoded["confidence"])
    assert [one["grade"] for one in decoded["grade_top"][1]] == ["mid", "low", "high"]


def test_a_launch_learns_levels_in_their_order(tmp_path: Path) -> None:
    data = load_diabetes()
    edges = np.quantile(data.target, [0.25, 0.5, 0.75])
    names = ("none", "some", "more", "most")
    rows = [
        {**{name: f"{v:.5g}" for name, v in zip(data.feature_names, x, strict=True)}, "disease": names[level]}
        for x, level in zip(data.data, np.searchsorted(edges, data.target), strict=True)
    ]
    rows += [{**rows[0], "disease": "unheard of"}, {**rows[1], "disease": ""}]
    output = {"disease": {"type": "ordinal", "levels": list(names)}}
    gates = {"quadratic_kappa": ">= 0.3", "mae": "<= 1.1", "recall.most": ">= 0.2"}
    made = place(tmp_path, rows, output=output, gates=gates, train={"epochs": 15})
    release = trimtab.launch(made.spec, runs=made.runs)
    manifest = release.manifest
    assert release.released, manifest.why
    assert manifest.headline == "quadratic_kappa"
    assert sum(manifest.data["rejected"].values()) == 2
    assert list(manifest.evidence["baselines"]) == [
        "most frequent level",
        "logistic regression",
        "gradient-boosted trees",
    ]
    assert manifest.evidence["baselines"]["most frequent level"]["quadratic_kappa"]["value"] == 0
    counts = manifest.evidence["confusion"]["counts"]
    assert sum(itertools.chain.from_iterable(counts)) == manifest.data["rows"]["test"]
    found = trimtab.load(release.folder).predict(rows[:4]).answers
    assert set(found["disease"]) <= set(names)
