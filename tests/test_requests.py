"""Bad requests: one clear message, exit code 2, nothing half-written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import places
import pytest
import yaml
from places import BLOCK, Place, write_rows
from safetensors import SafetensorError

from trimtab.__main__ import main


def spoilt(given: dict[str, object], **changes: object) -> dict[str, object]:
    return {key: value for key, value in {**given, **changes}.items() if value is not None}


GOOD: dict[str, object] = {"data": "rows.csv", "output": "sentiment"}
BAD = {
    "no such file": (spoilt(GOOD, data="nothing.csv"), "nothing.csv"),
    "empty file": (spoilt(GOOD, data="empty.csv"), "empty"),
    "binary file": (spoilt(GOOD, data="photo.csv"), "PNG"),
    "no such column": (spoilt(GOOD, output="sentimnet"), "did you mean 'sentiment'"),
    "one class only": (spoilt(GOOD, data="one.csv"), "class"),
    "all rows rejected": (spoilt(GOOD, data="blank.csv"), "sentiment"),
    "unknown key": (spoilt(GOOD, epochs=3), "no key named 'epochs'"),
    "a key called like a type": (spoilt(GOOD, Typed=3), "no key named 'Typed'"),
    "a column called like a type": (
        spoilt(GOOD, inputs={"str": {"max_tokens": 3}}),
        "inputs.str.type: this key is needed",
    ),
    "unknown key of a mapping": (spoilt(GOOD, compress={"minute": 3}), "trimtab.yaml:2: compress.minute: no key"),
    "bad value by a former key": (spoilt(GOOD, train={"average": 2}), "trimtab.yaml:4: train.average: found 2"),
    "shares that leave nothing": (spoilt(GOOD, split={"valid": 0.5, "test": 0.5}), "valid + test must leave"),
    "unknown gate": (spoilt(GOOD, gates={"acuracy": ">= 0.9"}), "did you mean 'accuracy'"),
    "bad unit": (spoilt(GOOD, gates={"size": "<= 3 apples"}), "apples"),
    "gate of another task": (spoilt(GOOD, gates={"rmse": "<= 3"}), "rmse"),
    "recall of no class": (spoilt(GOOD, gates={"recall.postive": ">= 0.5"}), "positive"),
    "no such base": (spoilt(GOOD, base="./nowhere"), "no such folder"),
    "unreadable model folder": (spoilt(GOOD, base="broken"), "broken"),
    "incomplete model folder": (spoilt(GOOD, base="halfway"), "lacks"),
    "no such fusion": (spoilt(GOOD, fusion="men"), "did you mean 'mean'"),
    "no such column type": (spoilt(GOOD, inputs={"review": "txt"}), "did you mean 'text'"),
    "no such input": (spoilt(GOOD, inputs={"reviw": "text"}), "did you mean 'review'"),
    "base without text": (spoilt(GOOD, data="table.csv", base="minilm"), "no input is text"),
    "lora without text": (spoilt(GOOD, data="table.csv", train={"method": "lora"}), "pretrained encoder"),
    "no output": (spoilt(GOOD, output=None), "output"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_a_bad_request_is_one_clear_message_and_nothing_half_written(
    tmp_path: Path, reviews, capsys, case: str
) -> None:
    spec, told = BAD[case]
    write_rows(tmp_path / "rows.csv", reviews)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "photo.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    write_rows(tmp_path / "one.csv", [{"review": row["review"], "sentiment": "positive"} for row in reviews])
    table = [{"words": len(str(row["review"])), "sentiment": row["sentiment"]} for row in reviews]
    write_rows(tmp_path / "table.csv", table)
    write_rows(tmp_path / "blank.csv", [{"review": row["review"], "sentiment": ""} for row in reviews])
    for name, files in {
        "broken": ("config.json", "tokenizer.json", "model.safetensors"),
        "halfway": ("config.json",),
    }.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text("{not json")
    (tmp_path / "trimtab.yaml").write_text(yaml.safe_dump(spec))
    assert Place(tmp_path).launch() == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert not list((tmp_path / "runs").rglob("bundle"))


def test_all_problems_of_a_spec_are_told_at_once(tmp_path: Path, capsys) -> None:
    (tmp_path / "trimtab.yaml").write_text("data: x.csv\ntrain: {epochs: many}\ngates: {size: '3'}\nsede: 1\n")
    assert Place(tmp_path).launch() == 2
    told = capsys.readouterr().err
    assert "4 problems" in told
    for part in ("output", "train.epochs", "gates.size", "did you mean 'seed'"):
        assert part in told
    assert "trimtab.yaml:2" in told


def test_a_missing_extra_is_named(tmp_path: Path, reviews) -> None:
    made = places.place(tmp_path, reviews, output="sentiment")
    code = BLOCK.format(names=["torch"]) + "from trimtab.__main__ import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "launch", str(made.spec)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "pip install 'trimtab[train]'" in done.stderr
    assert "Traceback" not in done.stderr


NO_SPACE = {
    "the system": OSError(28, "No space left on device", "weights.safetensors"),
    "safetensors": SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    "copying": shutil.Error([("a", "b", "[Errno 28] No space left on device: 'a'")]),
}


WRITTEN = ["trimtab.train.checkpoint._write", "trimtab.search.assembly.save_file"]
FULL = [
    *((WRITTEN[0], teller) for teller in NO_SPACE),
    (WRITTEN[1], "safetensors"),
    *(pytest.param(WRITTEN[1], teller, marks=pytest.mark.slow) for teller in ("the system", "copying")),
]


@pytest.mark.parametrize(("place", "teller"), FULL)
def test_a_full_disk_is_told_and_leaves_no_bundle(
    tmp_path: Path, reviews, tiny_base, monkeypatch, capsys, place: str, teller: str
) -> None:
    made = places.place(tmp_path, reviews, output="sentiment", base=str(tiny_base), train={"epochs": 1})

    def full(*_: object, **__: object) -> None:
        raise NO_SPACE[teller]

    monkeypatch.setattr(place, full)
    assert made.launch() == 2
    assert "disk is full" in capsys.readouterr().err
    assert not (made.runs / "rows" / "bundle").exists()


def test_an_unknown_command_names_the_nearest(capsys) -> None:
    assert main(["lanch"]) == 2
    assert "did you mean 'launch'" in capsys.readouterr().err
