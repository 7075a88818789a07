"""Tests of one's own: how files of them are read, what passes, and what is wrong with them is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import ROWS, build, make_manifest

from trimtab import page, runtime
from trimtab.behaviour import OwnTest, check, passed, reading
from trimtab.checks import Context
from trimtab.checks import behaviour as checked
from trimtab.columns.label import LabelColumn
from trimtab.columns.number import NumberColumn
from trimtab.data.table import Origin, Table
from trimtab.errors import TrimtabError

LABEL = LabelColumn("mood", "mood", ("bad", "good"))
NUMBER = NumberColumn.fit("stars", "stars", ["1", "2", "3", "4", "5"] * 4, {})
# Logits of rows: sure of bad, a little good, surer of good.
OUTPUTS = np.array([[2.0, 0.0], [0.0, 0.1], [0.0, 2.0]], np.float32)


def ok(test: OwnTest, first: list[int], rows: list[int]) -> list[bool]:
    return passed(test, LABEL, OUTPUTS, np.array(first), np.array(rows)).tolist()


@pytest.mark.parametrize(
    ("kind", "of", "tolerance", "expected"),
    [
        ("expect", "good", 0.0, [False, True, True]),
        ("expect", ["good", "bad"], 0.0, [True, True, True]),
        ("expect", {"not": "good"}, 0.0, [True, False, False]),
        ("expect", {"not": ["good", "bad"]}, 0.0, [False, False, False]),
        ("agree", True, 0.0, [False, True, True]),
        ("agree", True, 0.5, [True, True, True]),
        ("up", "good", 0.0, [False, True, True]),
        ("down", "good", 0.0, [True, True, False]),
        ("down", "good", 0.4, [True, True, True]),
        ("up", "good", 0.41, [True, True, True]),
    ],
)
def test_what_passes(kind: str, of: object, tolerance: float, expected: list[bool]) -> None:
    assert ok(OwnTest("t", kind, of, (), tolerance), [1, 1, 1], [0, 1, 2]) == expected


@pytest.mark.parametrize(
    ("kind", "of", "tolerance", "expected"),
    [
        ("expect", {"at least": 3}, 0.0, [False, True, True]),
        ("expect", {"at most": 3}, 0.0, [True, True, False]),
        ("expect", {"between": [2, 4]}, 0.0, [False, True, False]),
        ("expect", 3, 2.0, [True, True, True]),
        ("up", None, 0.0, [False, True, True]),
        ("down", None, 2.5, [True, True, True]),
    ],
)
def test_what_passes_of_numbers(kind: str, of: object, tolerance: float, expected: list[bool]) -> None:
    outputs = NUMBER.targets(["1", "3", "5"]).reshape(-1, 1)
    test = OwnTest("t", kind, of, (), tolerance)
    assert passed(test, NUMBER, outputs, np.array([1, 1, 1]), np.arange(3)).tolist() == expected


YAML = """
- test: negation
  capability: words
  expect: bad
  template: "It is not {word}, {who}."
  fill: {word: [good, fine], who: [really, sir]}
- {test: case, agree: true, groups: [[Fine., FINE., fine.]]}
- {test: praise, up: good, tolerance: 0.1, groups: [[{review: Ok}, {review: Ok! Lovely!}]]}
"""
TABLE = """test,expect,must,group,tolerance,review
plain,good,,,,Lovely.
plain,good,,,,Funny.
other,not bad,,,,So.
same,,agree,a,,One
same,,agree,a,,one
more,,up good,,0.2,Ok
more,,up good,,0.2,Ok! Lovely!
"""


def test_a_list_in_yaml_and_a_table_say_the_same_kinds(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(YAML)
    (tmp_path / "own.csv").write_text(TABLE)
    negation, case, praise, plain, other, same, more = reading.read(["own.yaml", "own.csv"], tmp_path)
    texts = [row for one in negation.cases for row in one]
    assert texts == [
        "It is not good, really.",
        "It is not good, sir.",
        "It is not fine, really.",
        "It is not fine, sir.",
    ]
    assert (negation.capability, negation.meaning) == ("words", "answered bad")
    assert case.cases == (("Fine.", "FINE.", "fine."),)
    assert (praise.kind, praise.of, praise.tolerance) == ("up", "good", 0.1)
    assert plain.cases == (({"review": "Lovely."},), ({"review": "Funny."},))
    assert other.of == {"not": "bad"}
    assert same.cases == (({"review": "One"}, {"review": "one"}),)
    assert (more.kind, more.of, more.tolerance) == ("up", "good", 0.2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {test: a, expct: good, rows: [x]}", "did you mean 'expect'"),
        ("- {test: a, expect: good, agree: true, rows: [x]}", "expect and agree is to hold"),
        ("- {test: a, expect: good}", "no rows"),
        ("- {test: a, agree: true, groups: [[x]]}", "a list of rows, the original first"),
        ("- {test: a, agree: yes please, groups: [[x, y]]}", "agree: true"),
        ("- {test: a, expect: {more: 3}, rows: [x]}", "at least"),
        ("- {test: a, expect: good, rows: [3]}", "a text in quotes"),
        ("- {test: a, expect: good, rows: [x]}\n- {test: a, expect: bad, rows: [x]}", "another test is called 'a'"),
        ("- {test: all, expect: good, rows: [x]}", "as all tests together are"),
        ('- {test: a, expect: good, template: "{x} {y}", fill: {x: [1]}}', "nothing to fill {y} with"),
        ("- {test: a, expect: good, tolerance: -1, rows: [x]}", "0 or more"),
        ("tests: 3", "no list of tests"),
        ("- a\n  b: [", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(TrimtabError, match=r"own\.yaml") as told:
        reading.read(["own.yaml"], tmp_path)
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("test,expect,review\na,,x\n", "neither `expect` nor `must`"),
        ("test,expect,review\na,good,x\na,bad,y\n", "expect different answers"),
        ("test,must,review\na,sideways,x\n", "up CLASS or down CLASS"),
        ("test,must,group,review\na,agree,1,x\na,agree,2,x\n", "group '1' has one row"),
        ("name,expect,review\na,good,x\n", "no column named 'test'"),
        ("test,expect,tolerance,review\na,good,much,x\n", "tolerance: 'much'"),
    ],
)
def test_what_is_wrong_with_a_table_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(TrimtabError, match=r"own\.csv") as told:
        reading.read(["own.csv"], tmp_path)
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (OwnTest("t", "expect", "god", (("x",),), where="own"), "did you mean 'good'"),
        (OwnTest("t", "up", "god", (("x", "y"),), where="own"), "did you mean 'good'"),
        (OwnTest("t", "up", None, (("x", "y"),), where="own"), "no class 'true'"),
        (OwnTest("t", "expect", "good", (({"reviw": "x"},),), where="own"), "did you mean 'review'"),
    ],
)
def test_what_the_bundle_can_never_pass_is_told_before_anything_is_spent(test: OwnTest, said: str) -> None:
    with pytest.raises(TrimtabError, match=said):
        check([test], ["review"], LABEL)


def test_a_number_is_tested_by_bounds() -> None:
    check(
        [OwnTest("t", "expect", {"at least": 3}, (("x",),)), OwnTest("u", "up", None, (("x", "y"),))],
        ["review"],
        NUMBER,
    )
    with pytest.raises(TrimtabError, match="at most"):
        check([OwnTest("t", "expect", "good", (("x",),))], ["review"], NUMBER)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    model = runtime.load(build(tmp_path_factory.mktemp("behaviour")), threads=1)
    table = Table({name: [row[name] for row in ROWS] for name in ROWS[0]}, [Origin("rows.csv", 1)] * len(ROWS))
    answers = model.predict([{"review": "A lovely little film"}, {"review": "Dull"}]).answers["mood"]
    tests = (
        OwnTest("right", "expect", answers[0], (("A lovely little film",), ({"review": "A lovely little film"},))),
        OwnTest("wrong", "expect", {"not": answers[1]}, (("Dull",),)),
        OwnTest("groups", "agree", True, (("Dull", "Dull", "Dull"), ("Dull", "dull"))),
    )
    return Context(model, model.inputs, table, table, (), 7, tests=tests)


def test_the_check_measures_each_test_all_and_the_worst_and_the_card_shows_what_fails(context: Context) -> None:
    found = checked.check(context)
    shares = {name: one.value for name, one in found.measured.items()}
    assert shares == {
        "behaviour.right": 1.0, "behaviour.wrong": 0.0, "behaviour.groups": 1.0, "behaviour.all": 0.8,
        "behaviour.worst": 0.0,
    }  # fmt: skip
    assert found.remarks == {"behaviour.worst": "wrong"}
    bare = make_manifest(context.inputs, context.output, [])
    (section,) = checked.sections(bare.model_copy(update={"evidence": found.evidence}))
    shown, failed = (block for block in section.blocks if isinstance(block, page.Table))
    assert [row[0] for row in shown.rows] == ["right", "wrong", "groups"]
    assert failed.rows == (("wrong", "Dull"),)
    assert list(checked.sections(bare)) == []


def test_an_input_that_the_network_does_not_read_is_one_of_the_model_all_the_same(context: Context) -> None:
    fewer = Context(context.model, context.inputs[:1], None, context.test, (), 7, tests=context.tests)
    assert checked.check(fewer).measured == checked.check(context).measured


def test_no_case_is_quoted_where_no_row_may_be(context: Context) -> None:
    silent = Context(context.model, context.inputs, None, context.test, (), 7, quotes=False, tests=context.tests)
    assert [line["failed"] for line in checked.check(silent).evidence["behaviour"]] == [[], [], []]
