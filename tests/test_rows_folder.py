"""A folder of class folders is a source of rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab import rows
from trimtab.data.infer import SPLIT_MARKS
from trimtab.errors import TrimtabError
from trimtab.rows import Rejected, Row
from trimtab.rows.folder import SPLIT_NAMES


def made(root: Path, *names: str) -> Path:
    """Empty files (or folders, by a slash at the end): the reader never opens them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).mkdir() if name.endswith("/") else (root / name).touch()
    return root


def everything(folder: Path) -> tuple[tuple[str, ...] | None, list[Row], list[Rejected], list[str]]:
    rejected: list[Rejected] = []
    notes: list[str] = []
    found = rows.read(folder, rejected.append, note=notes.append)
    assert found.format == "folder"
    return found.names, list(found), rejected, notes


def test_each_picture_is_a_row_and_its_folder_is_the_label(tmp_path: Path) -> None:
    made(tmp_path, "bees/2.JPG", "bees/10.jpg", "ants/x.png", "ants/more/deep.webp")
    names, found, rejected, notes = everything(tmp_path)
    assert names == ("image", "label")
    assert [(Path(row.values["image"]).relative_to(tmp_path).as_posix(), row.values["label"]) for row in found] == [
        ("ants/more/deep.webp", "ants"), ("ants/x.png", "ants"), ("bees/10.jpg", "bees"), ("bees/2.JPG", "bees"),
    ]  # fmt: skip
    assert [row.line for row in found] == [1, 2, 3, 4]
    assert (rejected, notes) == ([], [])


def test_sounds_make_a_column_of_their_own(tmp_path: Path) -> None:
    names, found, _, _ = everything(made(tmp_path, "one/a.wav", "two/b.FLAC"))
    assert names == ("audio", "label")
    assert [row.values["label"] for row in found] == ["one", "two"]


def test_top_folders_may_be_splits(tmp_path: Path) -> None:
    made(tmp_path, "Train/ants/1.jpg", "Train/bees/2.jpg", "val/ants/3.jpg", "test/bees/4.jpg", "test/5.jpg")
    names, found, rejected, notes = everything(tmp_path)
    assert names == ("image", "label", "split")
    assert [(row.values["split"], row.values["label"]) for row in found] == [
        ("Train", "ants"), ("Train", "bees"), ("test", "bees"), ("val", "ants"),
    ]  # fmt: skip
    assert [(row.reason, Path(row.text).name, row.line) for row in rejected] == [
        ("lies in no class folder", "5.jpg", 3)
    ]
    assert notes == []


def test_a_class_may_be_called_like_a_split(tmp_path: Path) -> None:
    _, found, _, _ = everything(made(tmp_path, "train/1.jpg", "car/2.jpg"))
    assert [row.values for row in found] == [
        {"image": str(tmp_path / "car" / "2.jpg"), "label": "car"},
        {"image": str(tmp_path / "train" / "1.jpg"), "label": "train"},
    ]


def test_names_of_splits_are_those_of_a_split_column() -> None:
    assert SPLIT_MARKS.keys() == SPLIT_NAMES


def test_other_files_are_set_aside_and_hidden_ones_passed_over(tmp_path: Path) -> None:
    made(tmp_path, "ants/1.jpg", "ants/notes.txt", "ants/.DS_Store", "ants/Thumbs.db", "README.md", ".git/x/y.jpg")
    made(tmp_path, "bees/2.jpg", "3.jpg", "__MACOSX/ants/1.jpg")
    _, found, rejected, _ = everything(tmp_path)
    assert [row.values["label"] for row in found] == ["ants", "bees"]
    assert {(Path(row.text).name, row.reason) for row in rejected} == {
        ("notes.txt", "not a picture or sound, by its ending"),
        ("README.md", "not a picture or sound, by its ending"),
        ("3.jpg", "lies in no class folder"),
    }
    assert {row.file for row in rejected} == {str(tmp_path)}
    assert sorted([row.line for row in found] + [row.line for row in rejected]) == [1, 2, 3, 4, 5]


def test_a_name_that_cannot_be_written_is_set_aside(tmp_path: Path) -> None:
    made(tmp_path, "ants/1.jpg", "ants/caf\udce9.jpg", "ants/\N{SNOWMAN}.jpg")
    _, found, rejected, _ = everything(tmp_path)
    assert len(found) == 2
    assert [(row.reason, row.text.endswith("caf\\udce9.jpg")) for row in rejected] == [("its name is not UTF-8", True)]


def test_an_empty_class_is_noted(tmp_path: Path) -> None:
    _, found, _, notes = everything(made(tmp_path, "ants/1.jpg", "wasps/", "flies/notes.txt"))
    assert len(found) == 1
    assert [note.partition(": ")[2] for note in notes] == [
        "no image in it: the class 'flies' has no rows there",
        "no image in it: the class 'wasps' has no rows there",
    ]


def test_a_path_is_opened_from_where_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path / "photos", "ants/1.jpg", "bees/2.jpg")
    monkeypatch.chdir(tmp_path)
    _, found, _, _ = everything(Path("photos"))
    assert [row.values["image"] for row in found] == ["photos/ants/1.jpg", "photos/bees/2.jpg"]
    assert rows.find(["photos"], tmp_path) == [tmp_path / "photos"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "is a folder without pictures or sounds\n  allowed: a folder with a folder of pictures"),
        (["a.csv", "b/c.csv"], r"is a folder without pictures or sounds[\s\S]*do: name the files, such as .*\*.csv"),
        (["1.jpg", "2.jpg"], "is a folder with 2 pictures or sounds in no class folder"),
        (["a/1.jpg", "a/2.jpg", "b/3.wav"], "holds 1 audio files and 2 image files\n  allowed: one kind"),
        (["train/a/1.jpg", "val/a/2.jpg", "more/3.jpg"], "holds the splits train, val and beside them 'more'"),
        (["train/1.jpg", "test/2.jpg"], "no class folders in the splits test, train"),
    ],
)
def test_a_folder_without_classes_says_what_is_expected(tmp_path: Path, names: list[str], said: str) -> None:
    with pytest.raises(TrimtabError, match=said):
        everything(made(tmp_path, *names))


def test_a_flat_folder_is_refused_when_it_is_named_as_data(tmp_path: Path) -> None:
    made(tmp_path, "flat/1.jpg")
    with pytest.raises(TrimtabError, match=r"flat: is a folder without class folders\n  allowed: .*flat/\*.csv"):
        rows.find(["flat"], tmp_path)
