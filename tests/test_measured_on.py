"""Promises of what is measured on: rows that nothing was learnt from, and a run that knows when they change."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from places import write_rows

from trimtab import spec as specs
from trimtab.data import dedup
from trimtab.pipeline import recompress
from trimtab.progress import Quiet
from trimtab.request import Request, check, resume, unlabelled

KINDS = {"x": "number", "y": "number"}


class Heard(Quiet):
    """Keeps the remarks."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def rows(count: int) -> list[dict[str, object]]:
    return [{"x": str(n), "y": str(n % 7), "side": "lr"[n % 2]} for n in range(count)]


def asked(folder: Path, heard: Heard, count: int = 100, **spec: object) -> Request:
    """A request for numbers to label, checked."""
    write_rows(folder / "rows.csv", rows(count))
    values = {"data": "rows.csv", "output": "side", "inputs": dict(KINDS), **spec}
    return check(specs.parse(values), folder, folder / "run", heard)


# ---------------------------------------------------------------------------------------------- rows without an answer


def test_rows_that_are_measured_on_teach_no_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = [{"x": str(n), "y": str(n % 7)} for n in range(90, 130)]
    write_rows(tmp_path / "more.csv", more)
    with (tmp_path / "more.csv").open("a") as file:
        file.write("1,2,3\n")  # one cell too many
    monkeypatch.setattr(unlabelled, "_MOST", 30)
    request = asked(tmp_path, heard := Heard(), compress={"unlabelled": ["more.csv"]})
    splits = request.prepared.splits
    held_out = {*splits.valid.values["x"], *splits.test.values["x"]}
    expected = [str(n) for n in range(90, 120) if str(n) not in held_out]
    assert 0 < len(expected) < 30
    assert request.unlabelled["x"] == expected
    assert request.prepared.report["unlabelled"]["equal_to_measured"] == 30 - len(expected)
    assert any("only the first 30 rows are read" in note for note in heard.notes)
    assert any(f"{30 - len(expected)} left out, which equal rows that are measured on" in note for note in heard.notes)


def test_rows_without_an_answer_that_cannot_be_read_are_told_and_written(tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("x,y\n1000,1\n1,2,3\n1001,2\n")
    request = asked(tmp_path, heard := Heard(), compress={"unlabelled": ["more.csv"]})
    assert request.unlabelled["x"] == ["1000", "1001"]
    lines = [json.loads(line) for line in (tmp_path / "run" / "rejected.jsonl").read_text().splitlines()]
    assert [(Path(line["file"]).name, line["line"]) for line in lines] == [("more.csv", 3)]
    assert any("1 left out, which cannot be read" in note for note in heard.notes)


def test_words_of_the_card_train_nothing_anew(tmp_path: Path) -> None:
    plain = asked(tmp_path, Heard())
    said = {"description": "Mine.", "intended_use": "To try.", "license": "mit", "language": "zh"}
    assert resume.train_key(asked(tmp_path, Heard(), **said)) == resume.train_key(plain)
    assert resume.key(asked(tmp_path, Heard(), **said)) != resume.key(plain)


def test_rows_may_hold_bytes(tmp_path: Path) -> None:
    request = asked(tmp_path, Heard())
    one, other = (replace(request, unlabelled={"x": [value]}) for value in (b"\x00", b"\x01"))
    assert len({resume.search_key(one, "o"), resume.search_key(other, "o"), resume.search_key(request, "o")}) == 3
    assert resume.key(one) != resume.key(other)


# ------------------------------------------------------------------------------------------------------- other rows


def prints(table: object) -> set[int]:
    return set(dedup.fingerprints(table, KINDS).tolist())  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"count": 300}, {"split": {"valid": 0.3, "test": 0.05}}])
def test_compress_measures_on_no_row_that_the_bundle_was_made_by(tmp_path: Path, change: dict[str, object]) -> None:
    before = asked(tmp_path, Heard())
    now = asked(tmp_path, Heard(), **change)  # type: ignore[arg-type]
    trained = set(before.seen["train"].tolist())
    made_by = trained | set(before.seen["valid"].tolist())
    splits = now.prepared.splits
    assert (prints(splits.test) & made_by) | (prints(splits.valid) & trained)  # it would
    found = recompress._unseen(now, before.seen, heard := Heard())
    assert not prints(found.prepared.splits.test) & made_by
    assert not prints(found.prepared.splits.valid) & trained
    assert set(found.seen["train"].tolist()) >= trained
    assert "not measured on" in heard.notes[0]


def test_compress_on_the_bundle_s_own_rows_leaves_nothing_out(tmp_path: Path) -> None:
    request = asked(tmp_path, Heard())
    found = recompress._unseen(request, request.seen, heard := Heard())
    assert found.prepared is request.prepared
    assert not heard.notes


def test_candidates_of_other_rows_are_not_taken_up(tmp_path: Path) -> None:
    assert resume.search_key(asked(tmp_path, Heard()), "o") != resume.search_key(asked(tmp_path, Heard(), 110), "o")


def test_a_test_picture_that_was_changed_is_measured_again(tmp_path: Path) -> None:
    splits = [*["train"] * 8, *["valid"] * 4, *["test"] * 4]
    pictures = [{"image": f"{n}.png", "kind": "ab"[n % 2], "split": part} for n, part in enumerate(splits)]
    for number, row in enumerate(pictures):
        Image.new("RGB", (8, 8), (16 * number, 0, 0)).save(tmp_path / str(row["image"]))
    write_rows(tmp_path / "rows.csv", pictures)
    spec = specs.parse({"data": "rows.csv", "output": "kind", "split": "split"})
    before = resume.key(check(spec, tmp_path, tmp_path / "run", Quiet()))
    assert resume.key(check(spec, tmp_path, tmp_path / "run", Quiet())) == before
    Image.new("RGB", (8, 8), (0, 99, 0)).save(tmp_path / "15.png")
    assert resume.key(check(spec, tmp_path, tmp_path / "run", Quiet())) != before
