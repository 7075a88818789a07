"""Groups of people: rates, gaps and ratios as fairlearn defines them; few rows are shown and never counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from places import write_rows
from tiny_bundle import ROWS as REVIEWS
from tiny_bundle import build, make_manifest

from trimtab import page, runtime
from trimtab import spec as specs
from trimtab.audit import fairness, gates, groups, quality
from trimtab.audit.fairness import Compared
from trimtab.checks import Context
from trimtab.checks import fairness as check
from trimtab.data.table import Origin, Table
from trimtab.errors import TrimtabError
from trimtab.metrics import Amounts, Answers, AnyOf, OneOf, statistic
from trimtab.progress import Quiet
from trimtab.request import check as checked

ROWS = 1000
GAP, RATIO = "fairness.demographic_parity_gap", "fairness.demographic_parity_ratio"
ODDS, CHANCE = "fairness.equalized_odds_gap", "fairness.equal_opportunity_gap"


def rows_of(answers: OneOf, rows: np.ndarray) -> OneOf:
    return OneOf(answers.classes, answers.true[rows], answers.chances[rows])


def drawn(classes: Sequence[str] = ("no", "yes")) -> tuple[OneOf, np.ndarray]:
    """Answers that favour one group, and the group of each row: a, b, c, of which c has 20 rows."""
    draw = np.random.default_rng(4)
    group = np.where(np.arange(ROWS) < 20, "c", np.where(draw.random(ROWS) < 0.4, "a", "b"))
    true = draw.integers(0, len(classes), ROWS)
    chances = draw.dirichlet(np.ones(len(classes)), ROWS) + np.eye(len(classes))[true] * 0.4
    chances[:, 1] += np.where(group == "a", 0.3, 0.0)
    return OneOf(classes, true, chances / chances.sum(axis=1, keepdims=True)), group


def compared(answers: OneOf, group: np.ndarray, classes: tuple[str, ...]) -> Compared:
    grouping = groups.grouped("group", group.tolist())
    parts = {g: rows_of(answers, grouping.rows(g)) for g in range(len(grouping.names))}
    figures = {g: fairness.figures(part, "accuracy", statistic(part, "accuracy")) for g, part in parts.items()}
    return Compared(grouping, figures, classes)


def value(one: Compared, family: str, of: str = "") -> float:
    return float(fairness.statistic([one], family, of, "accuracy")(np.ones((ROWS, 1)))[0])


def by_hand(answers: OneOf, group: np.ndarray, position: int) -> dict[str, float]:
    """The definitions of fairlearn, written out, of the two groups that have enough rows."""
    true, chosen = answers.true == position, answers.chosen == position
    of = {name: group == name for name in ("a", "b")}
    selected = [chosen[rows].mean() for rows in of.values()]
    found = [chosen[rows & true].mean() for rows in of.values()]
    false = [chosen[rows & ~true].mean() for rows in of.values()]
    right = [(answers.true == answers.chosen)[rows].mean() for rows in of.values()]
    return {
        GAP: max(selected) - min(selected),
        RATIO: min(selected) / max(selected),
        ODDS: max(max(found) - min(found), max(false) - min(false)),
        CHANCE: max(found) - min(found),
        "fairness.accuracy_gap": max(right) - min(right),
        "fairness.quality_gap": max(right) - min(right),
    }


def test_gaps_and_ratios_are_those_of_the_definitions_and_few_rows_are_not_counted() -> None:
    answers, group = drawn()
    one = compared(answers, group, ("yes",))
    assert [one.grouping.names[g] for g in one.groups] == ["a", "b"]
    expected = by_hand(answers, group, 1)
    assert expected[ODDS] > 0.1
    assert {family: value(one, family) for family in expected} == pytest.approx(expected, abs=1e-12)
    told = fairness.told([one], ODDS, "", "accuracy")
    assert "rate: b 0." in told


def test_of_several_classes_the_worst_counts_unless_one_is_named() -> None:
    answers, group = drawn(("x", "y", "z"))
    one = compared(answers, group, ("x", "y", "z"))
    each = [by_hand(answers, group, position)[ODDS] for position in range(3)]
    assert value(one, ODDS) == pytest.approx(max(each))
    assert value(one, ODDS, "z") == pytest.approx(each[2]) != pytest.approx(max(each))
    ratios = [by_hand(answers, group, position)[RATIO] for position in range(3)]
    assert value(one, RATIO) == pytest.approx(min(ratios))


def test_an_interval_holds_what_was_drawn() -> None:
    """Rows of a known difference of rates: nine of ten intervals at least hold it."""
    held = 0
    for seed in range(20):
        draw = np.random.default_rng(seed)
        group = np.where(draw.random(ROWS) < 0.5, "a", "b")
        chosen = draw.random(ROWS) < np.where(group == "a", 0.6, 0.4)
        answers = OneOf(("no", "yes"), draw.integers(0, 2, ROWS), np.stack([~chosen, chosen], axis=1) * 1.0)
        made = fairness.statistic([compared(answers, group, ("yes",))], GAP, "", "accuracy")
        found = quality.estimate(made, ROWS, seed, 300, share=True)
        assert found is not None
        held += found.low <= 0.2 <= found.high
    assert held >= 17


def test_figures_of_labels_and_of_numbers() -> None:
    some = AnyOf(("p", "q"), np.array([[1, 0], [0, np.nan]]), np.zeros((2, 2)), np.array([[True, True], [False, True]]))
    found = fairness.figures(some, "micro_f1", statistic(some, "micro_f1"))
    ones = np.ones((2, 1))
    assert found["p"][fairness.SELECTION](ones) == pytest.approx([0.5])
    assert found["q"][fairness.SELECTION](ones) == pytest.approx([1.0])  # of the row in which it is known
    assert np.isnan(found["q"][fairness.TRUE_POSITIVE](ones)).all()
    amounts = Amounts(np.array([1.0, 2.0]), np.array([2.0, 0.0]))
    figures = fairness.figures(amounts, "r2", statistic(amounts, "r2"))[fairness.WHOLE]
    assert {name: float(figures[name](ones)[0]) for name in ("mean error", "mae")} == {"mean error": -0.5, "mae": 1.5}
    assert fairness.figures(Answers(), "x", statistic(amounts, "mae")).keys() == {fairness.WHOLE}


# ------------------------------------------------------------------------------------------------------ the check


def context(folder: Path, protected: Sequence[str], asked: Sequence[str] = (), quotes: bool = True) -> Context:
    """The tiny bundle on its rows, forty times, with a gender that no input holds; twelve people have a third one."""
    model = runtime.load(build(folder), threads=1)
    genders = ["x"] * 12 + ["f", "f", "m", "m"] * 57
    rows = [{**row, "gender": gender} for row, gender in zip(REVIEWS * 40, genders, strict=True)]
    table = Table({name: [row[name] for row in rows] for name in rows[0]}, [Origin("rows.csv", 1)] * len(rows))
    return Context(model, model.inputs, table, table, asked, 7, quotes, protected)


def test_kept_columns_and_inputs_are_compared_alone_and_crossed(tmp_path: Path) -> None:
    asked = [f"{ODDS}(gender).bad", ODDS, f"{ODDS}(shop)"]
    made = context(tmp_path, ["gender", "shop"], asked)
    found = check.check(made)
    assert {*asked, f"{ODDS}(gender, shop)", "fairness.accuracy_gap(gender)", f"{RATIO}(shop)"} <= set(found.measured)
    assert found.measured[ODDS].value == pytest.approx(
        max(found.measured[f"{ODDS}({name})"].value for name in ("gender", "shop"))
    )
    one = next(one for one in found.evidence["fairness"] if one["columns"] == ["gender"])
    shown = {line["group"]: line for line in one["groups"]}
    assert {name: line["rows"] for name, line in shown.items()} == {"f": 114, "m": 114, "x": 12}
    told = shown["x"]["figures"]["bad"][fairness.SELECTION]
    assert told["low"] <= told["value"] <= told["high"]
    assert "not counted, for they have too few rows: x (12)" in found.remarks[f"{ODDS}(gender)"]
    bare = make_manifest((), made.output, []).model_copy(
        update={"evidence": found.evidence, "measured": dict(found.measured)}
    )
    (section,) = check.sections(bare)
    tables = [block for block in section.blocks if isinstance(block, page.Table)]
    assert any(row[:2] == ("x *", "12") for table in tables for row in table.rows)


def test_where_no_row_may_be_quoted_groups_of_few_are_not_named_and_without_a_column_nothing_is_measured(
    tmp_path: Path,
) -> None:
    found = check.check(context(tmp_path / "silent", ["gender"], quotes=False))
    assert [line["group"] for line in found.evidence["fairness"][0]["groups"]] == ["f", "m"]
    assert "x (" not in "".join(found.remarks.values())
    none = context(tmp_path / "none", [])
    assert check.check(none) == check.Finding()
    bare = make_manifest(none.inputs, none.output, [])
    assert "protected: [gender]" in " ".join(check.limits(bare))
    assert not [block for section in check.sections(bare) for block in section.blocks]


def test_a_gap_that_is_not_defined_misses_its_gate_and_says_why(tmp_path: Path) -> None:
    made = context(tmp_path, ["gender"], [f"{ODDS}(gender)"])
    few = Context(made.model, made.inputs, made.train, made.test.take(np.arange(40)), made.gates, 7, True, ["gender"])
    found = check.check(few)
    [result] = gates.judge([specs.parse_gate(f"{ODDS}( gender )", "<= 5%")], found.measured, remarks=found.remarks)
    assert not result.met
    assert "no two groups of 30 rows or more" in result.reason


# ------------------------------------------------------------------------------------------------------- the spec


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"protected": "gendr"},
            r"protected: the data has no column named 'gendr'\n  allowed: .*did you mean 'gender'",
        ),
        ({"protected": ["side"]}, "protected: 'side' is also the output"),
        ({"gates": {f"{ODDS}(gender)": "<= 5%"}}, "no column is protected.*do: name them: protected: .gender."),
        ({"protected": "gender", "gates": {f"{ODDS}(x)": "<= 5%"}}, "'x' is not protected"),
        ({"protected": "gender", "gates": {f"{ODDS}(gender).up": "<= 5%"}}, "no class 'up'"),
        ({"protected": "gender", "gates": {"fairness.mae_gap": "<= 5"}}, "mae_gap is not measured on a label output"),
    ],
)
def test_what_is_wrong_with_protected_columns_is_said_before_anything_is_spent(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    rows = [{"x": str(n), "gender": "fm"[n % 3 > 0], "side": "lr"[n % 2]} for n in range(200)]
    write_rows(tmp_path / "rows.csv", rows)
    spec = specs.parse({"data": "rows.csv", "output": "side", "inputs": {"x": "number"}, **changed})
    with pytest.raises(TrimtabError, match=f"(?s){said}"):
        checked(spec, tmp_path, tmp_path / "run", Quiet())


def of_people(written: str) -> list[dict[str, str]]:
    """Rows of one number each, and of people of whom two in three are of one gender."""
    return [{"x": written.format(n), "gender": "fm"[n % 3 > 0], "side": "lr"[n % 2]} for n in range(200)]


def test_a_protected_column_stays_an_input_unless_it_is_kept_out(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv", of_people("{}.5"))
    for keep, read in (((), {"x", "gender"}), (("gender",), {"x"})):
        spec = specs.parse({"data": "rows.csv", "output": "side", "protected": "gender", "keep": list(keep)})
        request = checked(spec, tmp_path, tmp_path / "run", Quiet())
        assert {column.name for column in request.inputs} == read
        assert set(request.prepared.splits.test.values["gender"]) == {"f", "m"}


def test_where_only_a_protected_column_is_left_to_read_it_is_said_why_the_rows_cannot_be_cut(tmp_path: Path) -> None:
    """Numbers of rows are no input: what is left has two values, and equal rows share a split."""
    write_rows(tmp_path / "rows.csv", of_people("{}"))
    spec = specs.parse({"data": "rows.csv", "output": "side", "protected": "gender"})
    with pytest.raises(TrimtabError, match=r"2 differ in the inputs: gender; not read: x: numbers of rows"):
        checked(spec, tmp_path, tmp_path / "run", Quiet())
