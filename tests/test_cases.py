"""Small inputs that went wrong for users of other tools, or of this one: each ends as a sensible tool ends it.

One section for each case; the tests of a section are called `test_case_<number>_...`.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections import UserDict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars
import pytest
import tiny_bundle
import tiny_pictures
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from looking import Notes, looked_at, of_classes, table
from PIL import Image
from places import Place, place
from rich.table import Table
from tiny_bundle import ROWS, build
from typer.testing import CliRunner

from trimtab import columns, export, rows, runtime
from trimtab import spec as specs
from trimtab.__main__ import app, main
from trimtab.audit import gates
from trimtab.bundle import store
from trimtab.bundle.manifest import Measured
from trimtab.cli import _view, launch
from trimtab.columns import encode_rows, ragged
from trimtab.columns.ranking import RankingColumn
from trimtab.compress import quantize, sensitivity
from trimtab.data import infer, infer_output, read
from trimtab.data.prepare import prepare
from trimtab.data.profile import profile
from trimtab.errors import TrimtabError
from trimtab.nets import fitted
from trimtab.nets.network import Architecture, EncoderEntry
from trimtab.pipeline import run_folder
from trimtab.progress import Quiet
from trimtab.request import check, filled
from trimtab.rows import Rejected
from trimtab.runtime import histories as cli_events
from trimtab.spec import override, parse_gate
from trimtab.spec import parse as parse_spec
from trimtab.values import event_order as events
from trimtab.values import list_cells, parse

CASES = (
    "01", "03", "05", "06", "07", "08", "09", "10", "12", "13", "15", "17", "19", "21",
    "x02", "x05", "x06", "x07", "x10", "x11", "x12", "x14", "x17", "x18", "x21", "x22", "x25", "x26", "x27",
)  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> runtime.Model:
    """A small bundle that reads a text, a number and a category."""
    return runtime.load(build(tmp_path_factory.mktemp("tiny")), threads=1)


OLD_BUNDLE = Path(__file__).parent / "fixtures" / "format-1" / "bundle"


def test_every_case_has_a_test() -> None:
    tests = [name for name in globals() if name.startswith("test_case_")]
    assert not [case for case in CASES if not any(name.startswith(f"test_case_{case}_") for name in tests)]


# ------------------------------------------------------------------------- 01: a word for 'no value' that is a class


@pytest.mark.parametrize("classes", [["EMEA", "NA", "APAC"], ["+", "-"], ["-", "0", "+"], ["yes", "no", "n/a"]])
def test_case_01_a_frequent_word_for_no_value_is_a_class(tmp_path: Path, classes: list[str]) -> None:
    notes = Notes()
    found = looked_at(table(tmp_path / "a.csv", of_classes(classes)), "label", notes, inputs={"text": "text"})
    assert sorted(found.classes) == sorted(classes)
    assert found.report["rejected"] == {}
    assert any("label.not_missing" in note and "taken for" in note for note in notes.told)


def test_case_01_a_rare_word_for_no_value_is_set_aside_by_its_name_with_the_way_out(tmp_path: Path) -> None:
    file, notes = table(tmp_path / "a.csv", [*of_classes(["EMEA", "APAC"]), *of_classes(["NA"], 2, 90)]), Notes()
    found = looked_at(file, "label", notes, inputs={"text": "text"})
    assert found.classes == ["APAC", "EMEA"]
    assert found.report["rejected"] == {"label: 'NA' is read as no value": 2}
    assert any("not_missing: [NA]" in note for note in notes.told)
    named = looked_at(file, {"label": {"type": "label", "not_missing": ["NA"]}}, inputs={"text": "text"})
    assert named.classes == ["APAC", "EMEA", "NA"]


def test_case_01_a_class_that_is_named_is_a_class_and_one_that_is_not_is_none(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", of_classes(["EMEA", "NA", "APAC"]))
    named = looked_at(file, {"label": {"type": "label", "classes": ["NA", "EMEA", "APAC"]}}, inputs={"text": "text"})
    assert named.classes == ["NA", "EMEA", "APAC"]
    without = looked_at(file, {"label": {"type": "label", "classes": ["EMEA", "APAC"]}}, inputs={"text": "text"})
    assert without.report["rejected"] == {"label: 'NA' is read as no value": 20}


def test_case_01_among_numbers_it_stays_no_value(tmp_path: Path) -> None:
    found = looked_at(table(tmp_path / "a.csv", of_classes([0, 1, "NA"])), "label", inputs={"text": "text"})
    assert found.classes == ["0", "1"]


@pytest.mark.parametrize(
    ("type_name", "values", "options"),
    [
        ("label", ["NA", "EU"] * 9, {}),
        ("labels", [["NA", "EU"], ["EU"]] * 9, {}),
        ("labels", ["NA|EU", "EU"] * 9, {}),
        ("ordinal", ["NA", "low"] * 9, {"levels": ["NA", "low"]}),
        ("ranking", ["NA", "EU"] * 9, {}),
    ],
)
def test_case_01_the_fitted_column_keeps_what_is_a_name(
    tmp_path: Path, type_name: str, values: list[Any], options: dict[str, Any]
) -> None:
    column = columns.fit(type_name, "region", "region", values, options)
    column.save(tmp_path)
    restored = type(column).restore(tmp_path, json.loads((tmp_path / "region.json").read_text()))
    assert set(restored.classes) == {"NA", "EU", "low"} & {*restored.classes, "NA"}
    assert restored.usable("NA") is None
    assert "null" in restored.usable("null")


def test_case_01_a_bundle_made_before_keeps_the_old_rule() -> None:
    state = {"name": "region", "key": "region", "classes": ["EU", "NA"], "temperature": 1.0}
    assert columns.kind("label", "").restore(Path(), state).usable("NA") == "'NA' is read as no value"


def test_case_01_items_of_lists_do_not_vanish(tmp_path: Path) -> None:
    rows_ = [{"text": f"row {n}", "regions": ["NA", "EU"] if n % 2 else ["EU"]} for n in range(40)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_))
    assert looked_at(tmp_path / "a.jsonl", {"regions": "labels"}).classes == ["EU", "NA"]


def test_case_01_a_sign_without_a_number_is_a_value_like_others(tmp_path: Path) -> None:
    signs = [{"size": n, "text": "+" if n else "\N{MINUS SIGN}", "class": "+-"[n % 2]} for n in range(40)]
    found = profile([table(tmp_path / "plus.csv", signs).name], tmp_path)
    assert (found.output.value, found.answers) == ("class", {"+": 20, "-": 20})


@settings(max_examples=100, deadline=None)
@given(st.text(), st.sampled_from([".", ","]))
def test_case_01_no_cell_breaks_the_reading(cell: str, decimal: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse.number(cell, decimal), float | None)
    assert parse.decimal_mark([cell]) in (".", ",")
    assert isinstance(parse.label(cell), str)
    parse.is_missing(cell)


# ----------------------------------------------------------------------------------- 03: lists as Python writes them


@pytest.mark.parametrize(
    ("cell", "items"),
    [
        ("['cs.CV', 'cs.RO']", ["cs.CV", "cs.RO"]),
        ("('a', \"it's\")", ["a", "it's"]),
        ("{'a'}", ["a"]),
        ("frozenset({'a'})", ["a"]),
        ("['a' 'b']", ["a", "b"]),
        ("[0 1 0]", [0, 1, 0]),
        ("[28.1 28.8\n 28.0]", [28.1, 28.8, 28.0]),
        ("array(['a', 'b'], dtype=object)", ["a", "b"]),
        ("array([1., 2.], dtype=float32)", [1.0, 2.0]),
        ("[np.str_('a'), None, nan]", ["a", None, None]),
        ("[]", []),
        ("[red]", None),
        ("(a remark)", None),
        ("[/feature]", None),
        ("{}", None),
        ("[0 1 ... 8 9]", None),
        ("f('a')", None),
    ],
)
def test_case_03_one_reader_reads_lists_however_programs_write_them(cell: str, items: list[Any] | None) -> None:
    assert list_cells.listed(cell) == items


def test_case_03_sets_and_arrays_are_lists() -> None:
    assert [list_cells.listed(value) for value in ({"b", "a"}, ("a",), np.array(["a", "b"]))] == [
        ["a", "b"], ["a"], ["a", "b"],
    ]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="[](){}'\",. \\naO0-"))
def test_case_03_no_cell_breaks_the_reader_of_lists(cell: str) -> None:
    assert isinstance(list_cells.listed(cell), list | None)
    assert isinstance(list_cells.items(cell, ","), list)


def test_case_03_a_list_as_pandas_writes_it_holds_labels_typed_or_not(tmp_path: Path) -> None:
    topics = ["cs.CV", "cs.RO", "stat.ML"]
    lines = [{"text": f"paper {n}", "topics": str(sorted({topics[n % 3], topics[n % 2]}))} for n in range(60)]
    file = table(tmp_path / "papers.csv", lines)
    for output in ("topics", {"topics": "labels"}):
        found = looked_at(file, output)
        assert (found.task, found.classes) == ("labels", topics)


def test_case_03_vectors_of_zeros_and_ones_have_a_class_for_each_place(tmp_path: Path) -> None:
    lines = [{"text": f"row {n}", "kinds": f"[{n % 2} {int(n % 3 == 0)} {int(n % 5 == 0)}]"} for n in range(60)]
    file = table(tmp_path / "a.csv", lines)
    assert looked_at(file, "kinds").classes == ["1", "2", "3"]
    found = looked_at(file, {"kinds": {"type": "labels", "classes": ["odd", "third", "fifth"]}})
    column = columns.fit("labels", "kinds", "kinds", found.splits.train.values["kinds"], found.output.options)
    assert column.targets(["[1 0 1]"]).tolist() == [[1.0, 0.0, 1.0]]
    assert column.classes == ("odd", "third", "fifth")


def test_case_03_pieces_of_lists_are_no_classes(tmp_path: Path) -> None:
    lines = [{"text": f"row {n}", "topics": "['a', 'b" if n % 2 else "['c'; 'd']"} for n in range(40)]
    with pytest.raises(TrimtabError, match="no training row has a class"):
        looked_at(table(tmp_path / "a.csv", lines), {"topics": {"type": "labels", "separator": ";"}})
    assert "piece of a list" in str(columns.fit("labels", "x", "x", ["a|b", "a"], {}).usable("['a'"))


def test_case_03_names_with_commas_are_told(tmp_path: Path) -> None:
    lines = [{"text": f"row {n}", "topics": "a, b" if n % 2 else "b"} for n in range(40)]
    notes = Notes()
    assert looked_at(table(tmp_path / "a.csv", lines), "topics", notes).task == "label"
    assert any("write {topics: labels}" in note for note in notes.told)


def test_case_03_an_answer_that_is_the_same_in_every_row_is_refused(tmp_path: Path) -> None:
    lines = [{"text": f"row {n}", "topics": str(["a", "b"] if n % 2 else ["b", "a"])} for n in range(40)]
    with pytest.raises(TrimtabError, match="every training row has the same answer"):
        looked_at(table(tmp_path / "a.csv", lines), "topics")


# ---------------------------------------------------------------------------------- 05: dots in the names of columns


DOTTED = ["price", "price.1", "price.type", "tax [%]", "a: b"]


def test_case_05_names_with_dots_are_filled_in_and_set_as_they_are(tmp_path: Path) -> None:
    lines = [{**dict.fromkeys(DOTTED, 0), "price": n % 7, "price.1": n * 3 % 11, "price.type": "xy"[n % 2],
              "tax [%]": n % 4, "a: b": "uv"[n // 2 % 2], "sold": n % 2} for n in range(60)]  # fmt: skip
    table(tmp_path / "offers.csv", lines)
    spec = parse_spec({"data": "offers.csv", "output": "sold"})
    written = filled(check(spec, tmp_path, tmp_path / "run", Quiet()))
    assert {name: kind["type"] for name, kind in written["inputs"].items()} == {
        "price": "number", "price.1": "number", "price.type": "category", "tax [%]": "number", "a: b": "category",
    }  # fmt: skip
    assert list(written["output"]) == ["sold"]
    again = check(parse_spec(written), tmp_path, tmp_path / "again", Quiet())
    assert [column.name for column in again.inputs] == DOTTED


def test_a_spec_written_out_in_full_cuts_its_rows_as_before(tmp_path: Path) -> None:
    for part in ("train", "test"):
        table(tmp_path / f"{part}.csv", [{"x": f"{part} {n}", "y": "uv"[n % 2]} for n in range(60)])
    asked = {"data": "train.csv", "test": "test.csv", "split": {"valid": 0.2}, "output": "y"}
    first = check(parse_spec(asked), tmp_path, tmp_path / "run", Quiet())
    again = check(parse_spec(filled(first)), tmp_path, tmp_path / "again", Quiet())
    before, after = first.prepared.splits, again.prepared.splits
    for part in ("train", "valid", "test"):
        assert getattr(before, part).values == getattr(after, part).values


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("inputs.price.1=number", {"inputs": {"price": "text", "price.1": "number"}}),
        ("inputs.price.encoder=lstm", {"inputs": {"price": {"type": "text", "encoder": "lstm"}}}),
        ("output.sold.at=label", {"output": {"sold.at": "label"}}),
        ("output.sold.at.type=label", {"output": {"sold.at": {"type": "label"}}}),
        ("gates.recall.1.0=>= 0.5", {"gates": {"recall.1.0": ">= 0.5"}}),
    ],
)
def test_case_05_settings_name_columns_with_dots(setting: str, found: dict[str, Any]) -> None:
    before = {"inputs": {"price": "text"}, "output": "sold.at"}
    assert override(before, [setting]) == before | found


# ----------------------------------------------------------------------------- 06: rows to predict in another format


def test_case_06_rows_in_another_format_are_read_where_that_is_clear_and_told() -> None:
    income = columns.fit("number", "income", "income", [20_000 + 137.53 * place for place in range(400)], {})
    area = columns.fit("category", "area", "area", ["village", "suburb", "town"] * 100, {})
    employed = columns.fit("category", "employed", "employed", ["True", "False"] * 100, {})
    for written in ("73880,53", "73.880,53", "73880.53 EUR", "73880.53 eur/a"):
        assert (income.encode([written]) == income.encode([73880.53])).all(), written
    assert (employed.encode([1, 0, "yes", True]) == employed.encode(["True", "False", "True", "True"])).all()
    shifted = [income.read(["village"] * 9), area.read(["12.42"] * 9), income.read(["900000"] * 9)]
    assert [{one.kind for one in reading.problems} for reading in shifted] == [{"unreadable"}, {"unseen"}, {"outside"}]
    assert [len(reading.problems) for reading in shifted] == [9, 9, 9]
    gaps = [income.read(["", None, "NA"]), area.read(["", None]), employed.read([None])]
    assert [reading.problems for reading in gaps] == [(), (), ()]


# ------------------------------------------------------------------------------------------- 07: saved index columns


@pytest.mark.parametrize(
    "name", ["__index_level_0__", "level_0", "index", "Unnamed: 0.1", "Unnamed: 0", "", "X", "rownames", "patient"]
)
def test_case_07_a_saved_index_is_left_out_with_the_way_to_keep_it(tmp_path: Path, name: str) -> None:
    sampled = random.Random(1).sample(range(300), 120)
    lines = [{name: n, "age": 20 + n * 7 % 60, "ill": int(n > 150)} for n in sampled]
    found = looked_at(table(tmp_path / "a.csv", lines), "ill")
    assert list(found.inputs) == ["age"]
    [choice] = [choice for choice in found.automatic if choice.value == "ignore"]
    assert "inputs: {" in choice.reason
    kept = looked_at(tmp_path / "a.csv", "ill", inputs={name or "column_1": "number", "age": "number"})
    assert len(kept.inputs) == 2


@pytest.mark.parametrize(
    "values",
    [
        [1900 + n * n % 125 for n in range(120)],
        [20_000 + n * 7919 % 70_000 for n in range(120)],
        [18 + n % 60 for n in range(120)],
        [n + 0.5 for n in range(120)],
    ],
)
def test_case_07_years_pay_and_ages_are_no_row_numbers(values: list[float]) -> None:
    assert infer.input_type("x", values).type == "number"


def test_case_07_a_table_of_R_without_a_name_for_its_rows_is_read(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("age,ill\n" + "".join(f"{n + 7},{20 + n},{n % 2}\n" for n in range(40)))
    found = looked_at(tmp_path / "r.csv", "ill", inputs={"age": "number"})
    assert found.report["rows_read"] == 40


def test_case_07_names_of_columns_have_no_spaces_around_them_in_any_format(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(" size ,sold\n1,2\n")
    (tmp_path / "a.jsonl").write_text('{" size ": 1, "sold": 2}\n')
    polars.DataFrame({" size ": [1], "sold": [2]}).write_parquet(tmp_path / "a.parquet")
    for ending in ("csv", "jsonl", "parquet"):
        [row] = rows.read(tmp_path / f"a.{ending}", lambda bad: None)
        assert list(row.values) == ["size", "sold"]


# ----------------------------------------------------------------------------------------------------- 08: encodings


# Reviews as they were typed, and the encodings that programs of their country write.
REVIEWS = {
    "cp932 euc_jp iso2022_jp utf-16-le utf-16": ("とても良い商品でした", "対応が遅くて残念", "料理が美味しい"),
    "cp949 utf-16-be": ("정말 좋은 영화였습니다", "서비스가 너무 느려서 실망했어요", "음식이 맛있어요"),
    "cp1251 koi8-r cp866": ("Очень хороший товар", "Обслуживание ужасное", "Вкусная еда, спасибо"),
    "gb18030": ("酒店位置很好，房间干净", "服务态度太差了", "性价比很高"),
    "big5": ("飯店位置很好，房間乾淨", "服務態度太差了", "價格合理"),
    "cp1252 mac-roman": ("Très bon, je le recommande", "Le service était décevant", "Délicieux, à revoir"),
    "cp1250 iso8859-2": ("Bardzo dobry, polecam każdemu", "Obsługa była okropna", "Szybka dostawa, dziękuję"),
}
IN_ENCODINGS = [(encoding, texts) for encodings, texts in REVIEWS.items() for encoding in encodings.split()]


def read_all(file: Path, **options: Any) -> tuple[list[dict[str, Any]], list[str]]:
    notes: list[str] = []
    found = list(rows.read(file, lambda bad: pytest.fail(str(bad)), note=notes.append, **options))
    return [row.values for row in found], notes


@pytest.mark.parametrize(("encoding", "texts"), IN_ENCODINGS, ids=[encoding for encoding, _ in IN_ENCODINGS])
def test_case_08_text_in_a_national_encoding_is_read_and_what_it_was_read_as_is_told(
    tmp_path: Path, encoding: str, texts: tuple[str, ...]
) -> None:
    table = [{"text": text, "label": text[:2]} for text in texts for _ in range(4)]
    file = tmp_path / "reviews.csv"
    file.write_bytes("\n".join(["text,label", *(f'"{row["text"]}",{row["label"]}' for row in table)]).encode(encoding))
    told: list[str] = []
    found, notes = read_all(file, told=told.append)
    assert found == table
    assert [len(notes), len(told)] == ([0, 0] if encoding.startswith("utf") else [1, 1])
    # a file of one row is read as those of training were, whatever it looks like
    file.write_bytes(f"text\n{texts[1]}\n".encode(encoding))
    found, notes = read_all(file, known=next(iter(told), None))
    assert found == [{"text": texts[1]}]
    file.write_bytes(f"text\n{texts[1]}\n".encode())
    assert read_all(file, known=next(iter(told), None)) == ([{"text": texts[1]}], [])  # UTF-8 stays what it is


def test_case_08_the_user_names_the_encoding_and_a_wrong_name_gets_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "new.csv"
    file.write_bytes("text\nщи\n".encode("koi8-r"))
    assert read_all(file, encoding="KOI8-R")[0] == [{"text": "щи"}]
    with pytest.raises(TrimtabError, match=r"no encoding named 'shift_jiz'[\s\S]*did you mean 'shift_jis'"):
        rows.read(file, pytest.fail, encoding="shift_jiz")
    with pytest.raises(TrimtabError, match="not in the encoding utf-8 that was named"):
        read_all(file, encoding="utf8")
    for name in ("base64", "rot13", "", "undefined"):  # Python's codecs that are none of text
        with pytest.raises(TrimtabError, match="no encoding named"):
            rows.read(file, pytest.fail, encoding=name)
    with pytest.raises(TrimtabError, match="cannot be decoded"):
        read_all(file, encoding="utf-16")
    file.write_bytes("text\nщи\n".encode())
    assert "looks like UTF-8; read as Windows-1251" in read_all(file, encoding="cp1251")[1][0]


def test_case_08_lines_in_two_encodings_are_each_read_right_and_a_nul_makes_no_utf_16(tmp_path: Path) -> None:
    file = tmp_path / "mixed.csv"
    good = "".join(f'"Очень хороший товар {n}",{n}\n' for n in range(9))
    file.write_bytes(b"text,n\n" + good.encode() + '"Плохой товар, не советую",9\n'.encode("cp1251"))
    found, notes = read_all(file)
    assert [found[0]["text"], found[9]["text"]] == ["Очень хороший товар 0", "Плохой товар, не советую"]
    assert "some lines are not UTF-8; read as Windows-1251" in notes[0]
    file.write_bytes(b"a,b\n1,\0\n" + b"3,4\n" * 9)
    aside: list[Rejected] = []
    assert [row.values for row in rows.read(file, aside.append)] == [{"a": "3", "b": "4"}] * 9
    assert [row.reason for row in aside] == ["holds a NUL byte"]


def test_case_08_what_the_rows_of_training_were_is_kept_for_new_rows(tmp_path: Path) -> None:
    lines = [f'"{text} {n}",{n % 2}' for n in range(20) for text in REVIEWS["cp1251 koi8-r cp866"]]
    (tmp_path / "data.csv").write_bytes("\n".join(["text,label", *lines]).encode("cp1251"))
    loaded = read.load(["data.csv"], tmp_path)
    assert loaded.encoding == "cp1251"
    report = prepare(specs.parse({"data": "data.csv", "output": "label"}), tmp_path, Quiet()).report
    bundle = tiny_bundle.build(tmp_path / "tiny")
    manifest = store.read_manifest(bundle)
    serving = manifest.serving.model_copy(update={"encoding": report["encoding"]})
    store.write_manifest(bundle, manifest.model_copy(update={"data": report, "serving": serving}))
    new, out = tmp_path / "new.csv", tmp_path / "out.jsonl"
    new.write_bytes("review,stars,shop\nщи,1,north\n".encode("cp1251"))
    assert main(["predict", str(bundle), str(new), "--output", str(out)]) == 0
    assert json.loads(out.read_text(encoding="utf-8"))["review"] == "щи"


# ------------------------------------------------------------------------------------------- 09: a lone CR in a cell


def test_case_09_notes_with_lone_carriage_returns_come_back_row_by_row(tmp_path: Path) -> None:
    notes = [
        "the gate is stuck\rcalled again\rno answer",
        "two\r\nlines",
        "three\nlines",
        "a\u2028b",
        'say "x"',
        "tab\there",
    ]
    table = [{"note": note, "queue": "it"} for note in notes]
    answered = tmp_path / "answered.csv"
    with rows.writer(answered, "csv", ["note", "queue"]) as sink:
        sink.write(table)
    set_aside: list[Rejected] = []
    assert [row.values for row in rows.read(answered, set_aside.append)] == table
    assert set_aside == []
    assert list(csv.DictReader(io.StringIO(answered.read_bytes().decode(), newline=""))) == table


# ----------------------------------------------------------------------------------- 10: classes with ; or | in them


@pytest.mark.parametrize(
    "names",
    [
        ["Health &amp; Beauty", "Books", "Toys &amp; Games"],
        ["Home|Kitchen", "Home|Bath", "Sport|Indoor", "Sport|Outdoor"],
        ["Home; Garden", "Books", "Toys; Games"],
        ["R&D; Design", "R&D; Test", "Sales"],
    ],
)
def test_case_10_a_name_with_a_mark_in_it_is_one_class(tmp_path: Path, names: list[str]) -> None:
    found = looked_at(table(tmp_path / "a.csv", of_classes(names)), "label", inputs={"text": "text"})
    assert (found.task, found.classes) == ("label", sorted(names))


def test_case_10_parts_that_combine_freely_are_labels_and_the_key_that_says_otherwise_is_told(tmp_path: Path) -> None:
    notes = Notes()
    cells = ["drama|war", "comedy", "comedy|drama", "war"]
    found = looked_at(table(tmp_path / "a.csv", of_classes(cells)), "label", notes, inputs={"text": "text"})
    assert (found.task, found.classes) == ("labels", ["comedy", "drama", "war"])
    assert any("write {label: label}" in note for note in notes.told)


# ----------------------------------------------------------------------------------- 12: classes that training lacks


def test_case_12_a_class_of_test_rows_only_is_named_and_counted(tmp_path: Path) -> None:
    notes = Notes()
    table(tmp_path / "test.csv", [*of_classes(["a", "b"], 10), *of_classes(["lost"], 5, 90)])
    file = table(tmp_path / "a.csv", [row | {"text": f"train {row['text']}"} for row in of_classes(["a", "b"])])
    found = looked_at(file, "label", notes, inputs={"text": "text"}, test="test.csv")
    assert found.report["rejected"] == {"label: no class named 'lost' in training": 5}
    assert found.report["unanswerable"]["test"] == 5
    assert any(note.startswith("5 of 15 test rows have an answer that no training row has") for note in notes.told)


def test_case_12_a_gate_is_told_beside_the_rows_that_could_not_be_answered() -> None:
    [result] = gates.judge([parse_gate("accuracy", ">= 0.8")], {"accuracy": Measured(value=0.9)}, 18, 60)
    assert result.met
    assert result.reason == (
        "without 18 of 78 test rows, whose answer training lacks; 0.692 with those counted as wrong"
    )


def test_case_12_two_hundred_bad_cells_give_one_reason() -> None:
    reasons = [f"price: 'dear{n}' is not a number" for n in range(200)] + ["price: no value"] * 3
    assert rows.grouped(reasons, ["price"]) == {
        "price: 'dear0' is not a number (and 199 others like it)": 200,
        "price: no value": 3,
    }


def test_case_12_a_name_is_shortened_only_when_it_is_long() -> None:
    name = "k" * 30 + "-" * 40 + "z" * 30
    assert list(rows.grouped([f"queue: no class named {name!r} in training"], ["queue"])) == [
        f"queue: no class named '{'k' * 27} ... {'z' * 27}' in training"
    ]


def test_case_12_many_small_classes_are_cut_as_a_whole(tmp_path: Path) -> None:
    found = looked_at(table(tmp_path / "a.csv", of_classes([f"c{n}" for n in range(40)], 120)), "label")
    assert found.report["rejected"] == {}
    assert min(found.report["rows"].values()) >= 10
    assert "cut as a whole" in found.report["split"]


def test_case_12_no_rows_give_a_header(tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_text("review,stars,shop\n")
    tiny = str(tiny_bundle.build(tmp_path / "bundle"))
    done = CliRunner().invoke(app, ["predict", tiny, str(tmp_path / "none.csv"), "-o", str(tmp_path / "out.csv")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out.csv").read_text() == "review,stars,shop,mood,confidence\n"


def test_case_12_what_casts_doubt_on_the_figures_stands_beside_them() -> None:
    doubt = {"column": "index", "kind": "target leakage", "text": "alone it tells the answer in 98.8% of the rows"}
    data = {"unanswerable": {"test": 18}, "rows": {"test": 60}, "suspicious": [doubt]}
    manifest = tiny_bundle.make_manifest([], columns.fit("label", "mood", "mood", ["a", "b"], {}), [])
    told = launch.to_look_at(manifest.model_copy(update={"data": data}))
    assert told == [
        "18 of 78 test rows have an answer that training lacks: they are not measured",
        "data warning: index: alone it tells the answer in 98.8% of the rows",
    ]


# ---------------------------------------------------------------------------------------- 13: money as it is written


def test_case_13_dear_phones_are_numbers_too(tmp_path: Path) -> None:
    lines = [
        {"size": n, "price": f"₹{n % 2 + 1},{n:02},{n * 7 % 1000:03}" if n % 3 else f"₹{n + 10},999"} for n in range(60)
    ]
    found = looked_at(table(tmp_path / "phones.csv", lines), "price", inputs={"size": "number"})
    assert (found.task, found.report["rejected"]) == ("number", {})
    assert found.report["balance"]["train"]["max"] > 200_000


def test_case_13_a_loss_that_is_not_random_is_loud(tmp_path: Path) -> None:
    lines = [
        {"size": f"{n % 9} XL" if n % 5 == 0 else n % 9, "price": f"{n} lakh" if n % 10 == 1 else n} for n in range(100)
    ]
    notes = Notes()
    looked_at(table(tmp_path / "a.csv", lines), {"price": "number"}, notes, inputs={"size": "number"})
    warnings = [note for note in notes.told if note.startswith("data warning: ")]
    assert any(
        note.startswith("data warning: price: 10 of 100 values (10%) are no numbers and are set aside")
        for note in warnings
    )
    assert any("size: " in note and "count as missing, such as '" in note for note in warnings)


def test_case_13_percentages_beside_plain_numbers_and_mixed_currencies_are_told(tmp_path: Path) -> None:
    lines = [{"share": "45%" if n % 3 else "0.45", "cost": f"{'$€'[n % 2]}{n}", "price": n * 7 % 31} for n in range(60)]
    notes = Notes()
    inputs = {"share": "number", "cost": "number"}
    looked_at(table(tmp_path / "a.csv", lines), {"price": "number"}, notes, inputs=inputs)
    assert any(note.startswith("data warning: share: ") and "45% is 45 and not 0.45" in note for note in notes.told)
    assert any(note.startswith("data warning: cost: amounts in several currencies") for note in notes.told)


# ------------------------------------------------------------------------------- 15: texts that the base cannot read


def test_case_15_texts_of_unknown_tokens_are_told(tiny: runtime.Model) -> None:
    review = tiny.inputs[0]
    values = ["\U0001f44d \U0001f970 \U0001f600", "funny \U0001f600 and warm", "warm", ""]
    (found,) = review.read(values).problems
    assert (found.row, found.kind, found.lost) == (0, "unknown", 1.0)
    assert "3 of 3 tokens are unknown" in found.reason


# ----------------------------------------------------------------------------------------------- 17: layouts of JSON


def in_layouts(table: list[dict[str, Any]]) -> dict[str, str]:
    """A table in every layout that is read, by the name of a file."""
    columns = {name: [row[name] for row in table] for name in table[0]}
    numbered = [{"index": n, **row} for n, row in enumerate(table)]
    values = [list(row.values()) for row in table]
    return {
        "wrapped.json": json.dumps({"version": "1.0", "data": table}),
        "wrapped-pretty.json": json.dumps({"version": "1.0", "meta": {"n": 1}, "records": table}, indent=2),
        "deep.json": json.dumps({"response": {"status": "ok", "hits": table}}),
        "wrapped.jsonl": json.dumps({"data": table}),
        "columns.json": json.dumps({name: {str(n): cell for n, cell in enumerate(c)} for name, c in columns.items()}),
        "named.json": json.dumps({name: {f"r{n}": cell for n, cell in enumerate(c)} for name, c in columns.items()}),
        "rows.json": json.dumps({str(n): row for n, row in enumerate(table)}),
        "ids.json": json.dumps({f"id-{n}": row for n, row in enumerate(table)}),
        "lists.json": json.dumps(columns, indent=1),
        "split.json": json.dumps({"columns": list(columns), "index": list(range(len(table))), "data": values}),
        "table.json": json.dumps(
            {
                "schema": {
                    "fields": [{"name": "index", "type": "integer"}],
                    "primaryKey": ["index"],
                    "pandas_version": "1.4.0",
                },
                "data": numbered,
            }
        ),
        "array.jsonl": json.dumps(table),
        "pretty.json": json.dumps(table, indent=4),
        "objects.jsonl": "\n".join(json.dumps(row, indent=2) for row in table),
        "lines.json": "\n".join(map(json.dumps, table)),
    }


@pytest.mark.parametrize(("count", "words"), [(12, 1), (600, 50)])  # less than what is looked at first, and more
def test_case_17_every_layout_of_json_gives_the_same_rows(tmp_path: Path, count: int, words: int) -> None:
    table = [{"text": f"{'some words, ' * words}{n}", "label": "ab"[n % 2]} for n in range(count)]
    for name, text in in_layouts(table).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert read_all(tmp_path / name)[0] == table, name
        assert read.load([name], tmp_path).table.values["text"] == [row["text"] for row in table], name


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ([["text", "label"], ["a", "b"]], "a list of lists without names of columns"),
        (["a text", "another"], "a list of texts"),
        ({"train": [{"a": 1}] * 3, "test": [{"a": 1}]}, r"several lists of rows: train \(3\), test \(1\)"),
        ({"text": "word " * 4000, "label": "x"}, "one JSON object, with the keys text, label: that is a single row"),
        ({"text": ["a" * 5000] * 3, "label": ["x"]}, "one JSON object, with the keys text, label"),
    ],
)
def test_case_17_another_layout_is_named_with_the_ones_that_are_read(tmp_path: Path, document: Any, found: str) -> None:
    (tmp_path / "data.json").write_text(json.dumps(document))
    with pytest.raises(TrimtabError, match=found) as raised:
        read.load(["data.json"], tmp_path)
    assert '{"data": [rows]}' in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_case_17_objects_in_cells_are_an_error_that_names_the_column_and_what_to_do(tmp_path: Path) -> None:
    objects = [{"doc": {"text": f"words {n}"}, "label": {"name": "ab"[n % 2], "id": n % 2}} for n in range(40)]
    (tmp_path / "n.jsonl").write_text("\n".join(map(json.dumps, objects)))
    with pytest.raises(TrimtabError) as raised:
        prepare(specs.parse({"data": "n.jsonl", "inputs": {"doc": "text"}, "output": "label"}), tmp_path, Quiet())
    for said in ("'doc' (text): its cells are objects with the keys text", "'label' (label)", "name, id", "label_name"):
        assert said in str(raised.value)
    plain = [{**row, "label": "ab"[n % 2]} for n, row in enumerate(objects)]
    (tmp_path / "n.jsonl").write_text("\n".join(map(json.dumps, plain)))
    with pytest.raises(TrimtabError, match="doc: holds objects with the keys text"):
        prepare(specs.parse({"data": "n.jsonl", "output": "label"}), tmp_path, Quiet())


def test_case_17_one_row_of_lists_stays_one_row_in_json_lines(tmp_path: Path) -> None:
    row = {"tokens": ["Anna", "Berg"], "tags": ["B-PER", "I-PER"], "meta": {"data": {"id": 1}}}
    (tmp_path / "one.jsonl").write_text(json.dumps(row))
    assert read_all(tmp_path / "one.jsonl")[0] == [row]


# ----------------------------------------------------------------------------------------- 19: names that are markup


def test_case_19_classes_in_brackets_are_told_as_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["[bug]", "[/feature]", "[red]"]
    table = Table("class", title="[/red]")
    for name in names:
        table.add_row(name)
    for view in (_view.Lines(), _view.Live()):
        view.stage("data", "[/feature] 12, [red] 3")
        view.note("no test row has the class [/feature], [red]")
        view.close()
    _view.result.print(table)
    printed = capsys.readouterr()
    assert printed.err.count("[/feature] 12, [red] 3") == 2
    assert printed.err.count("the class [/feature], [red]") == 2
    assert [name for name in ["[/red]", *names] if name not in printed.out] == []


# ---------------------------------------------------------------------------------- 21: amounts that look like dates


@pytest.mark.parametrize(
    ("cells", "type_name"),
    [
        ([f"{1000 + 7 * n}.{n % 100:02}" for n in range(60)], "number"),
        ([1951.5 + n for n in range(60)], "number"),
        ([f"2024-{1 + n % 12:02}-{1 + n % 28:02}" for n in range(60)], "ignore"),
        ([f"{1 + n % 28}.{1 + n % 12}.2024" for n in range(60)], "ignore"),
    ],
)
def test_case_21_amounts_are_numbers_and_dates_are_dates(cells: list[Any], type_name: str) -> None:
    assert infer.input_type("monthly_pay", cells).type == type_name


def test_case_21_truths_are_no_numbers_of_which_there_are_few() -> None:
    assert infer_output.output_type("sold", ["TRUE", "FALSE", "True", "false"] * 9).reason == "true or false"


# ------------------------------------------------------------------------------------------------- x02: new pictures


def test_case_x02_names_of_files_are_read_as_windows_and_home_folders_write_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new pictures").mkdir()
    path = tmp_path / "new pictures" / "one.png"
    Image.new("RGB", (8, 8), "red").save(path)
    monkeypatch.setenv("HOME", str(tmp_path))
    kind = columns.kind("image", "")
    assert kind.located("new pictures\\one.png", tmp_path) == str(path)
    names = [str(path).replace("/", "\\"), "~/new pictures/one.png", path.as_uri()]
    assert [kind.refuses(name) for name in names] == [None, None, None]


def test_case_x02_a_folder_of_loose_pictures_or_one_picture_is_answered(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = tiny_pictures.build(tmp_path / "made")
    new = tiny_pictures.paint(tmp_path / "new pictures", "red-1.PNG", "blue-2.png")
    tiny_pictures.paint(new / "more", "red-3.png")
    (tmp_path / "list.csv").write_text("image\nnew pictures\\red-1.PNG\n")
    wanted = {new: ["blue", "red", "red"], new / "red-1.PNG": ["red"], tmp_path / "list.csv": ["red"]}
    for data, labels in wanted.items():
        assert main(["predict", str(bundle), str(data)]) == 0
        found = list(csv.DictReader(capfd.readouterr().out.splitlines()))
        assert [row["label"] for row in found] == labels
        assert list(found[0]) == ["image", "label", "confidence"]
    tiny_pictures.paint(tmp_path / "sorted" / "red", "red-1.png")
    assert main(["predict", str(bundle), str(tmp_path / "sorted")]) == 0
    assert ",red,red,0.9" in capfd.readouterr().out
    (tmp_path / "empty").mkdir()
    assert main(["predict", str(bundle), str(tmp_path / "empty")]) == 2
    assert "holds no image files" in capfd.readouterr().err


def test_case_x02_a_folder_is_no_rows_for_a_bundle_that_reads_none(tiny: runtime.Model, tmp_path: Path) -> None:
    assert main(["predict", str(tiny.folder), str(tmp_path)]) == 2


# ----------------------------------------------------------------------------------------- x05: runs inside the data


def pictures(folder: Path) -> list[str]:
    """Two classes of three pictures each; their paths."""
    for name in ("ants", "bees"):
        (folder / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (4, 4), (number, 0, 0)).save(folder / name / f"{number}.png")
    return sorted(str(path) for path in folder.rglob("*.png"))


def test_case_x05_what_trimtab_wrote_is_no_picture_of_a_class(tmp_path: Path) -> None:
    folder, told = tmp_path / "photos", []
    own = pictures(folder)
    with run_folder.held(folder / "runs" / "run", None, Quiet()):
        (folder / "runs" / "run" / "plots").mkdir()
        shutil.copy(own[0], folder / "runs" / "run" / "plots" / "roc.png")
        shutil.copytree(OLD_BUNDLE, folder / "bees" / "model")
        shutil.copy(own[0], folder / "bees" / "model" / "card.png")
        assert sorted(row.values["image"] for row in rows.read(folder, print, note=told.append)) == own
    assert [note.partition(":")[0] for note in told] == [str(folder / "runs"), str(folder / "bees" / "model")]


def test_case_x05_runs_beside_the_folders_of_splits_are_no_class(tmp_path: Path) -> None:
    for split in ("train", "test"):
        pictures(tmp_path / split)
    with run_folder.held(tmp_path / "runs" / "run", None, Quiet()):
        assert len(list(rows.read(tmp_path, print))) == 12


def test_case_x05_a_pattern_finds_nothing_that_trimtab_wrote(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"a": 1}')
    with run_folder.held(tmp_path / "runs" / "rows", None, Quiet()):
        shutil.copytree(OLD_BUNDLE, tmp_path / "runs" / "rows" / "bundle")
        assert rows.find(["**/*.jsonl"], tmp_path) == [tmp_path / "rows.jsonl"]
        golden = "runs/rows/bundle/golden.jsonl"
        assert rows.find([golden], tmp_path) == [tmp_path / golden]  # whoever names it means it


# ----------------------------------------------------------------------------------- x06: values that are no picture


def test_case_x06_pictures_as_python_holds_them_are_read_alike() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    png = io.BytesIO()
    picture.save(png, "PNG")
    column = columns.fit("image", "photo", "photo", [pixels], {"size": [24, 32]})
    wanted = column.encode([pixels])
    spent = io.BytesIO(png.getvalue())
    spent.read()
    same = [picture, picture.convert("RGBA"), torch.tensor(pixels), torch.tensor(pixels).permute(2, 0, 1), spent, spent]
    same += [pixels.transpose(2, 0, 1), np.where(pixels == 255, 1.02, pixels / 255)]
    assert [bool((column.encode([value]) == wanted).all()) for value in same] == [True] * len(same)


def test_case_x06_sounds_as_python_holds_them_are_read_alike() -> None:
    samples = np.sin(np.arange(4_000) / 7).astype(np.float32)
    column = columns.fit("audio", "sound", "sound", [{"array": samples, "sampling_rate": 8_000}], {})
    wanted = column.encode([samples]).values
    same = [torch.tensor(samples), torch.tensor(samples)[None], samples[None], (8_000, samples), (samples, 8_000)]
    assert [bool((column.encode([value]).values == wanted).all()) for value in same] == [True] * len(same)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (5, "a value of type int"),
        ([[1, 2], [3, 4]], "a value of type list"),
        ("no/such/file.png", "no such file: no/such/file.png"),
        (Path("nothing.png"), "no such file: nothing.png"),
        ("https://example.org/cat.png", "an address, and nothing is fetched"),
        (np.zeros((1, 8, 8, 3)), "an array of shape"),
        (io.StringIO("text"), "an open file that gives no bytes"),
    ],
)
def test_case_x06_what_can_never_be_a_picture_is_named(value: Any, said: str) -> None:
    assert said in str(columns.kind("image", "").refuses(value))


# ------------------------------------------------------------------------------------------- x07: a folder called NA


def test_case_x07_a_folder_is_called_as_it_is_called(tmp_path: Path) -> None:
    for number, name in enumerate(["NA", *["1", "1.0", "EU"] * 12]):
        (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
        for n in range(6 if name == "NA" else 1):
            Image.new("L", (8, 8 + number), 40 * n).save(tmp_path / "photos" / name / f"{number}-{n}.png")
    found = looked_at(tmp_path / "photos", "label")
    assert found.classes == ["1", "1.0", "EU", "NA"]
    assert found.report["rejected"] == {}
    column = columns.fit("label", "label", "label", found.splits.train.values["label"], {"classes": found.classes})
    assert column.targets(["1", "1.0", "EU", "NA"]).tolist() == [0, 1, 2, 3]


def test_case_x07_items_called_NA_stay_and_those_that_are_lost_are_named(tmp_path: Path) -> None:
    items = ["NA", "null", *(f"i{n}" for n in range(8))]
    events = [{"user": n // 8, "item": items[(n + n // 8) % 10], "time": n} for n in range(160)]
    spec = {"output": {"item": {"type": "ranking", "user": "user", "time": "time"}}}
    found = looked_at(table(tmp_path / "a.csv", events), spec["output"])
    assert {"NA", "null"} <= set(found.classes)
    events[3]["item"] = "-"
    rare = looked_at(table(tmp_path / "b.csv", events), spec["output"])
    assert rare.report["rejected"] == {"item: '-' is read as no value": 1}


# -------------------------------------------------------------------------------------------- x10: moments of events


MOMENT = datetime(2024, 5, 19, 14, 11, 5, tzinfo=UTC)
WRITTEN = {
    "y-m-d": (
        "2024-05-19 14:11:05", "2024-05-19T14:11:05Z", "2024-05-19 14:11:05 UTC", "2024/05/19 14:11:05.000",
        "2024-05-19T16:11:05+02:00", "2024-05-19 16:11:05+0200", "Sun, 19 May 2024 14:11:05 GMT",
        "Sun May 19 14:11:05 2024", "Sun May 19 14:11:05 UTC 2024", "19-May-2024 14:11:05", "May 19, 2024 2:11:05 PM",
        "19/May/2024:14:11:05 +0000", "20240519T141105", "2024-05-19 10:11:05 EDT", "2024-05-19T14:11:05Z[UTC]",
    ),
    "d/m/y": ("19/05/2024 14:11:05", "19.5.2024, 14:11:05", "19-05-24 2:11:05 pm"),
    "m/d/y": ("05/19/2024 14:11:05", "5/19/2024 2:11:05 PM", "5-19-24 14:11:05"),
}  # fmt: skip
SPELLED = [(spelling, text) for spelling, texts in WRITTEN.items() for text in texts]


@pytest.mark.parametrize(("spelling", "text"), SPELLED)
def test_case_x10_a_moment_is_read_however_it_is_written(spelling: str, text: str) -> None:
    assert events.spelling("time", [text, text]).spelling == spelling
    assert events.moment(text, spelling) == int(MOMENT.timestamp()) * 10**9


@pytest.mark.parametrize("text", ["soon", "2024-13-01", "31/31/2024", "2024-05-19 25:00", "2024-05-19 14:11 XYZ"])
def test_case_x10_what_is_no_moment_is_not_read(text: str) -> None:
    for spelling in events.SPELLINGS:
        with pytest.raises(ValueError):  # noqa: PT011 # whatever it says
            events.moment(text, spelling)


def walks(time: Callable[[datetime], object]) -> list[dict[str, Any]]:
    """Events of 12 users, each of whom goes along 8 items from one of them on; the lines in no order."""
    draw, found = random.Random(3), []
    for user in range(12):
        at = datetime(2024, 1, 1 + user, tzinfo=UTC) + timedelta(days=28 * user)
        for step in range(8):
            at += timedelta(hours=3 + 9 * step)
            found.append({"user": f"u{user}", "item": f"i{(user + step) % 8}", "time": time(at)})
    draw.shuffle(found)
    return found


def walk(user: str) -> list[str]:
    return [f"i{(int(user[1:]) + step) % 8}" for step in range(8)]


TIMES: dict[str, Callable[[datetime], object]] = {
    "iso": lambda at: at.isoformat(),
    "seconds": lambda at: int(at.timestamp()),
    "milliseconds": lambda at: f"{at.timestamp() * 1000:.1f}",
    "nanoseconds": lambda at: int(at.timestamp()) * 10**9 + 1,
    "utc": lambda at: at.strftime("%Y-%m-%d %H:%M:%S UTC"),
    "dmy": lambda at: at.strftime("%d/%m/%Y %H:%M"),
    "mdy": lambda at: f"{at.month}/{at.day}/{at:%Y %H:%M}",
    "mixed": lambda at: at.isoformat() if at.day % 3 else at.strftime("%d/%m/%Y %H:%M"),
}
WALKS = {"output": {"item": {"type": "ranking", "user": "user", "time": "time"}}}


def prepared_walks(folder: Path, rows_of: list[dict[str, Any]], **spec: Any) -> Any:
    with rows.writer(folder / "e.csv", "csv", list(rows_of[0])) as sink:
        sink.write(rows_of)
    return prepare(specs.parse({"data": "e.csv", **WALKS, **spec}), folder, Quiet())


@pytest.mark.parametrize("spelling", TIMES)
def test_case_x10_the_order_of_events_is_the_same_in_every_spelling(tmp_path: Path, spelling: str) -> None:
    found = prepared_walks(tmp_path, walks(TIMES[spelling]))
    assert found.rejected == []
    for row in found.splits.test.rows():
        assert [*row["history"], row["item"]] == walk(row["user"])


def test_case_x10_days_that_could_be_months_are_told_and_the_user_can_say(tmp_path: Path) -> None:
    early = [row for row in walks(TIMES["dmy"]) if int(str(row["time"])[:2]) <= 12]
    notes = prepared_walks(tmp_path, early).report["notes"]
    assert [note for note in notes if "could be day/month/year or month/day/year" in note]
    said = prepared_walks(tmp_path, early, output={"item": {**WALKS["output"]["item"], "times": "m/d/y"}})
    assert said.output.options["times"] == "m/d/y"
    assert not [note for note in said.report["notes"] if "could be" in note]


def test_case_x10_what_cannot_be_read_repeats_or_shares_a_moment_is_told(tmp_path: Path) -> None:
    table = walks(TIMES["iso"])
    lost = [{**row, "time": "at noon"} for row in table[:5]]
    found = prepared_walks(tmp_path, [*table, *lost, *table[:9]])
    told = " ".join(found.report["notes"])
    assert "5 of the values of 'time' cannot be read as times" in told
    assert "'at noon'" in told
    assert "equal events of the same time dropped: 9" in told
    assert {row.reason for row in found.rejected} == {
        "time: 'at noon' cannot be read as a time (dates such as 2026-01-31 12:00)"
    }
    kept = prepared_walks(tmp_path, [*table, *table[:9]], clean={"duplicates": "keep"})
    assert "9 events share their time with another one of their user" in " ".join(kept.report["notes"])
    one_moment = prepared_walks(tmp_path, [{**row, "time": "2024-01-01"} for row in table])
    assert "84 events share their time" in " ".join(one_moment.report["notes"])


def gathered_walks(source: list[dict[str, Any]], times: str | None) -> tuple[list[dict[str, Any]], list[str]]:
    """What predict makes of events, by a bundle that was made from times written so."""
    output = RankingColumn("item", "item", ("i0", "i1"), user="user", time="time", times=times, distinct=True)
    inputs = (columns.fit("history", "history", "history", [["i0", "i1"]], {}),)
    model = SimpleNamespace(inputs=inputs, output=output)
    notes: list[str] = []
    given = rows.Rows("csv", tuple(source[0]), (rows.Row(row, 1) for row in source))
    return [row.values for row in cli_events.gathered(cast(Any, model), given, notes.append)], notes


@pytest.mark.parametrize("spelling", ["iso", "seconds", "utc", "dmy"])
def test_case_x10_new_events_are_read_right_in_another_spelling(spelling: str) -> None:
    found, _ = gathered_walks(walks(TIMES[spelling]), "number")
    assert len(found) == 12
    assert [row["history"] for row in found] == [walk(row["user"]) for row in found]


def test_case_x10_new_events_whose_order_cannot_be_known_are_an_error() -> None:
    early = [row for row in walks(TIMES["dmy"]) if int(str(row["time"])[:2]) <= 12]
    with pytest.raises(TrimtabError, match="could be day/month/year or month/day/year"):
        gathered_walks(early, "number")
    with pytest.raises(TrimtabError, match=r"of the values of 'time' cannot be read as times \(month/day/year\)"):
        gathered_walks(walks(TIMES["dmy"]), "m/d/y")
    with pytest.raises(TrimtabError, match="no event has a time"):
        gathered_walks([{**row, "time": ""} for row in early], "d/m/y")
    with pytest.raises(TrimtabError, match="'soon'"):
        gathered_walks([*walks(TIMES["iso"]), {"user": "u1", "item": "i1", "time": "soon"}], "y-m-d")


def test_case_x10_users_and_items_written_as_floats_are_the_same() -> None:
    source = [
        {"user": user, "item": item, "time": n} for n, (user, item) in enumerate([("7", "1000"), ("7.0", "1001.0")])
    ]
    found, _ = gathered_walks(source, "number")
    assert [parse.label(item) for item in found[0]["history"]] == ["1000", "1001"]
    assert columns.fit("history", "h", "h", [["1000", "1001"]], {}).portable("1000.0|1001.0") == ["1000", "1001"]


# -------------------------------------------------------------- x11: lists of tags, labels and events as Python text


def test_case_x11_tags_and_histories_as_pandas_writes_them_are_lists(tmp_path: Path) -> None:
    words, tags = ["Anna", "lives", "in", "Oslo"], ["B-person", "O", "O", "B-place"]
    lines = [{"words": str([*words, str(n)]), "tags": str((*tags, "O"))} for n in range(40)]
    found = looked_at(table(tmp_path / "tags.csv", lines), "tags")
    column = columns.fit("tags", "tags", "tags", found.splits.train.values["tags"], {})
    assert (found.task, column.tags) == ("tags", ("O", "B-person", "I-person", "B-place", "I-place"))
    viewed = columns.fit("history", "viewed", "viewed", ["['item3', 'item4']", '["item3"]', "item3|item4"], {})
    assert viewed.items == ("item3", "item4")
    forces = columns.fit("numbers", "forces", "forces", ["[28.0 28.5]", "[1. 2.]"], {})
    assert forces.width == 2


@pytest.mark.parametrize("type_name", ["tags", "history"])
def test_case_x11_what_cannot_be_read_as_a_list_is_refused(type_name: str) -> None:
    with pytest.raises(TrimtabError, match="piece of a list"):
        columns.fit(type_name, "x", "x", ["['O', 'B-person"] * 10, {})


def test_case_x11_a_column_of_lists_is_left_out_with_the_way_to_read_it() -> None:
    found = infer.input_type("viewed", [f"['item{n % 7}', 'item{n % 5}']" for n in range(60)])
    assert (found.type, "history" in found.reason) == ("ignore", True)


# -------------------------------------------------------------------------------------------------- x12: tag schemes


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        (["B-PER", "I-PER", "O", "B-PER", "O", "B-PER", "I-PER"], "BIO"),
        (["I-PER", "I-PER", "O", "I-PER", "O", "B-PER", "I-PER"], "BIO"),
        (["B-PER", "E-PER", "O", "S-PER", "O", "B-PER", "E-PER"], "BIOES"),
        (["B-PER", "L-PER", "O", "U-PER", "O", "B-PER", "L-PER"], "BILOU"),
        (["B-PER", "E-PER", "O", "S-PER", "O", "B-PER", "M-PER"], "BMES"),
        (["B_PER", "I_PER", "O", "B_PER", "O", "B_PER", "I_PER"], "BIO"),
        (["PER-B", "PER-I", "O", "PER-B", "O", "PER-B", "PER-I"], "BIO"),
        (["B", "I", "O", "B", "O", "B", "I"], "BIO"),
    ],
)
def test_case_x12_a_name_of_two_words_is_one_span_in_every_scheme(tags: list[str], name: str) -> None:
    column = columns.fit("tags", "tags", "tags", [tags, ["O"]], {})
    outputs = ragged([np.eye(column.width)[column.targets([tags]).values] * 9], np.zeros((0, column.width)))
    found = column.decode(outputs)["tags_spans"][0]
    assert [(span["start"], span["end"]) for span in found] == [(0, 2), (3, 4), (5, 7)]
    assert {span["type"] for span in found} == {"span" if tags[0] == "B" else "PER"}
    assert f"({name})" in column.remarks([])[0]


def test_case_x12_spans_side_by_side_stay_apart() -> None:
    column = columns.fit("tags", "tags", "tags", [["B-PER", "E-PER", "S-PER", "E-PER", "I-LOC", "I-LOC"]], {})
    tags = column.targets([["B-PER", "E-PER", "S-PER", "E-PER", "I-LOC", "I-LOC"]])
    found = column.borders.spans(tags.values, tags.offsets)
    assert list(zip(found.start.tolist(), found.end.tolist(), strict=True)) == [(0, 2), (2, 3), (3, 4), (4, 6)]
    assert [column.tags[tag] for tag in column.borders.valid(tags.values, tags.offsets)] == [
        "B-PER", "E-PER", "S-PER", "S-PER", "B-LOC", "E-LOC",
    ]  # fmt: skip


def test_case_x12_numbers_of_tags_are_no_spans_until_they_are_named() -> None:
    rows_ = [[1, 2, 0, 3, 0], [0, 0, 3, 4, 0]]
    plain = columns.fit("tags", "tags", "tags", rows_, {})
    with pytest.raises(TrimtabError, match=r"span_f1: .*no word is O[\s\S]*or name the numbers"):
        gates.check_meaning([parse_gate("span_f1", ">= 0.6")], plain)
    gates.check_meaning([parse_gate("accuracy", ">= 0.6")], plain)
    assert "no borders" in plain.remarks([])[0]
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    named = columns.fit("tags", "tags", "tags", rows_, {"tags": names})
    targets = named.targets(rows_)
    assert named.counts(rows_) == {"LOC": 2, "PER": 1}
    assert [named.tags[tag] for tag in targets.values[:5]] == ["B-PER", "I-PER", "O", "B-LOC", "O"]


def test_case_x12_parts_of_speech_have_no_borders() -> None:
    column = columns.fit("tags", "tags", "tags", [["NOUN", "VERB"], ["S", "VERB"]], {})
    assert column.borders.scheme is None


# ------------------------------------------------------------------------ x14: int8 answers and the rows beside them


@pytest.mark.slow
def test_case_x14_int8_answers_are_the_same_beside_odd_rows(tmp_path: Path) -> None:
    texts = [f"the {word} lamp was {'good' if row % 2 else 'bad'}" for row, word in enumerate("abcdefghij" * 4)]
    odd = ["!!!! " * 60, "zzqx", "", "\u4e2d\u6587 " * 20]
    column = columns.fit("text", "text", "text", texts, {"max_tokens": 64})
    answer = columns.fit("label", "answer", "answer", ["yes", "no"] * 20, {})
    entry = EncoderEntry(name="transformer", reads=("text",), config={"layers": 2, "heads": 2})
    architecture = Architecture(width=64, encoders=(entry,), fusion="mean", dropout=0.0, head="label")
    network = fitted.built(architecture, [column], answer, seed=1).network
    rows = encode_rows([column], {"text": texts})
    export.export(network, [column], rows.batch(np.arange(3)), tmp_path / "whole.onnx")
    quantize.int8(tmp_path / "whole.onnx", tmp_path / "int8.onnx")
    beside = [encode_rows([column], {"text": [text, *odd]}).batch(np.arange(5)) for text in texts]
    alone = sensitivity.answers(tmp_path / "int8.onnx", [rows.batch(np.array([row])) for row in range(len(texts))])
    among = sensitivity.answers(tmp_path / "int8.onnx", beside)[::5]
    assert np.abs(alone - among).max() < 1e-5


# ----------------------------------------------------------------------------------------- x17: two launches at once


@pytest.mark.parametrize(
    "words",
    [
        ["launch", "{spec}", "--runs", "{runs}"],
        ["launch", "{spec}", "--runs", "{runs}", "--set", "seed=8"],
        ["launch", "{spec}", "--runs", "{runs}", "--pick", "uncompressed"],
        ["compress", str(OLD_BUNDLE), "--to", "{runs}/rows"],
    ],
)
def test_case_x17_the_second_of_two_launches_stops_and_names_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    made = place(tmp_path, [{"x": str(number), "side": "rl"[number > 9]} for number in range(20)], output="side")
    with run_folder.held(made.runs / "rows", made.spec, Quiet()):
        assert main([word.format(spec=made.spec, runs=made.runs) for word in words]) == 2
    assert f"another launch works here (pid {os.getpid()})" in capsys.readouterr().err
    assert not made.runs.exists()  # neither of them left anything


# --------------------------------------------------------------------------------------- x18: nothing may be written


@pytest.mark.parametrize("runs", ["{file}", "{file}/deeper", "/proc/no-such"])
def test_case_x18_runs_that_cannot_be_made_are_the_user_s_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], runs: str
) -> None:
    made = place(tmp_path, [{"x": "1", "side": "r"}], output="side")
    folder = runs.format(file=tmp_path / "rows.csv")
    assert main(["launch", str(made.spec), "--runs", folder]) == 2
    assert f"{folder}/rows: cannot be written: " in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.EROFS, errno.ENOSPC])
def test_case_x18_what_the_system_refuses_on_the_way_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number), str(tmp_path / "runs" / "rows" / "work"))

    made = place(tmp_path, [{"x": "1", "side": "r"}], output="side")
    monkeypatch.setattr("trimtab.pipeline.check", refuse)
    assert made.launch() == 2
    assert str(tmp_path / "runs" / "rows" / "work") in capsys.readouterr().err


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "No such file", "ours"), OSError(errno.EEXIST, "?")])
def test_case_x18_what_is_a_fault_of_ours_stays_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def fail(*_: object) -> None:
        raise error

    made = place(tmp_path, [{"x": "1", "side": "r"}], output="side")
    monkeypatch.setattr("trimtab.pipeline.check", fail)
    assert made.launch() == 3
    assert "Traceback" in capsys.readouterr().err


def test_case_x18_without_a_home_folder_a_sample_says_what_to_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRIMTAB_CACHE", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert main(["sample", "reviews", "--to", "/tmp/never.csv", "--force"]) == 2
    assert "TRIMTAB_CACHE" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------- x21: values of Python


class _NoNumber:
    """As pandas.NA behaves: neither None nor a float, and not comparable."""

    def __repr__(self) -> str:
        return "<NA>"

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    def __eq__(self, other: object) -> Any:
        return self

    __hash__ = object.__hash__


def test_case_x21_a_decimal_is_the_number_that_it_is_and_na_is_missing() -> None:
    price = columns.fit("number", "price", "price", [1.5, 20.5, 30], {})
    values = [Decimal("20.5"), np.array([20.5]), np.array(20.5), np.float32(20.5), Decimal("NaN"), _NoNumber(), None]
    assert (price.encode(values) == price.encode([20.5] * 4 + [None] * 3)).all()
    shop = columns.fit("category", "shop", "shop", ["1", "1", "north", "north"], {})
    assert (shop.encode([Decimal("1.0"), Decimal(1), _NoNumber()]) == shop.encode(["1", "1", None])).all()
    nothing = (_NoNumber(), np.datetime64("NaT"), "<NA>", "nan", "")
    assert [parse.text(value) for value in (*nothing, b"late", "NA")] == [""] * 5 + ["late", "NA"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (None, "found None"),
        ("paid late", "found 'paid late'"),
        ({"review": "warm"}, "found one mapping"),
        (["warm"], "row 0: found 'warm'"),
        (5, "found 5"),
        (polars.DataFrame({"review": ["warm"]}), r"found a table(?s:.*)to_dicts"),
    ],
)
def test_case_x21_what_holds_no_rows_is_refused(tiny: runtime.Model, rows: Any, said: str) -> None:
    with pytest.raises(TrimtabError, match=said):
        tiny.predict(rows)


def test_case_x21_any_rows_in_turn_are_answered(tiny: runtime.Model) -> None:
    wanted = tiny.predict([ROWS[0]]).rows()
    assert tiny.predict(iter([ROWS[0]])).rows() == wanted  # type: ignore[arg-type]
    assert tiny.predict((UserDict(ROWS[0]),)).rows() == wanted
    assert tiny.predict([{**ROWS[0], 5: 1}]).rows() == wanted  # type: ignore[dict-item]
    with pytest.raises(TrimtabError, match="top: found 0"):
        tiny.predict([ROWS[0]], top=0)


# ------------------------------------------------------------------------------------------- x22: copies of a bundle


def linked(source: Path, target: Path, blob: str) -> Path:
    """A folder of links to copies of a bundle's files, which lie where caches keep them; `blob` is their path there."""
    for number, path in enumerate(sorted(path for path in source.rglob("*") if path.is_file())):
        kept = target.parent / "blobs" / blob.format(number)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, kept)
        link = target / path.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(kept)
    return target


def folders_linked(source: Path, target: Path) -> Path:
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).symlink_to(path)
    return target


COPIES: dict[str, Callable[[Path], Path]] = {
    "a name with spaces": lambda to: Path(shutil.copytree(OLD_BUNDLE, to / "my bundle – копия")),
    "links into one folder": lambda to: linked(OLD_BUNDLE, to / "farm", "{}"),
    "links into a folder for each": lambda to: linked(OLD_BUNDLE, to / "farm", "{}/x"),
    "links to its folders": lambda to: folders_linked(OLD_BUNDLE, to / "farm"),
    "a long path": lambda to: Path(shutil.copytree(OLD_BUNDLE, to / ("d" * 120) / ("d" * 120) / ("d" * 120))),
}


@pytest.mark.parametrize("name", COPIES)
def test_case_x22_a_copy_is_as_good_as_the_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    copy = COPIES[name](tmp_path)
    assert main(["verify", str(copy)]) == 0, capsys.readouterr().err
    row = {"x": "0.5", "y": "-1.2", "colour": "red"}
    assert runtime.load(copy).predict([row])[0]["side"] == "left"


def test_case_x22_a_copy_for_serving_and_what_programs_leave_in_it_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(OLD_BUNDLE, tmp_path / "bundle"))
    for name in ("weights.safetensors", "network.json", "reference.npz"):
        (copy / name).unlink()
    strange = [".DS_Store", ".git/HEAD", "columns/x.json~", "model.onnx.bak", "Thumbs.db"]
    for name in strange:
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text("?")
    assert main(["verify", str(copy), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sorted(told["passed_over"]) == sorted(strange)
    assert {"weights.safetensors", "network.json", "reference.npz"} <= set(told["left_out"])
    (copy / "columns" / "z.json").write_text("{}")
    assert main(["verify", str(copy)]) == 2
    assert "not listed: columns/z.json" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["columns/x.json", "golden.jsonl", "model.onnx", "model.onnx.data"])
def test_case_x22_a_copy_that_lacks_what_answers_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    copy = Path(shutil.copytree(OLD_BUNDLE, tmp_path / "bundle"))
    (copy / name).unlink()
    assert main(["verify", str(copy)]) == 2
    assert f"missing: {name}" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------ x25: offline


TALKING = """
import sys, trimtab
model = trimtab.load(sys.argv[1])
model.predict([{"review": "good lamp"}])
"""


def alone_at_home(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command with an empty home folder, `folder / "home"`, and no word about telemetry in the environment."""
    (folder / "home").mkdir(exist_ok=True)
    said = ("ORT_", "HF_", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(said)}
    environment = {**kept, "HOME": str(folder / "home")}
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300, check=True)


def test_case_x25_answering_writes_nothing_into_the_home_folder(tmp_path: Path) -> None:
    alone_at_home(tmp_path, sys.executable, "-c", TALKING, str(tiny_bundle.build(tmp_path)))
    assert list((tmp_path / "home").rglob("*")) == []


def test_case_x25_who_wants_telemetry_keeps_it() -> None:
    code = "import os, trimtab; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for asked, found in (("0", "0"), ("1", "1")):
        environment = {**os.environ, "ORT_DISABLE_TELEMETRY": asked}
        assert subprocess.check_output([sys.executable, "-c", code], env=environment, text=True).strip() == found


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace sees the sockets of every library")
def test_case_x25_no_command_reaches_for_the_network(tmp_path: Path) -> None:
    rows = "".join(
        f"{'good' if row % 2 else 'bad'} lamp number {row},{'pos' if row % 2 else 'neg'}\n" for row in range(80)
    )
    (tmp_path / "rows.csv").write_text("review,label\n" + rows, encoding="utf-8")
    spec = (
        "data: rows.csv\noutput: label\nbase: minilm\ntrain: {epochs: 1, method: frozen}\ncompress: {quantize: int8}\n"
    )
    (tmp_path / "trimtab.yaml").write_text(spec, encoding="utf-8")
    program = [sys.executable, "-m", "trimtab"]
    commands = {
        "launch": [*program, "launch", "--runs", "runs"],
        "load": [sys.executable, "-c", TALKING, "runs/rows/bundle"],
        "predict": [*program, "predict", "runs/rows/bundle", "rows.csv", "--output", "answers.csv"],
        "evaluate": [*program, "evaluate", "runs/rows/bundle", "rows.csv"],
        "inspect": [*program, "inspect", "runs/rows/bundle"],
        "verify": [*program, "verify", "runs/rows/bundle"],
        "init": [*program, "init", "rows.csv", "--to", "made.yaml"],
    }
    for name, command in commands.items():
        alone_at_home(tmp_path, "strace", "-f", "-e", "trace=connect,sendto,sendmsg", "-o", f"{name}.strace", *command)
        assert "AF_INET" not in (tmp_path / f"{name}.strace").read_text(encoding="utf-8"), name
    assert not [path for path in (tmp_path / "home").rglob("*") if path.is_file() and "matplotlib" not in path.parts]


# ----------------------------------------------------------------------------------------------- x26: modes of files


@pytest.fixture(scope="module")
def unheard(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, int]:
    """A small launch under a strict umask whose progress nobody reads, and its exit code."""
    rows_ = [{"x": str(number % 17), "side": "left" if number % 17 < 8 else "right"} for number in range(120)]
    made = place(tmp_path_factory.mktemp("unheard"), rows_, output="side", fusion="mean", train={"epochs": 1})
    before = os.umask(0o027)
    try:
        with pytest.MonkeyPatch.context() as patch, unread() as stream:
            patch.setattr(sys, "stderr", stream)
            return made, main(["launch", str(made.spec), "--runs", str(made.runs)])
    finally:
        os.umask(before)


@contextlib.contextmanager
def unread() -> Iterator[io.TextIOWrapper]:
    """A pipe whose reader has gone."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    stream = os.fdopen(write_end, "w")
    yield stream
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def test_case_x26_every_file_has_the_mode_that_the_umask_gives(unheard: tuple[Place, int]) -> None:
    bundle = unheard[0].runs / "rows" / "bundle"
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in bundle.rglob("*") if path.is_file()}
    assert {"model.onnx", "weights.safetensors", "card.html"} <= modes.keys()
    assert set(modes.values()) == {"0o640"}, modes


@pytest.mark.parametrize("command", ["predict", "verify", "inspect"])
@pytest.mark.parametrize("name", ["model.onnx.data", "manifest.json", "golden.jsonl"])
def test_case_x26_a_file_that_cannot_be_read_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, name: str
) -> None:
    opened = Path.open

    def refuse(self: Path, *words: Any, **options: Any) -> Any:
        if self.name == name:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return opened(self, *words, **options)

    monkeypatch.setattr(Path, "open", refuse)
    needed = command != "inspect" or name == "manifest.json"  # what is not read is not missed
    more = [str(OLD_BUNDLE.parent / "new.csv")] if command == "predict" else []
    assert main([command, str(OLD_BUNDLE), *more]) == (2 if needed else 0)
    assert (f"{name}: cannot be read (Permission denied)" in capsys.readouterr().err) == needed


# ----------------------------------------------------------------------------- x27: who reads the progress goes away


def test_case_x27_a_launch_goes_on_when_nobody_reads_its_progress(unheard: tuple[Place, int]) -> None:
    made, code = unheard
    assert code == 0
    assert runtime.load(made.runs / "rows" / "bundle").manifest.released


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_case_x27_a_verdict_that_nobody_reads_keeps_its_exit_code(
    unheard: tuple[Place, int], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    with unread() as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["launch", str(unheard[0].spec), "--runs", str(unheard[0].runs), "-q", *words]) == 0


@pytest.mark.parametrize(("words", "code"), [(["verify", str(OLD_BUNDLE)], 0), (["verify", "no such"], 2)])
def test_case_x27_no_command_minds_who_reads(monkeypatch: pytest.MonkeyPatch, words: list[str], code: int) -> None:
    with unread() as out, unread() as errors:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", errors)
        assert main(words) == code


def test_case_x27_a_result_that_does_not_fit_on_the_disk_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.suppress(OSError), open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["inspect", str(OLD_BUNDLE)]) == 2
    assert "disk is full" in capsys.readouterr().err
