"""Small inputs that went wrong for users of other tools, or of this one: each ends as a sensible tool ends it.

One section for each case; the tests of a section are called `test_case_<number>_...`.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import sys
from collections import UserDict
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
import tiny_bundle
import torch
from PIL import Image
from places import place
from rich.table import Table
from tiny_bundle import ROWS, build

from trimtab import columns, rows, runtime
from trimtab.__main__ import main
from trimtab.cli import _view
from trimtab.columns import parse
from trimtab.errors import TrimtabError
from trimtab.pipeline import run_folder
from trimtab.progress import Quiet
from trimtab.rows import Rejected

CASES = (
    "01", "03", "05", "06", "07", "08", "09", "10", "12", "13", "15", "17", "19", "21",
    "x02", "x05", "x06", "x07", "x10", "x11", "x12", "x14", "x17", "x18", "x21", "x22", "x25", "x26", "x27",
)  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> runtime.Model:
    """A small bundle that reads a text, a number and a category."""
    return runtime.load(build(tmp_path_factory.mktemp("tiny")), threads=1)


def test_every_case_has_a_test() -> None:
    tests = [name for name in globals() if name.startswith("test_case_")]
    assert not [case for case in CASES if not any(name.startswith(f"test_case_{case}_") for name in tests)]


# ------------------------------------------------------------------------- 01: a word for 'no value' that is a class


# ----------------------------------------------------------------------------------- 03: lists as Python writes them


# ---------------------------------------------------------------------------------- 05: dots in the names of columns


# ----------------------------------------------------------------------------- 06: rows to predict in another format


# ------------------------------------------------------------------------------------------- 07: saved index columns


# ----------------------------------------------------------------------------------------------------- 08: encodings


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


# ----------------------------------------------------------------------------------- 12: classes that training lacks


# ---------------------------------------------------------------------------------------- 13: money as it is written


# ------------------------------------------------------------------------------- 15: texts that the base cannot read


# ----------------------------------------------------------------------------------------------- 17: layouts of JSON


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


# ----------------------------------------------------------------------------------------- x05: runs inside the data


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


# -------------------------------------------------------------------------------------------- x10: moments of events


# -------------------------------------------------------------- x11: lists of tags, labels and events as Python text


# -------------------------------------------------------------------------------------------------- x12: tag schemes


# ------------------------------------------------------------------------ x14: int8 answers and the rows beside them


# ----------------------------------------------------------------------------------------- x17: two launches at once


OLD_BUNDLE = Path(__file__).parent / "fixtures" / "format-1" / "bundle"


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
    assert [parse.text(value) for value in (_NoNumber(), np.datetime64("NaT"), b"late", "")] == ["", "", "late", ""]


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


# ----------------------------------------------------------------------------- x27: who reads the progress goes away
