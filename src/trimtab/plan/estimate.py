"""What a launch is estimated to take, and beside it what it took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from trimtab import runtime
from trimtab.audit import memory as resident
from trimtab.bundle.manifest import Stage
from trimtab.spec import Cost

EVIDENCE = "launch"  # in a manifest
WATTS_PER_CORE = 10.0  # assumed, as `cost.watts_per_core` of a spec is by default
STAGES = ("data", "search", "train", "evaluations", "export", "compress", "audit")
BETWEEN = "evaluations"  # of the stages, what lies between those that are timed: with checkpoints, and building


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Memory(_Part):
    """Bytes that the training holds at once, by what they are of; they are counted, and `peak` is measured."""

    process: int  # before the network: Python, the libraries, the rows as they were read
    rows: int  # encoded; part of `process` where they lie in memory
    weights: int
    gradients: int
    optimizer: int
    copies: int  # a running average of the weights, weights in fewer bits
    activations: int  # of the largest batch
    limit: int  # what there is
    peak: int = 0  # the most that the rehearsal held; 0: nothing was measured

    @property
    def training(self) -> int:
        """All parts together."""
        return self.process + self.weights + self.gradients + self.optimizer + self.copies + self.activations

    @property
    def highest(self) -> int:
        """What a launch will hold at its worst, by what is known."""
        return max(self.training, self.peak)


class Money(_Part):
    """What the time costs."""

    per_hour: float
    currency: str
    amount: float


class Accelerated(_Part):
    """The training on a named accelerator: an estimate from public figures, nothing was measured."""

    name: str
    seconds: float
    memory: int
    fits: bool
    watt_hours: float
    source: str
    money: Money | None = None


class Estimate(_Part):
    """What a launch will take, if every epoch is learnt."""

    rows: dict[str, int]
    epochs: int
    steps: int  # of the optimizer
    tokens: int  # that are learnt from, padding included: steps of all rows of all batches
    parameters: int
    learning: int  # of them
    flops: float  # of the training: products of matrices, convolutions, attention; forwards and backwards
    operations: float  # kernels that the training starts
    seconds: dict[str, float]  # by stage
    at_least: float  # seconds where the validation score never gets better, so that patience ends the training
    memory: Memory
    cores: int
    watts_per_core: float
    money: Money | None = None
    accelerated: Accelerated | None = None
    busy: float = 1.0  # share of a processor that the steps got: below 1 others used the machine
    processor: float = 0.0  # seconds of all cores: what it takes however busy the machine is
    notes: tuple[str, ...] = ()  # what is not in it

    @property
    def total(self) -> float:
        """Seconds of the whole launch."""
        return sum(self.seconds.values())

    @property
    def watt_hours(self) -> float:
        """Estimated: all cores at an assumed power for as long as it takes."""
        return energy(self.total, self.cores, self.watts_per_core)


def energy(seconds: float, cores: int, watts_per_core: float) -> float:
    """Wh of cores at their power."""
    return seconds * cores * watts_per_core / 3600


@dataclass(frozen=True)
class Wishes:
    """What is asked beside the spec."""

    accelerator: str | None = None
    accelerator_price: float | None = None  # of an hour
    price: float | None = None  # of an hour of this machine; None: as the spec says


@dataclass(frozen=True)
class Account:
    """What a launch is to tell of what it took."""

    started: float  # by `time.perf_counter`
    processor: float  # by `time.process_time`, then
    estimate: Estimate | None = None  # made before, where somebody asked
    cost: Cost | None = None  # what a machine costs

    def evidence(self, stages: Sequence[Stage]) -> dict[str, Any]:
        """For the manifest, at the end of the launch."""
        seconds, cores = time.perf_counter() - self.started, runtime.usable_cores()
        timed = dict.fromkeys(STAGES, 0.0)
        for stage in stages:
            timed[stage.name if stage.name in timed else BETWEEN] += stage.seconds
        timed[BETWEEN] += max(0.0, seconds - sum(stage.seconds for stage in stages))
        watts = self.cost.watts_per_core if self.cost else WATTS_PER_CORE
        used: dict[str, Any] = {
            "seconds": {name: round(value, 2) for name, value in timed.items()},
            "total": round(seconds, 2),
            "processor": round(time.process_time() - self.processor, 2),  # of all cores
            "steps": next((stage.detail.get("steps") for stage in stages if stage.name == "train"), None),
            "memory": resident.held()["memory_peak"],
            "watt_hours": energy(seconds, cores, watts),
        }
        if self.cost:
            used |= {"money": self.cost.machine_per_hour * seconds / 3600, "currency": self.cost.currency}
        return {EVIDENCE: {"used": used, **({"estimated": _said(self.estimate)} if self.estimate else {})}}


def _said(estimate: Estimate) -> dict[str, Any]:
    """An estimate as the manifest keeps it: what can be held against what was used, and what cannot be measured."""
    return {
        "seconds": {name: round(value, 2) for name, value in estimate.seconds.items()},
        "total": round(estimate.total, 2),
        "processor": round(estimate.processor, 2),
        "steps": estimate.steps,
        "memory": estimate.memory.highest,
        "watt_hours": estimate.watt_hours,
        "flops": estimate.flops,
        **({"money": estimate.money.amount} if estimate.money else {}),
    }
