"""Mistakes in specs and odd data of the newer kinds: one clear message, never a traceback or a silent wrong number."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
from PIL import Image
from places import write_rows

from trimtab import rows
from trimtab.columns import _files
from trimtab.columns.ranking import RankingColumn
from trimtab.data import infer
from trimtab.data.prepare import Prepared, prepare
from trimtab.data.profile import profile
from trimtab.errors import TrimtabError
from trimtab.progress import Quiet
from trimtab.rows import Row
from trimtab.runtime import histories
from trimtab.spec import parse

TABLE: list[dict[str, Any]] = [{"x": i / 7, "a": i % 2, "b": int(i % 3 == 0), "z": "hi"} for i in range(40)]
EVENTS: list[dict[str, Any]] = [
    {"user": f"u{u}", "item": f"i{(u + t) % 7}", "time": 100 * u + t} for u in range(12) for t in range(5)
]


def prepared(folder: Path, table: list[dict[str, Any]], **spec: Any) -> Prepared:
    write_rows(folder / "rows.csv", table)
    return prepare(parse({"data": "rows.csv", **spec}), folder, Quiet())


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 6, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


# ------------------------------------------------------------------------------------------- outputs of several columns


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"inputs": {"x": "number", "a": "number"}}, r"inputs\.a: 'a' is also the output"),
        ({"output": {"tasks": {"type": "labels", "columns": ["a", "a"]}}}, "'a' is named twice"),
        ({"output": {"tasks": {"type": "labels", "columns": "a"}}}, r"allowed: a list of columns: \[a\]"),
        ({"split": "b"}, "'b' is also the output"),
        # The answers would be put where the input stands.
        ({"output": {"x": {"type": "labels", "columns": ["a", "b"]}}, "inputs": {"x": "number"}}, "also the output"),
    ],
)
def test_an_output_of_several_columns_shares_none_with_another_role(tmp_path: Path, spec, said: str) -> None:
    with pytest.raises(TrimtabError, match=said):
        prepared(tmp_path, TABLE, **{"output": {"tasks": {"type": "labels", "columns": ["a", "b"]}}, **spec})


@pytest.mark.parametrize("output", [{"z": "labels"}, {"tasks": {"type": "labels", "columns": ["z"]}}])
def test_labels_that_are_the_same_in_every_row_are_refused(tmp_path: Path, output) -> None:
    table = [{**row, "z": 1} for row in TABLE]
    with pytest.raises(TrimtabError, match="one answer only: all 40 rows are"):
        prepared(tmp_path, table, inputs={"x": "number"}, output=output)


def test_labels_with_an_unknown_mark_between_them_are_remarked_on(tmp_path: Path) -> None:
    def notes(mark: str) -> str:
        table = [{**row, "z": f"n{row['a']}{mark}m{row['b']}"} for row in TABLE]
        return "; ".join(prepared(tmp_path, table, inputs={"x": "number"}, output={"z": "labels"}).report["notes"])

    assert "no row has more than one label" in notes("/")
    assert "no row has more than one label" not in notes(";")


def test_a_class_of_which_nothing_is_known_is_refused(tmp_path: Path) -> None:
    table = [{**row, "b": ""} for row in TABLE]
    with pytest.raises(TrimtabError, match="no training row has a value of 'b'"):
        prepared(tmp_path, table, inputs={"x": "number"}, output={"tasks": {"type": "labels", "columns": ["a", "b"]}})


def test_empty_labels_that_say_nothing_are_told_where_one_answer_is_left(tmp_path: Path) -> None:
    table = [{**row, "z": "hi" if row["a"] else ""} for row in TABLE]
    with pytest.raises(TrimtabError, match=r"one answer only: all 20 rows are 'hi'; set aside: z: no value 20"):
        prepared(tmp_path, table, inputs={"x": "number"}, output={"z": "labels"})
    kept = prepared(tmp_path, table, inputs={"x": "number"}, output={"z": {"type": "labels", "empty": "none"}})
    assert sum(kept.report["rows"].values()) == 40


# -------------------------------------------------------------------------------------------------------------- reasons


def test_reasons_are_told_with_their_column_and_without_particulars(tmp_path: Path) -> None:
    table = [{**row, "photo": f"{i}.png"} for i, row in enumerate(TABLE)]
    for i in range(20):
        (tmp_path / f"{i}.png").write_bytes(picture(i))
    found = prepared(tmp_path, table, inputs={"photo": "image"}, output={"a": "label"}).report["rejected"]
    assert found == {"photo: no such file": 20}
    with pytest.raises(TrimtabError, match=r"tasks: x is '0\.\d+', not 0 or 1 \(and 37 others like it\) 38"):
        prepared(tmp_path, TABLE, inputs={"z": "text"}, output={"tasks": {"type": "labels", "columns": ["x"]}})


# --------------------------------------------------------------------------------------------------------------- events


@pytest.mark.parametrize(
    ("asked", "table", "said"),
    [
        ({"user": "item"}, EVENTS, "'item' is named twice"),
        ({"user": "user", "time": "user"}, EVENTS, "'user' is named twice"),
        ({"user": "user"}, [event for event in EVENTS if event["time"] % 100 == 0] * 2, "cannot be cut by time"),
        ({"user": "user", "time": "time"}, [{**e, "time": "soon"} for e in EVENTS], "a time is a number, or a date"),
        ({"user": "user", "min_count": 500}, EVENTS, r"found 0 items with 500 events or more\n  allowed: [^\n]*$"),
    ],
)
def test_events_that_cannot_be_learned_from_are_refused_before_training(tmp_path: Path, asked, table, said) -> None:
    with pytest.raises(TrimtabError, match=said):
        prepared(tmp_path, table, output={"item": {"type": "ranking", **asked}})


@pytest.mark.parametrize("steps", ["many", 0])
def test_the_options_of_a_history_of_events_are_checked(tmp_path: Path, steps) -> None:
    inputs = {"past": {"type": "history", "max_steps": steps}}
    with pytest.raises(TrimtabError, match=r"column 'past' \(history\): max_steps"):
        prepared(tmp_path, EVENTS, inputs=inputs, output={"item": {"type": "ranking", "user": "user"}})


class _Served:
    """What the command line asks of a bundle that was made from events."""

    output = RankingColumn("item", "item", ("i1", "i2"), user="user", time="time")
    inputs = (type("Input", (), {"type": "history", "name": "past"})(),)


def events(*listed: dict[str, Any]) -> rows.Rows:
    return rows.Rows("csv", tuple(listed[0]), iter([Row(values, line) for line, values in enumerate(listed, 2)]))


def test_events_are_evaluated_on_the_last_of_each_user() -> None:
    said: list[str] = []
    given = events(
        {"user": "u", "item": "i2", "time": 9},
        {"user": "u", "item": "i1", "time": 1},
        {"user": "", "item": "i1", "time": 2},
        {"user": "v", "item": "i1", "time": 3},
    )
    found = [row.values for row in histories.measured(_Served(), given, said.append)]  # type: ignore[arg-type]
    assert found == [{"user": "u", "item": "i2", "past": ["i1"]}, {"user": "v", "item": "i1", "past": []}]
    assert "1 events without a user are left out" in said


def test_events_without_their_time_are_refused_when_served() -> None:
    for asked in (histories.gathered, histories.measured):
        with pytest.raises(TrimtabError, match="nor 'time', which says in which order"):
            asked(_Served(), events({"user": "u", "item": "i1"}), lambda text: None)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------------- files


def test_bytes_and_uris_are_known_for_what_they_are() -> None:
    content = picture(0)
    for values in ([content] * 3, [{"bytes": content, "path": None}] * 3, [{"bytes": None, "path": "a.png"}] * 3):
        assert infer.input_type("photo", values).type == "image"
    assert infer.input_type("photo", ["data:image/png;base64,iVBORw0KGgo="] * 3).type == "image"
    assert infer.input_type("clip", [b"RIFF\0\0\0\0WAVEfmt "] * 3).type == "audio"
    assert infer.input_type("clip", [{"array": [0.0], "sampling_rate": 8000}] * 3).type == "audio"
    assert infer.input_type("blob", [b"\x01\x02", b"\x03\x04"]).type == "ignore"


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_bytes_are_written_such_that_they_can_be_read_again(tmp_path: Path, format: str) -> None:
    content, target = picture(1), tmp_path / f"answers.{format}"
    with rows.writer(target, format, ("photo",)) as sink:
        sink.write([{"photo": content}])
    (row,) = rows.read(target, lambda bad: None)
    with _files.opened(row.values["photo"]) as stream:
        assert stream.read() == content


def test_parquet_with_pictures_is_prepared_without_naming_types(tmp_path: Path) -> None:
    photos = [{"bytes": picture(i), "path": f"{i}.png"} for i in range(30)]
    polars.DataFrame({"photo": photos, "kind": ["a", "b"] * 15}).write_parquet(tmp_path / "rows.parquet")
    found = prepare(parse({"data": "rows.parquet", "output": "kind"}), tmp_path, Quiet())
    assert found.inputs["photo"].type == "image"


def test_a_profile_reads_paths_beside_their_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for i in range(12):
        (tmp_path / "data" / f"{i}.png").write_bytes(picture(i))
    write_rows(tmp_path / "data" / "rows.csv", [{"photo": f"{i}.png", "kind": "ab"[i % 2]} for i in range(12)])
    found = profile(["data/rows.csv"], tmp_path)
    assert (found.repeated, found.conflicts) == (0, 0)
