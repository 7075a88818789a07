"""What is done for many values at once gives what is done for each of them, only faster."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from trimtab import columns, rows, spec
from trimtab.columns import EncodedRows
from trimtab.data import dedup, leaks, read
from trimtab.data.cells import Cells
from trimtab.data.prepare import prepare
from trimtab.data.table import Origin, Table
from trimtab.errors import TrimtabError
from trimtab.pipeline.training import train
from trimtab.progress import Quiet
from trimtab.request import check, encoding
from trimtab.rows import Rejected, Rows, delimited
from trimtab.values import many, parse

few = settings(max_examples=60, derandomize=True, deadline=None, database=None)

WRITTEN = some.sampled_from([
    "1", "-2.50", " 7 ", "1e3", "1e999", "\u0663", "1,5", "1.500,0", "$3", "45%", "NA", "nan", "-", "", "  ", "\n",
    "1\n", "1\n2", "a", "A b", "x.0", "3.0", "-0.0", "[1, 2]", "(a)", "{}", "true", "\ud83d", "STRASSE", "stra\u00dfe",
    "a\0b", "\x1f", "a\x1eb",
])  # fmt: skip
TEXTS = some.one_of(WRITTEN, some.text(max_size=12))
NUMBERS = some.one_of(some.integers(), some.floats(), some.sampled_from([10**400, True, False]))
VALUES = some.one_of(
    some.lists(TEXTS),
    some.lists(some.one_of(TEXTS, some.none())),
    some.lists(some.one_of(some.integers(), some.floats())),
    some.lists(some.one_of(TEXTS, NUMBERS, some.none(), some.builds(parse.Name, TEXTS), some.lists(some.integers()))),
    some.lists(WRITTEN, min_size=1, max_size=4).map(lambda values: values * 300),
)


def number(value: Any, decimal: str) -> float:
    try:
        found = parse.number(value, decimal)
    except ValueError:
        return math.nan
    return math.nan if found is None else found


@few
@given(VALUES, some.sampled_from([".", ","]))
def test_numbers_are_read_as_one_by_one(values: list[Any], decimal: str) -> None:
    expected = np.array([number(value, decimal) for value in values], np.float64)
    for own in (values, Cells.of(values)):
        np.testing.assert_array_equal(many.numbers(own, decimal), expected)


@few
@given(VALUES, some.booleans(), some.sampled_from([(), ("NA",), ("-", "nan")]))
def test_missing_values_are_found_as_one_by_one(values: list[Any], text: bool, names: tuple[str, ...]) -> None:
    expected = [parse.is_missing(value, text, names) for value in values]
    for own in (values, Cells.of(values)):
        assert many.missing(own, text, names).tolist() == expected


@few
@given(VALUES)
def test_names_and_texts_are_those_of_each_value(values: list[Any]) -> None:
    assert many.labels(values) == [parse.label(value) for value in values]
    assert many.read_as_text(values) == [parse.text(value) for value in values]
    assert dedup.all_normalised(values) == [dedup.normalised(value) for value in values]
    expected: dict[str, int] = {}
    for value in values:
        if not parse.is_missing(value):
            expected[parse.label(value)] = expected.get(parse.label(value), 0) + 1
    for own in (values, Cells.of(values)):
        found = many.counted_labels(own)
        assert found == expected
        assert list(found) == list(expected)


@few
@given(some.lists(some.sampled_from(["a", "b", None, "c"]), min_size=1), some.data())
def test_values_that_repeat_are_numbered_as_they_first_appear(values: list[Any], data: some.DataObject) -> None:
    cells = Cells.of(values * 200)
    picked = data.draw(some.lists(some.integers(0, len(cells) - 1), max_size=20))
    view = cells.take(picked)
    for first, numbers in filter(None, [many.numbered(view)]):  # none where too little repeats
        assert first == list(dict.fromkeys(view))
        assert [first[number] for number in numbers] == list(view)
    assert many.each(str, view) == list(map(str, view))


def test_rows_are_equal_by_the_key_that_each_had() -> None:
    values = {"x": ["A  b", "a B", "1.0", "1", None, "[1]"], "y": ["2", " 2.0 ", "u", "u", "", "v"]}
    table = Table(values, [Origin("a.csv", line) for line in range(6)])
    found = dedup.keys(table, {"x": "text", "y": "category"})
    plain = ["\x1f".join(map(dedup.normalised, pair)) for pair in zip(*values.values(), strict=True)]
    assert found.tolist() == [dedup.hashed(text) for text in plain]
    assert found[0] == found[1]
    assert found[2] == found[3]


def test_the_rows_of_a_split_keep_their_keys(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y,label\n" + "".join(f"text {n % 70},{n % 90},c{n % 2}\n" for n in range(200)))
    prepared = prepare(spec.parse({"data": "a.csv", "output": "label"}), tmp_path, Quiet())
    kinds = {name: kind.type for name, kind in prepared.inputs.items()}
    for table in (prepared.splits.train, prepared.splits.valid, prepared.splits.test):
        assert table.keys is not None
        assert table.keys.tolist() == dedup.keys(table, kinds).tolist()
        assert (
            dedup.fingerprints(table, kinds).tolist() == dedup.fingerprints(replace(table, keys=None), kinds).tolist()
        )


def test_near_copies_in_two_parts_are_those_of_each_alone() -> None:
    draw = np.random.default_rng(0)
    train = [" ".join(f"w{word}" for word in draw.integers(0, 50, 8)) for _ in range(200)]
    parts = [
        [f"{text.upper()}!" for text in train[:30]],
        ["nothing like it at all", *train[50:60], "caf\u00e9 " + train[3]],
    ]
    assert leaks.near_in_each(train, parts) == [leaks.near(train, part) for part in parts]
    assert [len(found) for found in leaks.near_in_each(train, parts)] == [30, 11]
    assert leaks.near_in_each(train, [[], parts[1]])[0] == []


CELL = some.one_of(
    some.sampled_from(["", "a", "1", 'a "quoted" cell', "two\nlines", "a,b", "\0", "tail\r\n", "\\"]),
    some.text(max_size=6),
)


@few
@given(
    some.lists(some.lists(CELL, min_size=2, max_size=4), min_size=1, max_size=40), some.booleans(), some.integers(1, 9)
)
def test_blocks_of_a_csv_file_are_its_rows(table: list[list[str]], quoted: bool, lines: int) -> None:
    written = io.StringIO()
    writer = csv.writer(written, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    writer.writerows([["x", " y", "z"], *table])
    raw = written.getvalue().encode("utf-8", "replace") + (b'open "quote' if quoted else b'a,"never closed,\nb,c,d\n')
    compare(raw, lines)


def compare(raw: bytes, lines: int) -> None:
    """Rows one by one and in blocks, what was set aside, and where each stands; or why it is no table."""
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(delimited, "_LINES", lines)
        patch.setattr(delimited, "_PEEKED", 2)
        file = Path(folder) / "rows.csv"
        file.write_bytes(raw)
        assert found(file, in_blocks) == found(file, one_by_one)


def found(file: Path, how: Callable[[Rows], list[tuple[dict[str, Any], int]]]) -> Any:
    """What is read, and what is set aside; the message where nothing can be."""
    aside: list[Rejected] = []
    try:
        return how(rows.read(file, aside.append)), aside
    except TrimtabError as error:
        return str(error)


def one_by_one(source: Rows) -> list[tuple[dict[str, Any], int]]:
    """Rows, with where they stand."""
    return [(row.values, row.line) for row in source]


def in_blocks(source: Rows) -> list[tuple[dict[str, Any], int]]:
    """The same of blocks."""
    return [
        (dict(zip(block.values, cells, strict=True)), line)
        for block in source.blocks()
        for cells, line in zip(zip(*block.values.values(), strict=True), block.lines, strict=True)
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("lines", [1, 3, 1000])
def test_blocks_stand_where_their_rows_do(end: str, lines: int) -> None:
    records = ["x,y", "1,2", "", '3,"a', 'b"', "4", "5,6,,", "7,8,9", '"9",0', 'a"b,c', "10,\0", "11,12"]
    compare(end.join(records).encode(), lines)
    compare((end.join(records) + end + 'x,"y').encode(), lines)


def test_files_of_all_kinds_become_the_table_of_their_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,4\n")
    (tmp_path / "b.jsonl").write_text('{"y": 1, "z": [1]}\n{"x": null}\n{"y": 2.5, "z": "q"}\n')
    loaded = read.load(["a.csv", "b.jsonl"], tmp_path)
    assert {name: list(column) for name, column in loaded.table.values.items()} == {
        "x": ["1", "3", None, None, None],
        "y": ["2", "4", 1, None, 2.5],
        "z": [None, None, [1], None, "q"],
    }
    assert [(origin.file, origin.line) for origin in loaded.table.origins] == [
        ("a.csv", 2), ("a.csv", 3), ("b.jsonl", 1), ("b.jsonl", 2), ("b.jsonl", 3),
    ]  # fmt: skip


def test_very_many_rows_are_held_in_few_bytes_and_give_the_same_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    values: dict[str, list[Any]] = {
        "text": [" ".join(f"w{word}" for word in draw.integers(0, 30, 1 + row % 9)) for row in range(3000)],
        "size": [None if row % 11 == 0 else f"{row % 977}.5" for row in range(3000)],
        "kind": [f"k{row % 20}" for row in range(3000)],
    }
    fitted = [columns.fit(type_name, name, name, values[name], {}) for type_name, name in
              (("text", "text"), ("number", "size"), ("category", "kind"))]  # fmt: skip
    table = Table({name: Cells.of(own) for name, own in values.items()}, [Origin("a.csv", row) for row in range(3000)])
    plain = encoding.encode(fitted, table)
    monkeypatch.setattr(encoding, "_MANY", 100)
    narrow, found = encoding.read(fitted, table)
    assert narrow.nbytes < plain.nbytes / 4
    assert narrow.steps.tolist() == plain.steps.tolist()
    assert narrow.costs.tolist() == plain.costs.tolist()
    picked = draw.permutation(3000)[:200]
    same(narrow, plain, picked)
    same(narrow.take(picked), plain.take(picked), np.arange(200))
    same(narrow.concat(plain), plain.concat(plain), np.concatenate([picked, picked + 3000]))
    assert found.tally.counts == {}


def same(one: EncodedRows, other: EncodedRows, picked: np.ndarray) -> None:
    """The same tensors of the same types."""
    expected = other.batch(picked)
    for name, tensor in one.batch(picked).items():
        assert tensor.dtype == expected[name].dtype
        np.testing.assert_array_equal(tensor, expected[name])


def test_rows_held_in_few_bytes_train_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"word{n % 40} and word{n % 7},{n % 101}.5,k{n % 5},c{n % 2}\n" for n in range(600)]
    (tmp_path / "a.csv").write_text("text,size,kind,label\n" + "".join(lines))
    inputs = {"text": {"type": "text", "encoder": "static", "max_tokens": 8}, "size": "number", "kind": "category"}
    asked = spec.parse({"data": "a.csv", "inputs": inputs, "output": {"label": "label"}, "train": {"epochs": 1}})
    states = []
    for limit in (encoding._MANY, 50):
        monkeypatch.setattr(encoding, "_MANY", limit)
        request = check(asked, tmp_path, tmp_path / f"home-{limit}", Quiet())
        network, _, _ = train(request, tmp_path / f"run-{limit}", Quiet())
        states.append((request.train.nbytes, network.state_dict()))
    (wide, first), (narrow, second) = states
    assert narrow < wide
    assert all((first[name] == second[name]).all() for name in first)
