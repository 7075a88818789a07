"""What looking at columns promises: the type a person would give, with a reason; doubts that deserve a look."""

from __future__ import annotations

import random
import uuid
from pathlib import Path
from typing import Any

import pytest
from sklearn import datasets

from trimtab.data import data_warnings, infer, infer_output, leaks
from trimtab.data.dedup import normalised
from trimtab.data.profile import profile
from trimtab.errors import TrimtabError

RANDOM = random.Random(5)
PROSE = [f"the {a} is {b} and {c}" for a in ("car", "dog", "house") for b in ("old", "red", "big") for c in range(30)]


@pytest.mark.parametrize(
    ("name", "values", "type_name"),
    [
        ("review", PROSE, "text"),
        ("titre", ["很好的酒店，房间很大", "不好，太吵了，不会再来", "服务员态度非常好，推荐"] * 9, "text"),
        ("surname", [f"Mc{chr(97 + n % 26)}{chr(97 + n // 26)}o" for n in range(200)], "text"),
        ("comment", ["fine, thank you very much"] * 60 + ["not at all good, sorry"] * 60, "category"),
        ("city", ["Oslo", "Rome", "Lima"] * 40, "category"),
        ("price", ["1.50", "2", "NA", "1e3", "-7"] * 20, "number"),
        ("prix", ["1,50", "2,75", "1.000,5"] * 20, "number"),
        ("amount", ["$3", "$4", "$1,500"] * 20, "number"),
        ("share", ["45%", "3%", "7%"] * 20, "number"),
        ("age", [str(20 + n % 50) for n in range(300)], "number"),
        ("n", [1, 2.5, None, 3] * 20, "number"),
        ("weight", [str(RANDOM.randrange(10**6)) for _ in range(300)], "number"),
        ("mostly", ["12"] * 40 + [str(n) for n in range(60)] + ["unknown"] * 2, "number"),
        ("zip", ["02139", "10001", "94103"] * 20, "category"),
        ("user_id", [n % 70 for n in range(300)], "category"),
        ("flag", [True, False] * 20, "category"),
        ("alone", ["true", "False"] * 20, "category"),
        ("id", [str(RANDOM.randrange(10**9)) for _ in range(300)], "ignore"),
        ("row", [str(n) for n in range(1, 301)], "ignore"),
        ("uid", [str(uuid.UUID(int=RANDOM.getrandbits(128))) for _ in range(99)], "ignore"),
        ("PassengerId", [900 + 2 * n for n in range(99)], "ignore"),
        ("code", [f"di-{n:03}" for n in range(99)], "ignore"),
        ("country", ["NO"] * 30, "ignore"),
        ("member", ["yes"] * 30 + [""] * 30, "category"),
        ("empty", ["", "NA", None] * 10, "ignore"),
        ("day", [f"2024-0{1 + n % 9}-1{n % 10}" for n in range(60)], "ignore"),
        ("when", [f"{1 + n % 12}/{1 + n % 28}/2023 10:{n:02}" for n in range(60)], "ignore"),
        ("at", [f"2016-09-28T00:22:{n:02}Z" for n in range(60)], "ignore"),
        ("tokens", [["a", "b"], ["c"]] * 20, "ignore"),
        ("part", ["train"] * 20 + ["dev"] * 9, "ignore"),
    ],
)
def test_an_input_gets_the_type_that_a_person_would_give(name: str, values: list[Any], type_name: str) -> None:
    found = infer.input_type(name, values)
    assert found.type == type_name, found
    assert found.reason


@pytest.mark.parametrize(
    ("values", "type_name"),
    [
        (["positive", "negative"] * 9, "label"),
        ([True, False] * 9, "label"),
        (["0", "1"] * 9, "label"),
        ([3, 4, 5, 6, 7, 8] * 9, "label"),
        (["1.0", "2.0"] * 9, "label"),
        ([n / 10 for n in range(20)] * 9, "label"),
        ([n / 10 for n in range(21)] * 9, "number"),
        ([str(n) for n in range(17, 90)] * 3, "number"),
        (["007", "008", "009"] * 9, "label"),
        (["1", "2", "many"] * 9, "label"),
    ],
)
def test_numbers_are_a_label_when_few_are_different(values: list[Any], type_name: str) -> None:
    assert infer_output.output_type("y", values).type == type_name


def test_rows_are_equal_but_for_case_and_white_space() -> None:
    assert normalised("  Great\tSOUND \n") == normalised("great sound")
    assert normalised(1) == normalised(1.0) == normalised("1") == normalised("1.0")
    assert normalised(True) != normalised(1)
    assert normalised(None) == normalised("") == normalised(float("nan"))
    assert normalised("007") != normalised("7")


# -------------------------------------------------------------------------------------------------- data warnings


def test_a_column_of_real_measurements_gives_nothing_away() -> None:
    found = datasets.load_breast_cancer()
    columns = {str(n): ("number", v.tolist()) for n, v in zip(found.feature_names, found.data.T, strict=True)}
    answers = found.target.tolist()
    assert data_warnings.target_leakage(columns, answers, "label") == []
    leaky = columns | {"treated": ("category", [str(answer * 3) for answer in answers])}
    assert [warning.column for warning in data_warnings.target_leakage(leaky, answers, "label")] == ["treated"]


def test_the_output_in_other_units_gives_a_number_away() -> None:
    found = datasets.load_diabetes()
    columns = {"bmi": ("number", found.data[:, 2].tolist()), "in_feet": ("number", (found.target * 3.28).tolist())}
    assert [d.column for d in data_warnings.target_leakage(columns, found.target.tolist(), "number")] == ["in_feet"]


def test_a_category_of_many_values_is_no_giveaway_for_being_rare() -> None:
    values = [f"shop {n}" for n in range(400)]
    assert data_warnings.target_leakage({"shop": ("category", values)}, ["a", "b"] * 200, "label") == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to jane.doe+news@example.co.uk", "e-mail addresses"),
        ("call 555-123-4567 now", "phone numbers"),
        ("Tel. +49 (30) 123 45 67", "phone numbers"),
        ("+14155552671", "phone numbers"),
        ("card 4111 1111 1111 1111", "card numbers"),
        ("5500005555555559", "card numbers"),
        ("4111 1111 1111 1112", None),
        ("from 2016-09-28 00:22:34 to 12/05/2019", None),
        ("order 1234567890 at 10.0.0.123 weighs 3.14159265", None),
        ("you @ me, 3 or 4 times", None),
    ],
)
def test_personal_data_is_told_from_other_digits(text: str, kind: str | None) -> None:
    found = {warning.text for warning in data_warnings.personal({"c": [text]})}
    assert found == ({f"looks like {kind} in 1 of 1 rows looked at"} if kind else set())


# --------------------------------------------------------------------------------------------- near-duplicates


def test_similar_texts_are_found_and_others_are_not() -> None:
    train = [
        "I really like this phone very much because it is fast and cheap",
        "nothing to see here",
        "short",
        "十年铁树开花形状似玉米芯",
    ]
    held = [
        "i REALLY like this phone very much, because it is fast and light!",
        "this phone is cheap and fast because I like it",
        "Short.",
        "六十年铁树开花形状似玉米芯",
        "",
    ]
    found = leaks.near(train, held)
    assert [(near.held, near.train) for near in found] == [(0, 0), (2, 2), (3, 3)]
    assert found[1].similarity == 1.0


def test_the_quick_search_finds_what_comparing_all_pairs_finds() -> None:
    words = ["a", "b", "c", "d", "e", "f", "g", "h"]
    texts = [" ".join(RANDOM.choices(words, k=RANDOM.randrange(1, 9))) for _ in range(300)]
    train, held = texts[:200], texts[200:]
    for near in leaks.near(train, held):
        assert near.similarity == leaks.similarity(held[near.held], train[near.train])
    exact = {h for h, text in enumerate(held) if max(leaks.similarity(text, other) for other in train) >= leaks.NEAR}
    found = {near.held for near in leaks.near(train, held)}
    assert found <= exact
    assert len(found) >= 0.95 * len(exact) > 0


# ----------------------------------------------------------------------------------------------------- profile


def write(file: Path, lines: list[str]) -> Path:
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("header", "row", "output"),
    [
        ("text,label", "{n} words and more of them,{two}", "label"),
        ("Label,text", "{two},{n} words and more of them", "Label"),
        ("kind,text,is_spam", "k{three},{n} words and more of them,{two}", "is_spam"),
        ("text,kind", "{n} words and more of them,k{three}", "kind"),
        ("kind,colour,amount", "k{three},c{two},{n}.5", "colour"),
        ("sepal,petal", "{n}.1,{n}.7", "petal"),
        ("target,label", "{n}.1,{two}", "label"),
    ],
)
def test_the_output_is_guessed_by_name_then_place_then_values(
    tmp_path: Path, header: str, row: str, output: str
) -> None:
    rows = [row.format(n=n, two=n % 2, three=n % 3) for n in range(60)]
    write(tmp_path / "a.csv", [header, *rows])
    found = profile(["a.csv"], tmp_path)
    assert found.output.value == output
    assert found.output.reason


def test_no_likely_output_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", ["id,text", *(f"{n},{n} words and more of them" for n in range(60))])
    with pytest.raises(TrimtabError, match=r"no column looks like an answer[\s\S]*--output COLUMN"):
        profile(["a.csv"], tmp_path)


def test_a_file_without_header_is_doubted(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", [f"some text about {n},{n % 2}" for n in range(60)])
    found = profile(["a.csv"], tmp_path, output="0")
    assert [warning.column for warning in found.warnings if warning.kind == "header"] == ["0"]


def test_a_profile_counts_what_is_there(reviews_csv: Path) -> None:
    found = profile([reviews_csv.name], reviews_csv.parent)
    assert (found.rows, found.rejected, found.unanswered) == (2985, 0, 0)
    assert list(found.answers) == ["positive", "negative"]
    assert sum(found.answers.values()) == 2985
    assert found.repeated == 8
    assert found.column("review").type == "text"
    assert 10 < found.column("review").figures["words_mean"] < 25
