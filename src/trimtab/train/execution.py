"""How steps are computed on a machine: attention, precision, threads. What they compute is the same up to rounding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from trimtab.train.devices import Devices

BF16_WEIGHTS = "bf16_weights"


@dataclass(frozen=True)
class Execution:
    """`attention`: `fused`, PyTorch's kernel, or `plain`, batched products; `precision` as in the spec."""

    attention: str
    precision: str
    threads: int

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'' if self.threads == 1 else 's'}"
        return f"{self.precision}, {self.attention} attention, {threads}"


def usual_attention(devices: Devices) -> str:
    """What is taken where nothing is measured: fused attention in bf16 is slow on a CPU (LOG 2026-11-29)."""
    return "plain" if devices.device.type == "cpu" and devices.precision.startswith("bf16") else "fused"


def attending(attention: str) -> AbstractContextManager[Any]:
    """Inside, attention is computed so, whichever encoder asks for it."""
    return sdpa_kernel(SDPBackend.MATH) if attention == "plain" else nullcontext()


class Bf16Weights:
    """Copies in bf16 of the matrices of linear maps: steps read them, and the weights in fp32 learn.

    (Micikevicius et al. 2018, arXiv:1710.03740.) Autocast rounds the same matrices in every step anew, and their
    gradients back. Outside of autocast, in evaluations, the weights in fp32 are read.
    """

    def __init__(self, network: nn.Module) -> None:
        every = [module for module in network.modules() if type(module) is nn.Linear]
        self.linears = [linear for linear in every if linear.weight.dtype == torch.float32]
        weights = [linear.weight for linear in self.linears]
        self.copies = [w.detach().to(torch.bfloat16).requires_grad_(w.requires_grad) for w in weights]

    @contextmanager
    def read(self) -> Iterator[None]:
        """Inside, the network reads the copies, which begin as its weights are."""
        self.refresh()
        for linear, copy in zip(self.linears, self.copies, strict=True):
            linear.forward = _reading(linear, copy)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for linear in self.linears:
                del linear.forward

    @torch.no_grad()
    def refresh(self) -> None:
        """The copies become those of the weights as they are now."""
        if self.copies:
            torch._foreach_copy_(self.copies, [linear.weight for linear in self.linears])

    def gather(self) -> None:
        """The gradients of the copies are added to those of the weights."""
        for linear, copy in zip(self.linears, self.copies, strict=True):
            if copy.grad is not None:
                own, more = linear.weight.grad, copy.grad.float()
                linear.weight.grad, copy.grad = more if own is None else own + more, None

    def forget(self) -> None:
        """Gradients of a step that begins again."""
        for copy in self.copies:
            copy.grad = None


@contextmanager
def applied(execution: Execution, weights: Bf16Weights | None) -> Iterator[None]:
    """Inside, PyTorch computes so, and the network reads `weights`; `Devices.autocast` sees to the precision."""
    before = torch.get_num_threads()
    torch.set_num_threads(execution.threads)
    try:
        with attending(execution.attention), weights.read() if weights else nullcontext():
            yield
    finally:
        torch.set_num_threads(before)


def _reading(linear: nn.Linear, copy: Tensor) -> Any:
    def forward(values: Tensor) -> Tensor:
        rounds = torch.is_autocast_enabled(values.device.type)
        return functional.linear(values, copy if rounds else linear.weight, linear.bias)

    return forward
