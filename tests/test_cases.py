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
from pathlib import Path

import pytest
import tiny_bundle
from rich.table import Table

from trimtab import rows
from trimtab.cli import _view
from trimtab.rows import Rejected

CASES = (
    "01", "03", "05", "06", "07", "08", "09", "10", "12", "13", "15", "17", "19", "21",
    "x02", "x05", "x06", "x07", "x10", "x11", "x12", "x14", "x17", "x18", "x21", "x22", "x25", "x26", "x27",
)  # fmt: skip


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


# ----------------------------------------------------------------------------------------- x05: runs inside the data


# ----------------------------------------------------------------------------------- x06: values that are no picture


# ------------------------------------------------------------------------------------------- x07: a folder called NA


# -------------------------------------------------------------------------------------------- x10: moments of events


# -------------------------------------------------------------- x11: lists of tags, labels and events as Python text


# -------------------------------------------------------------------------------------------------- x12: tag schemes


# ------------------------------------------------------------------------ x14: int8 answers and the rows beside them


# ----------------------------------------------------------------------------------------- x17: two launches at once


# --------------------------------------------------------------------------------------- x18: nothing may be written


# --------------------------------------------------------------------------------------------- x21: values of Python


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
