"""Quality metrics, their intervals and the temperature, held against scikit-learn on real data."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from sklearn import metrics as rival
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression

from trimtab import columns, metrics
from trimtab.audit import quality
from trimtab.bundle.manifest import Measured
from trimtab.columns._temperature import HIGHEST, LOWEST, fit_temperature
from trimtab.columns.label import LabelColumn
from trimtab.metrics import Amounts, OneOf, Statistic


def label_metrics(
    classes: Sequence[str], targets: np.ndarray, share: np.ndarray, seed: int, resamples: int = quality.RESAMPLES
) -> dict[str, Measured]:
    """Metrics of class probabilities, (rows, classes), against class indices, (rows,)."""
    return quality.of_answers(OneOf(classes, targets, share), len(targets), len(classes), seed, resamples)


def number_metrics(
    targets: np.ndarray, predictions: np.ndarray, seed: int, resamples: int = quality.RESAMPLES
) -> dict[str, Measured]:
    """Metrics of predicted numbers, (rows,), against the true ones, (rows,)."""
    return quality.of_answers(Amounts(targets, predictions), len(targets), 1, seed, resamples)


DATA = {"breast_cancer": load_breast_cancer, "digits": load_digits}


@functools.cache
def answers(name: str, features: int = 12) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Classes, targets and coarse probabilities, full of ties, of a weak model on held-out rows."""
    inputs, targets = DATA[name](return_X_y=True)
    seen, unseen = np.arange(len(targets)) % 2 == 0, np.arange(len(targets)) % 2 == 1
    middle = inputs[:, inputs.shape[1] // 3 :][:, :features]
    model = LogisticRegression(max_iter=50, C=1e-3).fit(middle[seen], targets[seen])
    coarse = np.round(model.predict_proba(middle[unseen]), 2) + 1e-3
    return [str(c) for c in model.classes_], targets[unseen], coarse / coarse.sum(axis=1, keepdims=True)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", DATA)
def test_every_label_metric_agrees_with_scikit_learn(name: str) -> None:
    classes, targets, share = answers(name)
    found = label_metrics(classes, targets, share, seed=7, resamples=50)
    chosen = share.argmax(axis=1)
    expected = {
        "accuracy": rival.accuracy_score(targets, chosen),
        "macro_f1": rival.f1_score(targets, chosen, average="macro"),
        "log_loss": rival.log_loss(targets, share),
        "auc": rival.roc_auc_score(targets, share[:, 1] if len(classes) == 2 else share, multi_class="ovr"),
        "average_precision": rival.average_precision_score(
            targets if len(classes) == 2 else np.eye(len(classes))[targets], share[:, 1] if len(classes) == 2 else share
        ),
        **dict(zip([f"recall.{c}" for c in classes], rival.recall_score(targets, chosen, average=None), strict=True)),
    }
    assert found.keys() == {*expected, "calibration_error"}
    assert {metric: found[metric].value for metric in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_calibration_error_is_the_mean_gap_over_fifteen_bins() -> None:
    classes, targets, share = answers("digits")
    confidence, right = share.max(axis=1), share.argmax(axis=1) == targets
    gaps = []
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            gaps.append(inside.mean() * abs(confidence[inside].mean() - right[inside].mean()))
    found = label_metrics(classes, targets, share, seed=7, resamples=10)
    assert found["calibration_error"].value == pytest.approx(sum(gaps), abs=1e-12)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_intervals_are_those_of_drawing_rows_again() -> None:
    classes, targets, share = answers("breast_cancer")
    found = label_metrics(classes, targets, share, seed=7)
    draw = np.random.default_rng(1)
    again: dict[str, list[float]] = {"accuracy": [], "macro_f1": [], "auc": [], "log_loss": []}
    for _ in range(300):
        rows = draw.integers(0, len(targets), len(targets))
        chosen = share[rows].argmax(axis=1)
        again["accuracy"].append(rival.accuracy_score(targets[rows], chosen))
        again["macro_f1"].append(rival.f1_score(targets[rows], chosen, average="macro"))
        again["auc"].append(rival.roc_auc_score(targets[rows], share[rows, 1]))
        again["log_loss"].append(rival.log_loss(targets[rows], share[rows]))
    for metric, values in again.items():
        low, high = np.percentile(values, [2.5, 97.5])
        width = high - low
        assert found[metric].low == pytest.approx(low, abs=0.2 * width), metric
        assert found[metric].high == pytest.approx(high, abs=0.2 * width), metric


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_seed_decides_the_intervals_and_the_value_lies_inside() -> None:
    classes, targets, share = answers("digits")
    first, again, other = (label_metrics(classes, targets, share, seed, 200) for seed in (3, 3, 4))
    assert first == again
    assert first["auc"].value == other["auc"].value
    assert first["auc"].low != other["auc"].low
    known = [one for one in first.values() if one.low is not None and one.high is not None]
    assert len(known) == len(first)
    assert all(one.low <= one.value <= one.high for one in known)


def test_a_class_without_rows_is_left_out_and_nothing_is_nan() -> None:
    share = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
    found = label_metrics(["a", "b", "c"], np.array([0, 1, 1]), share, seed=7)
    assert "recall.c" not in found
    assert {"recall.a", "recall.b", "auc", "macro_f1"} <= found.keys()
    assert found["macro_f1"].value == pytest.approx(rival.f1_score([0, 1, 1], [0, 1, 0], average="macro"))
    ends = [end for one in found.values() for end in (one.low, one.high)]
    assert all(math.isfinite(one.value) for one in found.values())
    assert all(end is None or math.isfinite(end) for end in ends)


@pytest.mark.parametrize("rows", [1, 40])
def test_rows_of_a_single_class_have_no_auc(rows: int) -> None:
    share = np.tile([0.3, 0.7], (rows, 1))
    found = label_metrics(["no", "yes"], np.ones(rows, dtype=int), share, seed=7)
    assert "auc" not in found
    assert found["accuracy"].value == 1.0
    assert found.keys() == {"accuracy", "macro_f1", "recall.yes", "log_loss", "calibration_error"}


@pytest.mark.parametrize("count", [40, pytest.param(120, marks=pytest.mark.slow)])
def test_intervals_hold_what_a_new_population_would_give(count: int) -> None:
    """Of 200 sets of test rows, the share whose 95% interval holds the true value."""
    draw = np.random.default_rng(5)

    def drawn(rows: int) -> dict[str, Callable[[], Statistic]]:
        targets = (draw.random(rows) < 0.4).astype(np.int64)
        shares = 1 / (1 + np.exp(-1.2 * (draw.normal(size=rows) + 1.2 * targets - 1.2)))
        numbers = draw.normal(size=rows)
        of_labels = metrics.statistics(OneOf(["no", "yes"], targets, np.stack([1 - shares, shares], axis=1)))
        of_numbers = metrics.statistics(Amounts(numbers, numbers + draw.normal(size=rows)))
        return {name: of_labels[name] for name in ("accuracy", "macro_f1", "auc")} | {"rmse": of_numbers["rmse"]}

    true = {name: float(made()(np.ones((200_000, 1)))[0]) for name, made in drawn(200_000).items()}
    held = [quality.intervals(drawn(count), count, 2, 7, resamples=200) for _ in range(200)]
    for metric, value in true.items():
        assert 0.90 <= np.mean([one[metric].low <= value <= one[metric].high for one in held]) <= 0.99, metric


def test_rows_of_one_user_are_drawn_together() -> None:
    """Of 200 sets of test rows, 12 users with 10 rows each that are nearly alike."""
    draw = np.random.default_rng(5)
    own, apart = [], []
    users = [f"u{row // 10}" for row in range(120)]
    column = columns.fit("number", "y", "y", ["0", "2"], {})
    for _ in range(200):
        errors = np.repeat(draw.normal(size=12), 10) + 0.3 * draw.normal(size=120)
        for kept, of in ((own, users), (apart, None)):
            found = quality.measure(column, np.zeros(120), errors[:, None].astype(np.float32), 7, 250, of)["mae"]
            kept.append(found.low <= math.sqrt(2 / math.pi * 1.09) <= found.high)
    assert 0.88 <= np.mean(own) <= 0.99  # of few users, a little less than 95%
    assert np.mean(apart) < 0.6


def test_answers_without_a_mistake_have_the_exact_interval_of_their_rows() -> None:
    share = np.tile([0.1, 0.9], (59, 1))
    share[:20] = share[:20, ::-1]
    found = label_metrics(["no", "yes"], (np.arange(59) >= 20).astype(int), share, seed=7)
    assert (found["accuracy"].low, found["accuracy"].high) == (pytest.approx(0.025 ** (1 / 59)), 1.0)
    assert found["recall.no"].low == pytest.approx(0.025 ** (1 / 20))
    assert (found["auc"].low, found["auc"].high) == (None, None)  # nothing says how sure it is
    users = [f"u{row // 20}" for row in range(59)]
    column = LabelColumn("y", "y", ("no", "yes"))
    again = quality.measure(column, (np.arange(59) >= 20).astype(int), np.log(share), seed=7, users=users)
    assert again["accuracy"].low == pytest.approx(0.025 ** (1 / 3))


def test_what_drawing_rows_twice_makes_worse_has_no_interval_or_one_of_its_own() -> None:
    draw = np.random.default_rng(0)
    shares, targets = draw.dirichlet([2, 1], 300), draw.integers(0, 2, 300)
    found = label_metrics(["no", "yes"], targets, shares, seed=7)
    assert all(one.low is not None for one in found.values())
    ranking = columns.fit("ranking", "item", "item", [str(item) for item in range(50)], {})
    found = quality.measure(ranking, draw.integers(0, 50, 60), draw.normal(size=(60, 50)).astype(np.float32), seed=7)
    assert [name for name, one in found.items() if one.low is None] == ["coverage@10"]


def test_no_rows_give_no_metrics() -> None:
    assert label_metrics(["no", "yes"], np.zeros(0, dtype=int), np.zeros((0, 2)), seed=7) == {}
    assert number_metrics(np.zeros(0), np.zeros(0), seed=7) == {}


def test_an_impossible_answer_costs_much_but_not_infinitely() -> None:
    found = label_metrics(["no", "yes"], np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]), seed=7)
    assert 10 < found["log_loss"].value < 100


def test_a_metric_is_asked_for_blocks_of_resamples_not_for_each() -> None:
    asked: list[int] = []

    def statistic(weights: np.ndarray) -> np.ndarray:
        asked.append(weights.shape[1])
        return (weights * np.arange(5000)[:, None]).mean(axis=0)

    quality.intervals({"accuracy": lambda: statistic}, 5000, 10, seed=7, resamples=1000)
    assert sum(asked) == 1 + 1000 + 200  # the value, the resamples, and without each of 200 parts
    assert len(asked) == 3


def test_raw_outputs_of_a_label_go_through_its_temperature() -> None:
    column = LabelColumn("mood", "mood", ("bad", "good"), temperature=2.0)
    logits, targets = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]], dtype=np.float32), np.array([0, 1, 1])
    found = quality.measure(column, targets, logits, seed=7, resamples=20)
    scaled = np.exp(logits / 2.0) / np.exp(logits / 2.0).sum(axis=1, keepdims=True)
    assert found["log_loss"].value == pytest.approx(rival.log_loss(targets, scaled), rel=1e-6)


def test_number_metrics_are_in_the_users_units_and_agree_with_scikit_learn() -> None:
    inputs, targets = load_diabetes(return_X_y=True)
    column = columns.fit("number", "progress", "progress", [str(t) for t in targets], {})
    predicted = LinearRegression().fit(inputs, targets).predict(inputs)
    outputs = ((predicted - targets.mean()) / targets.std())[:, None].astype(np.float32)
    found = quality.measure(column, column.targets([str(t) for t in targets]), outputs, seed=7)
    expected = {
        "rmse": rival.root_mean_squared_error(targets, predicted),
        "mae": rival.mean_absolute_error(targets, predicted),
        "r2": rival.r2_score(targets, predicted),
    }
    assert found.keys() == expected.keys()
    assert {name: one.value for name, one in found.items()} == pytest.approx(expected, rel=1e-4)
    assert 40 < found["rmse"].low < expected["rmse"] < found["rmse"].high < 70


def test_equal_numbers_have_no_r2() -> None:
    for value in (3.0, 0.1, 1e-13, 1.7e9 / 3):
        targets = np.full(50, value)
        assert number_metrics(targets, np.arange(50.0), seed=7).keys() == {"rmse", "mae"}


@pytest.mark.parametrize(("unit", "offset"), [(1e-12, 0.0), (1e-30, 0.0), (1e12, 0.0), (10.0, 1.7e9), (1e-12, 1e-6)])
def test_r2_is_the_same_in_any_unit(unit: float, offset: float) -> None:
    draw = np.random.default_rng(0)
    truth, found = draw.normal(size=(2, 60))
    plain = number_metrics(truth, 0.9 * truth + 0.2 * found, seed=7, resamples=200)["r2"]
    scaled = number_metrics(truth * unit + offset, (0.9 * truth + 0.2 * found) * unit + offset, seed=7, resamples=200)[
        "r2"
    ]
    assert (scaled.value, scaled.low, scaled.high) == pytest.approx((plain.value, plain.low, plain.high), abs=1e-6)


# --------------------------------------------------------------------------- rows that a threshold was fitted to


def test_thresholds_are_not_praised_for_the_rows_that_they_were_fitted_to() -> None:
    """Logits that say nothing: on the 40 rows of the thresholds F1 is high by luck, cross-fitted as on new rows."""
    draw = np.random.default_rng(0)
    column = columns.fit("labels", "y", "y", [["a", "b", "c", "d"]], {})
    names, gained, honest = ("micro_f1", "macro_f1", "exact_match"), [], []
    new = (draw.random((4000, 4)) < 0.3).astype(np.float32), draw.normal(size=(4000, 4)).astype(np.float32)
    for _ in range(30):
        targets, outputs = (draw.random((40, 4)) < 0.3).astype(np.float32), draw.normal(size=(40, 4)).astype(np.float32)
        tuned = column.calibrated(targets, outputs)
        inside, fresh = tuned.statistics(targets, outputs), tuned.statistics(*new)
        crossed = quality.cross_fitted(tuned, column.calibrated, targets, outputs)
        value = {name: float(crossed[name]()(np.ones((40, 1)))[0]) for name in crossed}
        there = {name: float(fresh[name]()(np.ones((4000, 1)))[0]) for name in names}
        gained.append([float(inside[name]()(np.ones((40, 1)))[0]) - there[name] for name in names])
        honest.append([value[name] - there[name] for name in names])
        unfitted = column.statistics(targets, outputs)
        for name in ("average_precision", "auc", "log_loss"):  # no threshold bears on them
            assert value[name] == float(unfitted[name]()(np.ones((40, 1)))[0])
    assert np.mean(gained, axis=0)[1] > 0.08
    assert np.abs(np.mean(honest, axis=0))[1] < 0.03


def test_a_fit_that_changes_nothing_leaves_every_metric_as_it_is() -> None:
    column = columns.fit("number", "y", "y", ["0", "2"], {})
    targets, outputs = np.arange(9.0), np.arange(9.0, dtype=np.float32)[:, None] + 1
    plain = column.statistics(targets, outputs)
    crossed = quality.cross_fitted(column, column.calibrated, targets, outputs)
    assert {n: made()(np.ones((9, 1)))[0] for n, made in crossed.items()} == {
        n: made()(np.ones((9, 1)))[0] for n, made in plain.items()
    }


# ---------------------------------------------------------------------------------------------------- temperature


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_temperature_undoes_overconfidence_without_changing_an_answer() -> None:
    _, targets, share = answers("digits", features=24)
    plain = fit_temperature(np.log(share), targets)
    assert fit_temperature(3.0 * np.log(share), targets) == pytest.approx(3.0 * plain, rel=0.02)
    column = LabelColumn("digit", "digit", tuple("0123456789"), temperature=3.0 * plain)
    before = LabelColumn("digit", "digit", tuple("0123456789"))
    calibrated, raw = (c.probabilities(3.0 * np.log(share)) for c in (column, before))
    assert rival.log_loss(targets, calibrated) < rival.log_loss(targets, raw)
    assert np.array_equal(calibrated.argmax(axis=1), raw.argmax(axis=1))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0, 1e4])
@pytest.mark.parametrize("rows", [4, 400])
def test_rows_without_a_mistake_give_a_temperature_inside_the_bounds(scale: float, rows: int) -> None:
    targets = np.arange(rows) % 2
    logits = scale * np.eye(2)[targets]
    found = fit_temperature(logits, targets)
    assert LOWEST <= found <= HIGHEST
    assert found == fit_temperature(logits, targets)


def test_a_temperature_needs_rows_with_finite_logits() -> None:
    assert fit_temperature(np.zeros((0, 2)), np.zeros(0, dtype=int)) == 1.0
    broken = np.array([[np.nan, 1.0], [np.inf, 0.0]])
    assert fit_temperature(broken, np.array([0, 1])) == 1.0
