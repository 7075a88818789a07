"""Files and notes of a run's state: whole or as before, whatever happens; what cannot be read counts as not there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from trimtab import files
from trimtab.compress import teacher
from trimtab.search import candidates
from trimtab.train import checkpoint
from trimtab.train.checkpoint import Position


class Killed(BaseException):
    """Stands for a process that ends at this moment."""


def killed(*_: object, **__: object) -> None:
    raise Killed


@pytest.mark.parametrize("moment", ["touch", "write_text", "chmod", "replace"])
def test_a_write_that_is_killed_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    files.write(tmp_path / "done.json", "old")
    monkeypatch.setattr(Path, moment, killed)
    with pytest.raises(Killed):
        files.write(tmp_path / "done.json", "new, and longer")
    assert (tmp_path / "done.json").read_text() == "old"


@pytest.mark.parametrize("survives", [0, 1, 2])
def test_a_folder_s_swap_that_is_killed_leaves_one_of_the_two_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    """`survives` is how many renames are done before the kill."""
    for name in ("bundle", "staging"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    rename, done = Path.rename, []

    def counted(self: Path, target: Path) -> Path:
        if len(done) == survives:
            raise Killed
        done.append(target)
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", counted)
        patch.setattr(files, "recover", lambda final: None if not done else killed())
        with pytest.raises(Killed):
            files.swap(tmp_path / "staging", tmp_path / "bundle")
    files.recover(tmp_path / "bundle")
    assert (tmp_path / "bundle" / "file").read_text() == ("staging" if survives == 2 else "bundle")
    assert not files.old(tmp_path / "bundle").exists()


def test_a_file_gets_the_mode_of_the_umask_whatever_wrote_it(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with files.aside(tmp_path / "weights") as place:
            place.unlink()
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    assert (tmp_path / "weights").stat().st_mode & 0o777 == 0o640


# ----------------------------------------------------------------------------------------------- notes of a run's state


@pytest.mark.parametrize("garbage", [b"", b"{", b"\xff\x00", b"[]", b'{"epoch": 1, "unknown": 2}'])
def test_a_checkpoint_that_cannot_be_read_counts_as_not_there(tmp_path: Path, garbage: bytes) -> None:
    checkpoint.write(tmp_path, "last", {"a": torch.ones(2)}, {"b": torch.ones(2)}, Position(epoch=3))
    assert checkpoint.read(tmp_path, "last")[2].epoch == 3
    for name in ("position.json", "states.pt", "weights.safetensors"):
        whole = (tmp_path / "last" / name).read_bytes()
        (tmp_path / "last" / name).write_bytes(garbage)
        assert checkpoint.read(tmp_path, "last") is None, name
        (tmp_path / "last" / name).write_bytes(whole)
    assert checkpoint.read(tmp_path, "last") is not None


@pytest.mark.parametrize("garbage", [b"", b"{", b"PK\x03\x04 and no more", b"\x93NUMPY"])
def test_answers_that_cannot_be_read_are_asked_again(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "teacher.npz"
    np.savez(path, key=np.array("k"), all=np.ones((2, 3)))
    outputs, vectors = teacher._kept(path, "k")
    assert outputs.shape == (2, 3)
    assert vectors is None
    assert teacher._kept(path, "another") is None
    path.write_bytes(garbage)
    assert teacher._kept(path, "k") is None


@pytest.mark.parametrize("garbage", ["", "{", "[]", '{"key": "k"}', '{"key": "k", "point": {"name": 1}}'])
def test_a_candidate_s_note_that_cannot_be_read_counts_as_not_there(tmp_path: Path, garbage: str) -> None:
    (tmp_path / "point.json").write_text(garbage)
    assert candidates.read(tmp_path) is None
    assert candidates.kept(tmp_path, "k") is None


def test_a_note_with_half_a_character_is_still_json(tmp_path: Path) -> None:
    files.write(tmp_path / "rejected.jsonl", json.dumps({"text": "a\udc80"}, ensure_ascii=False))
    assert json.loads((tmp_path / "rejected.jsonl").read_text(encoding="utf-8")) == {"text": "a\udc80"}
