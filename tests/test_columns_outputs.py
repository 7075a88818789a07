"""Labels and numbers as answers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

from trimtab import columns


def test_classes_that_are_numbers_are_sorted_by_value() -> None:
    assert columns.fit("label", "y", "y", ["10", "9", 1.0, "1"], {}).classes == ("1", "9", "10")
    assert columns.fit("label", "y", "y", ["b", "10", "a"], {}).classes == ("10", "a", "b")


def test_targets_are_found_whatever_the_case_unless_case_tells_classes_apart() -> None:
    column = columns.fit("label", "y", "y", ["Good", "bad", "BAD"], {})
    targets = column.targets(["good", "GOOD", "bad", "BAD"])
    assert [column.classes[target] for target in targets] == ["Good", "Good", "bad", "BAD"]
    assert column.usable("Bad") == "no class named 'Bad' in training"
    assert column.usable("") == "no value"
    with pytest.raises(ValueError, match="no class named 'ugly'"):
        column.targets(["good", "ugly"])


def test_probabilities_are_the_softmax_of_logits_over_temperature() -> None:
    column = dataclasses.replace(columns.fit("label", "y", "y", ["a", "b", "c"], {}), temperature=2.0)
    logits = np.array([[2.0, 0.0, -2.0], [1000.0, 0.0, 0.0]], np.float32)
    odds = np.exp([1.0, 0.0, -1.0])
    assert column.probabilities(logits)[0] == pytest.approx(odds / odds.sum())
    assert column.probabilities(logits).sum(axis=1) == pytest.approx([1.0, 1.0])
    assert column.decode(logits) == {"y": ["a", "a"], "confidence": [0.6652, 1.0]}


def test_no_rows_have_no_answers() -> None:
    column = columns.fit("label", "y", "y", ["a", "b"], {})
    assert column.decode(np.zeros((0, 2), np.float32)) == {"y": [], "confidence": []}


def test_an_output_called_confidence_keeps_its_name() -> None:
    column = columns.fit("label", "confidence", "confidence", ["high", "low"], {})
    assert column.decode(np.array([[0.0, 0.0]])) == {"confidence": ["high"], "probability": [0.5]}


def test_a_label_comes_back_from_its_file(tmp_path: Path) -> None:
    column = dataclasses.replace(columns.fit("label", "y", "y", ["好", "坏"], {}), temperature=1.37)
    column.save(tmp_path)
    assert columns.restore(tmp_path, json.loads((tmp_path / "y.json").read_text())) == column


def test_a_number_comes_back_in_the_units_of_the_user() -> None:
    progression = [f"{value:.1f}" for value in load_diabetes().target]
    column = columns.fit("number", "progression", "y", progression, {})
    targets = column.targets(progression)
    assert (abs(float(targets.mean())), float(targets.std())) == (
        pytest.approx(0, abs=1e-5),
        pytest.approx(1, abs=1e-5),
    )
    answers = column.decode(targets[:, None])
    assert list(answers) == ["progression"]
    assert np.abs(np.array(answers["progression"]) - load_diabetes().target).max() < 1e-3


def test_an_extreme_answer_is_learned_as_it_is() -> None:
    column = columns.fit("number", "y", "y", [*range(100), 1_000_000], {"outliers": "clip"})
    assert column.decode(column.targets([1_000_000])[:, None])["y"][0] == pytest.approx(1_000_000, rel=1e-5)


def test_a_number_that_is_no_answer_says_why() -> None:
    column = columns.fit("number", "y", "y", ["1,5", "2,5"], {})
    assert [column.usable(value) for value in ("3,5", None, "x")] == [None, "no value", "'x' is not a number"]
    with pytest.raises(ValueError, match="no value"):
        column.targets(["1,5", "NA"])
