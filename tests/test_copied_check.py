"""Answers that are those of training, word for word, are counted, shown to the user alone, and worded for the card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bundle
import tiny_texts
from test_data_check import table

from trimtab import metrics, runtime
from trimtab.checks import Context, copied

LEARNT = [
    "Please call our office on Monday between nine and five.",
    "one two three four five six seven eight nine ten",
    "我们今天下午三点在公园门口见面吧",
    "",
]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("please call our office on monday, between nine", (1, 1)),
        ("two THREE four five six seven eight nine!", (1, 1)),
        ("call our office on Monday between nine and six", (0, 1)),
        ("one two three four five six seven", (0, 0)),
        ("wo three four five six seven eight nine ten", (0, 1)),
        ("nine ten please call our office on Monday between", (0, 1)),
        ("今天下午三点在公园门口", (1, 1)),
        ("", (0, 0)),
    ],
    ids=[
        "from the start",
        "from within",
        "another end",
        "too short",
        "half a word",
        "over two rows",
        "chinese",
        "empty",
    ],
)
def test_a_long_answer_is_a_copy_where_it_stands_in_one_row_word_for_word(
    given: str, expected: tuple[int, int]
) -> None:
    assert tuple(metrics.copies([given], LEARNT)[0]) == expected


def context(folder: Path, learnt: list[str] | None, rows: list[str]) -> Context:
    """The tiny bundle that writes, whose letters stand for themselves, each a word, where they are Chinese."""
    model = runtime.load(tiny_texts.build(folder), 1)
    test = table([{"source": row, "answer": "右"} for row in rows])
    train = None if learnt is None else table([{"source": "a", "answer": text} for text in learnt])
    return Context(model, model.inputs, train, test, (), 7)


def test_the_check_counts_what_was_copied_beside_what_is_said_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = context(tmp_path, ["it is one two three four five six seven eight here", "b"], ["c d e", "f", "k l"] * 10)
    long = "one two three four five six seven eight"
    texts = [long, "nine ten eleven twelve one two three four", "short"] * 10
    answers = metrics.Written([long.upper(), "right", "right"] * 10, texts)
    monkeypatch.setattr(type(made.output), "answered", lambda self, targets, outputs: answers)
    found = copied.check(made)
    measured = found.measured[copied.COPIED]
    assert measured.value == pytest.approx(0.5)
    assert measured.low is not None
    assert measured.high is not None
    assert measured.low < 0.5 < measured.high
    told: Any = found.evidence["privacy.copies"]
    assert told == {"rows": 30, "long": 20, "least": 8, "right": 1.0}
    assert [row["answer"] for row in found.listed["copied_answers"]] == [long] * 10
    assert {row["source"] for row in found.listed["copied_answers"]} == {"c d e"}
    manifest = tiny_bundle.make_manifest(made.inputs, made.output, []).model_copy(
        update={"measured": dict(found.measured), "evidence": dict(found.evidence)}
    )
    (section,) = copied.sections(manifest)
    assert (section.title, len(section.blocks)) == ("Copied answers", 2)
    assert "Of 30 test rows 20 were answered with 8 words or more" in str(section.blocks[1])


def test_without_long_answers_or_training_rows_nothing_is_measured(tmp_path: Path) -> None:
    short = copied.check(context(tmp_path / "short", ["a b c"], ["f", "k l"]))
    assert not short.measured
    assert short.remarks == {copied.COPIED: "no answer to a test row has 8 words or more"}
    assert copied.check(context(tmp_path / "none", None, ["f"])) == type(short)()
    model = runtime.load(tiny_bundle.build(tmp_path / "label"), 1)
    rows = table(tiny_bundle.ROWS)
    assert copied.check(Context(model, model.inputs, rows, rows, (), 7)) == type(short)()
    assert np.asarray(metrics.copies([], LEARNT)).shape == (0, 2)
