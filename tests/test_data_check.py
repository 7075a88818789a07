"""Rows that somebody should look at: wrong labels, conflicts, leaks between splits, personal data."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import ROWS as REVIEWS
from tiny_bundle import build, make_manifest

from trimtab import columns, page, runtime
from trimtab.audit import cross_fitted, label_errors
from trimtab.checks import Context, Finding
from trimtab.checks import data as check
from trimtab.checks import label_errors as label_check
from trimtab.data import personal_data
from trimtab.data.table import Origin, Table

GOOD, BAD = ("lovely", "warm", "funny", "bright"), ("dull", "cold", "slow", "grey")
OTHER = ("film", "soup", "staff", "evening", "room", "story")


def reviews(count: int, wrong: float, seed: int = 5) -> tuple[list[dict[str, str]], np.ndarray]:
    """Rows as the tiny bundle reads them, and which of them have the other label."""
    draw = random.Random(seed)
    flipped = np.array([draw.random() < wrong for _ in range(count)])
    rows = []
    for row in range(count):
        good = bool(draw.getrandbits(1))
        words = [draw.choice(GOOD if good else BAD) for _ in range(3)] + draw.sample(OTHER, 3)
        mood = "good" if good != bool(flipped[row]) else "bad"
        rows.append({"review": f"{' '.join(words)} {row}", "stars": "3", "shop": "north", "mood": mood})
    return rows, flipped


def table(rows: list[dict[str, str]], file: str = "rows.csv") -> Table:
    return Table(
        {name: [row[name] for row in rows] for name in rows[0]}, [Origin(file, 2 + i) for i in range(len(rows))]
    )


def context(folder: Path, train: Table, test: Table, quotes: bool = True) -> Context:
    model = runtime.load(build(folder), threads=1)
    return Context(model, model.inputs, train, test, (), 7, quotes)


def test_a_label_is_doubted_where_another_class_is_as_likely_as_it_is_elsewhere() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1])
    first = np.array([0.9, 0.8, 0.1, 0.1, 0.2, 0.4])
    found = label_errors.doubts(labels, np.stack([first, 1 - first], axis=1))
    assert label_errors.thresholds(labels, np.stack([first, 1 - first], axis=1)) == pytest.approx([0.6, 2.3 / 3])
    assert found.wrong.tolist() == [False, False, True, False, False, False]
    assert found.order[0] == 2
    assert found.suggested.tolist() == [1, 1, 1, 0, 0, 0]
    assert found.given == pytest.approx([0.9, 0.8, 0.1, 0.9, 0.8, 0.6])


def test_a_class_that_no_row_has_is_never_suggested_as_an_error() -> None:
    labels, chances = np.array([0, 0, 1]), np.array([[0.2, 0.1, 0.7], [0.9, 0.1, 0.0], [0.1, 0.9, 0.0]])
    assert label_errors.doubts(labels, chances).wrong.tolist() == [False, False, False]


def test_every_fold_has_every_class_and_no_row_answers_itself() -> None:
    labels = np.array([0] * 40 + [1] * 8)
    parts = cross_fitted.folds(labels, seed=3)
    assert np.bincount(parts[:40]).tolist() == [10] * 4
    assert np.bincount(parts[40:]).tolist() == [2] * 4
    rows, flipped = reviews(240, 0.1)
    inputs = (columns.fit("number", "stars", "stars", [row["stars"] for row in rows], {}),)
    numbered = Table({"stars": [str(row) for row in range(240)]}, table(rows).origins)
    assert len(rows) == len(flipped)
    found = cross_fitted.models(inputs, numbered, flipped.astype(np.int64), 2, seed=1)
    assert set(found) == {"logistic regression", "gradient-boosted trees"}
    assert found["gradient-boosted trees"][flipped, 1].mean() < 0.5  # a tree that had seen them would know


def test_flipped_labels_lead_the_list_and_the_share_is_near_the_truth(tmp_path: Path) -> None:
    rows, flipped = reviews(600, 0.08)
    found = label_check.check(context(tmp_path, table(rows[:400]), table(rows[400:], "test.csv")))
    listed = found.listed["label_errors"]
    places = [line["line"] - 2 + (400 if line["file"] == "test.csv" else 0) for line in listed[: int(flipped.sum())]]
    assert flipped[places].mean() >= 0.9
    assert {line["split"] for line in listed} == {"train", "test"}
    assert listed[0]["suggested"] != listed[0]["given"]
    share = found.measured[label_check.NAME]
    assert share.low is not None
    assert share.low <= flipped.mean() <= share.high
    assert found.evidence[label_check.LIKELIEST][0]["inputs"]["review"] == listed[0]["review"]
    told = [block for section in label_check.sections(manifest(found)) for block in section.blocks]
    assert any(isinstance(block, page.Table) and block.title == "Likeliest label errors" for block in told)


def manifest(found: Finding):  # type: ignore[no-untyped-def]
    output = columns.fit("label", "mood", "mood", ["good", "bad"], {})
    changed = {"evidence": dict(found.evidence), "measured": dict(found.measured)}
    return make_manifest((), output, []).model_copy(update=changed)


def test_where_no_row_may_be_quoted_label_errors_are_counted_only(tmp_path: Path) -> None:
    rows, _ = reviews(200, 0.1)
    found = label_check.check(context(tmp_path, table(rows[:150]), table(rows[150:]), quotes=False))
    assert set(found.evidence) == {label_check.NAME}
    assert "lovely" not in str(found.evidence)


def test_too_few_rows_of_a_class_say_nothing_of_labels(tmp_path: Path) -> None:
    one = [{**row, "mood": "good"} for row in REVIEWS[:3]]
    found = label_check.check(context(tmp_path, table(one), table(one)))
    assert not found.measured
    assert found.remarks[label_check.NAME] == "too few rows to tell"


def test_test_rows_that_stand_in_training_and_rows_that_disagree_are_counted(tmp_path: Path) -> None:
    rows, _ = reviews(80, 0.0)
    long = {**rows[0], "review": "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"}
    near = {**long, "review": long["review"].replace("fourteen", "FIFTEEN!")}
    equal = {**rows[1], "review": rows[1]["review"].upper()}
    other = {**rows[2], "mood": {"good": "bad", "bad": "good"}[rows[2]["mood"]]}
    found = check.check(context(tmp_path, table([*rows[:40], long]), table([*rows[40:], near, equal, other])))
    assert found.evidence[check.LEAKED] == {"rows": 3, "of": 43}
    assert found.measured[check.LEAKED].value == pytest.approx(3 / 43)
    assert found.evidence[check.CONFLICTS] == {"rows": 2, "of": 84}


def test_an_input_that_alone_tells_the_answer_is_counted_and_named(tmp_path: Path) -> None:
    rows = [{**REVIEWS[0], "review": f"so {n}", "mood": ("good", "bad")[n % 2]} for n in range(80)]
    told = [{**row, "shop": {"good": "north", "bad": "south"}[row["mood"]]} for row in rows]
    clean = check.check(context(tmp_path / "clean", table(rows[:60]), table(rows[60:])))
    found = check.check(context(tmp_path / "told", table(told[:60]), table(told[60:])))
    assert clean.measured[check.GIVEAWAYS].value == 0
    assert found.measured[check.GIVEAWAYS].value == 1
    assert found.evidence[check.GIVEAWAYS] == {"columns": ["shop"]}
    assert found.remarks[check.GIVEAWAYS].startswith("shop: alone it tells the answer in 100.0% of the rows")


def test_without_training_rows_nothing_is_said_of_leaks(tmp_path: Path) -> None:
    model = runtime.load(build(tmp_path), threads=1)
    found = check.check(Context(model, model.inputs, None, table(REVIEWS), (), 7))
    assert set(found.measured) == {check.CONFLICTS, check.GIVEAWAYS, check.PERSONAL}


def test_personal_data_is_counted_by_column_and_never_quoted(tmp_path: Path) -> None:
    rows, _ = reviews(60, 0.0)
    secret = ["write to jo.doe@example.org", "call +49 30 1234567", "DE89 3704 0044 0532 0130 00"]
    for row, text in zip(rows[:3], secret, strict=True):
        row["review"] += " " + text
    for row in rows:
        row["customerName"] = "x"
    found = check.check(context(tmp_path, table(rows[:40]), table(rows[40:])))
    counted = found.evidence[check.PERSONAL]
    assert counted["rows"] == 3
    assert {line["looks like"]: line["rows"] for line in counted["columns"]} == {
        "e-mail addresses": 1, "phone numbers": 1, "bank accounts (IBAN)": 1,
    }  # fmt: skip
    assert counted["named"] == ["customerName"]
    told = str(found) + str(list(check.sections(manifest(found))))
    assert not [text for text in ("jo.doe", "1234567", "0532") if text in told]
    assert "e-mail addresses" in told


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("DE89 3704 0044 0532 0130 00", "bank accounts (IBAN)"),
        ("DE88 3704 0044 0532 0130 00", None),
        ("11010519491231002X", "Chinese identity numbers"),
        ("110105194912310021", None),
        ("我的手机是13912345678", "phone numbers"),
        ("from 81.2.69.142 at noon", "IP addresses"),
        ("version 999.1.2.3", None),
        ("2a00:1450:4001:81b:0:0:0:200e", "IP addresses"),
        ("192.168.0.17 is private", None),
        ("12:30:45", None),
        ("ssn 536-22-1234", "US social security numbers"),
        ("000-22-1234", "phone numbers"),
    ],
)
def test_numbers_with_check_digits_are_held_against_them(text: str, kind: str | None) -> None:
    assert list(personal_data.hints([text])) == ([kind] if kind else [])


@pytest.mark.parametrize(("name", "so"), [
    ("firstName", True), ("e-mail", True), ("date_of_birth", True), ("客户姓名", True), ("Zip Code", True),
    ("label", False), ("equip", False), ("product name", False), ("description", False),
])  # fmt: skip
def test_columns_that_are_called_like_personal_data(name: str, so: bool) -> None:
    assert personal_data.named_so(name) is so
