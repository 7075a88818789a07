"""Texts encoded word by word: the same ids as from the tokenizer, whatever is written."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_bundle import ROWS, write_tokenizer

from trimtab.columns import _wordpieces, _wordwise
from trimtab.columns.text import TextColumn

TEXTS = [row["review"] for row in ROWS]
MARKS = ["[CLS]", "[MASK]", "don't", "...", "##a", "Ångström", "naïve", "ΣΑΣ", "你好", "a" * 200, "http://a.b/c?d=1"]
BLANKS = [" ", " ", " ", "  ", "", "\t", "\n", "\u00a0", "\u2003", "\x00", "\x1c", "\u200b"]
STRANGE = [chr(c) for block in ((0, 0x180), (0x300, 0x3D0), (0x1100, 0x1110), (0xFB00, 0xFB06)) for c in range(*block)]


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A tokenizer as pretrained encoders bring it, and one that was learnt."""
    bert = json.loads(write_tokenizer(tmp_path_factory.mktemp("words") / "tokenizer.json", TEXTS).read_text())
    return {
        "bert": json.dumps({**bert, "padding": None, "truncation": None}),
        "learnt": _wordpieces.train(TEXTS * 2, 300),
    }


def written(count: int) -> list[str]:
    """Texts of real words, odd marks, odd letters and odd blanks."""
    draw = random.Random(4)
    words = [word for text in TEXTS for word in text.split()] + MARKS
    return [
        "".join(
            (draw.choice(words) if draw.random() < 0.6 else "".join(draw.choices(STRANGE, k=3))) + draw.choice(BLANKS)
            for _ in range(draw.randint(0, 30))
        )
        for _ in range(count)
    ]


def by_the_tokenizer(column: TextColumn, texts: Sequence[str]) -> list[list[int]]:
    """What the tokenizer itself says of each text."""
    found = [encoding.ids[column.dropped :] for encoding in column.tokenizer.encode_batch(list(texts))]
    return [list(column.opening) + ids or [column.pad_id] for ids in found]


@pytest.mark.parametrize("most", [4, 64])
@pytest.mark.parametrize("name", ["bert", "learnt"])
def test_every_text_gets_the_ids_that_the_tokenizer_gives(definitions: dict[str, str], name: str, most: int) -> None:
    column, texts = TextColumn("t", "t", most, 0, definitions[name]), written(2_000)
    encoded = column.encode(texts)
    assert column._wordwise is not None
    assert [encoded[row].tolist() for row in range(len(texts))] == by_the_tokenizer(column, texts)


def test_a_text_behind_another_one_begins_as_the_tokenizer_says(definitions: dict[str, str]) -> None:
    column = TextColumn("t", "t", 16, 0, definitions["bert"], dropped=1, opening=(3, 3))
    encoded = column.encode(TEXTS)
    assert [encoded[row].tolist() for row in range(len(TEXTS))] == by_the_tokenizer(column, TEXTS)


def changed(definition: str, **parts: Any) -> str:
    return json.dumps({**json.loads(definition), **parts})


@pytest.mark.parametrize(
    "parts",
    [
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}},
        {"pre_tokenizer": None},
        {"normalizer": {"type": "Replace", "pattern": {"String": "a b"}, "content": "c"}},
    ],
)
def test_a_tokenizer_that_looks_across_spaces_is_asked_itself(
    definitions: dict[str, str], parts: dict[str, Any]
) -> None:
    column = TextColumn("t", "t", 32, 0, changed(definitions["learnt"], **parts))
    texts = ["a b", *TEXTS]
    encoded = column.encode(texts)
    assert column._wordwise is None
    assert [encoded[row].tolist() for row in range(len(texts))] == by_the_tokenizer(column, texts)


def test_an_added_token_with_a_space_in_it_is_still_found(definitions: dict[str, str], tmp_path: Path) -> None:
    own = json.loads(definitions["bert"])
    token = own["added_tokens"][0] | {"id": len(own["model"]["vocab"]), "content": "warm soup", "special": False}
    column = TextColumn("t", "t", 32, 0, changed(definitions["bert"], added_tokens=[*own["added_tokens"], token]))
    assert token["id"] in column.encode(["warm soup, cold staff"])[0].tolist()


def test_the_words_that_are_kept_are_bounded(definitions: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_wordwise, "_KEPT_WORDS", 10)
    column, texts = TextColumn("t", "t", 64, 0, definitions["learnt"]), written(50)
    encoded = column.encode([*texts, "b" * 3_000])
    assert [encoded[row].tolist() for row in range(50)] == by_the_tokenizer(column, texts)
    assert column._wordwise is not None
    assert len(column._wordwise.words) == 10


def test_several_threads_get_the_same_ids(definitions: dict[str, str]) -> None:
    column, texts = TextColumn("t", "t", 64, 0, definitions["learnt"]), written(300)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(column.encode, [texts] * 4))
    assert all(np.array_equal(found[0].values, other.values) for other in found[1:])
