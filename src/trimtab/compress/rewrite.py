"""An ONNX graph with other nodes in place of those that read large weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto
from onnx.helper import get_attribute_value, make_opsetid
from onnx.numpy_helper import from_array, to_array

SMALLEST = 1024  # numbers in a weight; fewer bits save nothing below
# Numbers in a table, beyond which a product with it costs more than a second copy: smollm2 has 28 million, and each
# token that is written is multiplied with all of them.
TURNED = 4_000_000
# Where a node of each kind reads its weight.
_PLACES = {"MatMul": 1, "Gemm": 1, "Gather": 0, "Conv": 1}


@dataclass(frozen=True)
class Piece:
    """What comes in place of a node or of a weight: nodes, and the tensors that only they read."""

    nodes: list[NodeProto]
    tensors: list[TensorProto]


Form = Callable[[NodeProto, np.ndarray], Piece | None]  # None: this node stays as it is


@dataclass(frozen=True)
class Forms:
    """How weights are written: by the kind of node that reads them, or, whatever reads them, by name and values."""

    nodes: Mapping[str, Form]
    stored: Callable[[str, np.ndarray], Piece | None]


def rewritten(model: ModelProto, forms: Forms, keep: Collection[str] = ()) -> ModelProto:
    """The model, changed in place, with its large weights in the given forms.

    A weight that one of the nodes named in `keep` reads stays as it is. One that is read in several ways is stored
    once: what reads it sees all of it in fp32 again.
    """
    graph = model.graph
    if "MatMul" in forms.nodes:
        _turn_ahead(graph)
    readers = _readers(graph)
    inner = set(_inner_names(graph))
    pieces: dict[str, Piece] = {}
    ahead: list[Piece] = []
    gone: set[str] = set()
    for weight in large_weights(graph):
        reading = readers[weight.name]
        if any(node.name in keep for node, _ in reading):
            continue
        found = [_formed(forms, node, position, to_array(weight)) for node, position in reading]
        made = [piece for piece in found if piece is not None]
        if made and len(made) == len(found) and weight.name not in inner:
            pieces |= {node.output[0]: piece for (node, _), piece in zip(reading, made, strict=True)}
        elif (stored := forms.stored(weight.name, to_array(weight))) is not None:
            ahead.append(stored)
        else:
            continue
        gone.add(weight.name)
    nodes = [pieces.get(node.output[0], Piece([node], [])) for node in graph.node]
    _replace(model, [*ahead, *nodes], gone)
    return model


def _turn_ahead(graph: GraphProto) -> None:
    """A very large weight that is turned before a product reads it becomes another one that is turned already.

    So the table of a language model is looked up in one form, and multiplied as the last layer in another.
    """
    weights = {weight.name: weight for weight in large_weights(graph) if np.prod(weight.dims) >= TURNED}
    turns = [node for node in graph.node if node.op_type == "Transpose" and node.input[0] in weights]
    for node in turns:
        values = to_array(weights[node.input[0]])
        graph.initializer.append(tensor(node.output[0], values.transpose(attribute(node, "perm", None))))
        graph.node.remove(node)
    read = {name for node in graph.node for name in node.input} | set(_inner_names(graph))
    unread = {node.input[0] for node in turns} - read
    kept = [weight for weight in graph.initializer if weight.name not in unread]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def large_weights(graph: GraphProto) -> list[TensorProto]:
    """The float32 weights of at least two dimensions and `SMALLEST` numbers."""
    return [
        part
        for part in graph.initializer
        if part.data_type == TensorProto.FLOAT and len(part.dims) > 1 and np.prod(part.dims) >= SMALLEST
    ]


def weighted(graph: GraphProto) -> list[NodeProto]:
    """The nodes that read a large weight, in their order."""
    names = {weight.name for weight in large_weights(graph)}
    return [node for node in graph.node if names & set(node.input)]


def matrix(node: NodeProto, values: np.ndarray) -> np.ndarray | None:
    """The weight of a product x @ w (+ bias), (inputs, outputs); None for a product of another kind."""
    plain = {"transA": 0, "alpha": 1.0, "beta": 1.0}
    if values.ndim != 2 or any(attribute(node, name, value) != value for name, value in plain.items()):
        return None
    return values.T if attribute(node, "transB", 0) else values


def attribute(node: NodeProto, name: str, default: Any) -> Any:
    """An attribute's value, or the default where the node does not state it."""
    return next((get_attribute_value(part) for part in node.attribute if part.name == name), default)


def tensor(name: str, values: np.ndarray) -> TensorProto:
    """A constant of the graph."""
    return from_array(np.ascontiguousarray(values), name)


def _formed(forms: Forms, node: NodeProto, position: int, values: np.ndarray) -> Piece | None:
    form = forms.nodes.get(node.op_type)
    return form(node, values) if form is not None and position == _PLACES[node.op_type] else None


def _readers(graph: GraphProto) -> defaultdict[str, list[tuple[NodeProto, int]]]:
    """Tensor -> the nodes that read it, and in which place."""
    found: defaultdict[str, list[tuple[NodeProto, int]]] = defaultdict(list)
    for node in graph.node:
        for position, name in enumerate(node.input):
            found[name].append((node, position))
    return found


def _inner_names(graph: GraphProto) -> Iterator[str]:
    """What the branches and loops inside the graph read."""
    for node in graph.node:
        for part in node.attribute:
            for inner in (*part.graphs, *((part.g,) if part.HasField("g") else ())):
                yield from (name for one in inner.node for name in one.input)
                yield from _inner_names(inner)


def _replace(model: ModelProto, pieces: Iterable[Piece], gone: Collection[str]) -> None:
    """Put the pieces into the graph; nodes and tensors that several pieces share stand once."""
    graph = model.graph
    nodes: dict[str, NodeProto] = {}
    tensors = {part.name: part for part in graph.initializer if part.name not in gone}
    for piece in pieces:
        for node in piece.nodes:
            nodes.setdefault(node.output[0], node)
        for part in piece.tensors:
            tensors.setdefault(part.name, part)
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes.values())
    graph.initializer.extend(tensors.values())
    known = {(entry.domain, entry.version) for entry in model.opset_import}
    domains = {node.domain for node in nodes.values()} - {domain for domain, _ in known}
    model.opset_import.extend(make_opsetid(domain, 1) for domain in sorted(domains))
