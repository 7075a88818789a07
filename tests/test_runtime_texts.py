"""Texts through the runtime: however many threads there are, alone as beside others, and golden rows that hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_texts

from trimtab import runtime
from trimtab.columns import Named
from trimtab.errors import TrimtabError

ROWS = [{"source": " ".join("abcdefghij"[place % 7 : place % 7 + 1 + place % 4])} for place in range(40)]


@pytest.fixture(scope="module", params=["decoder alone", "encoder and decoder"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_texts.build(tmp_path_factory.mktemp("texts"), memory=request.param != "decoder alone")


def test_a_model_of_several_threads_writes_what_one_of_one_does(bundle: Path) -> None:
    one, several = (runtime.load(bundle, threads) for threads in (1, 3))
    for ways in ({}, {"beams": 3}, {"temperature": 1.4, "seed": 2}, {"stop": ("w",)}):
        expected, found = (model.writing(**ways).predict(ROWS) for model in (one, several))
        assert found.rows() == expected.rows()
    assert isinstance(found.outputs, Named)
    assert set(found.outputs.parts) == {"ids", "scores", "kept"}


def test_a_row_alone_is_answered_as_beside_others(bundle: Path) -> None:
    model = runtime.load(bundle, 1)
    found = model.predict(ROWS).rows()
    assert [model.predict([row])[0] for row in ROWS[:8]] == found[:8]
    assert model.predict([]).rows() == []


def test_golden_answers_are_short_and_a_changed_one_is_noticed(tmp_path: Path) -> None:
    endless = tiny_texts.build(tmp_path, ends=-99.0, longest=40)
    lines = list(runtime.read_golden(endless))
    assert len(lines) == len(tiny_texts.ROWS)
    assert {len(line["outputs"]["ids"]) for line in lines} == {16}
    model = runtime.load(endless, 1)
    assert {len(text) for text in model.predict(tiny_texts.ROWS).answers["answer"]} >= {40}
    assert runtime.replay(model, lines).rows == len(lines)
    changed: Any = json.loads(json.dumps(lines[0]))
    changed["outputs"]["ids"][3][0] += 1
    with pytest.raises(TrimtabError, match="golden row 1 is answered differently here"):
        runtime.replay(model, [changed])


def test_golden_rows_of_what_is_drawn_hold_what_is_likeliest(tmp_path: Path) -> None:
    drawn, sure = tiny_texts.build(tmp_path / "drawn", temperature=1.0), tiny_texts.build(tmp_path / "sure")
    lines = list(runtime.read_golden(drawn))
    assert len(lines) > 3
    assert lines == list(runtime.read_golden(sure))
    model = runtime.load(drawn, 1)
    assert runtime.replay(model, lines).rows == len(lines)
    assert model.predict(tiny_texts.ROWS).rows() == runtime.load(drawn, 1).predict(tiny_texts.ROWS).rows()
