"""What is promised of single answers holds: sets and intervals, answers given only where they are sure."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from places import write_rows
from tiny_bundle import ROWS as REVIEWS
from tiny_bundle import build, fit_columns, make_manifest

import trimtab
from trimtab import columns, metrics, runtime
from trimtab import spec as specs
from trimtab.__main__ import main
from trimtab.audit import conformal, gates, quality, selective
from trimtab.bundle import store
from trimtab.checks import Context, Finding
from trimtab.checks import confidence as check
from trimtab.columns import NO_ASSURANCE, Assurance
from trimtab.data.table import Origin, Table
from trimtab.errors import TrimtabError
from trimtab.metrics import Amounts, OneOf
from trimtab.progress import Quiet
from trimtab.request import check as checked

CLASSES = ("a", "b", "c")


def drawn(rows: int, seed: int, noise: float = 1.0) -> OneOf:
    """Chances that are right as often as they say, but for a noise that makes them too sure."""
    draw = np.random.default_rng(seed)
    logits = 1.5 * draw.normal(size=(rows, 3))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    true = (draw.random((rows, 1)) > np.cumsum(chances, axis=1)).sum(axis=1)
    sure = np.exp(noise * logits)
    return OneOf(CLASSES, true, sure / sure.sum(axis=1, keepdims=True))


def value(statistic: metrics.Statistic, rows: int) -> float:
    return float(statistic(np.ones((rows, 1)))[0])


def figures(answers: OneOf | Amounts, assurance: Assurance, rows: int) -> dict[str, float]:
    made = {**selective.statistics(answers, assurance), **conformal.statistics(answers, assurance)}
    return {name: value(make(), rows) for name, make in made.items()}


# ------------------------------------------------------------------------------------------------------ coverage


@pytest.mark.parametrize("noise", [1.0, 2.5])
def test_sets_hold_the_right_answer_as_often_as_promised_however_wrong_the_confidence_is(noise: float) -> None:
    """Over 200 draws of 200 validation rows: on average the promise, and not much more."""
    held, sizes = [], []
    for seed in range(200):
        reach = conformal.reach(drawn(200, seed, noise), 0.9)
        found = figures(drawn(500, 1000 + seed, noise), Assurance(coverage=0.9, reach=reach), 500)
        held.append(found["conformal.coverage"])
        sizes.append(found["conformal.set_size"])
    assert 0.895 <= np.mean(held) <= 0.92
    assert 1 < np.mean(sizes) < 2.5


def test_intervals_of_numbers_hold_the_right_answer_as_often_as_promised() -> None:
    held = []
    for seed in range(200):
        draw = np.random.default_rng(seed)
        known, new = (Amounts(np.zeros(100), draw.standard_t(3, 100)) for _ in range(2))
        found = figures(new, Assurance(coverage=0.9, reach=conformal.reach(known, 0.9)), 100)
        held.append(found["conformal.coverage"])
    assert 0.89 <= np.mean(held) <= 0.92


def test_the_quantile_is_that_of_one_row_more() -> None:
    scores = np.arange(1.0, 20.0)  # 19 rows: the largest is the least that holds a new one in 19 of 20 cases
    assert conformal.quantile(scores, 0.95) == 19.0
    assert conformal.quantile(scores, 0.9) == 18.0
    assert conformal.quantile(scores[:-1], 0.95) is None
    assert conformal.quantile(np.append(scores[:-1], np.nan), 0.95) is None  # one of no finite score is beyond all
    assert conformal.quantile(np.zeros(0), 0.5) is None


def test_the_answer_is_in_its_set_and_where_too_few_rows_say_every_class_is() -> None:
    chances = np.array([[0.2, 0.3, 0.5], [0.4, 0.35, 0.25]])
    sets = Assurance(coverage=0.9, reach=0.9).sets(chances, np.array([2, 0]))
    assert sets.tolist() == [[False, False, True], [True, False, False]]
    assert Assurance(coverage=0.9, reach=0.3).sets(chances, np.array([2, 0])).sum(axis=1).tolist() == [2, 2]
    assert Assurance(coverage=0.9).sets(chances, np.array([2, 0])).all()


# ----------------------------------------------------------------------------------------------------- abstention


@pytest.mark.parametrize(
    ("hits", "count", "miss"), [(95, 100, 0.05), (10, 10, 0.05), (1, 50, 0.025), (300, 400, 0.001)]
)
def test_the_least_share_is_the_exact_bound(hits: int, count: int, miss: float) -> None:
    from scipy import stats  # noqa: PLC0415 - the rival of this test alone

    assert selective.least_share(hits, count, miss) == pytest.approx(
        stats.beta.ppf(miss, hits, count - hits + 1), abs=1e-9
    )
    assert selective.least_share(0, count, miss) == 0.0


def test_answers_from_the_threshold_on_are_as_accurate_as_asked_in_19_of_20_draws() -> None:
    missed, given, whole = 0, [], drawn(100_000, 99)
    right = whole.chosen == whole.true
    for seed in range(100):
        some = drawn(3000, seed)
        least = selective.threshold(some.confidence, some.chosen == some.true, 0.85)
        answered = whole.confidence >= least
        given.append(answered.mean())
        missed += bool(answered.any()) and right[answered].mean() < 0.85
    assert right.mean() < 0.75
    assert missed <= 5
    assert 0.25 < np.mean(given) < 0.4  # 0.406 is the share that is as accurate as asked


def test_where_no_confidence_is_enough_nothing_is_answered() -> None:
    some = drawn(30, 1)
    assert selective.threshold(some.confidence, some.chosen == some.true, 0.99) == selective.NEVER
    assert selective.threshold(np.zeros(0), np.zeros(0, bool), 0.5) == selective.NEVER
    assert Assurance(answered_from=selective.NEVER).withheld(np.ones(2)).all()


def test_accuracy_and_share_of_given_answers_are_those_of_the_rows_above_the_threshold() -> None:
    some = drawn(400, 3)
    given = np.round(some.confidence, 4) >= 0.7
    found = figures(some, Assurance(answered_from=0.7), 400)
    assert found["selective.answered"] == pytest.approx(given.mean())
    assert found["selective.accuracy"] == pytest.approx((some.chosen == some.true)[given].mean())
    assert found["selective.accuracy"] > (some.chosen == some.true).mean()


def test_the_area_under_the_curve_is_the_mean_of_the_risks() -> None:
    confidence, right = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])
    assert value(selective.aurc(confidence, right), 4) == pytest.approx(np.mean([0, 1 / 2, 1 / 3, 2 / 4]))
    tied = np.array([0.9, 0.7, 0.7, 0.6])
    assert value(selective.aurc(tied, right), 4) == pytest.approx(np.mean([0, 1 / 3, 1 / 3, 2 / 4]))
    weights = np.array([[2.0], [0.0], [1.0], [1.0]])
    again = selective.aurc(np.array([0.9, 0.9, 0.7, 0.6]), np.array([True, True, True, False]))
    assert selective.aurc(confidence, right)(weights) == pytest.approx(again(np.ones((4, 1))))


# --------------------------------------------------------------------------------------------------- what is served


def test_a_label_is_withheld_below_its_threshold_and_its_set_stands_beside(tmp_path: Path) -> None:
    output = columns.fit("label", "mood", "mood", ["bad", "good", "so"], {})
    logits = np.log(np.array([[0.1, 0.8, 0.1], [0.4, 0.35, 0.25]]))
    plain = output.decode(logits)
    assert plain == {"mood": ["good", "bad"], "confidence": [0.8, 0.4]}
    promising = output.assured(Assurance(0.8, 0.9, 0.3))
    assert promising.decode(logits) == {
        "mood": ["good", None],
        "confidence": [0.8, 0.4],
        "abstained": [False, True],
        "mood_set": [["good"], ["bad", "good"]],
    }
    assert promising.agrees(logits, logits[::-1]).tolist() == [False, False]  # by what would have been answered
    promising.save(tmp_path)
    assert columns.restore(tmp_path, json.loads((tmp_path / "mood.json").read_text())) == promising
    output.save(tmp_path)
    assert "assurance" not in json.loads((tmp_path / "mood.json").read_text())


def test_levels_and_numbers_have_sets_and_intervals_too(tmp_path: Path) -> None:
    levels = columns.fit("ordinal", "stars", "stars", ["1", "2", "3"], {}).assured(Assurance(0.9, 0.9, 0.2))
    told = levels.decode(np.array([[3.0, -3.0], [0.1, 0.0]]))
    assert told["stars"] == ["2", None]
    assert told["abstained"] == [False, True]
    assert told["stars_set"] == [["2"], ["1", "2", "3"]]
    number = columns.fit("number", "price", "price", ["1", "2", "3", "6"], {}).assured(
        Assurance(coverage=0.9, reach=1.5)
    )
    told = number.decode(np.array([[0.0], [np.nan]]))
    assert told == {"price": [3.0, None], "price_low": [1.5, None], "price_high": [4.5, None]}
    unknown = number.assured(Assurance(coverage=0.9)).decode(np.array([[0.0]]))
    assert (unknown["price_low"], unknown["price_high"]) == ([None], [None])
    for output in (levels, number):
        output.save(tmp_path)
        assert columns.restore(tmp_path, json.loads((tmp_path / f"{output.key}.json").read_text())) == output


def promising_bundle(folder: Path, assurance: Assurance) -> Path:
    """The tiny bundle, whose output promises this."""
    inputs, output = fit_columns(folder)
    build(folder / "plain")
    staging = folder / "plain" / "bundle"
    store.save_columns(staging / "columns", inputs, output.assured(assurance))
    store.write_manifest(staging, store.read_manifest(staging))
    return staging


def test_predict_and_evaluate_say_what_is_withheld(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = promising_bundle(tmp_path, Assurance(0.7, 0.9, 0.2))
    plain = runtime.load(bundle).output.assured(NO_ASSURANCE)
    expected = plain.decode(runtime.load(bundle).outputs({key: [row[key] for row in REVIEWS] for key in REVIEWS[0]}))
    withheld = [one < 0.7 for one in expected["confidence"]]
    assert 0 < sum(withheld) < len(REVIEWS)
    write_rows(tmp_path / "rows.csv", REVIEWS * 10)
    assert main(["predict", str(bundle), str(tmp_path / "rows.csv"), "-o", str(tmp_path / "told.jsonl")]) == 0
    told = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()][: len(REVIEWS)]
    assert [row["abstained"] for row in told] == withheld
    assert [row["predicted_mood"] is None for row in told] == withheld
    assert all(set(row["mood_set"]) <= {"bad", "good", "so"} for row in told)
    capsys.readouterr()
    assert main(["evaluate", str(bundle), str(tmp_path / "rows.csv"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    assert found["selective.answered"]["value"] == pytest.approx(1 - np.mean(withheld))
    assert {"selective.accuracy", "conformal.coverage", "conformal.set_size", "accuracy"} <= found.keys()


# ------------------------------------------------------------------------------------------------------ the check


def context(folder: Path, assurance: Assurance = NO_ASSURANCE, valid: bool = True) -> Context:
    """The tiny bundle, its rows as validation rows and as test rows."""
    model = runtime.load(promising_bundle(folder, assurance), threads=1)
    rows = REVIEWS * 20
    table = Table({name: [row[name] for row in rows] for name in rows[0]}, [Origin("rows.csv", 1)] * len(rows))
    return Context(model, model.inputs, table, table, (), 7, valid=table if valid else None)


def carded(found: Finding, made: Context, spec: dict[str, str]) -> str:
    bare = make_manifest(made.inputs, made.output, [])
    told = {"evidence": found.evidence, "measured": dict(found.measured), "spec": {**bare.spec, **spec}}
    return str(list(check.sections(bare.model_copy(update=told))))


def test_without_a_promise_the_card_says_what_sets_would_be(tmp_path: Path) -> None:
    made = context(tmp_path)
    found = check.check(made)
    assert set(found.measured) == {"conformal.coverage", "conformal.set_size", "selective.aurc"}
    assert found.measured["conformal.coverage"].value >= 0.95
    curve = found.evidence["confidence"]["curve"]
    assert curve[0]["share"] == 1.0
    assert curve[0]["value"] == pytest.approx(
        quality.measure(made.output, made.targets, made.outputs, 7)["accuracy"].value
    )
    assert [point["confidence"] for point in curve] == sorted(point["confidence"] for point in curve)
    told = carded(found, made, {})
    assert "does not give them: `coverage: 0.95`" in told
    assert "Answer sets by class" in told


def test_what_is_promised_is_measured_and_told(tmp_path: Path) -> None:
    made = context(tmp_path, Assurance(0.7, 0.8, 0.1))
    found = check.check(made)
    assert found.evidence["confidence"]["coverage"] == 0.8
    assert {"selective.accuracy", "selective.answered"} <= set(found.measured)
    told = carded(found, made, {"answers": "when confidence >= 0.7"})
    assert "gives answers from confidence 0.7 on (`when confidence >= 0.7`)" in told
    assert "Each answer of this bundle has one beside it" in told
    [result] = gates.judge([specs.parse_gate("selective.answered", ">= 99%")], found.measured)
    assert not result.met


def test_without_validation_rows_nothing_is_said_of_sets(tmp_path: Path) -> None:
    made = context(tmp_path, valid=False)
    found = check.check(made)
    assert set(found.measured) == {"selective.aurc"}
    bare = make_manifest((), made.output, [])
    assert not list(check.limits(bare))


def test_a_launch_promises_what_the_spec_says_and_its_bundle_keeps_it(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    points = draw.normal(size=(1500, 2))
    side = np.where(points[:, 0] + 0.7 * draw.normal(size=1500) > 0, "right", "left")
    write_rows(
        tmp_path / "rows.csv", [{"x": x, "y": y, "side": s} for (x, y), s in zip(points.tolist(), side, strict=True)]
    )
    spec = {
        "name": "run",
        "data": str(tmp_path / "rows.csv"),
        "output": "side",
        "inputs": {"x": "number", "y": "number"},
        "split": {"valid": 0.25, "test": 0.25},
        "coverage": 0.9,
        "answers": "when accuracy >= 0.85",
        "train": {"epochs": 4},
        "gates": {"conformal.coverage": ">= 0.85", "selective.accuracy": ">= 0.8", "selective.answered": ">= 20%"},
    }
    manifest = trimtab.launch(spec, runs=tmp_path).manifest
    assert manifest.released, manifest.why
    model = runtime.load(tmp_path / "run" / "bundle")
    assurance = model.output.assurance
    assert assurance.coverage == 0.9
    assert 0.5 < assurance.answered_from < 1
    told = manifest.evidence["confidence"]
    assert (told["answered_from"], told["reach"]) == (assurance.answered_from, assurance.reach)
    sure, unsure = model.predict([{"x": 3, "y": 0}, {"x": 0, "y": 0}]).rows()
    assert (sure["side"], sure["side_set"], sure["abstained"]) == ("right", ["right"], False)
    assert (unsure["side"], len(unsure["side_set"]), unsure["abstained"]) == (None, 2, True)
    assert "How far confidence can be relied on" in (tmp_path / "run" / "bundle" / "card.md").read_text()


# ------------------------------------------------------------------------------------------------------- the spec


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("when confidence >= 0.8", ("confidence", 0.8)),
        ("accuracy >= 95%", ("accuracy", 0.95)),
        (" when accuracy>=.9 ", ("accuracy", 0.9)),
        ("when confidence > 0.8", None),
        ("when recall >= 0.8", None),
        ("confidence >= 80", None),
    ],
)
def test_a_rule_of_answers_is_read(text: str, rule: tuple[str, float] | None) -> None:
    assert specs.AnswerRule.read(text) == rule


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"answers": "sometimes"}, "when confidence >= 0.8"),
        ({"coverage": 95}, "coverage"),
        ({"gates": {"selective.answered": ">= 90%"}}, "the spec has no `answers`.*say answers: .when confi"),
        ({"output": {"x": "number"}, "inputs": {"y": "number"}, "answers": "when accuracy >= 0.9"},
         "answers: a number output has no confidence"),
        ({"output": {"x": "number"}, "inputs": {"y": "number"}, "gates": {"conformal.set_size": "<= 2"}},
         "conformal.set_size is not measured on a number"),
    ],
)  # fmt: skip
def test_what_cannot_be_promised_is_said_before_anything_is_spent(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    write_rows(tmp_path / "rows.csv", [{"x": str(n), "y": str(n * n), "side": "lr"[n % 2]} for n in range(200)])
    with pytest.raises(TrimtabError, match=f"(?s){said}"):
        checked(
            specs.parse({"data": "rows.csv", "output": "side", "inputs": {"x": "number"}, **changed}),
            tmp_path, tmp_path / "run", Quiet(),
        )  # fmt: skip
