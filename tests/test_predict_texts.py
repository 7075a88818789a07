"""`trimtab predict` of a bundle that writes: a column of texts, or texts that are shown while they are written."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import tiny_bundle
import tiny_texts

from trimtab import runtime
from trimtab.__main__ import main
from trimtab.errors import TrimtabError

ROWS = tiny_texts.ROWS


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_texts.build(tmp_path_factory.mktemp("writes"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    path.write_text("source\n" + "".join(f"{row['source']}\n" for row in ROWS))
    return path


def texts(bundle: Path, **options: object) -> list[str]:
    return [str(one) for one in runtime.load(bundle, 1).writing(**options).predict(ROWS).answers["answer"]]


def test_texts_become_a_column_written_as_it_is_asked(bundle: Path, data: Path, tmp_path: Path) -> None:
    for ways, options in (((), {}), (("beams=3", "no_repeat=2"), {"beams": 3, "no_repeat": 2})):
        target = tmp_path / "answered.csv"
        asked = [part for way in ways for part in ("--decoding", way)]
        assert main(["predict", str(bundle), str(data), "-o", str(target), *asked]) == 0
        with target.open() as file:
            assert [row["answer"] for row in csv.DictReader(file)] == texts(bundle, **options)
    assert texts(bundle) != texts(bundle, beams=3, no_repeat=2)


def test_texts_are_shown_a_line_each(bundle: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(bundle), str(data), "--stream"]) == 0
    assert capsys.readouterr().out.splitlines() == texts(bundle)
    stop = texts(bundle)[0][3:5]
    ways = [
        "--decoding",
        "temperature=1.2",
        "--decoding",
        "seed=4",
        "--decoding",
        f"stop={stop}",
        "--decoding",
        "stop=w",
    ]
    assert main(["predict", str(bundle), str(data), "--stream", *ways]) == 0
    assert capsys.readouterr().out.splitlines() == texts(bundle, temperature=1.2, seed=4, stop=(stop, "w"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--decoding", "beams"], r"--decoding: found 'beams'(?s:.*)NAME=VALUE"),
        (["--decoding", "beans=4"], r"no option named 'beans'(?s:.*)did you mean 'beams'"),
        (["--decoding", "beams=many"], "decoding: beams: found 'many'"),
        (["--stream", "-o", "answers.csv"], "--stream: shows answers, and --output is answers.csv"),
    ],
    ids=["no value", "mistyped", "no number", "a file"],
)
def test_what_cannot_be_asked_is_told(
    bundle: Path, data: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(bundle), str(data), *arguments]) == 2
    assert re.search(said, capsys.readouterr().err)


def test_a_bundle_that_writes_nothing_streams_nothing(tmp_path: Path) -> None:
    model = runtime.load(tiny_bundle.build(tmp_path), 1)
    assert not model.writes
    with pytest.raises(TrimtabError, match="the answers of this bundle are not written token by token"):
        model.stream(tiny_bundle.ROWS[0])
    with pytest.raises(TrimtabError, match="the answers of this bundle are not written token by token"):
        model.writing(beams=2)
