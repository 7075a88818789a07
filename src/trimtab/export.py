"""The trained network as ONNX files with dynamic rows and steps: one, or several that a program runs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from trimtab.columns import InputColumn
from trimtab.nets.graphs import NamedGraph
from trimtab.nets.network import Network

OPSET = 20


class _Positional(nn.Module):
    """The network with its tensors as positional arguments, as ONNX wants them."""

    def __init__(self, network: Network, names: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.names = list(names)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        answers = self.network(dict(zip(self.names, tensors, strict=True)))
        return tuple(tensor for one in self.network.output.tensors for tensor in answers[one.name][: len(one.names)])


def export(network: Network, inputs: Sequence[InputColumn], example: dict[str, np.ndarray], path: Path) -> list[str]:
    """Write `network` to `path`; returns the names of its input tensors, in order.

    `example` holds the tensors of at least two rows. What the file gives is called as `output.tensors` says: `outputs`,
    (rows, width) float32, where there is one answer; `<name>.lengths`, (rows,) int64, behind an answer for each step.
    """
    names = list(example)
    network = _ready(network)
    rows = Dim("rows")
    padded = _padded(inputs)
    shapes = tuple({0: rows, 1: padded[name]} if name in padded else {0: rows} for name in example)
    tensors = [torch.from_numpy(_two_steps(value) if name in padded else value) for name, value in example.items()]
    gives = [name for tensor in network.output.tensors for name in tensor.names]
    _written(_exported(_Positional(network, names), tensors, shapes, names, gives), path)
    return names


def named_graphs(
    network: Network, inputs: Sequence[InputColumn], example: Mapping[str, np.ndarray]
) -> list[NamedGraph]:
    """The graphs of a network whose head is run by a program of its own, with some tensors of each."""
    padded = _padded(inputs)
    tensors = {
        name: torch.from_numpy(_two_steps(value) if name in padded else value) for name, value in example.items()
    }
    moving = {name: (0, 1) if name in padded else (0,) for name in example}
    with torch.no_grad():
        return list(_ready(network).head.graphs(network.states, tensors, moving))


def export_graph(graph: NamedGraph, path: Path) -> list[str]:
    """Write one graph of several to `path`; returns the names of the tensors that it reads, in order."""
    names = list(graph.example)
    shapes = tuple(dict.fromkeys(graph.moving.get(name, ()), Dim.DYNAMIC) for name in names)
    model = _written(_exported(graph.module.eval(), list(graph.example.values()), shapes, names, graph.gives), path)
    return [one.name for one in model.graph.input]


def _exported(
    module: nn.Module,
    tensors: Sequence[Tensor],
    shapes: tuple[dict[int, Any], ...],
    names: Sequence[str],
    gives: Sequence[str],
) -> torch.onnx.ONNXProgram:
    """A module as ONNX has it; `shapes` says of each of its tensors, called `names`, which dimensions may change."""
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            module,
            tuple(tensors),
            dynamo=True,
            dynamic_shapes=(shapes,),
            input_names=list(names),
            output_names=list(gives),
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter returned nothing")
    return program


def _written(program: torch.onnx.ONNXProgram, path: Path) -> onnx.ModelProto:
    """Save a program weight by weight: a copy of all of them, as `write` takes it, may not fit beside the network."""
    program.save(path, external_data=True)
    model = onnx.load(path, load_external_data=False)
    _strip(model)
    onnx.save(model, path)
    return model


def _ready(network: Network) -> Network:
    """On the CPU, for evaluation, its gradients dense."""
    network = network.cpu().eval()
    for module in network.modules():
        if isinstance(module, nn.Embedding):
            module.sparse = False
    return network


def write(model: onnx.ModelProto, path: Path) -> None:
    """Save without what the exporter notes about itself.

    Weights go to `<path>.data`: ONNX Runtime maps that file, which halves the time and the memory of a start, and
    protobuf's 2 GiB do not bound the network.
    """
    _strip(model)
    weights = path.with_name(f"{path.name}.data")
    weights.unlink(missing_ok=True)  # the library would append to it
    onnx.save(model, path, save_as_external_data=True, location=weights.name, size_threshold=1024)


def _strip(model: onnx.ModelProto) -> None:
    """Take out what the exporter notes about itself: stack traces name this machine's folders."""
    for holder in (model, model.graph, *model.functions, *model.graph.node, *model.graph.value_info):
        del holder.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
    model.doc_string = ""


def _two_steps(values: np.ndarray) -> np.ndarray:
    """(rows, steps, ...) with padding behind a single step: the exporter takes a dimension of 1 for a constant."""
    return values if values.shape[1] > 1 else np.pad(values, [(0, 0), (0, 1), *[(0, 0)] * (values.ndim - 2)])


def _padded(inputs: Sequence[InputColumn]) -> dict[str, Dim]:
    """Tensor -> its second dimension, where that is the row's own length: one for each group of parts."""
    return {
        f"{column.key}_{part}": dimension
        for number, column in enumerate(inputs)
        for group, parts in enumerate(column.padded)
        for dimension in [Dim(f"steps_{number}_{group}")]
        for part in parts
    }


@contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """The exporter warns about its own internals; nothing in it is for the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
