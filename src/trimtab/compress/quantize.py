"""Weights in 8 bits (ONNX Runtime dynamic quantization, per channel)."""

from __future__ import annotations

import logging
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quant_pre_process, quantize_dynamic

from trimtab.compress.export import write


def int8(source: Path, target: Path) -> None:
    """Write an int8 copy of the ONNX file `source`; whether it still answers the same is for the caller to measure.

    Seven-bit weights (`reduce_range`) keep the 16-bit sums of CPUs without VNNI from saturating.
    """
    quiet = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # it warns through the root logger
    prepared = target.with_suffix(".prepared.onnx")
    try:
        quant_pre_process(source, prepared, skip_symbolic_shape=True, skip_optimization=True)
        quantize_dynamic(
            prepared, target, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
        )  # fmt: skip
        write(onnx.load(target), target)
    finally:
        logging.getLogger().setLevel(quiet)
        prepared.unlink(missing_ok=True)
