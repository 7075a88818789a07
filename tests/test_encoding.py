"""Rows become numbers block by block: the same as all at once, in memory or in a file that is mapped into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_pictures
from tiny_bundle import ROWS, write_tokenizer

from trimtab import columns
from trimtab.audit import linear
from trimtab.columns import Ragged, encode_rows, read_rows
from trimtab.columns.image import ImageColumn
from trimtab.data.cells import Cells
from trimtab.data.table import Origin, Table
from trimtab.request import encoding


def table(values: dict[str, list[Any]]) -> Table:
    count = len(next(iter(values.values())))
    cells = {name: Cells.of(column) for name, column in values.items()}
    return Table(cells, [Origin("a.csv", line) for line in range(2, count + 2)])


@pytest.fixture
def rows(tmp_path: Path) -> tuple[list[Any], Table]:
    """Fitted columns of a text, a number and a picture, and rows of which some cannot be read or are cut."""
    texts = [row["review"] for row in ROWS]
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json", texts)
    tiny_pictures.paint(tmp_path, "red-1.png", "blue-1.png")
    pictures = [str(tmp_path / name) for name in ("red-1.png", "blue-1.png", "gone.png")]
    count = 50
    values: dict[str, list[Any]] = {
        "text": [f"{texts[row % len(texts)]} {'and more ' * (row % 9)}" for row in range(count)],
        "size": [str(row) if row % 7 else "many" for row in range(count)],
        "picture": [pictures[row % 3] for row in range(count)],
    }
    fitted = [
        columns.fit("text", "text", "text", values["text"], {"tokenizer": str(tokenizer), "max_tokens": 12}),
        columns.fit("number", "size", "size", values["size"], {}),
        columns.fit("image", "picture", "picture", pictures[:2], {"size": 8}),
    ]
    return fitted, table(values)


@pytest.mark.parametrize("share", [4, 1e12])
def test_blocks_give_what_all_rows_at_once_give(
    rows: tuple[list[Any], Table], monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    fitted, asked = rows
    monkeypatch.setattr(encoding, "_BLOCK", 7)
    monkeypatch.setattr(encoding, "_FILES", 7)
    monkeypatch.setattr(encoding, "_SHARE", share)
    whole, found = encoding.read(fitted, asked)
    plain, problems = read_rows(fitted, asked.values)
    assert whole.steps.tolist() == plain.steps.tolist()
    for own, expected in zip(whole.encoded, plain.encoded, strict=True):
        parts = [(own.values, expected.values)] if isinstance(own, Ragged) else [(own, expected)]
        for one, other in parts:  # type: ignore[misc]
            assert isinstance(one, np.memmap) == (share > 1e9)
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
    picked = np.array([49, 3, 20])
    for name, tensor in plain.batch(picked).items():
        np.testing.assert_array_equal(whole.batch(picked)[name], tensor)
    counts = {key: count.values for key, count in found.tally.counts.items()}
    assert sum(counts.values()) == len(problems)
    assert counts["picture", "unreadable"] == 16
    assert found.tally.counts["size", "unreadable"].first.startswith("a.csv:2: ")
    assert encode_rows(fitted, asked.values).steps.tolist() == encoding.encode(fitted, asked).steps.tolist()


def test_what_is_cut_is_counted_over_blocks(rows: tuple[list[Any], Table], monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, asked = rows
    once = encoding.read(fitted, asked)[1].cuts["text"]
    monkeypatch.setattr(encoding, "_BLOCK", 7)
    blocks = encoding.read(fitted, asked)[1].cuts["text"]
    assert once.rows == blocks.rows > 0
    assert once.shares(50) == blocks.shares(50)


def test_a_picture_is_decoded_once_for_the_network_and_its_baselines(
    rows: tuple[list[Any], Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    (*_, column), asked = rows
    again, test = (Table(asked.values, asked.origins) for _ in range(2))
    encoding.encode([column], asked)
    monkeypatch.setattr(linear, "_BLOCK", 7)
    plain = linear.features([column], again, test)
    decoded: list[Any] = []
    whole = ImageColumn.encode
    monkeypatch.setattr(ImageColumn, "encode", lambda self, values: decoded.extend(values) or whole(self, values))
    found = linear.features([column], asked, test)
    assert decoded == list(test.values["picture"])  # these rows were measured, not learnt from
    for one, other in zip(found, plain, strict=True):
        assert (one != other).nnz == 0
    assert found[0].shape == (50, 64)
    other = columns.fit("image", "picture", "picture", list(asked.values["picture"][:2]), {"size": 6})
    assert linear.features([other], asked, test)[0].shape == (50, 36)  # another column makes other numbers of them
