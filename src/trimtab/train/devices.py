"""Where a run computes: one device, or that of each process of `torchrun`, and what the processes tell each other.

Every process holds the whole network and the whole data, and goes through the same batches: of each it computes its
share of the rows. Gradients are summed, so that the weights stay the same everywhere; one process writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn

_COMPUTED = {"bf16": torch.bfloat16, "bf16_weights": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Devices:
    """The device of this process, what products are computed in on it, and its place among all processes."""

    device: torch.device
    precision: str
    scaler: torch.amp.GradScaler  # of fp16, whose small gradients would be rounded to nothing
    rank: int = 0
    processes: int = 1

    @property
    def writes(self) -> bool:
        """Whether this is the one process that writes files and tells the user."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[Any]:
        """Inside, products are computed in the precision of the run; weights and sums stay in fp32."""
        computed = _COMPUTED.get(self.precision)
        return torch.autocast(self.device.type, computed, enabled=computed is not None)

    def share(self, batch: np.ndarray) -> np.ndarray:
        """The rows of a batch that this process computes; there may be none."""
        return batch[self.rank :: self.processes]

    def sum_gradients(self, network: nn.Module) -> None:
        """Every process ends with the sum of all processes' gradients."""
        if self.processes == 1:
            return
        learns = [parameter for parameter in network.parameters() if parameter.requires_grad]
        present = torch.tensor([parameter.grad is not None for parameter in learns], dtype=torch.int32)
        present = self.sum(present.to(self.device)).cpu()
        held = [parameter for parameter, count in zip(learns, present.tolist(), strict=True) if count]
        tables = sparse_tables(network)
        for parameter in held:
            if id(parameter) in tables:
                parameter.grad = self._sum_sparse(parameter)
        dense = [parameter for parameter in held if id(parameter) not in tables]
        gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in dense]
        total = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for parameter, part in zip(dense, total.split([one.numel() for one in dense]), strict=True):
            parameter.grad = part.view_as(parameter)

    def _sum_sparse(self, parameter: nn.Parameter) -> Tensor:
        """The sum of gradients of which each process has some rows; not every backend sums such."""
        own = None if parameter.grad is None else parameter.grad.coalesce()
        parts = self.gathered(None if own is None else (own.indices(), own.values()))
        rows, values = zip(*(part for part in parts if part is not None), strict=True)
        return torch.sparse_coo_tensor(torch.cat(rows, 1), torch.cat(values), parameter.shape).coalesce()

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.processes > 1:
            distributed.all_reduce(values)
        return values

    def agreed(self, flag: bool) -> bool:
        """What the first process says, for decisions that hang on the time."""
        if self.processes == 1:
            return flag
        said = torch.tensor(int(flag), device=self.device)
        distributed.broadcast(said, 0)
        return bool(said)

    def gathered(self, part: Any) -> list[Any]:
        """The parts of all processes, in their order."""
        if self.processes == 1:
            return [part]
        found: list[Any] = [None] * self.processes
        distributed.all_gather_object(found, part)
        return found

    def same(self, tensors: Iterable[Tensor]) -> None:
        """The tensors of every process become those of the first one."""
        if self.processes > 1:
            for tensor in tensors:
                distributed.broadcast(tensor.detach(), 0)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.processes > 1:
            distributed.barrier()


def sparse_tables(network: nn.Module) -> set[int]:
    """The weights, by their `id`, whose gradients hold few rows."""
    return {id(one.weight) for one in network.modules() if isinstance(one, nn.Embedding) and one.sparse}


def device() -> torch.device:
    """The device that training will run on."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", torch.cuda.current_device())))


def alone(place: torch.device) -> Devices:
    """One device, in fp32."""
    return Devices(place, "fp32", torch.amp.GradScaler(place.type, enabled=False))


def prepare(precision: str) -> Devices:
    """The devices of a run: this process alone, or those that `torchrun` started, which are joined once."""
    place = device()
    scaler = torch.amp.GradScaler(place.type, enabled=precision == "fp16")
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes == 1:
        return Devices(place, precision, scaler)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    return Devices(place, precision, scaler, distributed.get_rank(), processes)
