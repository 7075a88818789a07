"""What values become on their way, and what the check of robustness finds of a bundle."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_bundle

from trimtab import columns, perturb, registry, runtime
from trimtab.bundle.manifest import Manifest
from trimtab.checks import Context, robustness
from trimtab.data.table import Origin, Table

TEXT = "It is not bad, but I cannot say that it is good."


def column(kind: str, values: list[Any], **options: Any) -> Any:
    return columns.fit(kind, "x", "x", values, options)


def perturbed(kind: str, name: str, values: list[Any], strength: float = 1.0, of: Any = None) -> list[Any]:
    (found,) = [one for one in perturb.of_type(kind) if one.name == name]
    return list(found.apply(of, values, np.random.default_rng(0), strength))


# --------------------------------------------------------------------------------------------------- perturbations


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("upper_case", "IT IS NOT BAD, BUT I CANNOT SAY THAT IT IS GOOD."),
        ("lower_case", "it is not bad, but i cannot say that it is good."),
        ("punctuation", "It is not bad but I cannot say that it is good"),
        ("contractions", "It's not bad, but I can't say that it's good."),
        ("spacing", "  It  is  not  bad,  but  I  cannot  say  that  it  is  good. "),
    ],
)
def test_a_text_is_written_otherwise(name: str, expected: str) -> None:
    assert perturbed("text", name, [TEXT]) == [expected]


def test_contractions_go_both_ways_and_keep_their_capital() -> None:
    assert perturbed("text", "contractions", ["Don't go, it isn't open"]) == ["Do not go, it is not open"]


def test_a_text_with_typing_errors_keeps_its_short_words() -> None:
    (found,) = perturbed("text", "typos", ["not a wonderful day"])
    assert found != "not a wonderful day"
    assert found.split()[:2] == ["not", "a"]


def test_look_alike_letters_and_invisible_spaces_look_the_same() -> None:
    back = str.maketrans("асеорху", "aceopxy")
    (lookalike,) = perturbed("text", "homoglyphs", ["a nice escape"])
    (invisible,) = perturbed("text", "zero_width", ["a nice escape"])
    assert lookalike != "a nice escape" == lookalike.translate(back)
    assert invisible != "a nice escape" == invisible.replace("\u200b", "")


@pytest.mark.parametrize("name", [found.name for found in perturb.of_type("text")])
def test_what_says_nothing_and_lists_of_words_are_the_same_values(name: str) -> None:
    values = ["", None, ["a", "list"], "   "]
    assert all(new is old for new, old in zip(perturbed("text", name, values), values, strict=True))


@pytest.mark.parametrize("name", ["typos", "contractions", "homoglyphs", "upper_case", "lower_case"])
def test_what_a_rule_does_not_touch_is_the_same_value(name: str) -> None:
    assert perturbed("text", name, ["42 ..."])[0] == "42 ..."


def test_a_cell_of_a_table_is_lost_or_in_another_unit() -> None:
    number = column("number", ["1,5", "2,5", "3,5"] * 10)
    assert perturbed("number", "missing_number", ["1,5", None]) == [None, None]
    assert perturbed("number", "unit_slip", ["1,5", None, "?"], of=number) == [1500.0, None, "?"]
    assert perturbed("category", "category_in_capitals", ["red", "RED", 3]) == ["RED", "RED", 3]
    assert perturbed("category", "new_category", ["red"])[0].startswith("never seen")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", [found.name for found in perturb.of_type("image")])
def test_a_picture_changes_more_the_stronger_a_change_is(name: str, channels: int) -> None:
    ramp = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8) * 3
    ramp[8:20, 10:16] = 220
    values = [ramp if channels == 1 else np.stack([ramp, ramp.T, ramp[::-1]], -1)] * 4
    picture = column("image", values, size=32)
    (found,) = [one for one in perturb.of_type("image") if one.name == name]
    plain = picture.encode(values).astype(float)
    moved = []
    for strength in found.strengths:
        made = found.apply(picture, values, np.random.default_rng(0), strength)
        moved.append(np.abs(picture.encode(made).astype(float) - plain).mean())
    assert len(moved) == 5
    assert moved == sorted(moved)
    assert 0 < moved[0] < moved[-1]


def test_a_sound_is_louder_softer_or_noisy_by_so_many_decibels() -> None:
    tone = (0.1 * np.sin(np.arange(8000) * 0.3)).astype(np.float32)
    sound = column("audio", [(8000, tone)] * 4)
    heard = sound.waveform((8000, tone))
    (noisy,) = perturbed("audio", "background", [(8000, tone)], 20.0, sound)
    noise = np.sqrt(np.mean((noisy - heard) ** 2)) / np.sqrt(np.mean(heard**2))
    assert 20 * np.log10(noise) == pytest.approx(-20, abs=0.5)
    (louder,) = perturbed("audio", "loudness", [(8000, tone)], 6.0, sound)
    assert abs(20 * np.log10(np.abs(louder).max() / np.abs(heard).max())) == pytest.approx(6, abs=0.01)


def test_every_type_with_perturbations_names_each_once() -> None:
    names = [found.name for kind in registry.names("trimtab.perturb") for found in perturb.of_type(kind)]
    assert len(set(names)) == len(names) == 22
    assert perturb.of_type("history") == ()


# ------------------------------------------------------------------------------------------------------- the check


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A bundle of text, number and category, and its rows as test rows."""
    folder = tiny_bundle.build(tmp_path_factory.mktemp("tiny"))
    model = runtime.load(folder)
    rows = [row for row in tiny_bundle.ROWS if row["mood"]] * 5
    origins = [Origin("rows.csv", line) for line in range(len(rows))]
    test = Table({name: [row[name] for row in rows] for name in rows[0]}, origins)
    return Context(model, model.inputs, test, test, (), seed=7)


def test_each_perturbation_has_its_share_of_unchanged_answers(context: Context) -> None:
    found = robustness.check(context)
    lines = {line["perturbation"]: line for line in found.evidence["robustness"]}
    assert {f"robustness.{name}" for name in lines} == set(found.measured)
    assert lines["upper_case"]["unchanged"] == [1.0]  # this tokenizer knows no case
    assert lines["missing_number"]["unchanged"][0] < 1
    for name, line in lines.items():
        share = found.measured[f"robustness.{name}"]
        assert share.value == np.mean(line["unchanged"])
        assert 0 <= share.low <= share.value <= share.high <= 1
    assert lines["contractions"]["rows"] < lines["upper_case"]["rows"] <= len(context.test)


def test_what_is_measured_agrees_with_answering_the_changed_rows(context: Context) -> None:
    line = next(one for one in robustness.check(context).evidence["robustness"] if one["perturbation"] == "lower_case")
    rows = context.rows
    lower = [{**row, "review": row["review"].lower()} for row in rows]
    plain, changed = ([answer["mood"] for answer in context.model.predict(given)] for given in (rows, lower))
    touched = [i for i, row in enumerate(rows) if row["review"].lower() != row["review"]]
    right = [context.test.values["mood"][i] == changed[i] for i in touched]
    assert line["rows"] == len(touched)
    assert line["unchanged"] == [np.mean([plain[i] == changed[i] for i in touched])]
    assert line["after"] == [pytest.approx(np.mean(right))]


def test_an_answer_for_each_word_is_left_out(context: Context) -> None:
    output = SimpleNamespace(per_position=True)
    tagged = dataclasses.replace(context, model=dataclasses.replace(context.model, output=output))
    assert robustness.check(tagged).measured == {}


def test_the_card_has_a_line_for_each(context: Context, tmp_path: Path) -> None:
    found = robustness.check(context)
    manifest = Manifest.model_construct(evidence=dict(found.evidence), measured=dict(found.measured))
    (section,) = robustness.sections(manifest)
    assert len(section.blocks[1].rows) == len(found.measured)
    assert section.title == "Robustness"
    assert list(robustness.sections(Manifest.model_construct(evidence={}))) == []


def test_numbers_agree_within_a_tenth_of_their_spread() -> None:
    number = column("number", [str(value) for value in range(100)])
    outputs = np.array([[0.0], [1.0]], np.float32)
    assert number.agrees(outputs, outputs + 0.09).tolist() == [True, True]
    assert number.agrees(outputs, outputs + np.array([[0.0], [0.11]])).tolist() == [True, False]
    label = column("label", ["a", "b"])
    shown = np.array([[2.0, 1.0], [0.0, 3.0]], np.float32)
    assert label.agrees(shown, shown[::-1]).tolist() == [False, False]
    assert label.agrees(shown, shown * 5).tolist() == [True, True]
