"""What cannot be read, or was never seen in training, is told: by columns, from Python and by the commands."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bundle
import tiny_pictures
import typer
from typer.testing import CliRunner, Result

from trimtab import columns, request, runtime
from trimtab import spec as specs
from trimtab.cli import evaluate, predict
from trimtab.columns import image
from trimtab.errors import TrimtabError
from trimtab.values.problems import Tally


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.build(tmp_path_factory.mktemp("told"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pictures.build(tmp_path_factory.mktemp("pictures"))


def run(command: object, *arguments: object, stdin: str | None = None) -> Result:
    app = typer.Typer()
    app.command()(command)  # type: ignore[type-var]
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, catch_exceptions=False)


def told(column: Any, values: list[Any]) -> list[tuple[int, str]]:
    return [(one.row, one.kind) for one in column.read(values).problems]


# ------------------------------------------------------------------------------------------------------ columns


def test_what_is_no_number_is_told_and_what_is_missing_is_not() -> None:
    column = columns.fit("number", "age", "age", list(range(20, 60)), {})
    assert told(column, ["30", "", None, "NA", "old", 31, float("inf")]) == [(4, "unreadable"), (6, "unreadable")]
    assert told(column, [20, 59, 98, 99, -20]) == [(3, "outside"), (4, "outside")]
    assert [one.never for one in column.read([b"30", [30], "old"]).problems] == [True, True, False]


@pytest.mark.parametrize(
    ("value", "number"),
    [("12,5", 12.5), ("12.5 pcs", 12.5), ("30 kg", 30), ("12,5 km/h", 12.5), ("-1.5 °C", -1.5)],
)
def test_a_number_that_is_written_otherwise_is_read_where_it_means_one_thing(value: str, number: float) -> None:
    column = columns.fit("number", "size", "size", [-10.0, 1.5, 100.0], {})
    reading = column.read([value])
    assert [one.kind for one in reading.problems] == ["rewritten"]
    assert (reading.encoded == column.encode([number])).all()


@pytest.mark.parametrize("value", ["2.5k", "3 million", "3 pm", "2nd", "3 to 4", "900 kg", "1,2,3,4"])
def test_a_number_of_another_size_or_unit_is_not_guessed(value: str) -> None:
    column = columns.fit("number", "size", "size", [1.5, 100.0], {})
    assert "rewritten" not in [one.kind for one in column.read([value]).problems]


def test_ambiguous_marks_are_read_as_those_beside_them() -> None:
    column = columns.fit("number", "size", "size", [0.5, 20.0, 2_000.5], {})
    assert (column.encode(["1,234", "12,5", "0,75"]) == column.encode([1.234, 12.5, 0.75])).all()
    assert (column.encode(["1,234", "12,5", "12.5"]) == column.encode([1_234, 12.5, 12.5])).all()
    assert (column.encode(["1,234"]) == column.encode([1_234])).all()


def test_categories_in_another_spelling_are_found_where_only_one_can_be_meant() -> None:
    truth = columns.fit("category", "paid", "paid", ["True", "False"] * 5, {})
    assert (truth.encode([1, "no", "YES", "0"]) == truth.encode(["True", "False", "True", "False"])).all()
    place = columns.fit("category", "place", "place", ["north-east", "south west", "C", "C#"] * 3, {})
    wanted = place.encode(["north-east", "south west", "south west", "C", "C#"])
    assert (place.encode(["North East", "south_west", "south  west", "c", "c#"]) == wanted).all()
    assert told(place, ["1", "no", "north"]) == [(0, "unseen"), (1, "unseen"), (2, "unseen")]


def test_new_categories_are_told_where_there_are_more_than_training_leads_to_expect() -> None:
    closed = columns.fit("category", "shop", "shop", ["a", "b", "c"] * 40, {})
    assert told(closed, ["a", "b", "z"]) == [(2, "unseen")]
    users = [f"user {number}" for number in range(60)] + ["user 1", "user 2"] * 20
    open_ended = columns.fit("category", "user", "user", users, {})
    assert told(open_ended, ["user 1", "new 1", "user 2", "new 2"]) == []
    assert len(told(open_ended, [f"new {number}" for number in range(40)])) == 40


def test_texts_that_are_cut_or_unknown_are_told(tmp_path: Path) -> None:
    texts = ["good and warm", "bad and cold", "warm and good and cold"]
    tokenizer = tiny_bundle.write_tokenizer(tmp_path / "tokenizer.json", texts)
    column = columns.fit("text", "note", "note", texts, {"tokenizer": str(tokenizer), "max_tokens": 7})
    values = ["good and warm", "good " * 5, "good " * 10, "\u4f60\u597d", "good \u4f60 \u597d", None, ""]
    assert told(column, values) == [(2, "cut"), (3, "unknown"), (4, "unknown")]
    cut = column.read(values).problems[0]
    assert (cut.reason, round(cut.lost, 3)) == ("12 tokens, of which 7 are read", round(5 / 12, 3))
    strange = column.read([np.zeros((2, 2)), {"a": 1}, 5]).problems
    assert [(one.row, one.never) for one in strange if one.kind == "unreadable"] == [(0, True)]


def test_a_cut_is_told_alike_by_tokenizers_that_look_across_spaces(tmp_path: Path) -> None:
    column = columns.fit("text", "note", "note", ["a b c d e f g h " * 3], {"max_tokens": 8})
    words = [["a", "b"], ["b", "a"]]
    across = columns.fit("text", "note", "note", words, {"max_tokens": 8, "words": True})
    assert told(column, ["a b c d e f g h", "a b c d e f g h a"]) == [(1, "cut")]
    assert told(across, [["a", "b"] * 4, ["a", "b"] * 5]) == [(1, "cut")]


def test_a_history_of_items_that_nobody_knows_is_told() -> None:
    column = columns.fit("history", "seen", "seen", [["a", "b"], ["b", "c"]], {})
    assert told(column, [["a", "x"], [], ["x", "y"], None]) == [(2, "unseen")]


def test_a_tally_counts_by_column_and_kind_and_keeps_the_first() -> None:
    column = columns.fit("number", "age", "age", [1, 2, 3], {})
    tally = Tally()
    for start in (0, 3):
        tally.add(3, column.read(["x", 2, "y"]).problems, lambda row, start=start: f"line {start + row}")
    assert tally.lines() == [
        "age: 4 of 6 values could not be read, and count as missing (first: line 0: 'x' is not a number)"
    ]
    assert tally.unread() == ("age", pytest.approx(4 / 6))


# ---------------------------------------------------------------------------------------------------- from Python


def test_predictions_say_what_is_wrong_with_the_rows(bundle: Path) -> None:
    model = runtime.load(bundle, threads=1)
    rows = [{"review": "warm", "stars": "3", "shop": "north"}, {"review": "warm", "stars": "many", "shop": 1}]
    found = model.predict(rows).problems
    assert [(one.row, one.column, one.kind) for one in found] == [(1, "stars", "unreadable")]
    assert model.predict(tiny_bundle.ROWS).problems == ()
    absent = model.predict([{"review": "warm", "star": "3"}]).problems
    assert [(one.column, one.kind) for one in absent] == [("stars", "absent"), ("shop", "absent")]
    assert "did you mean 'star'?" in absent[0].reason


def test_a_value_that_can_never_be_read_is_an_error_that_names_what_is_allowed(bundle: Path, pictures: Path) -> None:
    model = runtime.load(bundle, threads=1)
    with pytest.raises(TrimtabError, match=r"row 0: stars: b'3' is not a number(?s:.*)allowed: a number"):
        model.predict([{"review": "warm", "stars": b"3"}])
    with pytest.raises(TrimtabError, match=r"row 1: review: array(?s:.*) is no text"):
        model.predict([{"review": "warm"}, {"review": np.zeros((2, 2))}])
    reads = runtime.load(pictures, threads=1)
    with pytest.raises(TrimtabError, match=r"row 0: image: no such file: gone.png(?s:.*)allowed: a file's name"):
        reads.predict([{"image": "gone.png"}])
    damaged = reads.predict([{"image": b"\x89PNG and no more"}, {"image": None}])
    assert [(one.row, one.kind) for one in damaged.problems] == [(0, "unreadable")]


# ---------------------------------------------------------------------------------------------------- commands


def test_predict_tells_on_stderr_and_a_gate_can_stop_it(bundle: Path, tmp_path: Path) -> None:
    text = "review,stars,shop\n" + "warm,many,north\n" * 100
    done = run(predict.command, bundle, "--problems", tmp_path / "told.jsonl", stdin=text)
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 101)
    assert "stars: 64 of 64 values could not be read" in done.stderr  # before the rest is answered
    last = "stars: 100 of 100 values could not be read, and count as missing (first: line 2: 'many' is not a number)"
    assert done.stderr.splitlines()[-1] == last
    assert len((tmp_path / "told.jsonl").read_text().splitlines()) == 100
    stopped = run(predict.command, bundle, "--most-unread", "5%", "-o", tmp_path / "out.csv", stdin=text)
    assert stopped.exit_code == 1
    assert "--most-unread: 100.0% of the values of 'stars'" in stopped.stderr
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 101
    assert run(predict.command, bundle, "--most-unread", "5%", stdin="review,stars\nwarm,3\n").exit_code == 0
    with pytest.raises(TrimtabError, match="--most-unread: found 'many'"):
        run(predict.command, bundle, "--most-unread", "many", stdin=text)


def test_evaluate_carries_the_counts(bundle: Path) -> None:
    text = "review,stars,shop,mood\n" + "warm,many,north,good\n" * 3 + "cold,2,south,bad\n" * 3
    done = run(evaluate.command, bundle, "-", "--json", stdin=text)
    first = "line 2: 'many' is not a number"
    assert json.loads(done.stdout)["problems"] == [
        {"column": "stars", "kind": "unreadable", "values": 3, "first": first}
    ]
    assert run(evaluate.command, bundle, "-", "--most-unread", "10%", stdin=text).exit_code == 1


def test_evaluate_does_not_measure_pictures_that_cannot_be_read(pictures: Path, tmp_path: Path) -> None:
    tiny_pictures.paint(tmp_path, "red-1.png", "blue-1.png")
    table = tmp_path / "rows.csv"
    table.write_text("image,label\nred-1.png,red\nblue-1.png,blue\ngone.png,red\n")
    found = json.loads(run(evaluate.command, pictures, table, "--json").stdout)
    assert (found["rows"], found["rejected"], found["metrics"]["accuracy"]["value"]) == (2, 1, 1.0)
    table.write_text("image,label\ngone.png,red\n")
    with pytest.raises(TrimtabError, match="no row can be measured: 1 rows set aside: image: no such file"):
        run(evaluate.command, pictures, table)


@pytest.mark.parametrize("command", [predict.command, evaluate.command])
def test_each_picture_is_decoded_once_readable_or_not(
    pictures: Path, tmp_path: Path, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: Counter[str] = Counter()
    picture = image.decoded

    def counting(value: Any, *others: Any) -> Any:
        decoded[Path(value).name] += 1
        return picture(value, *others)

    tiny_pictures.paint(tmp_path, "red-1.png", "blue-1.png")
    (tmp_path / "damaged.png").write_bytes((tmp_path / "red-1.png").read_bytes()[:40])
    table = tmp_path / "rows.csv"
    table.write_text("image,label\nred-1.png,red\ndamaged.png,red\nblue-1.png,blue\n")
    monkeypatch.setattr(image, "decoded", counting)
    done = run(command, pictures, table)
    assert done.exit_code == 0
    assert decoded == {"red-1.png": 1, "damaged.png": 1, "blue-1.png": 1}
    assert done.stderr.count("image: 1 of 3 values could not be read") == 1


def test_launch_tells_what_training_rows_lose(tmp_path: Path) -> None:
    notes = ["warm and funny and long as it can be", "cold and dull"]
    rows = [f"{notes[place % 2]} {place},{place if place % 4 else 'many'},{'ab'[place % 2]}" for place in range(60)]
    (tmp_path / "rows.csv").write_text("note,size,mood\n" + "\n".join(rows) + "\n")
    inputs = {"note": {"type": "text", "encoder": "textcnn", "max_tokens": 6}, "size": "number"}
    spec = specs.parse({"data": "rows.csv", "output": "mood", "inputs": inputs})
    view = _Notes()
    asked = request.check(spec, tmp_path, tmp_path / "run", view)
    kinds = {(one["column"], one["kind"]) for one in asked.prepared.report["problems"]}
    assert kinds == {("note", "cut"), ("size", "unreadable")}
    assert any("note: " in text and "longer than what is read: on average" in text for text in view.notes)
    assert any("do: split the texts, set inputs.note.max_tokens" in text for text in view.notes)
    train = asked.prepared.splits.train.values["note"]
    column = asked.inputs[0]
    whole = [len(column.tokenizer.no_truncation() or column.tokenizer.encode(text).ids) for text in train]  # type: ignore[attr-defined]
    lost = sum(max(0, tokens - 6) for tokens in whole) / sum(whole)
    cut = asked.prepared.report["cut"]["note"]
    assert cut["rows_cut"] == pytest.approx(sum(tokens > 6 for tokens in whole) / len(whole), abs=1e-4)
    assert cut["tokens_lost"] == pytest.approx(lost, abs=1e-3)
    assert any("of the rows are cut" in text and "of all tokens are lost" in text for text in view.notes)


class _Notes:
    """Keeps the remarks of a run."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def stage(self, name: str, detail: str = "") -> None:
        """Told to nobody."""

    def tick(self, done: int, total: int, figures: Any) -> None:
        """Told to nobody."""

    def note(self, text: str) -> None:
        """Kept."""
        self.notes.append(text)
