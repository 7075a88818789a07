"""A folder of class folders: each picture or sound in it is a row, and its folder's name is its label.

`photos/ants/1.jpg` becomes `{"image": "photos/ants/1.jpg", "label": "ants"}`. Where the top folders are called train,
valid (val, dev) or test, class folders are expected in each of them and every row says its split.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trimtab.errors import TrimtabError, problem
from trimtab.rows import Note, Reject, Rejected, Row
from trimtab.rows._written import written

IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif", ".jp2", ".ppm", ".pgm", ".pnm",
)  # fmt: skip
AUDIO_ENDINGS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff")
ENDINGS = {"image": IMAGE_ENDINGS, "audio": AUDIO_ENDINGS}  # the column that a file stands in, called like its type
LABEL = "label"  # the column of the class folders' names
_COLUMNS = {ending: column for column, endings in ENDINGS.items() for ending in endings}

# What a split is called; the same words mark splits in a table (data.infer), and a test holds the two together.
SPLIT_NAMES = frozenset(
    {"train", "training", "valid", "validation", "val", "dev", "eval", "test", "testing", "holdout"}
)
_LEFT_BY_PROGRAMS = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_EXPECTED = "a folder with a folder of pictures (or of sounds) for each class, or a file of rows"


@dataclass(frozen=True)
class _File:
    """A file of the folder: its path from there, and what the folders above it say."""

    parts: tuple[str, ...]
    split: str | None  # the name of the split's folder, where there are such
    label: str | None  # None when it lies in no class folder

    @property
    def column(self) -> str | None:
        """image, audio, or None for another kind of file."""
        return kind_of(self.parts[-1])


def read(folder: Path, reject: Reject, note: Note) -> tuple[tuple[str, ...], Iterator[Row]]:
    """The columns, and a row for each picture or sound, sorted by path; a row's line is the file's number.

    Hidden files are passed over, other kinds of files are set aside. Raises TrimtabError for a folder without class
    folders, and for one that holds both pictures and sounds.
    """
    paths = [Path(found).relative_to(folder).parts for found in _walk(folder, note)]
    splits = _splits(folder, paths)
    depth = 1 if splits else 0  # of the class folder
    files = []
    for parts in paths:
        split = parts[0] if splits and len(parts) > 1 else None
        files.append(_File(parts, split, parts[depth] if len(parts) > depth + 1 else None))
    column = _column(folder, files)
    for empty in _empty_folders(folder, splits, files):
        note(f"{folder / empty}: no {column} in it: the class {empty.name!r} has no rows there")
    names = (column, LABEL, *(("split",) if splits else ()))
    return names, _rows(folder, files, column, reject)


def kind_of(name: str) -> str | None:
    """image, audio, or None for another kind of file, by its ending."""
    return _COLUMNS.get(os.path.splitext(name)[1].lower())


def is_sorted(folder: Path, classes: Sequence[str]) -> bool:
    """Whether the folders in a folder are called like classes, or like splits of such."""
    top = set(_folders(folder))
    return bool(top) and (top <= set(classes) or top <= SPLIT_NAMES)


def loose(source: Path, kind: str, column: str, reject: Reject, note: Note) -> Iterator[Row]:
    """A row for each picture or sound of a folder, at any depth, or for the one that is named.

    Raises TrimtabError where there is none.
    """
    paths = _walk(source, note) if source.is_dir() else [str(source)]
    if not any(kind_of(path) == kind for path in paths):
        raise problem(str(source), f"holds no {kind} files", f"files that end in {', '.join(ENDINGS[kind])}")
    files = [(number, path, _File(Path(path).parts, None, "")) for number, path in enumerate(paths, 1)]
    return _loose_rows(source, files, kind, column, reject)


def _loose_rows(
    source: Path, files: Sequence[tuple[int, str, _File]], kind: str, column: str, reject: Reject
) -> Iterator[Row]:
    for number, path, file in files:
        reason = next((said for wrong, said in _FAULTS if wrong(file)), None)
        reason = reason or (None if file.column == kind else f"not {kind} but {file.column}, by its ending")
        if reason:
            reject(Rejected(str(source), number, reason, path.encode("utf-8", "backslashreplace").decode()))
        else:
            yield Row({column: path}, number)


def _walk(folder: Path, note: Note) -> list[str]:
    """Every file below a folder, sorted by its parts; hidden ones and what programs leave behind are passed over.

    So are the runs and bundles that Trimtab itself wrote there.
    """
    found: list[str] = []
    for place, below, files in os.walk(folder, onerror=_raise):
        shown = sorted(name for name in below if not _hidden(name))
        below[:] = [name for name in shown if not written(Path(place, name))]
        for name in set(shown) - set(below):
            note(f"{Path(place, name)}: runs and bundles are no data: passed over")
        found += [os.path.join(place, name) for name in files if not _hidden(name)]
    return sorted(found, key=lambda path: Path(path).parts)


def _raise(error: OSError) -> None:
    raise error


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LEFT_BY_PROGRAMS


def _folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, hidden ones left out, sorted."""
    shown = (child for child in folder.iterdir() if child.is_dir() and not _hidden(child.name))
    return sorted(child.name for child in shown if not written(child))


def _splits(folder: Path, paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The folders that are splits: all top folders, when all are called so.

    Raises TrimtabError when only some of them hold class folders as splits do, and when none does.
    """
    top = _folders(folder)
    named = [name for name in top if name.casefold() in SPLIT_NAMES]
    nested = any(len(parts) > 2 and parts[0] in named for parts in paths)
    if named == top and named and not nested:
        raise problem(str(folder), f"no class folders in the splits {', '.join(named)}", _EXPECTED)
    if not named or not nested:
        return ()
    if len(named) < len(top):
        other = next(name for name in top if name not in named)
        raise problem(
            str(folder), f"holds the splits {', '.join(named)} and beside them {other!r}", "splits or classes"
        )
    return tuple(named)


def _column(folder: Path, files: Sequence[_File]) -> str:
    """image or audio, whichever the class folders hold. Raises TrimtabError for neither and for both."""
    counts = Counter(file.column for file in files if file.column and file.label is not None)
    if not counts:
        raise not_classes(folder, files)
    if len(counts) > 1:
        found = " and ".join(f"{counts[column]:,} {column} files" for column in sorted(counts))
        raise problem(str(folder), f"holds {found}", "one kind in one folder")
    return next(iter(counts))


def not_classes(folder: Path, files: Sequence[_File]) -> TrimtabError:
    """A folder is named as data whose files have no classes."""
    usable = sum(file.column is not None for file in files)
    beside = f" with {usable:,} pictures or sounds in no class folder" if usable else " without pictures or sounds"
    tables = f"name the files, such as {folder / '*.csv'}" if files and not usable else ""
    return problem(str(folder), f"is a folder{beside}", _EXPECTED, tables)


def _empty_folders(folder: Path, splits: tuple[str, ...], files: Sequence[_File]) -> list[Path]:
    """Class folders without a usable file, from the folder on."""
    filled = {(file.split, file.label) for file in files if file.column}
    roots: Sequence[str | None] = splits or (None,)
    return [
        Path(split or "", name)
        for split in roots
        for name in _folders(folder / (split or ""))
        if (split, name) not in filled
    ]


def _rows(folder: Path, files: Sequence[_File], column: str, reject: Reject) -> Iterator[Row]:
    for number, file in enumerate(files, 1):
        path = str(folder.joinpath(*file.parts))
        reason = next((said for wrong, said in _FAULTS if wrong(file)), None)
        if reason:
            shown = path.encode("utf-8", "backslashreplace").decode()
            reject(Rejected(str(folder), number, reason, shown))
            continue
        split = {"split": file.split} if file.split else {}
        yield Row({column: path, LABEL: file.label, **split}, number)


# What is wrong with a file -> the reason that stands beside it.
_FAULTS: tuple[tuple[Callable[[_File], bool], str], ...] = (
    (lambda file: file.column is None, "not a picture or sound, by its ending"),
    (lambda file: file.label is None, "lies in no class folder"),
    # A name that is no UTF-8 on the disk holds lone surrogates, and cannot be written.
    (lambda file: any("\udc80" <= character <= "\udcff" for character in "".join(file.parts)), "its name is not UTF-8"),
)
