"""Which device ONNX Runtime computes on: a CPU, or a GPU by its CUDA execution provider."""

from __future__ import annotations

import re
from typing import Any

import onnxruntime

from trimtab.errors import TrimtabError, problem

CPU = "cpu"
_CPU_PROVIDER, _CUDA_PROVIDER = "CPUExecutionProvider", "CUDAExecutionProvider"
_INSTALL = "pip uninstall onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]': they are one package in two builds"


def providers(device: str) -> list[Any]:
    """The execution providers for a device, the first one preferred: `cpu`, `cuda` (the first GPU), or `cuda:1`.

    Raises TrimtabError for another name, and where this ONNX Runtime knows no CUDA.
    """
    if device == CPU:
        return [_CPU_PROVIDER]
    found = re.fullmatch(r"cuda(?::(\d+))?", device)
    if found is None:
        raise problem("device", f"found {device!r}", "cpu, cuda, or cuda:N for the GPU of that number")
    there = onnxruntime.get_available_providers()
    if _CUDA_PROVIDER not in there:
        said = f"{device}, but ONNX Runtime {onnxruntime.__version__} here knows {', '.join(there)} alone"
        raise problem("device", said, do=_INSTALL)
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # CUDA and cuDNN as pip installs them lie where the loader does not look
    # In fp32 as on a CPU: the ten bits of TF32 would answer golden rows otherwise.
    return [(_CUDA_PROVIDER, {"device_id": int(found[1] or 0), "use_tf32": 0}), _CPU_PROVIDER]


def check(session: onnxruntime.InferenceSession, device: str) -> None:
    """Raises TrimtabError where a session computes on the CPU though a GPU was asked for: ONNX Runtime only warns."""
    if device != CPU and _CUDA_PROVIDER not in session.get_providers():
        raise not_started(device)


def not_started(device: str) -> TrimtabError:
    """CUDA is built in, and does not start on this machine."""
    said = f"{device}, but CUDA does not start: no such GPU, or CUDA and cuDNN are not those that ONNX Runtime needs"
    return problem("device", said, do="look at nvidia-smi, and pip install 'onnxruntime-gpu[cuda,cudnn]'")
