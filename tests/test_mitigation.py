"""Groups of people answered alike: weighed training rows, and a cut for each group that serving applies."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import place, write_rows
from test_cascade import other_bundle
from tiny_bundle import ROWS as REVIEWS
from tiny_bundle import build, make_manifest

import trimtab
from trimtab import columns, page, runtime
from trimtab import spec as specs
from trimtab.audit import thresholds
from trimtab.audit.thresholds import NONE, RATES, Scored
from trimtab.bundle import reference, store
from trimtab.bundle.serving import ColumnEntry, ProgramEntry
from trimtab.checks import Context, drop, mitigation
from trimtab.columns import encode_rows
from trimtab.compress import Skip, cascade
from trimtab.data.table import Origin, Table
from trimtab.errors import TrimtabError
from trimtab.nets import fitted
from trimtab.pipeline.training import data_of
from trimtab.programs.thresholds import ThresholdsProgram
from trimtab.progress import Quiet
from trimtab.request import check as checked
from trimtab.request import mitigation as asked

# ----------------------------------------------------------------------------------------------------- reweighing


def test_weighed_rows_show_every_class_as_often_in_each_group() -> None:
    draw = np.random.default_rng(1)
    group = draw.integers(0, 2, 50_000)
    target = (draw.random(50_000) < np.where(group == 1, 0.1, 0.4)).astype(int)
    own = draw.random(50_000) + 0.5
    weights = own * asked.reweighed(group, target, own)
    shares = [np.average(target[group == g], weights=weights[group == g]) for g in (0, 1)]
    assert shares[0] == pytest.approx(shares[1], abs=2e-3)
    assert shares[0] == pytest.approx(np.average(target, weights=own), abs=2e-3)
    counts = np.array([[((group == g) & (target == t)).sum() for t in (0, 1)] for g in (0, 1)])
    expected = counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True) / counts.sum() / counts
    plain = asked.reweighed(group, target, np.ones(50_000))
    found = [[plain[(group == g) & (target == t)][0] for t in (0, 1)] for g in (0, 1)]
    np.testing.assert_allclose(found, expected, rtol=5e-3)


def test_a_class_of_a_group_that_one_row_has_weighs_no_more_than_a_few_rows() -> None:
    group, target = np.repeat([0, 1], [1000, 300]), np.repeat([0, 1, 0, 1], [500, 500, 299, 1])
    assert asked.reweighed(group, target, np.ones(1300))[-1] < 25  # without a prior it were 116


def people(count: int = 400) -> list[dict[str, object]]:
    """A score that says who is taken, and that women are taken less often at the same score."""
    draw = np.random.default_rng(2)
    scores, women = draw.normal(size=count), draw.random(count) < 0.4
    taken = scores + np.where(women, -0.8, 0.4) + draw.normal(size=count) * 0.4 > 0
    rows = zip(scores, women, taken, strict=True)
    return [{"score": f"{s:.4f}", "gender": "fm"[not w], "taken": ["no", "yes"][int(t)]} for s, w, t in rows]


def test_training_rows_are_weighed_by_group_and_class_and_by_their_own_weight(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv", [{**row, "w": 1 + n % 2} for n, row in enumerate(people())])
    said = {"data": "rows.csv", "output": "taken", "inputs": {"score": "number"}, "protected": "gender", "weight": "w"}
    plain, weighed = (
        data_of(checked(specs.parse({**said, "fairness": {"mitigate": way}}), tmp_path, tmp_path / "run", Quiet()))
        for way in ("none", "reweighing")
    )
    request = checked(specs.parse(said), tmp_path, tmp_path / "run", Quiet())
    women = np.array(request.prepared.splits.train.values["gender"]) == "f"
    assert plain.weights is not None
    assert weighed.weights is not None
    ratio = weighed.weights / plain.weights
    yes = weighed.train_targets == 1
    assert len({round(float(one), 5) for one in ratio[women & yes]}) == 1
    assert ratio[women & yes].mean() > 1.2 > 0.9 > ratio[~women & yes].mean()
    assert weighed.weights.mean() == pytest.approx(1.0, abs=1e-5)
    assert weighed.valid_weights is not None
    np.testing.assert_array_equal(weighed.valid_weights, plain.valid_weights)


# ----------------------------------------------------------------------------------------------------- thresholds


def drawn(rows: int, seed: int, fewer: int = 0) -> Scored:
    """Rows of which those of group 1 are answered with the class too seldom; the first ones are of a small group 2."""
    draw = np.random.default_rng(seed)
    group = np.where(np.arange(rows) < fewer, 2, (draw.random(rows) < 0.35).astype(int))
    true = draw.random(rows) < np.where(group == 1, 0.15, 0.35)
    margin = np.where(true, 0.6, -2.0) + draw.normal(0, 1.5, rows) - np.where(group == 1, 0.8, 0.0)
    return Scored(margin, true, group, np.ones(rows))


def shifted(rows: Scored, shifts: Any) -> np.ndarray:
    return np.array([shifts.get(group, 0.0) for group in rows.group.tolist()])


@pytest.mark.parametrize("gap", list(RATES))
def test_cuts_by_group_narrow_the_gap_of_other_rows_too_and_cost_no_more_accuracy_than_allowed(gap: str) -> None:
    valid, test = drawn(4000, 0), drawn(40_000, 1)
    found = thresholds.chosen(valid, gap, cost=0.015)
    here = thresholds.answered(valid, shifted(valid, found.shifts), gap, found.counted)
    assert here.accuracy >= found.before.accuracy - 0.015 - 1e-9
    before = thresholds.answered(test, np.zeros(len(test.margin)), gap, found.counted)
    after = thresholds.answered(test, shifted(test, found.shifts), gap, found.counted)
    assert after.gap < before.gap * 0.65
    assert after.accuracy > before.accuracy - 0.025
    assert found.held_out.gap < found.before.gap * 0.65
    assert here.gap <= found.held_out.gap + 0.02  # what other rows chose is worth no more


def test_the_cuts_are_those_that_trying_every_pair_finds() -> None:
    rows = drawn(300, 3)
    found = thresholds._shifts(rows, "equal_opportunity", 0.02, 0.0, (0, 1))
    now = thresholds.answered(rows, np.zeros(300), "equal_opportunity", (0, 1))
    least = now.accuracy - 0.02 - 1e-9
    tried = [np.sort(rows.margin[rows.group == group]) for group in (0, 1)]
    between = [np.concatenate([[0.0], (one[1:] + one[:-1]) / 2]) for one in tried]
    every = [
        thresholds.answered(rows, np.where(rows.group == 0, -a, -b), "equal_opportunity", (0, 1))
        for a, b in product(*between)
    ]
    narrowest = min(one.gap for one in every if one.accuracy >= least)
    own = thresholds.answered(rows, shifted(rows, found), "equal_opportunity", (0, 1))
    assert own.accuracy >= least
    assert narrowest <= own.gap <= narrowest + thresholds._STEP + 0.005 + 1e-9


def test_a_group_of_few_rows_keeps_the_common_cut_and_without_a_gap_all_do() -> None:
    found = thresholds.chosen(drawn(3000, 4, fewer=25), "demographic_parity", 0.02)
    assert found.counted == (0, 1)
    assert set(found.shifts) == {0, 1}
    few = drawn(80, 5)
    none = thresholds.chosen(few, "equalized_odds", 0.02)
    assert not none.shifts
    assert "30 validation rows of each class" in none.why
    alike = drawn(4000, 6)
    alike = Scored(alike.margin, alike.true, np.arange(4000) % 2, alike.weights)
    wide = thresholds.chosen(alike, "equal_opportunity", 0.01, bound=0.05)
    assert not wide.shifts
    assert "as small as asked" in wide.why


def test_rows_without_a_group_and_rows_that_weigh_nothing_count_for_nothing() -> None:
    rows = drawn(4000, 7)
    lost = np.arange(4000) < 2000
    one = thresholds.chosen(rows.take(np.flatnonzero(~lost)), "demographic_parity", 0.02)
    same = Scored(rows.margin, rows.true, rows.group, np.where(lost, 0.0, 1.0))
    weightless = thresholds.chosen(same, "demographic_parity", 0.02)
    assert weightless.before.gap == pytest.approx(one.before.gap)
    apart = Scored(rows.margin, rows.true, np.where(lost, NONE, rows.group), rows.weights)
    assert thresholds.chosen(apart, "demographic_parity", 0.02).before.gap == pytest.approx(one.before.gap)


# ------------------------------------------------------------------------------------------------------ the program

PEOPLE = [{**row, "gender": gender} for row, gender in zip(REVIEWS * 40, ["f", "f", "m", "m"] * 60, strict=True)]
SHIFTS = [{"group": ["f"], "shift": 1.5}, {"group": ["m"], "shift": -0.5}]


def with_cuts(bundle: Path, by: Sequence[str] = ("gender",), shifts: Any = SHIFTS) -> runtime.Model:
    """The bundle with cuts for groups that its networks do not read, its golden rows made anew."""
    manifest = store.read_manifest(bundle)
    gender = columns.fit("category", "gender", "gender", [row["gender"] for row in PEOPLE], {})
    gender.save(bundle / store.COLUMNS)
    old = manifest.serving.program
    options = {"by": list(by), "shifts": shifts, "program": old.name, "options": old.options}
    entry = ColumnEntry(name="gender", key="gender", type="category")
    changes = {"program": ProgramEntry(name="thresholds", options=options), "inputs": [*manifest.serving.inputs, entry]}
    serving = manifest.serving.model_copy(update=changes)
    runtime.write_golden(bundle, runtime.record_golden(runtime.opened(bundle, serving), PEOPLE[:6]))
    store.write_manifest(bundle, manifest.model_copy(update={"serving": serving}))
    return runtime.load(bundle, threads=1)


def table(rows: Sequence[Any]) -> Table:
    return Table({name: [row[name] for row in rows] for name in rows[0]}, [Origin("rows.csv", 1)] * len(rows))


def test_a_row_is_answered_by_the_cut_of_its_group_and_by_the_common_one_without_a_group(tmp_path: Path) -> None:
    bundle = build(tmp_path)
    before = np.asarray(runtime.load(bundle, threads=1).predict(REVIEWS).outputs)
    model = with_cuts(bundle)
    for gender, shift in (("f", 1.5), ("m", -0.5), (None, 0.0), ("unknown", 0.0)):
        found = np.asarray(model.predict([{**row, "gender": gender} for row in REVIEWS]).outputs)
        np.testing.assert_allclose(found, before + np.array([0.0, shift, 0.0]), atol=1e-5)
    without = model.predict(REVIEWS)
    np.testing.assert_allclose(np.asarray(without.outputs), before, atol=1e-5)
    assert any("no row has a column 'gender'" in one.reason for one in without.problems)
    assert model.unmitigated is not None
    np.testing.assert_allclose(np.asarray(model.unmitigated.predict(PEOPLE[:6]).outputs), before, atol=1e-5)


def test_the_cuts_travel_with_the_bundle_and_are_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = build(tmp_path)
    hashed = store.read_serving(bundle).hash
    assert runtime.load(bundle).unmitigated is None
    model = with_cuts(bundle)
    assert trimtab.__main__.main(["verify", str(bundle)]) == 0
    assert "each group by gender has a cut of its own" in model.program.words
    assert model.serving.hash != hashed
    other = [{"group": ["f"], "shift": 9.0}]
    changed = model.serving.program.model_copy(update={"options": {**model.serving.program.options, "shifts": other}})
    with pytest.raises(TrimtabError, match="golden row 1 is answered differently"):
        runtime.replay(
            runtime.opened(bundle, model.serving.model_copy(update={"program": changed})), runtime.read_golden(bundle)
        )


def test_networks_that_work_together_have_the_cuts_behind_them(tmp_path: Path) -> None:
    large = build(tmp_path)
    small = other_bundle(large, tmp_path / "small")
    assert not isinstance(cascade.cascade(small, large, tmp_path / "both", 0.9), Skip)
    plain = runtime.load(tmp_path / "both", threads=1).answered({n: [r.get(n) for r in PEOPLE] for n in PEOPLE[0]})
    model = with_cuts(tmp_path / "both")
    found = model.answered({name: [row[name] for row in PEOPLE] for name in PEOPLE[0]})
    assert plain.early is not None
    assert 0 < plain.early.sum() < len(PEOPLE)
    np.testing.assert_array_equal(found.early, plain.early)
    shift = np.where([row["gender"] == "f" for row in PEOPLE], 1.5, -0.5)
    np.testing.assert_allclose(np.asarray(found.outputs)[:, 1], np.asarray(plain.outputs)[:, 1] + shift, atol=1e-5)
    assert "a small network" in model.program.words


def test_groups_of_two_columns_are_told_apart_by_both(tmp_path: Path) -> None:
    both = [{"group": ["f", "north"], "shift": 2.0}, {"group": ["m", "south"], "shift": -1.0}]
    model = with_cuts(build(tmp_path), ("gender", "shop"), both)
    assert isinstance(model.program, ThresholdsProgram)
    pairs = [("f", "north"), ("f", "south"), ("m", "south"), ("m", "north"), ("f", "")]
    rows = [{**REVIEWS[0], "gender": gender, "shop": shop} for gender, shop in pairs]
    encoded = encode_rows(model.inputs, table(rows).values)
    assert model.program.shifts(encoded).tolist() == [2.0, 0.0, -1.0, 0.0, 0.0]


def test_a_program_without_its_column_of_groups_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrimtabError, match="no column of categories is named 'stars'"):
        with_cuts(build(tmp_path), ("stars",), [{"group": ["5"], "shift": 1.0}])


# --------------------------------------------------------------------------------------------------------- the check


def test_gaps_and_accuracy_before_and_after_stand_side_by_side(tmp_path: Path) -> None:
    model = with_cuts(build(tmp_path), shifts=[{"group": ["f"], "shift": 50.0}])
    rows = table(PEOPLE)
    context = Context(model, model.inputs[:-1], rows, rows, [], 7, True, ["gender"])
    found = mitigation.check(context).evidence["mitigated"]
    gap = found["fairness.demographic_parity_gap(gender)"]
    assert gap["after"]["value"] != gap["before"]["value"]
    assert gap["change"]["value"] == pytest.approx(gap["after"]["value"] - gap["before"]["value"])
    assert gap["change"]["low"] <= gap["change"]["value"] <= gap["change"]["high"]
    right = model.unmitigated.predict(PEOPLE).answers["mood"] if model.unmitigated else []
    share = np.mean([answer == row["mood"] for answer, row in zip(right, PEOPLE, strict=True)])
    assert found["accuracy"]["before"]["value"] == pytest.approx(share)
    done = {
        "mitigate": "thresholds", "by": ["gender"], "gap": "fairness.equalized_odds_gap(gender)", "why": "",
        "groups": [{"group": "f", "rows": 120, "shift": 1.5, "counted": True},
                   {"group": "x", "rows": 4, "shift": None, "counted": False}],
        "valid": {"before": {"gap": 0.2, "accuracy": 0.9}, "held_out": {"gap": 0.1, "accuracy": 0.89}},
    }  # fmt: skip
    bare = make_manifest((), model.output, []).model_copy(update={"evidence": {"mitigation": done, "mitigated": found}})
    (section,) = mitigation.sections(bare)
    tables = [block for block in section.blocks if isinstance(block, page.Table)]
    assert tables[0].rows == (("f", "120", "+1.500"), ("x", "4", "common cut (too few rows)"))
    assert len(tables[1].rows) == len(found)
    assert list(mitigation.limits(bare))


def test_what_cuts_cost_is_no_loss_of_compression(tmp_path: Path) -> None:
    model = with_cuts(build(tmp_path), shifts=[{"group": ["f"], "shift": 50.0}])
    rows = table(PEOPLE)
    context = Context(model, model.inputs[:-1], rows, rows, ["drop"], 7, True, ["gender"], model.unmitigated)
    assert drop.check(context).measured["drop"].value == 0.0
    assert context.unmitigated is not None
    accuracy = [
        context.output.statistics(context.targets, one)["accuracy"]() for one in (context.unmitigated, context.outputs)
    ]
    before, after = (one(np.ones((len(rows), 1)))[0] for one in accuracy)
    assert before != after


# ---------------------------------------------------------------------------------------------------------- the spec


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fairness": {"mitigate": "reweighing"}}, "no column is protected(?s:.*)protected: .gender."),
        ({"protected": "gender", "fairness": {"mitigate": "thresholds", "by": "score"}}, "'score' is not protected"),
        (
            {"protected": "score", "fairness": {"mitigate": "thresholds"}},
            "thresholds by 'score', which is number(?s:.*)inputs: {score: category}",
        ),
        ({"protected": "age", "keep": "age", "fairness": {"mitigate": "thresholds"}}, "which is numbers"),
        (
            {"protected": "gender", "output": {"age": "number"}, "fairness": {"mitigate": "reweighing"}},
            "reweighing, of number answers",
        ),
        ({"protected": "gender", "output": "shop", "fairness": {"mitigate": "thresholds"}}, "of 3 classes"),
        ({"protected": "gender", "fairness": {"mitigate": "reweigh"}}, "reweighing"),
    ],
)
def test_a_mitigation_that_cannot_be_had_is_refused_before_anything_is_spent(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    more = [{**row, "age": str(20 + n % 40), "shop": "abc"[n % 3]} for n, row in enumerate(people())]
    write_rows(tmp_path / "rows.csv", more)
    said_of = {"data": "rows.csv", "output": "taken", "inputs": {"score": "number"}, **changed}
    with pytest.raises(TrimtabError, match=said):
        checked(specs.parse(said_of), tmp_path, tmp_path / "run", Quiet())


# ---------------------------------------------------------------------------------------------------------- launches


def test_a_launch_gives_each_group_a_cut_that_its_network_does_not_know(tmp_path: Path) -> None:
    made = place(
        tmp_path, people(1500), output="taken", protected=["gender"], keep=["gender"], compress="none",
        split={"valid": 0.3, "test": 0.3},
        fairness={"mitigate": "thresholds", "cost": 0.2},
        coverage=0.9, train={"epochs": 3, "learning_rate": 0.01},
    )  # fmt: skip
    manifest = trimtab.launch(made.spec, runs=made.runs).manifest
    bundle = made.runs / "rows" / "bundle"
    done, worth = manifest.evidence["mitigation"], manifest.evidence["mitigated"]
    assert {one["group"]: one["shift"] is not None for one in done["groups"]} == {"f": True, "m": True}
    gap = worth["fairness.equalized_odds_gap(gender)"]
    assert gap["after"]["value"] < gap["before"]["value"] / 2
    assert manifest.measured["fairness.equalized_odds_gap(gender)"].value == pytest.approx(gap["after"]["value"])
    assert manifest.measured["accuracy"].value == pytest.approx(worth["accuracy"]["after"]["value"])
    assert [column.name for column in fitted.read(bundle).inputs] == ["score"]
    model = trimtab.load(bundle)
    assert [column.name for column in model.inputs] == ["score", "gender"]
    assert "gender" in next(iter(runtime.read_golden(bundle)))["row"]
    women, men = (model.predict([{"score": "0.1", "gender": one}]).outputs for one in "fm")
    shifts = {one["group"]: one["shift"] for one in done["groups"]}
    assert women[0][1] - men[0][1] == pytest.approx(shifts["f"] - shifts["m"], abs=1e-4)
    assert manifest.measured["conformal.coverage"].value > 0.84  # of the answers as they are served
    assert reference.of(bundle / store.REFERENCE, "gender")["counts"].sum() > 500
    assert "## Mitigation" in (bundle / "card.md").read_text(encoding="utf-8")
    assert trimtab.__main__.main(["verify", str(bundle)]) == 0
