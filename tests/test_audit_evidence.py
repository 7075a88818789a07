"""Evidence: confusion, curves, reliability and mistakes tell what the rows say."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as rival
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, Ridge

from trimtab import columns
from trimtab.columns.label import LabelColumn
from trimtab.metrics import OneOf
from trimtab.metrics import _evidence as room

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def logits(inputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities of a weak model on every second row, and these rows' targets."""
    model = LogisticRegression(max_iter=8, C=1e-4).fit(inputs[::2], targets[::2])
    return model.predict_log_proba(inputs[1::2]), targets[1::2]


def test_evidence_of_two_classes_agrees_with_scikit_learn() -> None:
    inputs, targets = load_breast_cancer(return_X_y=True)
    outputs, truth = logits(inputs[:, :4], targets)
    column = LabelColumn("tumour", "tumour", ("malignant", "benign"), temperature=1.5)
    found = column.evidence(truth, outputs, [{"radius": row[0], "note": None} for row in inputs[1::2]])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["confusion"] == {
        "classes": ["malignant", "benign"],
        "counts": rival.confusion_matrix(truth, outputs.argmax(axis=1)).tolist(),
    }
    [curve] = found["curves"]
    assert curve["class"] == "benign"
    assert curve["auc"] == pytest.approx(rival.roc_auc_score(truth, outputs[:, 1]))
    assert curve["average_precision"] == pytest.approx(rival.average_precision_score(truth, outputs[:, 1]))
    assert found["reliability"]["temperature"] == 1.5
    assert sum(one["rows"] for one in found["reliability"]["bins"]) == len(truth)


def test_curves_are_thinned_without_losing_their_area_or_ends() -> None:
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 2, 5000)
    score = 1 / (1 + np.exp(-(truth + draw.normal(size=5000))))
    found = OneOf(["no", "yes"], truth, np.stack([1 - score, score], axis=1)).evidence([{}] * 5000)
    curve = found["curves"][0]
    for name in ("roc", "precision_recall"):
        assert len(curve[name]["x"]) <= room.CURVE_POINTS
        assert (curve[name]["x"][0], curve[name]["x"][-1]) == (0.0, 1.0)
    area = np.trapezoid(curve["roc"]["y"], curve["roc"]["x"])
    assert area == pytest.approx(rival.roc_auc_score(truth, score), abs=2e-3)


def test_many_classes_get_curves_for_the_most_frequent_and_a_whole_confusion_matrix() -> None:
    inputs, targets = load_digits(return_X_y=True)
    outputs, truth = logits(inputs, targets)
    wide = np.pad(outputs, ((0, 0), (0, 10)), constant_values=-30.0)
    names = tuple(f"digit {place}" for place in range(20))
    found = LabelColumn("digit", "digit", names).evidence(truth, wide, [{"image": "…"}] * len(truth))
    assert [curve["class"] for curve in found["curves"]] == list(names[:10])  # the others have no row
    assert np.array(found["confusion"]["counts"]).shape == (20, 20)
    assert np.sum(found["confusion"]["counts"]) == len(truth)


def test_the_hardest_mistakes_come_first_and_are_shortened() -> None:
    share = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])
    inputs = [{"text": "right"}, {"text": "worse\n  than " + "long " * 100}, {"text": None}, {"text": "right too"}]
    found = OneOf(["no", "yes"], np.array([0, 0, 0, 1]), share).evidence(inputs)
    assert [one["confidence"] for one in found["hardest"]] == [0.8, 0.6]
    first = found["hardest"][0]
    assert (first["true"], first["predicted"]) == ("no", "yes")
    assert first["inputs"]["text"].startswith("worse than long")
    assert len(first["inputs"]["text"]) == room.SHORT
    assert found["hardest"][1]["inputs"] == {"text": ""}


def test_rows_without_a_mistake_have_no_hardest_ones() -> None:
    assert OneOf(["no", "yes"], np.array([0, 1]), np.eye(2)).evidence([{}, {}])["hardest"] == []


def test_evidence_of_a_number_is_in_the_users_units() -> None:
    inputs, targets = load_diabetes(return_X_y=True)
    column = columns.fit("number", "progress", "progress", list(targets), {})
    known = column.targets(list(targets))
    outputs = Ridge(alpha=0.1).fit(inputs, known).predict(inputs)[:, None]
    found = column.evidence(known, outputs, [{"age": row[0]} for row in inputs])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert 25 <= min(found["scatter"]["actual"]) < max(found["scatter"]["actual"]) <= 346
    assert found["residuals"]["0.05"] < 0 < found["residuals"]["0.95"]
    assert sum(found["histogram"]["counts"]) == len(targets)
    errors = [abs(one["error"]) for one in found["hardest"]]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 100
