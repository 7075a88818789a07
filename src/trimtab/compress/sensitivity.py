"""Which layers of a network do not bear fewer bits: each is quantized alone, and the worst are left in fp32."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
from onnx import GraphProto

from trimtab import runtime
from trimtab.compress.rewrite import large_weights, weighted

Batch = Mapping[str, np.ndarray]  # the network's tensors for some rows
Maker = Callable[[Path, Path, Collection[str]], None]  # source, target, names of the nodes left in fp32

LIMIT = 0.002  # of the distortion: about one answer of a label in two hundred changes
MOST = 0.5  # of the weights may stay in fp32; with more, another precision is the better choice
_NO_ANSWER = 1e8  # outputs beyond stand for items that are left out


@dataclass(frozen=True)
class Layer:
    """Nodes that are quantized or left together: products of the same activations, or one table."""

    nodes: tuple[str, ...]
    weights: int
    distortion: float = float("nan")  # when nothing else is quantized


@dataclass(frozen=True)
class Sensitivity:
    """What was found: `keep` names the nodes to leave in fp32, `distortion` is what then remains."""

    keep: tuple[str, ...]
    distortion: float
    layers: tuple[Layer, ...] = ()  # the worst first; none where the whole network bears it


def sensitive(
    source: Path, make: Maker, batches: Sequence[Batch], limit: float = LIMIT, most: float = MOST
) -> Sensitivity:
    """The nodes of the ONNX file `source` to leave in fp32, such that `make` distorts its outputs by `limit` at most.

    `batches` are tensors of a hundred rows or so. Layers are left in fp32 from the worst on, until the limit holds or
    `most` of the weights stay: then `distortion` of the answer is above `limit`.
    """
    with TemporaryDirectory() as folder:
        trial = _Trial(source, make, batches, Path(folder) / "trial.onnx", answers(source, batches))
        whole = trial.distortion(())
        if whole <= limit:
            return Sensitivity((), whole)
        layers = _layers(onnx.load(source, load_external_data=False).graph)
        names = [name for layer in layers for name in layer.nodes]
        found = [
            Layer(layer.nodes, layer.weights, trial.distortion([name for name in names if name not in layer.nodes]))
            for layer in layers
        ]
        worst = tuple(sorted(found, key=lambda layer: -layer.distortion))
        return _enough(trial, worst, whole, limit, most)


def distortion(outputs: np.ndarray, reference: np.ndarray) -> float:
    """Mean squared difference of two (rows, width) outputs, as a share of the reference's variance over the rows.

    Infinite where an output is no number that is one in the reference.
    """
    told = np.ma.masked_where(~(np.abs(reference) < _NO_ANSWER), reference)  # NaN is masked too
    if not np.isfinite(outputs[~np.ma.getmaskarray(told)]).all():
        return float("inf")
    spread = float(np.square(told - told.mean(0)).mean())
    return float(np.square(told - outputs).mean()) / max(spread, 1e-12)


def answers(model: Path, batches: Iterable[Batch]) -> np.ndarray:
    """The outputs of an ONNX file for all rows, or all places of all rows: (rows, width)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = runtime.usable_cores()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    found = [session.run(None, {name: batch[name] for name in names})[0] for batch in batches]
    return np.concatenate([part.reshape(-1, part.shape[-1]) for part in found])


@dataclass(frozen=True)
class _Trial:
    source: Path
    make: Maker
    batches: Sequence[Batch]
    target: Path
    reference: np.ndarray

    def distortion(self, keep: Collection[str]) -> float:
        """What quantizing all but `keep` does to the outputs."""
        self.make(self.source, self.target, keep)
        return distortion(answers(self.target, self.batches), self.reference)


def _layers(graph: GraphProto) -> list[Layer]:
    """Layers in the order of the graph."""
    sizes = {weight.name: int(np.prod(weight.dims)) for weight in large_weights(graph)}
    together: dict[tuple[str, str], list[str]] = {}
    weights: dict[tuple[str, str], int] = {}
    for node in weighted(graph):
        key = (node.op_type, node.input[0])
        together.setdefault(key, []).append(node.name)
        weights[key] = weights.get(key, 0) + sum(sizes.get(name, 0) for name in node.input)
    return [Layer(tuple(names), weights[key]) for key, names in together.items()]


def _enough(trial: _Trial, worst: tuple[Layer, ...], whole: float, limit: float, most: float) -> Sensitivity:
    """Leave as few as it takes: from the count at which what the others do, alone, adds up to the limit."""
    room = most * sum(layer.weights for layer in worst)
    alone = np.array([layer.distortion for layer in worst])
    left = alone.sum() - alone.cumsum()  # by the layers that are still quantized, when the first 1, 2, 3 ... are not
    first = int(np.argmax(left * whole / alone.sum() <= limit)) if np.isfinite(alone.sum()) else 0
    keep: tuple[str, ...] = ()
    reached = whole
    for count in range(first + 1, len(worst)):
        if sum(layer.weights for layer in worst[:count]) > room:
            break
        keep = tuple(name for layer in worst[:count] for name in layer.nodes)
        reached = trial.distortion(keep)
        if reached <= limit:
            break
    return Sensitivity(keep, reached, worst)
