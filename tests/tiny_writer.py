"""Tiny networks that write, random and never trained: one layer of attention, as ONNX puts it together in no time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from trimtab.columns.text import TextColumn

VOCABULARY, WIDTH, HEADS, LONGEST = 40, 16, 2, 64
HEAD = WIDTH // HEADS
BOS, EOS, PAD = 1, 2, 0


class _Drawing:
    """A graph that is put together node by node."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, *shape: int, scale: float = 1.0) -> str:
        return self.constant((self.random.normal(size=shape) * scale).astype(np.float32))

    def constant(self, value: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def add(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        name = name or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def heads(self, states: str, name: str = "") -> str:
        """(rows, steps, width) -> (rows, heads, steps, head)."""
        cut = self.add("Reshape", states, self.constant(np.array([0, 0, HEADS, HEAD])))
        return self.add("Transpose", cut, perm=[0, 2, 1, 3], name=name)

    def attention(self, queries: str, keys: str, values: str, mask: str) -> str:
        turned = self.add("Transpose", keys, perm=[0, 1, 3, 2])
        scores = self.add("Add", self.add("MatMul", queries, turned), mask)
        found = self.add("MatMul", self.add("Softmax", scores, axis=-1), values)
        together = self.add("Transpose", found, perm=[0, 2, 1, 3])
        return self.add("Reshape", together, self.constant(np.array([0, 0, WIDTH])))

    def model(self, inputs: Mapping[str, tuple[int, Sequence[Any]]], outputs: Sequence[str]) -> bytes:
        given = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
        found = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "tiny", given, found, self.weights)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        return bytes(made.SerializeToString())


_PAST = (TensorProto.FLOAT, ["rows", HEADS, "past", HEAD])
_CROSS = (TensorProto.FLOAT, ["rows", HEADS, "read", HEAD])
MEMORY = {"memory_mask": (TensorProto.FLOAT, ["rows", 1, 1, "read"]), "cross_k_0": _CROSS, "cross_v_0": _CROSS}
STEP_INPUTS: dict[str, tuple[int, Sequence[Any]]] = {
    "ids": (TensorProto.INT64, ["rows", "steps"]),
    "positions": (TensorProto.INT64, ["rows", "steps"]),
    "mask": (TensorProto.FLOAT, ["rows", 1, "steps", "all"]),
    "picked": (TensorProto.INT64, ["rows", "places"]),
    "past_k_0": _PAST,
    "past_v_0": _PAST,
}
STEP_OUTPUTS = ("logits", "present_k_0", "present_v_0")
ENCODE_OUTPUTS = ("memory_mask", "cross_k_0", "cross_v_0")


def step(seed: int = 0, memory: bool = False, vocabulary: int = VOCABULARY, ends: float = 0.0) -> bytes:
    """A decoder; `ends` is added to the logit of the id that ends an answer."""
    draw = _Drawing(seed)
    states = draw.add("Gather", draw.weight(vocabulary, WIDTH), "ids")
    states = draw.add("Add", states, draw.add("Gather", draw.weight(LONGEST, WIDTH, scale=0.5), "positions"))
    parts = [draw.heads(draw.add("MatMul", states, draw.weight(WIDTH, WIDTH, scale=0.4))) for _ in range(3)]
    keys = draw.add("Concat", "past_k_0", parts[1], axis=2, name="present_k_0")
    values = draw.add("Concat", "past_v_0", parts[2], axis=2, name="present_v_0")
    states = draw.add("Add", states, draw.attention(parts[0], keys, values, "mask"))
    if memory:
        asked = draw.heads(draw.add("MatMul", states, draw.weight(WIDTH, WIDTH, scale=0.4)))
        states = draw.add("Add", states, draw.attention(asked, "cross_k_0", "cross_v_0", "memory_mask"))
    places = draw.add("Unsqueeze", "picked", draw.constant(np.array([2])))
    wanted = draw.add("GatherND", states, places, batch_dims=1)
    bias = np.zeros(vocabulary, np.float32)
    bias[EOS] = ends
    logits = draw.add("MatMul", wanted, draw.weight(WIDTH, vocabulary, scale=0.5))
    draw.add("Add", logits, draw.constant(bias), name="logits")
    return draw.model(STEP_INPUTS | (MEMORY if memory else {}), STEP_OUTPUTS)


def encode(ids: str, mask: str, seed: int = 1, vocabulary: int = VOCABULARY) -> bytes:
    """An encoder of token ids (rows, steps) and their mask, called as a column calls them."""
    draw = _Drawing(seed)
    states = draw.add("Gather", draw.weight(vocabulary, WIDTH), ids)
    for kind in "kv":
        draw.heads(draw.add("MatMul", states, draw.weight(WIDTH, WIDTH)), name=f"cross_{kind}_0")
    absent = draw.add("Sub", draw.constant(np.float32(1)), draw.add("Cast", mask, to=TensorProto.FLOAT))
    added = draw.add("Mul", absent, draw.constant(np.finfo(np.float32).min))
    draw.add("Unsqueeze", added, draw.constant(np.array([1, 2])), name="memory_mask")
    tensor = (TensorProto.INT64, ["rows", "steps"])
    return draw.model({ids: tensor, mask: tensor}, ENCODE_OUTPUTS)


@dataclass
class Network:
    """A network of a program that is no part of a bundle; ids say themselves."""

    content: bytes

    def __post_init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.content, options)
        self.calls: list[tuple[int, ...]] = []  # the shape of the ids of each

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = [one.name for one in self.session.get_inputs()]
        self.calls.append(tensors[names[0]].shape)
        outputs = [one.name for one in self.session.get_outputs()]
        found = self.session.run(outputs, {name: tensors[name] for name in names})
        return dict(zip(outputs, found, strict=True))

    def batches(self, costs: np.ndarray) -> list[np.ndarray]:
        return [np.argsort(costs, kind="stable")]

    def outputs(self, rows: Any, picked: np.ndarray) -> Any:
        raise NotImplementedError

    def text(self, ids: Sequence[int]) -> str:
        return "".join(chr(ord("A") + one) for one in ids if one != EOS)


SHAPE: dict[str, Any] = {"layers": 1, "kv_heads": HEADS, "head_size": HEAD, "bos": BOS, "eos": (EOS,)}


def source() -> TextColumn:
    """Letters with spaces between them."""
    words = {"[PAD]": PAD, "[BOS]": BOS, "[EOS]": EOS} | {chr(ord("a") + place): place + 3 for place in range(26)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[PAD]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return TextColumn("source", "source", 30, PAD, tokenizer.to_str())
