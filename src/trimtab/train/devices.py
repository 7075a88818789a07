"""Where a run computes: one device, or that of each process of `torchrun`, and what the processes tell each other.

Every process holds the whole network and maps the rows, and goes through the same batches: of each it computes its
share. Gradients are summed, so that the weights stay the same everywhere; one process writes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn

# How long a process waits for another one: the first checks and encodes the data alone, whatever time that takes. One
# that has died is noticed at once, by its closed connections.
_PATIENCE = timedelta(days=30)
T = TypeVar("T")
_COMPUTED = {"bf16": torch.bfloat16, "bf16_weights": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Exchanges:
    """What it costs this process to train together with others, since it began; on a GPU, which runs ahead, unknown."""

    waited: float = 0.0  # seconds, for others that were not as far
    taken: float = 0.0  # seconds, to exchange numbers
    apart: list[float] = field(default_factory=list)  # of each average, how far weights lay from it: see `averaging`

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside, so little is exchanged that all that takes time is to wait."""
        begun = time.perf_counter()
        yield
        self.waited += time.perf_counter() - begun

    @contextmanager
    def exchanging(self) -> Iterator[None]:
        """Inside, numbers are exchanged."""
        begun = time.perf_counter()
        yield
        self.taken += time.perf_counter() - begun


@dataclass(frozen=True)
class Devices:
    """The device of this process, what products are computed in on it, and its place among all processes."""

    device: torch.device
    precision: str
    scaler: torch.amp.GradScaler  # of fp16, whose small gradients would be rounded to nothing
    rank: int = 0
    processes: int = 1
    here: int = 1  # processes on this machine, which share its cores
    exchanges: Exchanges = field(default_factory=Exchanges)
    sharded: bool = False  # each process holds parts of the weights: all compute equally often, for they gather them

    @property
    def writes(self) -> bool:
        """Whether this is the one process that writes files and tells the user."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[Any]:
        """Inside, products are computed in the precision of the run; weights and sums stay in fp32."""
        computed = _COMPUTED.get(self.precision)
        return torch.autocast(self.device.type, computed, enabled=computed is not None)

    def share(self, batch: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """The rows of a batch that this process computes, in the batch's order; there may be none.

        Rows are dealt by their `steps`, the longest first, in turn and then in turn backwards: all have equal work.
        """
        if self.processes == 1:
            return batch
        place = np.empty(len(batch), np.int64)  # of each row among those by length
        place[np.argsort(-steps[batch], kind="stable")] = np.arange(len(batch))
        turn, seat = np.divmod(place, self.processes)
        own: np.ndarray = batch[np.where(turn % 2, self.processes - 1 - seat, seat) == self.rank]
        return own

    def sum_gradients(self, network: nn.Module) -> None:
        """Every process ends with the sum of all processes' gradients; parts of weights had theirs as it came about."""
        if self.processes == 1 or self.sharded:
            return
        learns = [parameter for parameter in network.parameters() if parameter.requires_grad]
        present = torch.tensor([parameter.grad is not None for parameter in learns], dtype=torch.int32)
        with self.exchanges.waiting():
            present = self.sum(present.to(self.device)).cpu()
        held = [parameter for parameter, count in zip(learns, present.tolist(), strict=True) if count]
        with self.exchanges.exchanging():
            self._sum(held, sparse_tables(network))

    def _sum(self, held: list[nn.Parameter], tables: set[int]) -> None:
        """The gradients of these weights become their sums."""
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
        whole = torch.sparse_coo_tensor(torch.cat(rows, 1), torch.cat(values), parameter.shape, check_invariants=False)
        return whole.coalesce()

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.processes > 1:
            distributed.all_reduce(values)
        return values

    def told(self, loss: Tensor, due: bool) -> tuple[Tensor, bool]:
        """The sum of all processes' losses, and whether something is due in the first one, which has the clock."""
        if self.processes == 1:
            return loss, due
        found = self.sum(torch.stack([loss, loss.new_tensor(due and self.writes)]))
        return found[0], bool(found[1])

    def agreed(self, said: T) -> T:
        """What the first process says, for decisions that hang on the time."""
        return heard(said) if self.processes > 1 else said

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


def join() -> int:
    """Join the processes that `torchrun`, or who else sets its variables, has started; returns this one's number.

    Of one process that nobody started together with others, 0. To join once more changes nothing.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0
    if not distributed.is_initialized():
        place = device()
        if place.type == "cuda":
            torch.cuda.set_device(place)
        # Numbers on the CPU are exchanged too, by gloo.
        backend = "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=_PATIENCE)
    return distributed.get_rank()


def joined() -> int:
    """How many processes have joined this one, itself counted."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def leave() -> None:
    """Close the connections to the other processes, which then notice that this one has gone; nothing without any."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def heard(said: T) -> T:
    """What the first process says; each of them is to call this."""
    found = [said]
    distributed.broadcast_object_list(found, 0, device=torch.device("cpu"))
    return found[0]


def prepare(precision: str, together: bool = False) -> Devices:
    """The devices of a run: of this process alone or, `together`, of all that have joined."""
    place = device()
    scaler = torch.amp.GradScaler(place.type, enabled=precision == "fp16")
    if not together or joined() == 1:
        return Devices(place, precision, scaler)
    here = int(os.environ.get("LOCAL_WORLD_SIZE", joined()))
    return Devices(place, precision, scaler, distributed.get_rank(), joined(), here)
