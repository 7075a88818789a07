"""A small real bundle for tests: every kind of input, an ONNX model of a few thousand weights, built by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from trimtab import columns, runtime
from trimtab.bundle import store
from trimtab.bundle.manifest import Manifest
from trimtab.bundle.serving import ColumnEntry, GraphEntry, Serving

ROWS = [
    {"review": "A lovely little film, warm and funny.", "stars": "5", "shop": "north", "mood": "good"},
    {"review": "Dull. I left after an hour!", "stars": "1", "shop": "south", "mood": "bad"},
    {
        "review": "Not bad, not good: it is what it is, and it goes on and on and on.",
        "stars": "3",
        "shop": "",
        "mood": "so",
    },
    {"review": "warm soup, cold staff", "stars": "", "shop": "north", "mood": "bad"},
    {"review": "Funny from the first minute to the last.", "stars": "4,5", "shop": "south", "mood": "good"},
    {"review": "", "stars": "2,5", "shop": "north", "mood": "so"},
]
WIDTH = 8


def write_tokenizer(path: Path, texts: Sequence[str]) -> Path:
    """A WordPiece tokenizer of these words and letters; padding and truncation on, as published files often have it."""
    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower())})
    letters = sorted({letter for word in words for letter in word} - set(words))
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words, *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = Tokenizer(models.WordPiece({piece: place for place, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(pieces[:4])
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]", length=16)
    tokenizer.enable_truncation(16)
    tokenizer.save(str(path))
    return path


def fit_columns(folder: Path, rows: Sequence[Mapping[str, Any]] = ROWS) -> tuple[tuple[Any, ...], Any]:
    """Text, number and category as inputs, a label as output."""
    values = {name: [row[name] for row in rows] for name in rows[0]}
    tokenizer = write_tokenizer(folder / "tokenizer.json", values["review"])
    inputs = (
        columns.fit("text", "review", "review", values["review"], {"tokenizer": str(tokenizer)}),
        columns.fit("number", "stars", "stars", values["stars"], {}),
        columns.fit("category", "shop", "shop", values["shop"], {}),
    )
    return inputs, columns.fit("label", "mood", "mood", values["mood"], {})


def weights(inputs: Sequence[Any], width: int) -> dict[str, np.ndarray]:
    """Random weights of the tiny network."""
    rng = np.random.default_rng(3)
    text, number, category = inputs
    shapes = {
        "words": (text.vocabulary, WIDTH),
        "number": (number.features, WIDTH),
        "shops": (category.size, WIDTH),
        "head": (WIDTH, width),
    }
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def expected(inputs: Sequence[Any], width: int, row: Mapping[str, Any]) -> np.ndarray:
    """What the network must answer for one row, (width,), computed without ONNX and without padding."""
    w = weights(inputs, width)
    text, number, category = inputs
    words = w["words"][text.encode([row.get("review")]).values].mean(axis=0)
    state = (
        words + number.encode([row.get("stars")])[0] @ w["number"] + w["shops"][category.encode([row.get("shop")])[0]]
    )
    return state @ w["head"]


def write_model(folder: Path, inputs: Sequence[Any], width: int) -> list[str]:
    """Write `model.onnx`: (mean of word vectors + number + shop) x head; returns the names of its inputs."""
    nodes = [
        helper.make_node("Gather", ["words", "review_ids"], ["vectors"]),
        helper.make_node("Cast", ["review_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["mask3"]),
        helper.make_node("Mul", ["vectors", "mask3"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "steps"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["mask3", "steps"], ["count"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("MatMul", ["stars_values", "number"], ["stars"]),
        helper.make_node("Gather", ["shops", "shop_ids"], ["shop"]),
        helper.make_node("Sum", ["mean", "stars", "shop"], ["state"]),
        helper.make_node("MatMul", ["state", "head"], ["outputs"]),
    ]
    constants = {**weights(inputs, width), "last": np.array([2]), "steps": np.array([1])}
    tensors = {
        "review_ids": (TensorProto.INT64, ["rows", "steps"]),
        "review_mask": (TensorProto.INT64, ["rows", "steps"]),
        "stars_values": (TensorProto.FLOAT, ["rows", inputs[1].features]),
        "shop_ids": (TensorProto.INT64, ["rows"]),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in tensors.items()],
        [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["rows", width])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, folder / "model.onnx")
    return list(tensors)


def make_manifest(inputs: Sequence[Any], output: Any, tensors: list[str]) -> Manifest:
    """A manifest as a launch would fill it, without evidence."""
    return Manifest(
        trimtab="0.1.0",
        name="tiny",
        created="2026-01-01T00:00:00Z",
        task="label",
        spec={"data": ["rows.csv"], "output": output.name, "seed": 7},
        serving=Serving(
            trimtab="0.1.0",
            inputs=[ColumnEntry(name=column.name, key=column.key, type=column.type) for column in inputs],
            output=ColumnEntry(name=output.name, key=output.key, type=output.type),
            graphs={"model": GraphEntry(file="model.onnx", inputs=tensors, batch_cost=40)},
        ),
    )


def stage(folder: Path) -> Manifest:
    """Everything of a bundle but its last manifest, in a new folder `staging` below `folder`."""
    staging = folder / "staging"
    staging.mkdir(parents=True)
    inputs, output = fit_columns(folder)
    manifest = make_manifest(inputs, output, write_model(staging, inputs, output.width))
    store.save_columns(staging / "columns", inputs, output)
    (staging / "card.md").write_text("# tiny\n")
    store.write_manifest(staging, manifest)
    runtime.write_golden(staging, runtime.record_golden(runtime.load(staging, threads=1), ROWS))
    return manifest


def build(folder: Path) -> Path:
    """A whole bundle in `folder / "bundle"`."""
    store.save(folder / "staging", stage(folder), folder / "bundle")
    return folder / "bundle"
