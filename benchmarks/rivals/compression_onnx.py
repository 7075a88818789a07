"""ONNX Runtime's own dynamic quantization of a bundle's network: `... BUNDLE TARGET`.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html: pre-processing, then dynamic quantization
per channel, with `reduce_range` where the CPU has no VNNI.
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path

import onnx
import onnxruntime
from onnxruntime.quantization import QuantType, quant_pre_process, quantize_dynamic

from benchmarks.measure import answer_with

MODEL = "model.onnx"
CARRIED = {"text.tokenizer.json": "tokenizer.json", "label.json": "label.json"}  # of a bundle's columns -> here


def main(bundle: str, target: str) -> None:
    """Quantize; print the seconds that it took."""
    logging.getLogger().setLevel(logging.ERROR)
    folder = fresh(Path(target), Path(bundle))
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        whole, prepared = Path(scratch) / "whole.onnx", Path(scratch) / "prepared.onnx"
        onnx.save(onnx.load(Path(bundle) / MODEL), whole)  # its pre-processing loses sight of weights in a second file
        quant_pre_process(whole, prepared, skip_symbolic_shape=True)  # which gives up on this network
        quantize_dynamic(
            prepared, folder / MODEL, per_channel=True, reduce_range=not has_vnni(), weight_type=QuantType.QInt8
        )
    version = f"onnxruntime {onnxruntime.__version__}"
    answer_with({"seconds": time.perf_counter() - begun, "version": version, "exit_code": 0})


def fresh(target: Path, bundle: Path) -> Path:
    """A folder with nothing but the bundle's tokenizer and its classes."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name, here in CARRIED.items():
        shutil.copy(bundle / "columns" / name, target / here)
    return target


def has_vnni() -> bool:
    """Whether this CPU sums products of 8 bits without saturating; only Linux tells."""
    told = Path("/proc/cpuinfo")
    return told.is_file() and "vnni" in told.read_text(encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
