"""What reading and writing rows promises: every dialect that people have, nothing lost, nothing half-written."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import pickle
import sys
import threading
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab import rows
from trimtab.errors import TrimtabError
from trimtab.rows import _opening, jsonlines

TABLE = [{"review": "Très bon, vraiment", "price": "1,5"}, {"review": 'said "no"\nand left', "price": ""}]


def everything(source: Path | str, **options: Any) -> tuple[list[rows.Row], list[rows.Rejected], list[str]]:
    rejected: list[rows.Rejected] = []
    notes: list[str] = []
    found = list(rows.read(source, rejected.append, note=notes.append, **options))
    return found, rejected, notes


def values(source: Path | str, **options: Any) -> list[dict[str, Any]]:
    return [row.values for row in everything(source, **options)[0]]


def csv_bytes(table: list[dict[str, str]], encoding: str = "utf-8", **dialect: Any) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(table[0]), **dialect)
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue().encode(encoding)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
def test_a_csv_of_any_delimiter_line_end_and_encoding_gives_the_same_rows(
    tmp_path: Path, delimiter: str, line_end: str, encoding: str
) -> None:
    file = tmp_path / "data.csv"
    file.write_bytes(csv_bytes(TABLE, encoding, delimiter=delimiter, lineterminator=line_end))
    assert values(file) == TABLE


def test_a_guessed_encoding_is_said(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_bytes(csv_bytes(TABLE, "cp1252"))
    assert "Windows-1252" in everything(file)[2][0]


def test_chinese_in_its_national_encoding_is_read(tmp_path: Path) -> None:
    table = [
        {"text": "距离川沙公路较近,但是公交指示不对", "label": "1"},
        {"text": "商务大床房，房间很大", "label": "0"},
    ]
    file = tmp_path / "data.csv"
    file.write_bytes(csv_bytes(table, "gb18030"))
    found, _, notes = everything(file)
    assert [row.values for row in found] == table
    assert "GB 18030" in notes[0]


def test_one_bad_byte_far_down_costs_no_other_row_its_letters(tmp_path: Path) -> None:
    lines = ["text,n"] + [f"naïve {n},{n}" for n in range(40_000)]
    file = tmp_path / "data.csv"
    file.write_bytes("\n".join(lines).encode() + b"\ncaf\xe9,last\n")
    found = values(file)
    assert found[39_999] == {"text": "naïve 39999", "n": "39999"}
    assert found[40_000] == {"text": "café", "n": "last"}


def test_cells_are_never_guessed_at(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("a,b,c,d\n007,NA,True, 1.50\n")
    assert values(file) == [{"a": "007", "b": "NA", "c": "True", "d": " 1.50"}]


def test_line_numbers_are_physical_lines_where_the_row_begins(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text('\ntext,n\n"two\nlines",1\n\n   \nthree,2\n', newline="")
    assert [row.line for row in everything(file)[0]] == [3, 7]


def test_rows_of_another_width_are_set_aside_with_line_and_reason(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("a,b\n1,2\n3\n4,5,6\n7,8,,\n9,\0\n10,11\n")
    found, rejected, _ = everything(file)
    assert [row.values["a"] for row in found] == ["1", "7", "10"]
    assert [(row.line, row.reason) for row in rejected] == [
        (3, "1 cell, the header has 2"),
        (4, "3 cells, the header has 2"),
        (6, "holds a NUL byte"),
    ]
    assert rejected[1].text == "4,5,6"


def test_a_quote_that_never_closes_costs_its_own_line_only(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text('text,n\n"good",1\n"bad,2\n' + "".join(f"row,{n}\n" for n in range(3, 20_000)))
    found, rejected, _ = everything(file)
    assert [row.values["n"] for row in found] == ["1", *(str(n) for n in range(2, 20_000))]
    assert rejected == []
    assert [row.line for row in found[:4]] == [2, 3, 4, 5]


def test_inches_in_a_tab_separated_file_swallow_no_rows(tmp_path: Path) -> None:
    file = tmp_path / "data.tsv"
    file.write_text('text\tn\n"nice\t1\nplain\t2\nthat"\t3\n"all quoted"\t4\n')
    assert [row["n"] for row in values(file)] == ["1", "2", "3", "4"]
    assert values(file)[3]["text"] == "all quoted"


def test_dialect_marks_are_honoured(tmp_path: Path) -> None:
    excel = tmp_path / "excel.csv"
    excel.write_text("sep=;\na;b\n1,5;x\n")
    spaced = tmp_path / "spaced.csv"
    spaced.write_text('a, b\n1, "x, y"\n')
    escaped = tmp_path / "escaped.csv"
    escaped.write_text('a,b\n"say \\"hi, you\\"",1\n"x",2\n')
    assert values(excel) == [{"a": "1,5", "b": "x"}]
    assert values(spaced) == [{"a": "1", "b": "x, y"}]
    assert values(escaped)[0] == {"a": 'say "hi, you"', "b": "1"}


def test_one_column_of_prose_with_commas_is_one_column(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("review\nGood, really, good\nbad\n")
    assert values(file) == [{"review": "Good, really, good"}, {"review": "bad"}]


def test_a_cell_of_a_megabyte_is_read(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("text,n\n" + "x" * 1_000_000 + ",1\n")
    assert len(values(file)[0]["text"]) == 1_000_000


def test_nameless_columns_are_named_and_twins_refused(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text(",text\n0,a\n")
    found, _, notes = everything(file)
    assert found[0].values == {"column_1": "0", "text": "a"}
    assert "column 1 has no name" in notes[0]
    file.write_text("label,text,label\n0,a,1\n")
    with pytest.raises(TrimtabError, match=r"two columns are named 'label' \(columns 1 and 3\)"):
        everything(file)


def test_columns_are_known_before_the_first_row(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("a,b\n")
    found = rows.read(file, lambda row: None)
    assert found.names == ("a", "b")
    assert list(found) == []


# ------------------------------------------------------------------------------------------------------- JSON

OBJECTS = [{"text": "héllo", "n": 1, "ok": True, "none": None}, {"text": "x", "list": [1, 2]}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", "\n".join(json.dumps(o) for o in OBJECTS)),
        ("a.ndjson", "\ufeff" + "\n\n".join(json.dumps(o, ensure_ascii=False) for o in OBJECTS) + "\n"),
        ("a.json", json.dumps(OBJECTS)),
        ("a.json", json.dumps(OBJECTS, indent=2)),
        ("a.json", "\n".join(json.dumps(o) for o in OBJECTS)),
        ("a.json", "\n".join(json.dumps(o, indent=1) for o in OBJECTS)),
        ("a.jsonl", json.dumps(OBJECTS, indent=2)),
        ("a.txt", json.dumps(OBJECTS[0]) + "\n" + json.dumps(OBJECTS[1])),
    ],
)
def test_json_values_stay_what_they_are(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert values(tmp_path / name) == OBJECTS


def test_lines_that_are_no_objects_are_set_aside(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"a": 1}\n{"a": \n[1]\n{"a": "\\ud800"}\n{"a": 2}\n')
    found, rejected, _ = everything(file)
    assert [(row.line, row.values["a"]) for row in found] == [(1, 1), (5, 2)]
    assert [(row.line, row.reason.split(":")[0].split(",")[0]) for row in rejected] == [
        (2, "not JSON"),
        (3, "found [1]"),
        (4, "holds half of a surrogate pair"),
    ]


def test_objects_of_an_array_know_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(OBJECTS, indent=2))
    assert [row.line for row in everything(file)[0]] == [2, 8]


def test_an_array_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('[\n{"a": 1},\n{"a": 2}\n')
    with pytest.raises(TrimtabError, match="cut off"):
        everything(file)


# -------------------------------------------------------------------------------------------- files and stdin


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv", "a.jsonl", "a.jsonl.gz", "a.json", "a.parquet"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    format = name.removesuffix(".gz").rpartition(".")[2]
    with rows.writer(tmp_path / name, format, ["review", "price"]) as sink:
        for row in TABLE:
            sink.write([row])
    assert values(tmp_path / name) == TABLE
    assert [path.name for path in tmp_path.iterdir()] == [name]


# Pieces that readers and writers of csv have fallen over, between any characters but control characters.
PIECES = (
    "\r",
    "\n",
    "\r\n",
    "\t",
    ",",
    ";",
    "|",
    '"',
    '""',
    '\\"',
    "\\",
    " ",
    "\u2028",
    "\x85",
    "\x0b",
    "\ufeff",
    "=1+1",
)
CELLS = st.one_of(
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12),
    st.lists(st.sampled_from([*PIECES, "a", "é", "1.5", "NA"]), max_size=10).map("".join),
)
TABLES = st.integers(1, 3).flatmap(lambda width: st.lists(st.tuples(*[CELLS] * width), min_size=1, max_size=4))


@settings(max_examples=100, deadline=None)
@given(TABLES, st.sampled_from(["csv", "tsv", "jsonl", "json", "parquet"]))
def test_any_cell_comes_back_from_any_format(tmp_path_factory: pytest.TempPathFactory, cells: Any, format: str) -> None:
    names = ("text", "b b", "c")[: len(cells[0])]
    table = [dict(zip(names, row, strict=True)) for row in cells]
    file = tmp_path_factory.getbasetemp() / f"any.{format}"
    with rows.writer(file, format, names) as sink:
        sink.write(table)
    found, rejected, _ = everything(file)
    assert [row.values for row in found] == table, file.read_bytes()
    assert rejected == []


@settings(max_examples=100, deadline=None)
@given(TABLES, st.sampled_from([("csv", ","), ("tsv", "\t")]))
def test_the_standard_library_reads_what_is_written(
    tmp_path_factory: pytest.TempPathFactory, cells: Any, dialect: tuple[str, str]
) -> None:
    names = ("text", "b b", "c")[: len(cells[0])]
    table = [dict(zip(names, row, strict=True)) for row in cells]
    file = tmp_path_factory.getbasetemp() / "std.csv"
    with rows.writer(file, dialect[0], names) as sink:
        sink.write(table)
    text = io.StringIO(file.read_bytes().decode(), newline="")
    assert list(csv.DictReader(text, delimiter=dialect[1])) == table


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("cell", ["x" * 200_000, 'said "' + "x" * 200_000 + '"\nand, left'])
def test_a_long_cell_is_read_without_a_word_to_other_users_of_the_parser(
    tmp_path: Path, cell: str, quoting: Any
) -> None:
    table = [{"text": "short", "n": "1"}, {"text": cell, "n": "2"}, {"text": "short again", "n": "3"}]
    file = tmp_path / "long.csv"
    file.write_bytes(csv_bytes(table, quoting=quoting))
    limit = csv.field_size_limit()
    assert values(file) == table
    assert csv.field_size_limit() == limit == 131_072


def test_kinds_that_parquet_cannot_mix_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrimtabError, match="jsonl"), rows.writer(tmp_path / "o.parquet", "parquet", ["a"]) as sink:
        sink.write([{"a": [1]}, {"a": "x"}])


def test_parquet_rows_come_in_order_and_widen_where_parts_differ(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    with rows.writer(file, "parquet", ["n", "x"]) as sink:
        sink.write([{"n": n, "x": None} for n in range(5000)])
        sink.write([{"n": n + 0.5, "x": "late"} for n in range(5000, 10_000)])
    found = everything(file)[0]
    assert [row.line for row in found] == list(range(1, 10_001))
    assert found[0].values == {"n": 0.0, "x": None}
    assert found[-1].values == {"n": 9999.5, "x": "late"}


def test_times_in_parquet_become_text(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pl.DataFrame({"day": ["2024-02-03"], "n": [1]}).with_columns(pl.col("day").str.to_date()).write_parquet(file)
    assert values(file) == [{"day": "2024-02-03", "n": 1}]


class Pipe(io.RawIOBase):
    """A pipe that gives a few bytes at a time and cannot be rewound."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part, self._data = self._data[:7], self._data[7:]
        buffer[: len(part)] = part
        return len(part)


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (csv_bytes(TABLE), "csv"),
        (csv_bytes(TABLE, delimiter=";"), "csv"),
        (gzip.compress(csv_bytes(TABLE)), "csv"),
        ("\n".join(json.dumps(row) for row in TABLE).encode(), "json"),
        (json.dumps(TABLE).encode(), "json"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_stdin_is_told_by_its_first_bytes(monkeypatch: pytest.MonkeyPatch, data: bytes, format: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Pipe(data))))
    found = rows.read("-", lambda row: None)
    assert found.format == format
    assert [row.values for row in found] == TABLE


def test_rows_are_read_one_by_one_from_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first row is there before the second line was sent: a file larger than memory needs no memory."""

    def endless() -> Any:
        yield b"a,b\n"
        for n in range(10**9):
            yield b"%d,x\n" % n

    class Endless(Pipe):
        def __init__(self) -> None:
            self._lines = endless()
            self._data = b""

        def readinto(self, buffer: Any) -> int:
            self._data = self._data or next(self._lines)
            return super().readinto(buffer)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Endless())))
    found = rows.read("-", lambda row: None)
    assert [next(found).values["a"] for _ in range(3)] == ["0", "1", "2"]


def excel_bytes() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"\n \n\t\n", "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (gzip.compress(b""), "the file is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image"),
        (excel_bytes(), "an Excel workbook"),
        (b"PK\x03\x04 something else", "a zip archive"),
        (pickle.dumps({"a": 1}), "a Python pickle"),
        (b"\x93NUMPY\x01\0", "a NumPy array"),
        (bytes(range(256)) * 4, "binary data"),
        (b"a,b\n\0\0\0\0\0\0\0\0", "binary data"),
        (gzip.compress(b"a,b\n1,2\n" * 99)[:30], "damaged gzip"),
        (gzip.compress(csv_bytes(TABLE * 40_000), 1)[:-2000], "damaged gzip"),
        (b"PAR1 and then nonsense", "damaged parquet"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_is_no_table_is_named_for_what_it_is(tmp_path: Path, data: bytes, message: str) -> None:
    file = tmp_path / "data.csv"
    file.write_bytes(data)
    with pytest.raises(TrimtabError, match=message):
        everything(file)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("start", [b"text,label\n", b'{"text": "', b"["])
def test_a_line_without_an_end_takes_little_memory_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: bytes, packed: bool
) -> None:
    monkeypatch.setattr(_opening, "LONGEST", 1 << 20)
    monkeypatch.setattr(_opening, "HEAD", 1 << 14)
    monkeypatch.setattr(jsonlines, "MOST_DOCUMENT", 1 << 20)
    file = tmp_path / f"endless.{'csv' if start.startswith(b't') else 'json'}{'.gz' if packed else ''}"
    with (gzip.open if packed else open)(file, "wb") as stream:
        stream.write(start + b"word " * 6_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(TrimtabError, match="more than 1,048,576 characters"):
            everything(file)
        assert tracemalloc.get_traced_memory()[1] < 15e6
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_is_named_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_opening, "_BOMB", (1 << 16, 200))
    file = tmp_path / "bomb.csv.gz"
    file.write_bytes(gzip.compress(b"text,label\n" + (b"a" * 10_000 + b",1\n") * 500))
    with pytest.raises(TrimtabError, match=r"unpacks to more than \d MB from 0\.0 MB"):
        everything(file)
    table = "".join(f"{n * n},{n}\n" for n in range(1, 10_000)).encode()
    file.write_bytes(gzip.compress(b"a,b\n" + table, 1))
    assert len(everything(file)[0]) == 9_999


def test_a_pipe_is_no_data_for_training_but_can_be_answered(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with pytest.raises(TrimtabError, match="is a pipe or a device"):
        rows.find(["pipe.csv"], tmp_path)
    with pytest.raises(TrimtabError, match="is a pipe or a device"):
        rows.find(["/dev/null"], tmp_path)
    writer = threading.Thread(target=lambda: pipe.write_text("a,b\n1,2\n"))
    writer.start()
    assert values(pipe) == [{"a": "1", "b": "2"}]
    writer.join()


def test_a_file_that_is_not_there_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("a\n1\n")
    with pytest.raises(TrimtabError, match=r"no such file[\s\S]*did you mean 'reviews.csv'"):
        everything(tmp_path / "review.csv")
    with pytest.raises(TrimtabError, match="is a folder"):
        everything(tmp_path)
    with pytest.raises(TrimtabError, match=r"no format named 'jsonlines'"):
        everything(tmp_path / "reviews.csv", format="jsonlines")


def test_find_takes_names_and_globs_once_each_in_order(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "c[1].csv"):
        (tmp_path / name).write_text("x\n1\n")
    found = rows.find(["c[1].csv", "*.csv", "a.csv"], tmp_path)
    assert [path.name for path in found] == ["c[1].csv", "a.csv", "b.csv"]
    with pytest.raises(TrimtabError, match=r"no such file[\s\S]*did you mean 'a.csv'"):
        rows.find(["aa.csv"], tmp_path)
    with pytest.raises(TrimtabError, match="is a folder"):
        rows.find(["."], tmp_path)


# --------------------------------------------------------------------------------------------------- writing


def test_an_interrupted_writer_leaves_what_stood_there(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_text("before\n")

    def interrupted() -> None:
        with rows.writer(file, "csv", ["a"]) as sink:
            sink.write([{"a": 1}])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.read_text() == "before\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize(
    ("format", "written"), [("csv", b"a,b\n"), ("tsv", b"a\tb\n"), ("jsonl", b""), ("json", b"[]\n")]
)
def test_no_rows_make_a_whole_file_all_the_same(tmp_path: Path, format: str, written: bytes) -> None:
    with rows.writer(tmp_path / "out", format, ["a", "b"]):
        pass
    assert (tmp_path / "out").read_bytes() == written


def test_no_rows_make_a_parquet_file_with_its_columns(tmp_path: Path) -> None:
    with rows.writer(tmp_path / "out", "parquet", ["a", "b"]):
        pass
    assert rows.read(tmp_path / "out", lambda row: None).names == ("a", "b")


def test_a_column_that_comes_too_late_for_a_csv_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrimtabError, match="'b'"), rows.writer(tmp_path / "o.csv", "csv", ["a"]) as sink:
        sink.write([{"a": 1, "b": 2}])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_full_disk_is_a_clear_error() -> None:
    with pytest.raises(TrimtabError, match="the disk is full"), rows.writer("/dev/full", "csv", ["a"]) as sink:
        sink.write([{"a": n} for n in range(100_000)])


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(TrimtabError, match=r"no folder[\s\S]*mkdir -p"), rows.writer(tmp_path / "x/o.csv", "csv", []):
        pass
