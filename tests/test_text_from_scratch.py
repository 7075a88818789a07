"""Promises of text without a pretrained model: a tokenizer of its own, and networks that start from nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import place

import trimtab
from trimtab.columns import fit, restore
from trimtab.columns import text as text_columns
from trimtab.columns.text import TextColumn
from trimtab.errors import TrimtabError

TEXTS = [
    "The rooms are clean and the beds are comfortable.",
    "Dirty rooms, uncomfortable beds, and nobody cleaned!",
    "房间很干净，服务很好。",
    "房间又小又脏，服务很差。",
    "ห้องพักสะอาดมาก",
    "ห้องพักสกปรกมาก",
] * 5


def text(values: list[str] = TEXTS, **options: object) -> TextColumn:
    column: TextColumn = fit("text", "review", "review", values, options)
    return column


def tokens(column: TextColumn, value: str) -> list[str]:
    (ids,) = column.encode([value])
    return [str(column.tokenizer.id_to_token(i)) for i in ids]


LEARN = """
import csv, hashlib, sys
from trimtab.columns import fit
with open(sys.argv[1], newline="", encoding="utf-8") as file:
    texts = [row["review"] for row in csv.DictReader(file)]
column = fit("text", "review", "review", texts, {"vocabulary": 3000})
print(column.vocabulary, hashlib.sha256(column.definition.encode()).hexdigest())
"""


def test_equal_rows_give_the_same_tokenizer_in_every_process(reviews_csv: Path) -> None:
    found = set()
    for threads in ("1", "3"):
        environment = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
        command = [sys.executable, "-c", LEARN, str(reviews_csv)]
        found.add(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)
    assert len(found) == 1
    assert found.pop().startswith("3000 ")


def test_frequent_words_are_whole_and_new_ones_are_made_of_pieces() -> None:
    column = text()
    assert tokens(column, "The ROOMS are clean") == ["the", "rooms", "are", "clean"]
    pieces = tokens(column, "cleanest")
    assert len(pieces) > 1
    assert "".join(piece.removeprefix("##") for piece in pieces) == "cleanest"
    assert tokens(column, "rooms 🦄") == ["rooms", "[UNK]"]


def test_chinese_characters_are_words_and_other_unspaced_scripts_share_pieces() -> None:
    column = text()
    assert tokens(column, "服务很好") == ["服", "务", "很", "好"]
    assert tokens(column, "ＣＬＥＡＮ") == ["clean"]  # full-width letters
    thai = tokens(column, "ห้องพักสะอาด")
    assert "[UNK]" not in thai
    assert len(thai) < len("ห้องพักสะอาด")


def test_what_is_written_in_a_text_never_becomes_padding() -> None:
    column = text()
    assert column.pad_id == 0
    assert not (column.encode(["[PAD] [PAD] the rooms"]).values == 0).any()
    assert column.encode([""]).lengths.tolist() == [1]


def test_of_a_text_without_any_space_no_more_is_looked_at_than_could_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    column, seen = text(max_tokens=512), []
    writable = text_columns._writable
    monkeypatch.setattr(text_columns, "_writable", lambda found: seen.append(len(found)) or writable(found))
    assert max(column.encode(["a" * 1_000_000, "ก" * 1_000_000] * 2).lengths) <= 512
    assert len(seen) == 4
    assert max(seen) <= 512 * 100


def test_a_learnt_tokenizer_is_as_large_as_asked_and_saved_with_the_column(tmp_path: Path) -> None:
    column = text(vocabulary=100)
    assert column.vocabulary <= 100 < text().vocabulary
    column.save(tmp_path)
    assert (tmp_path / "review.tokenizer.json").exists()
    again = restore(tmp_path, {"type": "text", "name": "review", "key": "review", "max_tokens": 8, "pad_id": 0})
    assert again.encode(TEXTS).values.tolist() == text(vocabulary=100, max_tokens=8).encode(TEXTS).values.tolist()


def test_a_vocabulary_beside_a_tokenizer_is_a_mistake(tmp_path: Path) -> None:
    text().save(tmp_path)
    with pytest.raises(TrimtabError, match=r"vocabulary.*tokenizer of a pretrained encoder"):
        text(tokenizer=tmp_path / "review.tokenizer.json", vocabulary=500)
    with pytest.raises(TrimtabError, match="vocabulary"):
        text(vocabulary=7)


def test_columns_without_any_text_have_a_tokenizer_too() -> None:
    column = text(["", ""])
    assert column.vocabulary == 2
    assert tokens(column, "anything") == ["[UNK]"]


def test_a_text_needs_no_pretrained_model_from_spec_to_prediction(tmp_path: Path, reviews) -> None:
    spec = {"inputs": {"review": {"type": "text", "encoder": "textcnn", "vocabulary": 1500}}, "output": "sentiment"}
    made = place(tmp_path, reviews, **spec, train={"epochs": 6}, fusion="attention")
    manifest = trimtab.launch(made.spec, runs=made.runs).manifest
    assert manifest.spec["train"]["method"] == "scratch"
    assert manifest.evidence["differs"] <= 1e-4
    assert (tmp_path / "runs" / "rows" / "bundle" / "columns" / "review.tokenizer.json").exists()
    answers = trimtab.load(tmp_path / "runs" / "rows" / "bundle").predict([{"review": "Great, I love it"}]).answers
    assert answers["sentiment"][0] in {"positive", "negative"}
    assert not any(choice.key == "base" for choice in manifest.automatic)
