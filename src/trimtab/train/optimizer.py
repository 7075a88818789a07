"""Parameters in groups, each with its learning rate, and how it rises and falls; fused, sparse where that is faster."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from trimtab.nets.encoders.compact import CompactEncoder
from trimtab.nets.network import Network
from trimtab.nets.pretrained import PretrainedEncoder
from trimtab.train.devices import Devices
from trimtab.train.settings import Settings


@dataclass(frozen=True)
class Optimizers:
    """One for dense gradients and, on a CPU, one for the word table whose gradients touch few rows.

    `second` changes the network that learns beside the one that is served, where a training method has such.
    """

    dense: torch.optim.Optimizer
    sparse: torch.optim.Optimizer | None
    second: torch.optim.Optimizer | None = None

    @property
    def all(self) -> list[torch.optim.Optimizer]:
        """Those that there are."""
        return [one for one in (self.dense, self.sparse, self.second) if one]


def make(network: Network, settings: Settings) -> Optimizers:
    """Optimizers whose groups hold `peak`, the learning rate that the schedule scales.

    Pretrained weights learn at `learning_rate`, times `layer_decay` for each block below the last; new weights at
    `head_rate`. Biases and norms do not decay.
    """
    sparse = {id(part.weight) for part in network.modules() if isinstance(part, nn.Embedding) and part.sparse}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    tables: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = _rate(network, name, settings)
        if id(parameter) in sparse:
            tables.setdefault(rate, []).append(parameter)
        else:
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    dense = _OPTIMIZERS[settings.optimizer](
        [{"params": part, "lr": rate, "peak": rate, "weight_decay": decay} for (rate, decay), part in groups.items()],
        settings,
    )
    lazy = [{"params": part, "lr": rate, "peak": rate} for rate, part in tables.items()]
    return Optimizers(dense, torch.optim.SparseAdam(lazy) if lazy else None)


def plain(module: nn.Module, rate: float, betas: tuple[float, float] = (0.9, 0.999)) -> torch.optim.Optimizer:
    """Adam for all weights of a module that learn, at one rate."""
    own = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.optim.Adam([{"params": own, "lr": rate, "peak": rate}], betas=betas, fused=True)


def use_sparse_gradients(network: Network) -> None:
    """Let the word tables give sparse gradients: a step touches a few hundred of their 30,000 rows."""
    for encoder in network.encoders.values():
        if isinstance(encoder, PretrainedEncoder | CompactEncoder):
            for table in encoder.tables():
                table.sparse = table.weight.requires_grad


def _rate(network: Network, name: str, settings: Settings) -> float:
    part, _, rest = name.partition(".")
    key, _, inner = rest.partition(".")
    if part == "encoders":
        encoder = network.encoders[key]
        trained_before = inner.startswith("model.") and "lora_" not in inner
        if trained_before and isinstance(encoder, PretrainedEncoder) and encoder.based:
            return settings.learning_rate * float(settings.layer_decay ** encoder.depth(inner))
        if "lora_" in inner:
            return settings.learning_rate
    return settings.head_rate


def _adamw(groups: list[dict[str, object]], settings: Settings) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, fused=True)


def _adam(groups: list[dict[str, object]], settings: Settings) -> torch.optim.Optimizer:
    return torch.optim.Adam(groups, fused=True)


def _sgd(groups: list[dict[str, object]], settings: Settings) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, momentum=settings.momentum, fused=True)


_OPTIMIZERS: dict[str, Callable[[list[dict[str, object]], Settings], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "adam": _adam,
    "sgd": _sgd,
}

_SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": lambda left: left,
    "cosine": lambda left: 0.5 * (1 - math.cos(math.pi * left)),
    "constant": lambda left: 1.0,
}


def set_rates(optimizers: Optimizers, step: int, steps: int, settings: Settings) -> float:
    """Set every group's rate for a step (0-based) of `steps`; returns the share of the peak."""
    warm = max(1, round(steps * settings.warmup))
    share = (step + 1) / warm if step < warm else _SCHEDULES[settings.schedule]((steps - step) / max(1, steps - warm))
    for optimizer in optimizers.all:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * share
    return share


def clip(network: Network, optimizers: Optimizers, most: float, devices: Devices) -> None:
    """Scale all gradients, sparse ones too, so that their common norm is at most `most`. Waits for no device.

    Of weights in parts each process has some. A fused optimizer on a CPU scales dense gradients as it reads them, which
    spares a pass over all of them.
    """
    dense, sparse = [], []
    for parameter in network.parameters():
        if parameter.grad is None:
            continue
        if parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            sparse.append(parameter.grad._values())
        else:
            dense.append(parameter.grad.to_local() if isinstance(parameter.grad, DTensor) else parameter.grad)
    values: list[Tensor] = dense + sparse
    if not values:
        return
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(values)))
    if devices.sharded:
        norm = devices.sum(norm.square()).sqrt()
    scale = torch.clamp(most / (norm + 1e-6), max=1.0)
    if norm.device.type == "cpu" and optimizers.dense.defaults.get("fused") and not devices.sharded:
        optimizers.dense.grad_scale = scale.reciprocal()  # type: ignore[attr-defined]
        values = sparse
    if values:
        torch._foreach_mul_(values, scale)
