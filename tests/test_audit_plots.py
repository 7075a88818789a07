"""Plots: the same bytes for the same evidence, for any class names and any number of classes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_diabetes

from trimtab.metrics import Amounts, OneOf
from trimtab.report.plots import draw

HISTORY = [{"epoch": epoch, "step": 10 * epoch, "loss": 1 / epoch, "score": 0.8 + epoch / 100} for epoch in (1, 2, 3)]
LABEL_PLOTS = ["confusion", "roc", "precision_recall", "reliability", "histogram", "history"]


def answers(classes: list[str], rows: int = 300) -> dict[str, Any]:
    """Evidence of answers that are mostly right."""
    chance = np.random.default_rng(0)
    targets = np.arange(rows) % len(classes)
    share = chance.dirichlet(np.ones(len(classes)), rows) + 2 * np.eye(len(classes))[targets] * chance.random((rows, 1))
    found = OneOf(classes, targets, share / share.sum(axis=1, keepdims=True)).evidence([{"text": "…"}] * rows)
    return {**found, "history": HISTORY}


def names(plots: list[str]) -> list[str]:
    return [f"{plot}.{ending}" for plot in plots for ending in ("svg", "png")]


def test_every_plot_of_a_label_is_drawn_and_is_a_picture(tmp_path: Path) -> None:
    drawn = draw(answers(["negative", "positive"]), tmp_path / "plots")
    assert [path.name for path in drawn] == names(LABEL_PLOTS)
    pictures = [path for path in drawn if path.suffix == ".png"]
    assert len(pictures) == len(LABEL_PLOTS)
    for path in pictures:
        with Image.open(path) as picture:
            assert len(picture.convert("L").getcolors() or []) > 10, path


def test_the_same_evidence_gives_the_same_bytes(tmp_path: Path) -> None:
    shown = answers(["negative", "positive"])
    first, again = draw(shown, tmp_path / "first"), draw(shown, tmp_path / "again")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


def test_class_names_of_any_script_and_form_are_drawn_as_text(tmp_path: Path) -> None:
    classes = ["体育", "عربي", "$\\frac{", "<script>alert(1)</script>", "a" * 200, "_hidden"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(answers(classes), tmp_path)
    confusion = (tmp_path / "confusion.svg").read_text(encoding="utf-8")
    assert "体育" in confusion
    assert "<script" not in confusion
    assert "currentColor" in confusion


@pytest.mark.parametrize("count", [20, 130])
def test_many_classes_stay_readable_and_small(tmp_path: Path, count: int) -> None:
    drawn = draw(answers([f"class {place}" for place in range(count)], rows=2 * count), tmp_path)
    assert all(path.stat().st_size < 1_000_000 for path in drawn)


def test_a_number_has_its_own_plots(tmp_path: Path) -> None:
    _, targets = load_diabetes(return_X_y=True)
    found = Amounts(targets, targets[::-1] * 0.5 + 70).evidence([{}] * len(targets))
    assert [path.name for path in draw(found, tmp_path)] == names(["scatter", "histogram"])


def test_what_the_evidence_lacks_is_not_drawn(tmp_path: Path) -> None:
    assert draw({}, tmp_path) == []
    assert [path.name for path in draw({"history": HISTORY[:1]}, tmp_path)] == names(["history"])
    one_class = OneOf(["a", "b"], np.zeros(3, dtype=int), np.tile([0.9, 0.1], (3, 1))).evidence([{}] * 3)
    assert "roc.svg" not in [path.name for path in draw(one_class, tmp_path)]
