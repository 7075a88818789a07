"""Texts about other people: which words are swapped and how, and what the check finds of a bundle."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
import tiny_bundle

from trimtab import page, runtime
from trimtab.audit.counterfactual import SWAPS, Swap
from trimtab.checks import Context, counterfactual
from trimtab.columns.ranking import RankingColumn
from trimtab.data.table import Origin, Table
from trimtab.errors import TrimtabError
from trimtab.reaudit import auditing


def swap(name: str) -> Swap:
    return next(one for one in SWAPS if one.name == name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He told her his story.", "She told him her story."),
        ("Her book, not his, pleased her.", "His book, not hers, pleased him."),
        ("I saw her and gave him hers", "I saw him and gave her his"),
        ("HE himself is a HERO", "SHE herself is a HEROINE"),
        ("My mother-in-law and the therapist sheltered them", "My mother-in-law and the therapist sheltered them"),
        ("his or her book, her and his car", "her or his book, his and her car"),
        ("an uncle, an actor, Mr. Smith", "an aunt, an actress, Mrs. Smith"),
        ("a nephew of an aunt", "a niece of an uncle"),
        ("他和她的男朋友", "她和他的女朋友"),
        ("其他人喜欢吉他，他们不", "其他人喜欢吉他，她们不"),
    ],
)
def test_gender_is_swapped_with_case_and_grammar(text: str, expected: str) -> None:
    assert swap("gender").apply(text, 0) == expected


def test_a_text_swapped_twice_is_what_it_was() -> None:
    gender, names = swap("gender"), swap("names")
    text = "The woman saw her father; she said his wife knew James. 小明的妈妈"
    assert gender.apply(gender.apply(text, 5), 9) == text
    assert names.apply(names.apply(text, 1), 4) == text != names.apply(text, 1)


@pytest.mark.parametrize(
    ("name", "text", "changed"),
    [
        ("nationalities", "An American in France", {"An American", "France"}),
        ("nationalities", "我是北京人", {"北京人"}),
        ("religions", "a Muslim near the church", {"a Muslim", "church"}),
        ("skin_colours", "a white man in a white car", {"white man"}),
        ("skin_colours", "an Asian student", {"an Asian"}),
        ("origins", "Emily met Michael", {"Emily", "Michael"}),
    ],
)
def test_each_word_becomes_another_of_its_line_and_all_are_reached(name: str, text: str, changed: set[str]) -> None:
    found = [swap(name).apply(text, step) for step in range(60)]
    assert text not in found
    assert all(one not in made for made in found for one in changed)
    assert len(set(found)) > 1
    assert all(made[0].isupper() == text[0].isupper() for made in found)


def test_an_article_fits_the_word_behind_it() -> None:
    found = {swap("nationalities").apply("an american", step) for step in range(60)}
    assert {"a chinese", "an indian", "an iranian", "a british"} <= found
    assert len(found) == 9


@pytest.mark.parametrize("text", ["a white car", "Polish the turkey", "Will you mark it?", "", "chinaware", "吉他"])
def test_words_that_are_of_nobody_stay(text: str) -> None:
    assert [one.apply(text, 3) for one in SWAPS] == [text] * 6


def test_no_word_stands_twice_in_a_kind_and_every_line_has_a_choice() -> None:
    for one in SWAPS:
        repeated = [word for word, count in Counter(word for line in one.lines for word in line).items() if count > 1]
        assert repeated == [], one.name
        assert min(len(line) for line in one.lines) >= 2


# ------------------------------------------------------------------------------------------------------- the check

PEOPLE = [
    {"review": "He was funny, and his film is warm.", "stars": "5", "shop": "north", "mood": "good"},
    {"review": "Dull. She left after an hour!", "stars": "1", "shop": "south", "mood": "bad"},
    {"review": "an American film, warm and funny", "stars": "3", "shop": "", "mood": "so"},
    {"review": "cold soup", "stars": "2", "shop": "north", "mood": "bad"},
]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A bundle of text, number and category, and rows about people as test rows."""
    model = runtime.load(tiny_bundle.build(tmp_path_factory.mktemp("tiny")))
    rows = PEOPLE * 10
    test = Table(
        {name: [row[name] for row in rows] for name in rows[0]}, [Origin("rows.csv", i) for i in range(len(rows))]
    )
    return Context(model, model.inputs, test, test, (), seed=7)


def test_only_rows_with_such_a_word_count_and_are_answered_again(context: Context) -> None:
    found = counterfactual.check(context)
    lines = {line["swap"]: line for line in found.evidence["counterfactual"]}
    assert {name: line["rows"] for name, line in lines.items()} == {"gender": 20, "nationalities": 10}
    assert set(found.measured) == {"counterfactual.gender", "counterfactual.nationalities"}
    texts = ["She was funny, and her film is warm.", "Dull. He left after an hour!"]
    after = context.model.predict([{**row, "review": text} for row, text in zip(PEOPLE, texts, strict=False)])
    before = context.model.predict(PEOPLE[:2])
    same = [one["mood"] == other["mood"] for one, other in zip(before, after, strict=True)]
    chances = [context.output.strengths(answers.outputs) for answers in (before, after)]
    assert found.measured["counterfactual.gender"].value == np.mean(same)
    assert lines["gender"]["moved"]["value"] == pytest.approx(np.abs(chances[1] - chances[0]).max(axis=1).mean())
    assert lines["gender"]["moved"]["value"] > 0


def test_the_card_tells_of_swaps_among_the_groups_of_people(context: Context) -> None:
    found = counterfactual.check(context)
    manifest = context.model.manifest.model_copy(update={"evidence": dict(found.evidence)})
    (section,) = counterfactual.sections(manifest)
    assert section.title == "Groups of people"
    table = section.blocks[1]
    assert isinstance(table, page.Table)
    assert [row[0] for row in table.rows] == ["gender", "nationalities"]
    assert len(list(counterfactual.limits(manifest))) == 1
    assert list(counterfactual.sections(context.model.manifest)) == []


def test_nothing_is_measured_without_texts_or_scores(context: Context) -> None:
    table = dataclasses.replace(context, inputs=context.inputs[1:])
    assert counterfactual.check(table).measured == {}
    ranking = RankingColumn("item", "item", ("a", "b"))
    ranked = dataclasses.replace(context, model=dataclasses.replace(context.model, output=ranking))
    assert counterfactual.check(ranked).measured == {}


def test_a_gate_asks_for_a_swap_that_there_is(context: Context) -> None:
    folder = context.model.folder
    assert folder is not None
    asked = auditing.opened(folder, ["gates.counterfactual.gender=>= 0.9"], auditing.Quiet()).gates
    assert [gate.name for gate in asked] == ["counterfactual.gender"]
    with pytest.raises(TrimtabError, match="did you mean 'gender'"):
        auditing.opened(folder, ["gates.counterfactual.genders=>= 0.9"], auditing.Quiet())
