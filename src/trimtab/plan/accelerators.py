"""Public figures of some accelerators, and what a training would take on one: an estimate, nothing is measured.

A step takes as long as its arithmetic at a third of the vendor's peak, or as starting its kernels, whichever is longer,
and then the optimizer moves the weights through memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.errors import nearest, problem
from trimtab.plan.estimate import Accelerated, Money

# What trainings of Transformers reach of a peak in published runs lies around 0.3 to 0.5 (PaLM, Chowdhery et al. 2022,
# arXiv:2204.02311, table 3: 0.21 to 0.46); small batches reach less.
_REACHED = 0.33
_KERNEL = 8e-6  # seconds to start one from Python
_MOVED = 28  # bytes that fused AdamW reads and writes for each weight: itself, its gradient, two moments
_CONTEXT = 0.7e9  # bytes that the driver and the libraries hold
_GB = 1e9


@dataclass(frozen=True)
class Accelerator:
    """Figures of a vendor's data sheet, dense: without sparsity."""

    name: str
    teraflops: float  # bf16, or fp16 where it has no bf16; sums in fp32
    gigabytes: float
    bandwidth: float  # GB/s
    watts: float
    source: str


ACCELERATORS = {
    "t4": Accelerator("NVIDIA T4", 65, 16, 320, 70, "NVIDIA T4 data sheet, fp16"),
    "v100": Accelerator("NVIDIA V100 SXM2", 125, 32, 900, 300, "NVIDIA V100 data sheet, fp16"),
    "a10": Accelerator("NVIDIA A10", 125, 24, 600, 150, "NVIDIA A10 data sheet"),
    "l4": Accelerator("NVIDIA L4", 121, 24, 300, 72, "NVIDIA L4 data sheet, half of the figure with sparsity"),
    "rtx4090": Accelerator("NVIDIA RTX 4090", 165, 24, 1008, 450, "NVIDIA Ada architecture whitepaper"),
    "a100": Accelerator("NVIDIA A100 SXM 80 GB", 312, 80, 2039, 400, "NVIDIA A100 data sheet"),
    "h100": Accelerator("NVIDIA H100 SXM", 989, 80, 3350, 700, "NVIDIA H100 data sheet, half of that with sparsity"),
    "h200": Accelerator("NVIDIA H200 SXM", 989, 141, 4800, 700, "NVIDIA H200 data sheet, half of that with sparsity"),
    "mi300x": Accelerator("AMD Instinct MI300X", 1307, 192, 5300, 750, "AMD Instinct MI300X data sheet"),
}


def found(name: str) -> Accelerator:
    """The one that a user names. Raises TrimtabError, with the nearest name, for one without figures."""
    known = name.lower().replace("-", "").replace(" ", "")
    if known not in ACCELERATORS:
        raise problem("--accelerator", f"no figures of {name!r}", nearest(known, ACCELERATORS))
    return ACCELERATORS[known]


def estimated(
    accelerator: Accelerator,
    flops: float,
    operations: float,
    learning: float,
    memory: int,
    price: tuple[float, str] | None,
) -> Accelerated:
    """The training there. `operations`: kernels of all steps; `learning`: weights that learn, over all steps.

    `memory` holds the bytes of weights, gradients, optimizer and activations; `price` is that of an hour, and in what.
    """
    arithmetic = flops / (accelerator.teraflops * 1e12 * _REACHED)
    seconds = max(arithmetic, operations * _KERNEL) + learning * _MOVED / (accelerator.bandwidth * _GB)
    held = int(memory + _CONTEXT)
    return Accelerated(
        name=accelerator.name,
        seconds=seconds,
        memory=held,
        fits=held <= accelerator.gigabytes * _GB,
        watt_hours=seconds * accelerator.watts / 3600,
        source=accelerator.source,
        money=Money(per_hour=price[0], currency=price[1], amount=price[0] * seconds / 3600) if price else None,
    )
