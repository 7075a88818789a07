"""What a release finds out of explanations: whether they are true to the network, and what drives its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_bundle import ROWS, build

from trimtab import explain, page, runtime
from trimtab.bundle.manifest import Manifest
from trimtab.checks import Context, explanation
from trimtab.columns import taken
from trimtab.data.table import Origin, Table
from trimtab.metrics import Tagged, named

NAME = "explanation.faithfulness"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> runtime.Model:
    return runtime.load(build(tmp_path_factory.mktemp("explanation")), threads=1)


def context(model: runtime.Model, rows: Sequence[dict[str, str]] = ROWS * 6, quotes: bool = True) -> Context:
    table = Table({name: [row[name] for row in rows] for name in rows[0]}, [Origin("rows.csv", 1)] * len(rows))
    return Context(model, model.inputs, table, table, [NAME], seed=7, quotes=quotes)


def test_deletion_by_explanations_beats_deletion_by_chance(model: runtime.Model) -> None:
    found = explanation.check(context(model))
    one, evidence = found.measured[NAME], found.evidence["explanation"]
    assert 0.9 < one.value <= 1
    assert one.low is not None
    assert one.high is not None
    assert 0.8 < one.low <= one.value <= one.high <= 1
    assert evidence["chance"] == pytest.approx(1e-4)
    assert np.mean(evidence["explained"]) > np.mean(evidence["random"])
    assert evidence["rows"] == 30
    assert "30 test rows" in found.remarks[NAME]
    assert sum(evidence["columns"].values()) == pytest.approx(1)
    assert explanation.check(context(model)).evidence == found.evidence


def test_explanations_that_say_nothing_are_no_better_than_chance(
    model: runtime.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def guessed(question: explain.Question, calls: int, seed: int) -> explain.Explanation:
        true = explain.METHODS["occlusion"](question, calls, seed)
        draw = np.random.default_rng(len(question.units) + int(1e6 * abs(question.score)))
        guess = draw.permutation(len(question.units)).astype(float)
        one = (true.errors, question.score, true.base, "guess")
        return explain.Explanation(question.name, "", {}, question.units, guess, *one)

    monkeypatch.setattr(explain, "explain", guessed)
    words = ["warm", "cold", "soup", "staff", "film", "funny", "dull", "good", "bad", "lovely", "first", "last"]
    draw = np.random.default_rng(0)
    rows = [{**ROWS[0], "review": " ".join(draw.permutation(words)[:9])} for _ in range(30)]
    found = explanation.check(context(model, rows))
    assert 0.3 < found.measured[NAME].value < 0.7
    assert found.evidence["explanation"]["chance"] > 0.05


def test_too_few_rows_tell_nothing_and_it_is_said(model: runtime.Model) -> None:
    found = explanation.check(context(model, ROWS))
    assert found.measured == {}
    assert found.remarks[NAME].startswith("6 test rows explained: it takes 8")


def test_an_answer_for_each_word_is_left_out(model: runtime.Model) -> None:
    tagged = replace(model, output=SimpleNamespace(per_position=True))
    found = explanation.check(replace(context(model), model=tagged))
    assert (found.measured, found.evidence) == ({}, {})
    assert "each word" in found.remarks[NAME]
    assert not named(NAME).measured_of(Tagged)


def test_what_drives_an_answer_is_what_it_loses_without_it(model: runtime.Model) -> None:
    made = context(model)
    names = [column.name for column in model.inputs]
    found = explain.drivers(model, made.test.values, made.outputs, {}, names)
    one = next(one for one in found if one.column == "review")
    words = {row["review"]: row["review"].split() for row in ROWS}
    rows = [row for row in ROWS if one.said in {word.strip(".,:!").lower() for word in words[row["review"]]}]
    place = model.output.classes.index(one.answer)
    kept = [[word for word in words[row["review"]] if word.strip(".,:!").lower() != one.said] for row in rows]
    without = [{**row, "review": " ".join(left)} for row, left in zip(rows, kept, strict=True)]
    fell = [
        model.output.additive_scores(model.predict([row]).outputs)[0, place]
        - model.output.additive_scores(model.predict([less]).outputs)[0, place]
        for row, less in zip(rows, without, strict=True)
    ]
    assert min(fell) - 1e-6 <= one.added <= max(fell) + 1e-6
    assert one.rows == 6 * len(rows)
    assert all(driver.added > 0 for driver in found)
    assert {driver.said for driver in found if driver.column == "stars"} <= {"above 3", "below 3", "missing"}
    few = taken(made.outputs, np.arange(4))
    assert explain.drivers(model, made.test.take(np.arange(4)).values, few, {}, names) == []


def test_words_are_not_quoted_where_rows_may_not_be(model: runtime.Model) -> None:
    told = explanation.check(context(model)).evidence["explanation"]["drivers"]
    kept = explanation.check(context(model, quotes=False)).evidence["explanation"]["drivers"]
    assert "review" in {one["column"] for one in told}
    assert {one["column"] for one in kept} <= {"stars", "shop"}


def test_the_card_says_what_drives_the_answers(model: runtime.Model, tmp_path: Path) -> None:
    found = explanation.check(context(model))
    manifest = Manifest.model_construct(evidence=dict(found.evidence), measured=dict(found.measured))
    (section,) = explanation.sections(manifest)
    titles = [block.title for block in section.blocks if isinstance(block, (page.Table, page.Bars))]
    answers = list(dict.fromkeys(one["answer"] for one in found.evidence["explanation"]["drivers"]))
    assert titles[1:-2] == [f"For {answer}" for answer in answers]
    assert titles[-2:] == ["", "Faithful explanations"]
    said = " ".join(block.text for block in section.blocks if isinstance(block, page.Text))
    assert "30 test rows were explained" in said
    assert "less than 1 in 1,000" in said
    assert len(list(explanation.limits(manifest))) == 1
    (empty,) = explanation.sections(Manifest.model_construct(evidence={}))
    assert empty.blocks == ()
