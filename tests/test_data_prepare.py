"""What becoming splits promises: every row has one place, nothing is lost, nothing depends on order or luck."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sklearn import datasets

from trimtab.data.dedup import keys, normalised
from trimtab.data.prepare import Prepared, prepare
from trimtab.data.splits import PARTS
from trimtab.errors import TrimtabError
from trimtab.progress import Quiet
from trimtab.spec import parse

Rows = list[dict[str, Any]]


def write(file: Path, table: Rows) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return file


def prepared(data: Path | list[Path], output: Any, **spec: Any) -> Prepared:
    files = [str(file) for file in (data if isinstance(data, list) else [data])]
    return prepare(parse({"data": files, "output": output} | spec), Path("/"), Quiet())


def texts(found: Prepared, name: str) -> dict[str, set[str]]:
    tables = {"train": found.splits.train, "valid": found.splits.valid, "test": found.splits.test}
    return {part: {normalised(value) for value in table.values[name]} for part, table in tables.items()}


def sentences(count: int, seed: int = 0) -> Rows:
    """Different sentences that are positive or negative by turns."""
    random_words = random.Random(seed)
    words = ("battery", "screen", "price", "case", "works", "breaks", "quickly", "slowly", "well", "badly", "always")
    table = []
    for number in range(count):
        text = " ".join(random_words.choices(words, k=8)) + f" {number}"
        table.append({"text": text, "label": ("good", "bad")[number % 2]})
    return table


# ------------------------------------------------------------------------------------------------------ splits


def test_a_row_never_sits_in_two_splits(reviews_csv: Path) -> None:
    found = prepared(reviews_csv, "sentiment")
    parts = texts(found, "review")
    assert sum(map(len, parts.values())) == len(set.union(*parts.values()))
    assert min(map(len, parts.values())) > 250


def test_every_row_that_was_read_is_accounted_for(reviews_csv: Path) -> None:
    found = prepared(reviews_csv, "sentiment")
    report = found.report
    placed = sum(report["rows"].values())
    assert report["rows_read"] == 2985 == placed + len(found.rejected) + report["duplicates"]["dropped"]
    assert report["conflicts"]["set_aside"] == sum("disagree" in row.reason for row in found.rejected)


def test_the_order_of_the_file_changes_no_row_s_split(reviews_csv: Path, tmp_path: Path) -> None:
    with reviews_csv.open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    random.Random(3).shuffle(table)
    shuffled = write(tmp_path / "shuffled.csv", table)
    assert texts(prepared(reviews_csv, "sentiment"), "review") == texts(prepared(shuffled, "sentiment"), "review")


def test_the_seed_changes_no_row_s_split(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", sentences(100))
    assert texts(prepared(file, "label", seed=1), "text") == texts(prepared(file, "label", seed=2), "text")


def test_few_rows_have_every_class_by_the_same_share_in_every_split(reviews_csv: Path, tmp_path: Path) -> None:
    with reviews_csv.open(encoding="utf-8", newline="") as stream:
        few = write(tmp_path / "few.csv", list(csv.DictReader(stream))[:490])
    balance = prepared(few, "sentiment").report["balance"]
    shares = [counts["positive"] / sum(counts.values()) for counts in balance.values()]
    assert max(shares) - min(shares) < 0.02


def test_many_rows_have_every_class_by_a_share_that_chance_allows(reviews_csv: Path) -> None:
    balance = prepared(reviews_csv, "sentiment").report["balance"]
    shares = {part: counts["positive"] / sum(counts.values()) for part, counts in balance.items()}
    for part in ("valid", "test"):  # within 3.5 standard deviations of a binomial
        assert abs(shares[part] - shares["train"]) < 3.5 * (0.25 / sum(balance[part].values())) ** 0.5


def test_a_number_is_spread_evenly_over_the_splits(tmp_path: Path) -> None:
    found = datasets.load_diabetes()
    columns = dict(zip(found.feature_names, found.data.T, strict=True)) | {"y": found.target}
    file = write(
        tmp_path / "d.csv", [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    )
    prepared_rows = prepared(file, "y")
    means = [part["mean"] for part in prepared_rows.report["balance"].values()]
    assert prepared_rows.task == "number"
    assert prepared_rows.classes == []
    assert max(means) - min(means) < 0.1 * found.target.std()


def test_the_hash_of_python_s_strings_plays_no_part(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", sentences(60))
    code = (
        "import sys, json; from pathlib import Path; from trimtab.data.prepare import prepare; "
        "from trimtab.progress import Quiet; from trimtab.spec import parse; "
        "found = prepare(parse({'data': sys.argv[1], 'output': 'label'}), Path('/'), Quiet()); "
        "print(json.dumps([found.report, found.splits.test.rows(), found.splits.train.rows()]))"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", code, str(file)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]


def test_shares_are_kept_exactly(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", sentences(200))
    found = prepared(file, "label", split={"valid": 0.2, "test": 0.3})
    assert found.report["rows"] == {"train": 100, "valid": 40, "test": 60}


@pytest.mark.parametrize("output", ["label", "n"])
def test_ten_rows_are_enough(tmp_path: Path, output: str) -> None:
    table = [row | {"n": number + 0.5} for number, row in enumerate(sentences(25))]
    few = prepared(write(tmp_path / "a.csv", table[:10]), {output: "label" if output == "label" else "number"})
    assert min(few.report["rows"].values()) >= 1
    assert sum(few.report["rows"].values()) == 10


def test_equal_rows_that_are_kept_share_a_split(tmp_path: Path) -> None:
    table = [{"a": number % 40, "b": "xyz"[number % 3], "label": number % 2} for number in range(600)]
    found = prepared(write(tmp_path / "a.csv", table), "label")
    assert found.report["duplicates"]["dropped"] == 0
    assert [choice.value for choice in found.automatic if choice.key == "clean.duplicates"] == ["keep"]
    tables = (found.splits.train, found.splits.valid, found.splits.test)
    parts = [set(keys(table, {"a": "number", "b": "number"})) for table in tables]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 120


def test_one_row_that_is_repeated_very_often_does_not_upset_the_shares(tmp_path: Path) -> None:
    table = [{"a": max(0, number - 300), "label": number % 2} for number in range(600)]
    assert prepared(write(tmp_path / "a.csv", table), {"label": "label"}).report["rows"]["test"] == 60


# ----------------------------------------------------------------------------------------- splits that are given


def with_marks(marks: list[str]) -> Rows:
    return [row | {"part": mark} for row, mark in zip(sentences(len(marks)), marks, strict=True)]


@pytest.mark.parametrize(
    ("marks", "rows", "automatic"),
    [
        (["train"] * 60 + ["validation"] * 20 + ["test"] * 20, {"train": 60, "valid": 20, "test": 20}, False),
        (["Train"] * 60 + ["dev"] * 40, {"train": 60, "valid": 20, "test": 20}, True),
        (["training"] * 80 + ["testing"] * 20, {"train": 72, "valid": 8, "test": 20}, True),
        (["train"] * 100, {"train": 80, "valid": 10, "test": 10}, False),
    ],
)
def test_a_split_column_is_honoured(tmp_path: Path, marks: list[str], rows: dict[str, int], automatic: bool) -> None:
    found = prepared(write(tmp_path / "a.csv", with_marks(marks)), "label", split="part")
    assert found.report["rows"] == rows
    assert list(found.inputs) == ["text"]
    assert any(choice.key == "splits" for choice in found.automatic) == automatic


def test_a_row_that_names_no_split_is_set_aside(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", with_marks(["train"] * 60 + ["unsup"] * 2 + ["test"] * 20))
    found = prepared(file, "label", split="part")
    assert [(row.line, row.reason) for row in found.rejected] == [
        (62, "'part' names no split: 'unsup'"),
        (63, "'part' names no split: 'unsup'"),
    ]


def test_rows_that_are_measured_on_are_taken_out_of_training(tmp_path: Path) -> None:
    table = with_marks(["train"] * 60 + ["valid"] * 20 + ["test"] * 20)
    table[0]["text"] = table[85]["text"].upper()
    table[1]["text"] = table[65]["text"]
    table[66]["text"] = table[86]["text"] + "  "
    table[87]["text"] = table[88]["text"]
    found = prepared(write(tmp_path / "a.csv", table), "label", split="part")
    assert found.report["leaks"]["exact_removed"] == {"train": 2, "valid": 1}
    assert found.report["rows"] == {"train": 58, "valid": 19, "test": 20}
    parts = texts(found, "text")
    assert not parts["train"] & (parts["valid"] | parts["test"])


def test_a_test_file_is_the_test_split(tmp_path: Path) -> None:
    table = sentences(80)
    other = sentences(20, seed=1)
    other[0]["text"] = table[0]["text"].title()
    write(tmp_path / "a.csv", table)
    write(tmp_path / "t.csv", [{"extra": 1} | row for row in other])
    found = prepare(parse({"data": "a.csv", "test": "t.csv", "output": "label"}), tmp_path, Quiet())
    assert found.report["rows"] == {"train": 71, "valid": 8, "test": 20}
    assert found.report["leaks"]["exact_removed"] == {"train": 1}
    assert {origin.file for origin in found.splits.test.origins} == {"t.csv"}


def test_a_held_out_row_of_an_unknown_class_is_set_aside(tmp_path: Path) -> None:
    table = with_marks(["train"] * 60 + ["valid"] * 20 + ["test"] * 20)
    table[90]["label"] = table[91]["label"] = "ugly"
    found = prepared(write(tmp_path / "a.csv", table), "label", split="part")
    assert [row.reason for row in found.rejected] == ["label: no class named 'ugly' in training"] * 2
    assert found.classes == ["bad", "good"]


# ---------------------------------------------------------------------------------------------------- cleaning


def test_rows_without_answer_or_input_are_set_aside_with_file_and_line(tmp_path: Path) -> None:
    table = sentences(50)
    table[3]["label"] = "NA"
    table[4]["label"] = "  "
    table[5]["text"] = " "
    file = write(tmp_path / "a.csv", table)
    with file.open("a") as stream:
        stream.write("too,many,cells\n")
    found = prepare(parse({"data": "a.csv", "output": "label"}), tmp_path, Quiet())
    assert [(row.file, row.line, row.reason) for row in found.rejected] == [
        ("a.csv", 5, "label: 'NA' is read as no value"),
        ("a.csv", 6, "label: no value"),
        ("a.csv", 7, "no input has a value (text)"),
        ("a.csv", 52, "3 cells, the header has 2"),
    ]
    assert sum(found.report["rejected"].values()) == 4
    assert found.report["rows_read"] == 50


def test_the_most_frequent_answer_of_equal_rows_is_kept_and_a_tie_set_aside(tmp_path: Path) -> None:
    table = sentences(40)
    for text, label in [
        ("Same  text", "good"),
        ("same text", "good"),
        ("SAME TEXT", "bad"),
        ("tie", "good"),
        ("tie", "bad"),
    ]:
        table.append({"text": text, "label": label})
    found = prepared(write(tmp_path / "a.csv", table), "label")
    conflicts = found.report["conflicts"]
    assert (conflicts["groups"], conflicts["set_aside"]) == (2, 3)
    assert {example["kept"] for example in conflicts["examples"]} == {"good", None}
    assert {row.line for row in found.rejected} == {44, 45, 46}
    assert found.report["duplicates"]["dropped"] == 1
    assert sum("same text" in part for part in texts(found, "text").values()) == 1
    assert not any("tie" in part for part in texts(found, "text").values())


def test_duplicates_stay_when_the_user_says_so(tmp_path: Path) -> None:
    table = sentences(40) + sentences(40)[:10]
    file = write(tmp_path / "a.csv", table)
    assert sum(prepared(file, "label", clean={"duplicates": "keep"}).report["rows"].values()) == 50
    assert sum(prepared(file, "label").report["rows"].values()) == 40


def test_a_class_of_one_row_is_set_aside(tmp_path: Path) -> None:
    table = [*sentences(40), {"text": "alone", "label": "ugly"}]
    found = prepared(write(tmp_path / "a.csv", table), "label")
    assert [row.reason for row in found.rejected] == ["the only row of class 'ugly'"]
    assert found.classes == ["bad", "good"]


def numbers_with_gaps() -> Rows:
    table = [{"n": number % 17, "c": "uvw"[number % 3], "label": number % 2} for number in range(200)]
    for number in range(0, 200, 10):
        table[number]["n"] = ""
    table[7]["n"] = 10_000
    return table


def test_dropping_touches_training_rows_only(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", numbers_with_gaps())
    kept = prepared(file, "label")
    dropped = prepared(file, "label", clean={"missing": "drop", "outliers": "drop"})
    lost = dropped.report["dropped"]
    assert lost["missing"] > 0
    assert dropped.report["rows"]["train"] == kept.report["rows"]["train"] - lost["missing"] - lost["outliers"]
    assert dropped.splits.test.values == kept.splits.test.values
    assert "" not in dropped.splits.train.values["n"]
    assert "10000" not in dropped.splits.train.values["n"]


@pytest.mark.parametrize(
    ("clean", "number", "category"),
    [
        ({}, {"missing": "median", "outliers": "clip"}, {"missing": "category"}),
        ({"missing": "mode", "outliers": "keep"}, {"missing": "mode", "outliers": "keep"}, {"missing": "mode"}),
        ({"missing": "drop", "outliers": "drop"}, {"missing": "median", "outliers": "iqr"}, {"missing": "category"}),
        (
            {"missing": "constant", "fill": 0},
            {"missing": "constant", "fill": 0, "outliers": "clip"},
            {"missing": "constant", "fill": 0},
        ),
    ],
)
def test_clean_becomes_options_of_the_columns(
    tmp_path: Path, clean: dict[str, Any], number: dict[str, Any], category: dict[str, Any]
) -> None:
    found = prepared(write(tmp_path / "a.csv", numbers_with_gaps()), "label", clean=clean)
    assert found.inputs["n"].options == number
    assert found.inputs["c"].options == category


def test_the_user_s_own_options_win(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", numbers_with_gaps())
    inputs = {"n": {"type": "number", "outliers": "keep", "bins": 8}, "c": "ignore"}
    found = prepared(file, {"label": "number"}, inputs=inputs)
    assert found.inputs["n"].options == {"missing": "median", "outliers": "keep", "bins": 8}
    assert list(found.inputs) == ["n"]
    assert found.task == "number"


def test_columns_that_are_only_ignored_leave_the_others_to_be_typed(tmp_path: Path) -> None:
    table = [row | {"n": number * 7 % 13, "id": number} for number, row in enumerate(sentences(60))]
    found = prepared(write(tmp_path / "a.csv", table), "label", inputs={"n": "ignore"})
    assert {name: column.type for name, column in found.inputs.items()} == {"text": "text"}


# ----------------------------------------------------------------------------------------------- what is reported


def test_near_duplicates_of_training_rows_are_reported(tmp_path: Path) -> None:
    table = with_marks(["train"] * 60 + ["valid"] * 20 + ["test"] * 20)
    original = "this camera takes wonderful pictures in bright light and poor ones after dark sadly"
    table[0]["text"] = original
    table[95]["text"] = original.replace("sadly", "though").title() + "!!"
    leaks = prepared(write(tmp_path / "a.csv", table), "label", split="part").report["leaks"]
    assert leaks["near"]["test"] == 1
    assert leaks["examples"][0]["lines"][0].endswith("a.csv:97")
    assert leaks["examples"][0]["lines"][1].endswith("a.csv:2")


def test_a_column_that_gives_the_answer_away_is_reported(tmp_path: Path) -> None:
    table = [row | {"verdict": row["label"][0], "noise": number % 7} for number, row in enumerate(sentences(200))]
    found = prepared(write(tmp_path / "a.csv", table), "label")
    assert [doubt["column"] for doubt in found.report["suspicious"]] == ["verdict"]


def test_the_report_is_plain_json(reviews_csv: Path) -> None:
    report = prepared(reviews_csv, "sentiment").report
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["balance"]["train"].keys() == {"negative", "positive"}


def test_notes_tell_what_happened(tmp_path: Path) -> None:
    notes: list[str] = []

    class Told(Quiet):
        def note(self, text: str) -> None:
            notes.append(text)

    write(tmp_path / "a.csv", [*sentences(40), {"text": "alone", "label": "ugly"}])
    prepare(parse({"data": "a.csv", "output": "label"}), tmp_path, Told())
    assert any("the only row of class 'ugly' 1" in note for note in notes)
    assert any(note.startswith("inputs.text: text (") for note in notes)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ({"type": "label", "classes": ["bad", "fair", "good"]}, "label: fair is listed, but no training row has it"),
        ({"type": "ordinal", "levels": ["bad", "fair", "good"]}, "label: fair is listed, but no training row has it"),
        ({"type": "labels", "classes": ["awful", "bad", "fair", "good"]}, "label: awful, fair are listed, but no"),
    ],
)
def test_a_listed_class_that_no_training_row_has_is_told(tmp_path: Path, kind: dict[str, Any], told: str) -> None:
    found = prepared(write(tmp_path / "x.csv", sentences(60)), {"label": kind})
    assert [note for note in found.report["notes"] if note.startswith(told)]
    assert found.report["balance"]["train"]["fair"] == 0


def test_training_rows_of_one_class_are_refused_though_another_is_listed(tmp_path: Path) -> None:
    table = [row | {"split": "train" if row["label"] == "good" else "test"} for row in sentences(60)]
    with pytest.raises(TrimtabError, match="all training rows are 'good'"):
        prepared(
            write(tmp_path / "x.csv", table), {"label": {"type": "label", "classes": ["bad", "good"]}}, split="split"
        )


def test_files_with_other_columns_are_joined_and_said(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", sentences(40))
    with (tmp_path / "b.jsonl").open("w") as stream:
        stream.writelines(json.dumps(row | {"stars": 3}) + "\n" for row in sentences(20, seed=1))
    found = prepare(parse({"data": ["*.csv", "b.jsonl"], "output": "label"}), tmp_path, Quiet())
    assert [file["rows"] for file in found.report["files"]] == [40, 20]
    assert found.report["notes"] == ["a.csv has no column stars: empty in its rows"]


# -------------------------------------------------------------------------------------------------- bad requests

ENOUGH = sentences(40)


@pytest.mark.parametrize(
    ("table", "spec", "message"),
    [
        (ENOUGH, {"output": "lable"}, r"output: the data has no column named 'lable'[\s\S]*did you mean 'label'"),
        (ENOUGH, {"inputs": {"texts": "text"}}, r"inputs.texts: .*no column named 'texts'[\s\S]*did you mean 'text'"),
        (ENOUGH, {"output": "x", "inputs": {"y": "text"}, "split": "z"}, r"3 problems[\s\S]*'x'[\s\S]*'y'[\s\S]*'z'"),
        (ENOUGH, {"inputs": {"text": "text", "label": "category"}}, "'label' is also the output"),
        (ENOUGH, {"split": "label"}, "'label' is also the output"),
        (ENOUGH, {"inputs": {"text": "texts"}}, r"no column type named|no columns named 'texts'"),
        (ENOUGH, {"inputs": {"text": "label"}}, "cannot stand here"),
        (ENOUGH, {"output": {"label": "history"}}, "cannot stand here"),
        (ENOUGH, {"data": "b.csv"}, r"b.csv: no such file"),
        (ENOUGH, {"test": "b.csv"}, r"b.csv: no such file"),
        (ENOUGH[:7], {}, r"only 7 usable rows[\s\S]*at least 10 rows"),
        ([row | {"label": "good"} for row in ENOUGH], {}, r"all training rows are 'good'|one class only"),
        ([row | {"label": ""} for row in ENOUGH], {}, "output: label: no row has a value"),
        ([row | {"text": ""} for row in ENOUGH], {}, r"no column is left to learn from \(text: no value"),
        ([row | {"text": ""} for row in ENOUGH], {"inputs": {"text": "text"}}, "every row was set aside"),
        ([row | {"label": row["text"]} for row in ENOUGH], {}, "40 different answers in 40 rows"),
        ([row | {"part": "x"} for row in ENOUGH], {"split": "part"}, r"no row is marked train; found x"),
        ([row | {"part": "test"} for row in ENOUGH], {"split": "part"}, r"no row is marked train; found test"),
        ([row | {"n": ""} for row in ENOUGH], {"inputs": {"n": "number"}, "clean": {"missing": "drop"}}, "set aside"),
    ],
)
def test_a_request_that_cannot_work_is_refused_clearly(
    tmp_path: Path, table: Rows, spec: dict[str, Any], message: str
) -> None:
    write(tmp_path / "a.csv", table)
    with pytest.raises(TrimtabError, match=message):
        prepare(parse({"data": "a.csv", "output": "label"} | spec), tmp_path, Quiet())


def test_a_test_file_without_a_column_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", ENOUGH)
    write(tmp_path / "t.csv", [{"text": row["text"]} for row in ENOUGH])
    with pytest.raises(TrimtabError, match=r"test: t.csv: no column named 'label'"):
        prepare(parse({"data": "a.csv", "test": "t.csv", "output": "label"}), tmp_path, Quiet())


def test_rows_that_all_fail_to_parse_are_refused_with_the_first_reason(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nonly one\n")
    with pytest.raises(TrimtabError, match=r"every row was set aside \(1\); the first: line 2, 1 cell"):
        prepare(parse({"data": "a.csv", "output": "label"}), tmp_path, Quiet())
    (tmp_path / "a.csv").write_text("text,label\n")
    with pytest.raises(TrimtabError, match="no rows under the header"):
        prepare(parse({"data": "a.csv", "output": "label"}), tmp_path, Quiet())


def test_files_with_nothing_in_common_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", ENOUGH)
    write(tmp_path / "b.csv", [{"x": 1, "y": 2}])
    with pytest.raises(TrimtabError, match="no column in common"):
        prepare(parse({"data": ["a.csv", "b.csv"], "output": "label"}), tmp_path, Quiet())


def test_classes_come_from_training_rows_in_natural_order(tmp_path: Path) -> None:
    table = [row | {"label": (10, 9, 2)[number % 3]} for number, row in enumerate(sentences(90))]
    found = prepared(write(tmp_path / "a.csv", table), "label")
    assert found.classes == ["2", "9", "10"]
    assert Counter(found.report["balance"]["test"]) == Counter({"2": 3, "9": 3, "10": 3})
    assert list(found.report["rows"]) == list(PARTS)
