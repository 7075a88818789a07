"""Promises of a run's folder: named by the spec, held by one launch, never written over by another spec."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab import spec as specs
from trimtab.bundle import store
from trimtab.errors import TrimtabError
from trimtab.pipeline import run_folder
from trimtab.progress import Quiet
from trimtab.rows import RUN_NOTE


class Heard(Quiet):
    """Keeps the remarks."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def worked(home: Path, maker: Path | None, progress: Quiet | None = None) -> None:
    """A launch that leaves something."""
    with run_folder.held(home, maker, progress or Quiet()):
        (home / "rejected.jsonl").touch()


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Two specs of one data file."""
    found = tmp_path / "trimtab.yaml", tmp_path / "other.yaml"
    for path in found:
        path.write_text("data: rows.csv\noutput: mood\n")
    return found


# --------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("file", "said", "name"),
    [
        ("trimtab.yaml", "data: x/my rows.v2.csv", "my-rows"),
        ("other.yaml", "data: rows.csv", "other"),
        ("big model.v2.yml", "data: rows.csv", "big-model.v2"),
        ("other.yaml", "data: rows.csv\nname: mine", "mine"),
        ("trimtab.yaml", "data: .", "run"),
        ("trimtab.yaml", "data: ../--x.csv", "x"),
    ],
)
def test_a_run_is_named_after_its_spec_where_that_says_something(
    tmp_path: Path, file: str, said: str, name: str
) -> None:
    (tmp_path / file).write_text(f"{said}\noutput: mood\n")
    assert specs.read(tmp_path / file).run_name == name


@pytest.mark.parametrize("name", ["..", ".", ".git", "-x", "a/b", ""])
def test_a_name_that_leaves_the_folder_of_runs_is_refused(name: str) -> None:
    with pytest.raises(TrimtabError, match="name: found"):
        specs.parse({"data": "rows.csv", "output": "mood", "name": name})


# ------------------------------------------------------------------------------------------------------- whose it is


def test_what_one_spec_made_is_not_written_over_by_another(tmp_path: Path, two: tuple[Path, Path]) -> None:
    home = tmp_path / "runs" / "rows"
    worked(home, two[0])
    worked(home, two[0])
    with pytest.raises(TrimtabError, match=r"was made by .*trimtab\.yaml.*\n  do: give this spec a `name`"):
        worked(home, two[1])
    with pytest.raises(TrimtabError, match="was made by"):
        worked(home, None)
    two[0].unlink()
    heard = Heard()
    worked(home, two[1], heard)  # nobody can launch the other one again
    assert "trimtab.yaml" in heard.notes[0]


def test_a_project_that_is_moved_keeps_its_runs(tmp_path: Path, two: tuple[Path, Path]) -> None:
    (tmp_path / "a").mkdir()
    worked(tmp_path / "a" / "runs" / "rows", Path(shutil.copy(two[0], tmp_path / "a" / "trimtab.yaml")))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    heard = Heard()
    worked(tmp_path / "b" / "runs" / "rows", tmp_path / "b" / "trimtab.yaml", heard)
    assert not heard.notes


@pytest.mark.parametrize("garbage", ["", "{", "[]", '{"made_by": 3}'])
def test_a_note_that_cannot_be_read_counts_as_none(tmp_path: Path, two: tuple[Path, Path], garbage: str) -> None:
    worked(tmp_path / "rows", two[0])
    (tmp_path / "rows" / RUN_NOTE).write_text(garbage)
    worked(tmp_path / "rows", two[1])


def test_a_launch_that_fails_at_once_leaves_no_folder(tmp_path: Path, two: tuple[Path, Path]) -> None:
    with pytest.raises(TrimtabError), run_folder.held(tmp_path / "runs" / "rows", two[0], Quiet()):
        raise TrimtabError("no such file")
    assert not (tmp_path / "runs").exists()


# ---------------------------------------------------------------------------------------------------------------- lock


def test_a_kill_lets_the_folder_go(tmp_path: Path, two: tuple[Path, Path]) -> None:
    home = tmp_path / "rows"
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        with run_folder.held(home, two[0], Quiet()):
            os.write(told, b"!")
            signal.pause()
    os.read(ready, 1)
    try:
        with pytest.raises(TrimtabError, match=rf"another launch works here \(pid {child}\)"):
            worked(home, two[0])
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    worked(home, two[0])


@pytest.mark.slow
def test_of_two_launches_at_once_one_works_and_the_other_says_so(tmp_path: Path) -> None:
    spec = tmp_path / "trimtab.yaml"
    rows = "".join(f"{number % 9},{number % 7},{'high' if number % 9 > 4 else 'low'}\n" for number in range(300))
    (tmp_path / "rows.csv").write_text("a,b,level\n" + rows)
    spec.write_text("data: rows.csv\noutput: level\ninputs: {a: number, b: number}\ntrain: {epochs: 2}\n")
    command = [sys.executable, "-m", "trimtab", "launch", str(spec), "--runs", str(tmp_path / "runs"), "--quiet"]
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    (refused,) = [text for process, text in zip(both, said, strict=True) if process.returncode == 2]
    assert "another launch works here (pid" in refused
    assert "Traceback" not in refused
    assert store.read_manifest(tmp_path / "runs" / "rows" / "bundle").released


def test_a_file_system_without_locks_is_worked_on_all_the_same(
    tmp_path: Path, two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(run_folder.fcntl, "flock", none)
    worked(tmp_path / "rows", two[0])
