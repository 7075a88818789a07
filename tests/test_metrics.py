"""A metric is declared once, in one file; its name may say how many places count; five hundred classes fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as rival
from sklearn.metrics import ndcg_score

from trimtab import columns, metrics, spec
from trimtab.audit import gates, quality
from trimtab.errors import TrimtabError
from trimtab.metrics import Name, OneOf, Ranked, Statistic
from trimtab.metrics import _statistics as statistics
from trimtab.page import figures


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("accuracy", Name("accuracy", None, "")),
        ("recall.very good", Name("recall", None, "very good")),
        ("recall.a.b@c", Name("recall", None, "a.b@c")),
        ("ndcg@5", Name("ndcg", 5, "")),
        ("gap.recall(sex)", Name("gap", None, "recall(sex)")),
        ("gap(sex, race).a", Name("gap", None, "a", ("sex", "race"))),
        ("worst_slice.recall.a(b)", Name("worst_slice", None, "recall.a(b)")),
        ("ndcg@0", Name("ndcg@0", None, "")),
        ("", Name("", None, "")),
    ],
)
def test_a_name_says_the_family_the_places_and_the_part(name: str, parts: Name) -> None:
    assert metrics.parsed(name) == parts


def test_a_ranking_is_measured_at_the_places_that_a_gate_asks_for() -> None:
    draw = np.random.default_rng(0)
    scores, targets = draw.normal(size=(80, 30)).astype(np.float32), draw.integers(0, 30, 80)
    output = columns.fit("ranking", "item", "item", [str(number) for number in range(30)], {})
    found = quality.measure(output, targets, scores, seed=7, resamples=200, asked=["ndcg@5", "accuracy", "size"])
    assert list(found) == ["ndcg@10", "hit@10", "mrr@10", "coverage@10", "ndcg@5"]
    assert found["ndcg@5"].value == pytest.approx(ndcg_score(np.eye(30)[targets], scores, k=5))
    assert found["ndcg@5"].low is not None
    assert found["ndcg@5"].low < found["ndcg@5"].value
    gates.check_names([spec.parse_gate("ndcg@5", ">= 0.1")], "ranking", ["1"])
    assert figures.label("ndcg@5") == "NDCG@5"


@pytest.mark.parametrize(
    ("name", "said"),
    [("ndcg", "for example ndcg@10"), ("accuracy@3", "accuracy"), ("recall", "recall.spam"), ("memory_peak", "memory")],
)
def test_a_gate_whose_metric_is_written_otherwise_says_how(name: str, said: str) -> None:
    with pytest.raises(TrimtabError, match=said):
        spec.parse_gate(name, ">= 0.5")


def test_a_metric_of_ones_own_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "top.py").write_text(
        "from trimtab.metrics import Metric, OneOf, mean\n"
        "def _among(answers, places):\n"
        "    better = answers.chances > answers.chance_of_true[:, None]\n"
        "    return mean(better.sum(axis=1) < places)\n"
        "METRICS = (Metric('top', 'Top', 'share of rows whose class is among the k likeliest', 'higher',\n"
        "                  of={OneOf: _among}, at=2, share=True, selects=True),)\n"
    )
    monkeypatch.setattr(metrics, "__path__", list(metrics.__path__))  # other tests do not find it
    monkeypatch.setenv("TRIMTAB_PARTS", str(tmp_path))
    answers = OneOf(["a", "b", "c"], np.array([0, 1, 2]), np.array([[0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.5, 0.4, 0.1]]))
    assert quality.of_answers(answers, 3, 3, seed=7)["top@2"].value == pytest.approx(2 / 3)
    assert "top@2" in columns.kind("label", "output").metrics
    assert spec.parse_gate("top@3", ">= 0.9").name == "top@3"
    assert figures.meaning("top@3") == "share of rows whose class is among the k likeliest"


def test_every_metric_says_what_it_means_and_is_measured_of_some_answers_or_is_a_cost() -> None:
    found = metrics.every().values()
    assert len(found) >= 50
    assert all(metric.label and metric.meaning for metric in found)
    of_answers = {metric.name for metric in found if metric.of or metric.of_parts or metric.checked}
    assert {metric.name for metric in found} - of_answers == {
        "size", "latency", "latency_p95", "throughput", "memory", "memory_peak", "drop",
    }  # fmt: skip
    assert Ranked in metrics.named("ndcg@3").of


FIVE_HUNDRED = """
import resource, sys
import numpy as np
from trimtab.metrics import OneOf
from trimtab.audit import quality
rows, classes = int(sys.argv[1]), 500
draw = np.random.default_rng(0)
true = draw.integers(0, classes, rows)
chances = draw.random((rows, classes), np.float32)
chances[np.arange(rows), true] += 0.5
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = quality.of_answers(OneOf([str(i) for i in range(classes)], true, chances), rows, classes, 7, resamples=20)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert {"macro_f1", "auc", "average_precision", "recall.499"} <= found.keys()
print((peak - before) // 1024)
"""


def test_five_hundred_classes_are_measured_in_little_memory() -> None:
    command = [sys.executable, "-c", FIVE_HUNDRED, "10000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 400  # MB: two dense arrays of a closure for each class had been 400 alone


def ranked(rows: int, classes: int, digits: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Right classes, and scores that know something of them; few digits make ties."""
    draw = np.random.default_rng(seed)
    true = draw.integers(0, classes, rows)
    chances = draw.random((rows, classes))
    chances[np.arange(rows), true] += 0.3
    return true, np.round(chances, digits)


RIVALS = {"auc": rival.roc_auc_score, "average_precision": rival.average_precision_score}


@pytest.mark.parametrize("name", RIVALS)
def test_the_ranking_of_five_hundred_classes_is_measured_as_scikit_learn_does(name: str) -> None:
    true, chances = ranked(2000, 500, 3)
    present = [number for number in range(500) if (true == number).any()]
    expected = np.mean([RIVALS[name](true == number, chances[:, number]) for number in present])
    found = metrics.statistics(OneOf([str(i) for i in range(500)], true, chances))[name]()(np.ones((2000, 1)))
    assert found == pytest.approx(expected, abs=1e-9)


def measured_anew(name: str, true: np.ndarray, chances: np.ndarray) -> Statistic:
    """The metric of each resample by scikit-learn, from the scores of the rows that are in it."""

    def statistic(weights: np.ndarray) -> np.ndarray:
        found = np.full((weights.shape[1], chances.shape[1]), np.nan)
        for resample, drawn in enumerate(weights.T):
            rows = np.flatnonzero(drawn)
            for number in set(true[rows].tolist()):
                scores, own = chances[rows, number], true[rows] == number
                found[resample, number] = RIVALS[name](own, scores, sample_weight=drawn[rows])
        return statistics.mean_of_defined(found.T)

    return statistic


@pytest.mark.parametrize("digits", [1, 8])
@pytest.mark.parametrize("name", RIVALS)
def test_resamples_by_counts_give_the_interval_of_measuring_each_resample_anew(name: str, digits: int) -> None:
    true, chances = ranked(150, 6, digits, seed=digits)
    fast = metrics.statistics(OneOf(list("abcdef"), true, chances))[name]
    users = np.arange(150) // 2
    for whose, weights in ((None, None), (users.tolist(), np.linspace(0.5, 2, 150))):
        own, plain = (
            quality.intervals({name: make}, 150, 6, 7, 60, whose, weights)[name]
            for make in (fast, lambda: measured_anew(name, true, chances))
        )
        assert own.low is not None
        assert (own.value, own.low, own.high) == pytest.approx((plain.value, plain.low, plain.high), abs=1e-9)


def test_the_confusion_of_many_classes_is_its_largest_parts() -> None:
    draw = np.random.default_rng(0)
    true = draw.integers(0, 500, 5000)
    chosen = np.where(draw.random(5000) < 0.7, true, (true + 1) % 500)
    found = OneOf([str(i) for i in range(500)], true, np.eye(500)[chosen]).evidence([{}] * 5000)["confusion"]
    assert sum(map(len, found.values())) < 2000
    assert sum(found["rows"]) == 5000
    assert sum(found["right"]) == int((true == chosen).sum())
    first, second, count = found["largest"][0]
    assert second == (first + 1) % 500
    assert count == max(np.bincount(true[true != chosen]))
