"""Typing errors on purpose: they are made where the answer leans on a word, and within their budget."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import tiny_bundle

from trimtab import runtime
from trimtab.audit import attack
from trimtab.checks import Context
from trimtab.checks import attack as check
from trimtab.data.table import Origin, Table


class Keywords:
    """Answers rightly where a text holds one of the words; counts how often it is asked of each text."""

    def __init__(self, *words: str) -> None:
        self.words, self.asked = words, np.zeros(10, int)

    def __call__(self, whose: Sequence[int], texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        np.add.at(self.asked, list(whose), 1)
        held = np.array([sum(word in text.split() for word in self.words) for text in texts])
        return held / len(self.words), held > 0


@pytest.mark.parametrize("words", [["lovely"], ["lovely", "funny"]])
def test_the_words_that_an_answer_leans_on_are_mistyped(words: list[str]) -> None:
    text = "a lovely little film, warm and funny from the very first minute"
    (made,), survived = attack.attacked([text], Keywords(*words), np.random.default_rng(0))
    assert survived.tolist() == [False]
    changed = [old for old, new in zip(text.split(), made.split(), strict=True) if old != new]
    assert changed == words


def test_an_answer_that_leans_on_three_words_survives_two_errors() -> None:
    model = Keywords("lovely", "funny", "minute")
    text = "a lovely little film, warm and funny from the very first minute " + "more words " * 40
    _, survived = attack.attacked([text], model, np.random.default_rng(0))
    assert survived.tolist() == [True]
    assert 40 < model.asked[0] <= attack.CALLS == 58


def test_short_words_are_never_mistyped() -> None:
    assert not attack.can_be("not so bad")
    assert not attack.can_be("很好")
    assert attack.can_be("not so good at all, sadly")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A bundle, and rows whose label is what it answers."""
    model = runtime.load(tiny_bundle.build(tmp_path_factory.mktemp("tiny")))
    answers = model.predict(tiny_bundle.ROWS).answers["mood"]
    rows = [{**row, "mood": answer} for row, answer in zip(tiny_bundle.ROWS, answers, strict=True)] * 4
    test = Table(
        {name: [row[name] for row in rows] for name in rows[0]}, [Origin("rows.csv", i) for i in range(len(rows))]
    )
    return Context(model, model.inputs, test, test, (), seed=7)


def test_only_texts_that_were_answered_rightly_are_attacked(context: Context) -> None:
    found = check.check(context)
    assert found.evidence["attack"] == {"rows": 20}  # of 24 rows, 4 of which have no text
    share = found.measured["attack.survival"]
    assert 0 <= share.low <= share.value <= share.high <= 1
    manifest = context.model.manifest.model_copy(update={"measured": found.measured, "evidence": found.evidence})
    (section,) = check.sections(manifest)
    assert section.title == "Robustness"
    assert "of 20 texts" in section.blocks[0].text


def test_nothing_is_attacked_without_a_text(context: Context) -> None:
    assert check.check(dataclasses.replace(context, inputs=context.inputs[1:])).measured == {}
