"""A network's ONNX file in fewer bits; whether it still answers the same is for the caller to measure.

Weights are rounded to nearest on grids that are symmetric about zero: one for each output channel of a product or a
convolution, each row of a table, or each block of a row. The files run on ONNX Runtime's CPU provider alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto
from onnx.helper import make_node
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from trimtab.compress.rewrite import Form, Forms, Piece, attribute, matrix, rewritten, tensor
from trimtab.errors import nearest, problem
from trimtab.export import write

Batch = Mapping[str, np.ndarray]  # the network's tensors for some rows

BITS = 7  # of an int8 product's weights: sums of two 8-bit products overflow 16 bits on CPUs without VNNI
LEVELS = 127  # of an int8 product's activations on each side of zero
BLOCK = 64  # weights that share a scale in 4 bits
_TABLE_BITS = 8  # a table is looked up, not multiplied
_SHRUNK = (1.0, 0.95, 0.9, 0.85, 0.8)  # ranges tried for a block: clipping one weight can be better for all others
_LARGEST_HALF = 65_504.0
_CONTRIB = "com.microsoft"
_FOLLOWING = frozenset({"Relu", "Clip", "Add", "MaxPool", "AveragePool", "GlobalAveragePool"})


@dataclass(frozen=True)
class Precision:
    """A row of `PRECISIONS`: how a file is made from a file in fp32, and whether that needs rows to calibrate on."""

    make: Callable[[Path, Path, Sequence[Batch], Collection[str]], None]
    calibrated: bool
    description: str


def int8(source: Path, target: Path, keep: Collection[str] = (), bits: int = BITS) -> None:
    """Products and tables in 8 bits, activations quantized at run time; the rest stored in 8.

    What a product reads has a scale for each vector of it, a token's or a row's: so neither the other rows of a batch
    nor the padding changes an answer. Convolutions and recurrent layers are stored in 8 bits and computed in fp32: as
    small, no faster. `keep` names nodes that stay in fp32. With `bits` 8 in place of 7, products may saturate on CPUs
    without VNNI.
    """
    write(rewritten(onnx.load(source), _int8_forms(bits), keep), target)


def int8_static(
    source: Path, target: Path, batches: Sequence[Batch], keep: Collection[str] = (), reduce_range: bool = True
) -> None:
    """Convolutions, and what follows them, in 8 bits throughout; activations by the ranges seen in `batches`.

    Products and tables become as in `int8`: activations of attention layers have outliers that one fixed range over all
    rows serves badly. `reduce_range` keeps weights to 7 bits.
    """
    model = onnx.load(source)
    convolved = _convolved(model, keep)
    if convolved:
        model = _calibrated(model, batches, convolved, reduce_range)
    write(rewritten(model, _int8_forms(BITS if reduce_range else 8), keep), target)


def int8_blocks(source: Path, target: Path, keep: Collection[str] = ()) -> None:
    """Products in 8 bits with a scale for each block of 128 weights and of each row's activations.

    Nearest to fp32; slower than `int8` on large batches.
    """
    product = _block_product(8, 128)
    nodes: dict[str, Form] = {"MatMul": product, "Gemm": product, "Gather": _int8_rows}
    write(rewritten(onnx.load(source), Forms(nodes, _stored_int8), keep), target)


def int4(source: Path, target: Path, keep: Collection[str] = (), block: int = BLOCK) -> None:
    """Products and tables in 4 bits, a scale for each block of weights; activations in 8 bits; the rest stored in 8."""
    product = _block_product(4, block)
    nodes: dict[str, Form] = {"MatMul": product, "Gemm": product, "Gather": _int4_rows}
    write(rewritten(onnx.load(source), Forms(nodes, _stored_int8), keep), target)


def int8_int4(source: Path, target: Path, keep: Collection[str] = ()) -> None:
    """As `int8`, but tables in 4 bits: the vectors of tokens are most of the bytes of a small network for texts."""
    forms = _int8_forms(BITS)
    write(rewritten(onnx.load(source), Forms({**forms.nodes, "Gather": _int4_rows}, forms.stored), keep), target)


def fp16(source: Path, target: Path, keep: Collection[str] = ()) -> None:
    """Weights stored in 16 bits and computed in fp32, on any CPU: ONNX Runtime widens them as it loads the file."""
    write(rewritten(onnx.load(source), Forms({"Gather": _half_rows}, _stored_half), keep), target)


def _uncalibrated(
    make: Callable[[Path, Path, Collection[str]], None],
) -> Callable[[Path, Path, Sequence[Batch], Collection[str]], None]:
    return lambda source, target, _batches, keep: make(source, target, keep)


PRECISIONS: dict[str, Precision] = {
    "fp16": Precision(_uncalibrated(fp16), False, "weights stored in 16 bits, computed in fp32"),
    "int8_blocks": Precision(_uncalibrated(int8_blocks), False, "weights and activations in 8 bits, in blocks"),
    "int8": Precision(_uncalibrated(int8), False, "weights in 8 bits, activations quantized at run time"),
    "int8_int4": Precision(_uncalibrated(int8_int4), False, "as int8, with tables in 4 bits"),
    "int8_static": Precision(int8_static, True, "convolutions in 8 bits, activations by ranges seen on training rows"),
    "int4": Precision(_uncalibrated(int4), False, "weights and tables in 4 bits, in blocks"),
}


def quantize(name: str, source: Path, target: Path, batches: Sequence[Batch] = (), keep: Collection[str] = ()) -> None:
    """Write the ONNX file `source` in the precision `name` to `target`; nodes named in `keep` stay in fp32.

    `batches` are tensors of training rows. Raises TrimtabError for an unknown name, and where batches are lacking.
    """
    if name not in PRECISIONS:
        raise problem("quantize", f"no precision named {name!r}", nearest(name, PRECISIONS))
    precision = PRECISIONS[name]
    if precision.calibrated and not batches:
        raise problem("quantize", f"{name} has no rows to calibrate on", do="give batches of training rows")
    precision.make(source, target, batches, keep)


# ------------------------------------------------------------------------------------------------------------ grids


def symmetric(values: np.ndarray, bits: int, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Values on a grid of integers -> int8 of the same shape, and float32 scales with 1 in place of `axes`."""
    levels = 2 ** (bits - 1) - 1
    largest = np.abs(values).max(axis=axes, keepdims=True)
    scales = np.where(largest > 0, largest / levels, 1).astype(np.float32)
    return np.clip(np.rint(values / scales), -levels, levels).astype(np.int8), scales


def blocked(rows: np.ndarray, bits: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, width) -> int8 codes (rows, blocks, block), padded with zeros, and float32 scales (rows, blocks).

    The largest number of a block becomes the lowest code, for there is one more below zero than above. In 4 bits, some
    smaller ranges are tried and the one of least squared error is taken.
    """
    count, width = rows.shape
    padded = np.pad(rows, [(0, 0), (0, -width % block)]).reshape(count, -1, block)
    lowest = -(2 ** (bits - 1))
    extreme = np.take_along_axis(padded, np.abs(padded).argmax(2)[..., None], 2)
    full = np.where(extreme == 0, 1, extreme / lowest).astype(np.float32)
    best, scales, least = np.zeros(padded.shape, np.int8), full, np.full(full.shape, np.inf)
    for share in _SHRUNK if bits < 8 else _SHRUNK[:1]:
        tried = full * np.float32(share)
        codes = np.clip(np.rint(padded / tried), lowest, -lowest - 1)
        error = ((codes * tried - padded) ** 2).sum(2, keepdims=True)
        better = error < least
        best, scales = np.where(better, codes, best).astype(np.int8), np.where(better, tried, scales)
        least = np.where(better, error, least)
    return best, scales[..., 0]


def _packed(codes: np.ndarray) -> np.ndarray:
    """Codes of 4 bits, (..., even), two to a byte, the first in the lower half."""
    low, high = (codes[..., start::2].astype(np.uint8) & 0xF for start in (0, 1))
    return np.asarray(low | (high << 4))


# ------------------------------------------------------------------------------------------------------------ forms


def _int8_forms(bits: int) -> Forms:
    product = _int8_product(bits)
    return Forms({"MatMul": product, "Gemm": product, "Gather": _int8_rows}, _stored_int8)


def _int8_product(bits: int) -> Form:
    def form(node: NodeProto, values: np.ndarray) -> Piece | None:
        weight = matrix(node, values)
        if weight is None:
            return None
        given, name, (made,) = node.input[0], f"{node.input[1]}/int8", node.output
        codes, scales = symmetric(weight, bits, (0,))
        factors = [f"{given}/codes", name, "int8/step", f"{name}/scale", "int8/zero"]
        nodes = [
            *_codes(given),
            make_node("MatMulIntegerToFloat", factors, [f"{made}/shares"], domain=_CONTRIB),
            make_node("Mul", [f"{made}/shares", f"{given}/largest"], [made]),
        ]
        return Piece(_biased(node, nodes), [tensor(name, codes), tensor(f"{name}/scale", scales[0]), *_CODING])

    return form


# Least and largest number of each vector: the largest of the sizes would be written down first: 4 to 7% fewer rows/s.
# Vectors of zeros are divided by what is no zero.
_CODING = (
    tensor("int8/last", np.array([-1])),
    tensor("int8/least", np.array(1e-30, np.float32)),
    tensor("int8/step", np.array(1 / LEVELS, np.float32)),
    tensor("int8/zero", np.array(128, np.uint8)),
)


def _codes(given: str) -> list[NodeProto]:
    """What a product reads, (..., width), in 8 bits: each vector by its own largest number, (..., 1)."""
    return [
        make_node("ReduceMax", [given, "int8/last"], [f"{given}/high"], keepdims=1),
        make_node("ReduceMin", [given, "int8/last"], [f"{given}/low"], keepdims=1),
        make_node("Neg", [f"{given}/low"], [f"{given}/depth"]),
        make_node("Max", [f"{given}/high", f"{given}/depth", "int8/least"], [f"{given}/largest"]),
        make_node("Div", [given, f"{given}/largest"], [f"{given}/share"]),
        make_node("QuantizeLinear", [f"{given}/share", "int8/step", "int8/zero"], [f"{given}/codes"]),
    ]


def _block_product(bits: int, block: int) -> Form:
    def form(node: NodeProto, values: np.ndarray) -> Piece | None:
        weight = matrix(node, values)
        if weight is None:
            return None
        codes, scales = blocked(weight.T, bits, block)
        bytes_ = _packed(codes + 8) if bits == 4 else (codes.astype(np.int16) + 128).astype(np.uint8)
        name, shape = f"{node.input[1]}/int{bits}", {"K": weight.shape[0], "N": weight.shape[1]}
        product = make_node(
            "MatMulNBits",
            [node.input[0], name, f"{name}/scale"],
            list(node.output),
            domain=_CONTRIB,
            bits=bits,
            block_size=block,
            accuracy_level=4,  # activations in 8 bits too
            **shape,
        )
        return Piece(_biased(node, [product]), [tensor(name, bytes_), tensor(f"{name}/scale", scales.reshape(-1))])

    return form


def _biased(node: NodeProto, nodes: list[NodeProto]) -> list[NodeProto]:
    """The product's nodes with the bias of a Gemm added behind them."""
    if len(node.input) < 3 or not node.input[2]:
        return nodes
    nodes[-1].output[0] = f"{node.output[0]}/product"
    return [*nodes, make_node("Add", [nodes[-1].output[0], node.input[2]], list(node.output))]


def _table(node: NodeProto, values: np.ndarray) -> bool:
    return values.ndim == 2 and attribute(node, "axis", 0) == 0


def _int8_rows(node: NodeProto, values: np.ndarray) -> Piece | None:
    """Rows are looked up in 8 bits and widened afterwards, each by its own scale."""
    if not _table(node, values):
        return None
    (table, ids), (made,) = node.input, node.output
    codes, scales = symmetric(values, _TABLE_BITS, (1,))
    nodes = [
        make_node("Gather", [f"{table}/int8", ids], [f"{made}/row_codes"]),
        make_node("Gather", [f"{table}/int8/rows", ids], [f"{made}/row_scale"]),
        make_node("Cast", [f"{made}/row_codes"], [f"{made}/row_floats"], to=TensorProto.FLOAT),
        make_node("Mul", [f"{made}/row_floats", f"{made}/row_scale"], [made]),
    ]
    return Piece(nodes, [tensor(f"{table}/int8", codes), tensor(f"{table}/int8/rows", scales)])


def _int4_rows(node: NodeProto, values: np.ndarray) -> Piece | None:
    """In blocks of 32; in 8 bits where a row is no whole number of blocks."""
    if not _table(node, values) or values.shape[1] % 32:
        return _int8_rows(node, values)
    (table, ids), made = node.input, list(node.output)
    codes, scales = blocked(values, 4, 32)
    packed = TensorProto(
        name=f"{table}/int4", dims=values.shape, data_type=TensorProto.INT4, raw_data=_packed(codes).tobytes()
    )
    given = [packed.name, ids, f"{table}/int4/rows"]
    nodes = [make_node("GatherBlockQuantized", given, made, domain=_CONTRIB, quantize_axis=1, block_size=32)]
    return Piece(nodes, [packed, tensor(given[2], scales)])


def _half_rows(node: NodeProto, values: np.ndarray) -> Piece | None:
    if not _table(node, values) or not _fits_half(values):
        return None
    (table, ids), (made,) = node.input, node.output
    nodes = [
        make_node("Gather", [f"{table}/fp16", ids], [f"{made}/fp16"]),
        make_node("Cast", [f"{made}/fp16"], [made], to=TensorProto.FLOAT),
    ]
    return Piece(nodes, [tensor(f"{table}/fp16", values.astype(np.float16))])


def _stored_half(name: str, values: np.ndarray) -> Piece | None:
    if not _fits_half(values):
        return None
    nodes = [make_node("Cast", [f"{name}/fp16"], [name], to=TensorProto.FLOAT)]
    return Piece(nodes, [tensor(f"{name}/fp16", values.astype(np.float16))])


def _stored_int8(name: str, values: np.ndarray) -> Piece:
    """A weight as codes and scales, which ONNX Runtime multiplies once, as it loads the file."""
    channels = next((axis for axis, size in enumerate(values.shape) if size > 1), 0)
    codes, scales = symmetric(values, 8, tuple(range(channels + 1, values.ndim)))
    nodes = [
        make_node("Cast", [f"{name}/stored"], [f"{name}/floats"], to=TensorProto.FLOAT),
        make_node("Mul", [f"{name}/floats", f"{name}/stored/scale"], [name]),
    ]
    return Piece(nodes, [tensor(f"{name}/stored", codes), tensor(f"{name}/stored/scale", scales)])


def _fits_half(values: np.ndarray) -> bool:
    return bool(np.abs(values).max() < _LARGEST_HALF)


# ------------------------------------------------------------------------------------------------------ calibration


class _Rows(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Sequence[Batch]) -> None:
        self.left = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch; None behind the last."""
        batch = next(self.left, None)
        return None if batch is None else dict(batch)


def _convolved(model: ModelProto, keep: Collection[str]) -> list[str]:
    """Names of the convolutions, and of what reads nothing but their outputs: one chain in 8 bits is what is quick."""
    constants = {part.name for part in model.graph.initializer}
    chosen: list[str] = []
    made: set[str] = set()
    for node in model.graph.node:
        given = {name for name in node.input if name and name not in constants}
        convolves = node.op_type == "Conv" and set(node.input[1:]) <= constants
        if (convolves or (node.op_type in _FOLLOWING and given and given <= made)) and node.name not in keep:
            chosen.append(node.name)
            made.update(node.output)
    return chosen


def _calibrated(model: ModelProto, batches: Sequence[Batch], nodes: list[str], reduce_range: bool) -> ModelProto:
    """The model with the given nodes between quantizing and dequantizing ones, which ONNX Runtime joins."""
    names = {given.name for given in model.graph.input}
    rows = [{name: value for name, value in batch.items() if name in names} for batch in batches]
    with TemporaryDirectory() as folder, _quiet():
        made = Path(folder) / "calibrated.onnx"
        quantize_static(
            model,
            made,
            _Rows(rows),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=nodes,
        )
        return onnx.load(made)


@contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's tools warn through the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
