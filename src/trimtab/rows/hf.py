"""Data sets as the library `datasets` streams them: of the Hugging Face hub, or of a folder; nothing is stored.

`hf:owner/name`, `hf:owner/name:configuration`, `hf:owner/name@validation`; the split is `train` where none is named. A
folder holds files that the library knows, or what its `save_to_disk` wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets

from trimtab.errors import problem
from trimtab.rows import BLOCK, HUB, Block, Note, Reject, Row

_NAME = re.compile(r"(?P<name>[^@]+?)(?::(?P<configuration>[^:@/]+))?(?:@(?P<split>[^@/]+))?")
_SAVED = ("dataset_dict.json", "state.json")  # of `save_to_disk`: several splits, one
_ALLOWED = "hf:owner/name, hf:owner/name:configuration, hf:owner/name@split, or hf: and a folder"


def read(source: str, reject: Reject, note: Note) -> tuple[tuple[str, ...] | None, _Streamed]:
    """The names of the columns, where they are known ahead, and the rows in the order of the files.

    Raises TrimtabError for what cannot be reached, and for a configuration or a split that there is not.
    """
    found = _NAME.fullmatch(source.removeprefix(HUB))
    if found is None:
        raise problem(source, "is no name of a data set", _ALLOWED)
    datasets.disable_progress_bars()
    with _told(source):
        rows = _opened(found["name"], found["configuration"], found["split"])
    return None if rows.features is None else tuple(rows.features), _Streamed(source, rows)


def _opened(name: str, configuration: str | None, split: str | None) -> Any:
    """The rows; pictures and sounds as the bytes of their files."""
    kind = next((file for file in _SAVED if (Path(name) / file).is_file()), None)
    if kind is None:
        return datasets.load_dataset(name, configuration, split=split or "train", streaming=True).decode(False)
    saved: Any = datasets.load_from_disk(name)
    if kind == "dataset_dict.json":
        if (split or "train") not in saved:
            raise ValueError(f"no split {split or 'train'!r}: it has {', '.join(saved)}")
        saved = saved[split or "train"]
    return saved.to_iterable_dataset().decode(False)


class _Streamed(Iterator[Row]):
    """Rows of a data set, one by one or in blocks; the classes of a label by their names."""

    def __init__(self, source: str, rows: Any) -> None:
        self.source, self.rows = source, rows
        self.plain = {name: _plain(feature) for name, feature in (rows.features or {}).items()}
        self.each = self._each()

    def __next__(self) -> Row:
        return next(self.each)

    def _each(self) -> Iterator[Row]:
        for block in self.blocks():
            names = tuple(block.values)
            for line, cells in zip(block.lines, zip(*block.values.values(), strict=True), strict=True):
                yield Row(dict(zip(names, cells, strict=True)), line)

    def blocks(self) -> Iterator[Block]:
        """See `rows.InBlocks`."""
        done = 0
        with _told(self.source):
            for batch in self.rows.iter(BLOCK):
                values: dict[str, Sequence[Any]] = {
                    name: list(map(self.plain.get(name, _value), own)) for name, own in batch.items()
                }
                count = len(next(iter(values.values()), ()))
                yield Block(values, range(done + 1, done + count + 1))
                done += count


def _plain(feature: Any) -> Callable[[Any], Any]:
    """How a value of a feature becomes what a csv file or JSON would have: a number of a class is its name."""
    if isinstance(feature, datasets.ClassLabel):
        return lambda number: None if number is None or number < 0 else feature.int2str(number)
    inner = getattr(feature, "feature", None)
    if isinstance(inner, datasets.ClassLabel):
        one = _plain(inner)
        return lambda numbers: None if numbers is None else list(map(one, numbers))
    return _value


def _value(value: Any) -> Any:
    if isinstance(value, (datetime, date)):
        return str(value)
    return float(value) if isinstance(value, Decimal) else value


class _told:
    """Inside, what the library says of a data set becomes the user's message."""

    def __init__(self, source: str) -> None:
        self.source = source

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, (OSError, ValueError, datasets.exceptions.DatasetsError)):
            said = " ".join(str(error).split())[:400]
            raise problem(self.source, f"cannot be read as a data set ({said})", _ALLOWED) from None
