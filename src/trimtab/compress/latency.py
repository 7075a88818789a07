"""A latency table of this machine: what a block of a compact encoder costs, by its heads and its neurons.

Parameter counts say little of time: one row is bound by memory and by the cost of calls, a batch by arithmetic. So
blocks of several sizes are timed, in ONNX Runtime with the options of `runtime`; sizes between them are interpolated.
What is not a block (reading the row, embeddings, the head) is what the network at hand takes beyond its blocks.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper, parser

from trimtab import runtime
from trimtab.columns import encode_rows
from trimtab.compress import Skip
from trimtab.compress.quantize import quantize
from trimtab.export import OPSET
from trimtab.nets.fitted import FittedNetwork

Call = Callable[[], object]
Size = tuple[int, int]  # heads, neurons
Batch = dict[str, list[Any]]  # raw rows: an input column's name -> its values

_BLOCKS = 6  # most that are timed behind each other: as in the network, the weights of one push out those of another
_SECONDS = 6.0  # for all timings
_ROUNDS = (5, 200)  # least and most timings of each size
_QUANTILE = 0.2  # of the timings: what else runs on the machine only ever adds to them
_BATCHES = 16  # different calls that the network at hand is timed on
_NAME = "compact"


@dataclass(frozen=True)
class Table:
    """Milliseconds of one block of a compact encoder, and of all else, in calls of `rows` rows of about `steps` steps.

    `by_heads` are those of a block with so many `heads` and the most neurons, `by_neurons` those of one with so many
    `neurons` and the most heads; both sizes rise.
    """

    heads: tuple[int, ...]
    by_heads: tuple[float, ...]
    neurons: tuple[int, ...]
    by_neurons: tuple[float, ...]
    rows: int
    steps: int
    precision: str | None
    fixed: float = 0.0  # ms of a call beside its blocks

    def block(self, heads: int, neurons: int) -> float:
        """Predicted milliseconds of a block; its two parts are taken to add up."""
        attention = float(np.interp(heads, self.heads, self.by_heads))
        feed_forward = float(np.interp(neurons, self.neurons, self.by_neurons))
        return max(0.0, attention + feed_forward - self.by_heads[-1])


def measure(
    trained: FittedNetwork,
    values: Mapping[str, Sequence[Any]],
    model: Path,
    rows: int = 1,
    precision: str | None = None,
    threads: int | None = None,
) -> Table | Skip:
    """Time blocks like those of the network's compact encoder, and the network itself, on this machine.

    `values` are raw rows (each input column's name -> its values) as they will be served; `model` is the network's
    ONNX file, in fp32 or in the `precision` (a name of `quantize.PRECISIONS`). Calls of `rows` rows are timed.
    """
    layers = _layers(trained)
    if layers is None or not layers:
        return Skip("a latency table is made of the blocks of one compact encoder, which this network does not have")
    batches, steps = _batches(trained, values, rows)
    shape = _shape(trained, layers)
    sizes = _sizes(layers)
    threads = threads or runtime.usable_cores()
    with tempfile.TemporaryDirectory() as temporary:
        calls = [
            _block_call(shape, size, rows, steps, precision, Path(temporary) / f"{position}.onnx", threads)
            for position, size in enumerate(sizes)
        ]
        reading = _reading_call(trained, batches)
        own, read, *taken = _timed([_network_call(trained, model, batches, threads), reading, *calls])
    timed = {size: ms / shape.blocks for size, ms in zip(sizes, taken, strict=True)}
    heads, neurons = sizes[0]
    by_heads = sorted((size[0], ms) for size, ms in timed.items() if size[1] == neurons)
    by_neurons = sorted((size[1], ms) for size, ms in timed.items() if size[0] == heads)
    table = Table(*_rising(by_heads), *_rising(by_neurons), rows, steps, precision)
    return _fitted(table, own, read, _of_blocks(layers, table))


def _fitted(table: Table, own: float, reading: float, blocks: float) -> Table:
    """The table by which the network at hand takes `own` ms: what is not blocks is `reading` rows at the least."""
    fixed = min(own, max(reading, own - blocks))
    scale = min(1.0, (own - fixed) / blocks)
    by_heads, by_neurons = (tuple(ms * scale for ms in part) for part in (table.by_heads, table.by_neurons))
    return replace(table, by_heads=by_heads, by_neurons=by_neurons, fixed=fixed)


def predicted(trained: FittedNetwork, table: Table) -> float | None:
    """Milliseconds that a call is predicted to take; None for a network without one compact encoder."""
    layers = _layers(trained)
    return None if layers is None else table.fixed + _of_blocks(layers, table)


def _layers(trained: FittedNetwork) -> list[Size] | None:
    """Heads and neurons of each block, where one encoder of the network is compact."""
    entries = [entry for entry in trained.architecture.encoders if entry.name == _NAME]
    if len(entries) != 1:
        return None
    return [(layer["heads"], layer["neurons"]) for layer in entries[0].config["layers"]]


def _of_blocks(layers: Sequence[Size], table: Table) -> float:
    return sum(table.block(heads, neurons) for heads, neurons in layers)


def _sizes(layers: Sequence[Size]) -> list[Size]:
    """The sizes of blocks that are timed, the largest first: with fewer heads, or with fewer neurons."""
    heads, neurons = (max(1, *counts) for counts in zip(*layers, strict=True))
    fewer_heads = [(count, neurons) for count in {heads // 2, 1, 0} if count < heads]
    fewer_neurons = [(heads, count) for count in {neurons // 2, neurons // 8, 0} if count < neurons]
    return [(heads, neurons), *sorted(fewer_heads), *sorted(fewer_neurons)]


def _rising(timed: Sequence[tuple[int, float]]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Sizes and milliseconds; a larger block never takes less, whatever else ran beside the measurement."""
    sizes, taken = zip(*timed, strict=True)
    return sizes, tuple(np.maximum.accumulate(taken).tolist())


# --------------------------------------------------------------------------------------------------------- timing


def _timed(calls: Sequence[Call]) -> list[float]:
    """Milliseconds of each call. They take turns, so that what else the machine does hits all of them."""
    for call in calls:
        call()
    taken: list[list[float]] = []
    stop = time.perf_counter() + _SECONDS
    while len(taken) < _ROUNDS[0] or (time.perf_counter() < stop and len(taken) < _ROUNDS[1]):
        taken.append([_milliseconds(call) for call in calls])
    found: list[float] = np.quantile(taken, _QUANTILE, axis=0).tolist()
    return found


def _milliseconds(call: Call) -> float:
    """Of a call that follows one of its own kind, as in serving: its weights lie in the caches that hold them."""
    call()
    begun = time.perf_counter()
    call()
    return (time.perf_counter() - begun) * 1e3


def _batches(trained: FittedNetwork, values: Mapping[str, Sequence[Any]], rows: int) -> tuple[list[Batch], int]:
    """Raw rows of the calls that the network is timed on, those of about the median length, and the median of steps."""
    steps = encode_rows(trained.inputs, values).steps
    order = np.argsort(steps, kind="stable")
    count = rows * max(1, min(_BATCHES, len(order) // rows))
    start = max(0, (len(order) - count) // 2)
    picked = np.resize(order[start : start + count], count).reshape(-1, rows)
    batches = [{name: [column[int(row)] for row in numbers] for name, column in values.items()} for numbers in picked]
    return batches, int(np.median(steps[picked].max(axis=1)))


def _network_call(trained: FittedNetwork, file: Path, batches: Sequence[Batch], threads: int) -> Call:
    """A call of the network as `runtime` makes it, of the next rows each time."""
    session = runtime.open_session(file, threads)
    names = [tensor.name for tensor in session.get_inputs()]
    turn = cycle(batches)

    def call() -> object:
        rows = encode_rows(trained.inputs, next(turn))
        tensors = rows.batch(np.arange(len(rows)))
        return trained.output.decode(session.run(None, {name: tensors[name] for name in names})[0])

    return call


def _reading_call(trained: FittedNetwork, batches: Sequence[Batch]) -> Call:
    """What a call does before the network: rows become tensors."""
    turn = cycle(batches)

    def call() -> object:
        rows = encode_rows(trained.inputs, next(turn))
        return rows.batch(np.arange(len(rows)))

    return call


# ---------------------------------------------------------------------------------------------------------- blocks


class _Shape(NamedTuple):
    """What all blocks have in common, and how many are timed behind each other."""

    width: int
    head_width: int
    blocks: int
    activation: tuple[str, ...]  # its lines


def _shape(trained: FittedNetwork, layers: Sequence[Size]) -> _Shape:
    (config,) = (entry.config for entry in trained.architecture.encoders if entry.name == _NAME)
    activation = _ACTIVATIONS[config.get("activation", "gelu")]
    return _Shape(config["width"], config.get("head_width", 32), min(_BLOCKS, len(layers)), activation)


def _block_call(
    shape: _Shape, size: Size, rows: int, steps: int, precision: str | None, file: Path, threads: int
) -> Call:
    """A call of blocks of one size, on `rows` rows of `steps` steps."""
    made = file if precision is None else file.with_suffix(".fp32.onnx")
    onnx.save(_blocks(shape, *size), made)
    if precision is not None:
        quantize(precision, made, file)
    session = runtime.open_session(file, threads)
    states = np.random.default_rng(0).standard_normal((rows, steps, shape.width), np.float32)
    given = {"states0": states, "seen": np.ones((rows, steps), np.int32)}
    return lambda: session.run(None, given)


def _blocks(shape: _Shape, heads: int, neurons: int) -> onnx.ModelProto:
    """Blocks behind each other, in the operators that the export of the compact encoder has."""
    random = np.random.default_rng(0)
    weights: dict[str, np.ndarray] = {}
    lines: list[str] = []

    def linear(given: str, made: str, inside: int, outside: int) -> None:
        weights[f"{made}_weight"] = random.standard_normal((inside, outside), np.float32) / np.float32(inside**0.5)
        weights[f"{made}_bias"] = np.zeros(outside, np.float32)
        lines.extend([f"{made}_product = MatMul({given}, {made}_weight)", f"{made} = Add({made}_product, {made}_bias)"])

    def norm(given: str, beside: str | None, made: str) -> None:
        weights.update({f"{made}_scale": np.ones(shape.width, np.float32), f"{made}_bias": np.zeros_like(states)})
        if beside:
            lines.append(f"{made}_sum = Add({given}, {beside})")
        summed = f"{made}_sum" if beside else given
        lines.append(f"{made} = LayerNormalization<axis = -1>({summed}, {made}_scale, {made}_bias)")

    states = np.zeros(shape.width, np.float32)
    for number in range(shape.blocks):
        here, middle = f"states{number}", f"middle{number}"
        if heads:
            linear(here, f"linear{number}", shape.width, 3 * heads * shape.head_width)
            lines += _numbered(_ATTENTION, number, heads)
            linear(f"found{number}", f"out{number}", heads * shape.head_width, shape.width)
        norm(here, f"out{number}" if heads else None, middle)
        if neurons:
            linear(middle, f"inner{number}", shape.width, neurons)
            lines += _numbered(shape.activation, number, heads)
            linear(f"active{number}", f"outer{number}", neurons, shape.width)
        norm(middle, f"outer{number}" if neurons else None, f"states{number + 1}")
    values = f"float[rows, steps, {shape.width}]"
    model = parser.parse_model(
        f'<ir_version: 10, opset_import: ["": {OPSET}, "com.microsoft": 1]>\n'
        f"blocks ({values} states0, int32[rows, steps] seen) => ({values} states{shape.blocks})\n"
        "{\n" + "\n".join(lines) + "\n}"
    )
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return model


def _numbered(lines: Sequence[str], number: int, heads: int) -> list[str]:
    return [line.replace("#", str(number)).replace("HEADS", str(heads)) for line in lines]


_ATTENTION = (
    "queries#, keys#, values# = Split<axis = 2, num_outputs = 3>(linear#)",
    "found# = com.microsoft.MultiHeadAttention<num_heads = HEADS>(queries#, keys#, values#, , seen)",
)
_ACTIVATIONS = {
    "gelu": ("active# = Gelu(inner#)",),
    "gelu_tanh": ('active# = Gelu<approximate = "tanh">(inner#)',),
    "relu": ("active# = Relu(inner#)",),
    "silu": ("gate# = Sigmoid(inner#)", "active# = Mul(inner#, gate#)"),
}
