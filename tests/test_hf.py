"""Data sets that `datasets` streams: local folders here, of the hub by their names."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from trimtab import TrimtabError, registry, rows
from trimtab.data import read

ROWS = 5000  # more than one block


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str) -> Any:
        raise ModuleNotFoundError("No module named 'datasets'", name="datasets")

    monkeypatch.setattr(registry, "_imported", absent)
    with pytest.raises(TrimtabError, match=r"hf:owner/name: the package 'datasets'[\s\S]*trimtab\[hf\]"):
        rows.read("hf:owner/name", lambda bad: None)


def test_a_folder_is_meant_from_the_spec_and_a_name_stays_one(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    found = rows.find(["hf:set@valid", "hf:owner/name:small@test", "hf:set"], tmp_path)
    assert [str(one) for one in found] == [
        f"hf:{tmp_path / 'set'}@valid",
        "hf:owner/name:small@test",
        f"hf:{tmp_path / 'set'}",
    ]


def test_shards_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    whole = polars.DataFrame({"x": list(range(ROWS)), "y": ["ab"[n % 2] for n in range(ROWS)]})
    cuts = [0, 1, 4000, 4500, ROWS]
    for part in (3, 1, 0, 2):  # written in another order
        whole[cuts[part] : cuts[part + 1]].write_parquet(tmp_path / f"part-{part}.parquet")
        whole[cuts[part] : cuts[part + 1]].write_csv(tmp_path / f"part-{part}.csv")
    for ending in ("parquet", "csv"):
        found = read.load([f"part-*.{ending}"], tmp_path).table
        assert list(map(int, found.values["x"])) == list(range(ROWS))
        assert found.origins[4001].file == f"part-2.{ending}"
    assert read.load(["part-2.parquet"], tmp_path).table.origins[499].line == 500


# ------------------------------------------------------------------------------------- where `datasets` is installed

needs_datasets = pytest.mark.skipif(not registry.available("datasets"), reason="needs trimtab[hf]")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`set`, a folder of two files of parquet as the hub has them, and `saved`, what `save_to_disk` writes."""
    datasets, arrow = pytest.importorskip("datasets"), pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    label = datasets.ClassLabel(names=["bad", "good"])
    kinds = {"text": datasets.Value("string"), "label": label, "tags": datasets.List(label)}
    features = datasets.Features({**kinds, "day": datasets.Value("timestamp[s]"), "photo": datasets.Image()})
    moment = datetime.datetime(2026, 11, 29, 12)
    values = {
        "text": [f"text {n}" for n in range(ROWS)],
        "label": [n % 2 if n else None for n in range(ROWS)],
        "tags": [[0, 1]] * ROWS,
        "day": [moment] * ROWS,
        "photo": [{"bytes": b"pixels", "path": "a.png"}] * ROWS,
    }
    whole = arrow.Table.from_pydict(values, schema=features.arrow_schema)
    made = tmp_path_factory.mktemp("data")
    (made / "set").mkdir()
    parquet.write_table(whole.slice(0, 100), made / "set" / "train-00000.parquet")
    parquet.write_table(whole.slice(100), made / "set" / "train-00001.parquet")
    parquet.write_table(whole.slice(0, 7), made / "set" / "validation-00000.parquet")
    held = datasets.Dataset(datasets.table.InMemoryTable(whole.slice(0, 9)), fingerprint="of a test")
    held.save_to_disk(made / "saved")
    return made


@needs_datasets
def test_a_folder_is_streamed_with_the_names_of_its_classes(home: Path) -> None:
    found = read.load(["hf:set"], home)
    table = found.table.values
    assert list(table["text"]) == [f"text {n}" for n in range(ROWS)]
    assert list(table["label"][:4]) == [None, "good", "bad", "good"]
    assert table["tags"][0] == ["bad", "good"]
    assert table["day"][0] == "2026-11-29 12:00:00"
    assert table["photo"][0]["bytes"] == b"pixels"
    assert (found.files[0].file, found.files[0].rows) == ("hf:set", ROWS)
    assert found.table.origins[4999].line == ROWS


@needs_datasets
def test_rows_one_by_one_are_those_of_the_blocks(home: Path) -> None:
    one = next(rows.read(f"hf:{home / 'set'}@validation", lambda bad: None))
    assert (one.values["text"], one.values["label"], one.line) == ("text 0", None, 1)
    assert len(list(rows.read(f"hf:{home / 'set'}@validation", lambda bad: None))) == 7


@needs_datasets
def test_what_was_saved_to_disk_is_read_too(home: Path) -> None:
    assert list(read.load(["hf:saved"], home).table.values["label"][:3]) == [None, "good", "bad"]


@needs_datasets
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hf:set@nothing", "nothing"),
        ("hf:@train", "no name of a data set"),
        ("hf:set:small", "small"),
    ],
    ids=["split", "name", "configuration"],
)
def test_what_there_is_not_is_told(home: Path, name: str, said: str) -> None:
    with pytest.raises(TrimtabError, match=rf"hf:[\s\S]*{said}[\s\S]*hf:owner/name"):
        read.load([name], home)
