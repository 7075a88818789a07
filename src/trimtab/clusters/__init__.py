"""Clusters that work is sent to: one file for each kind, called as `--on` names it; the folder is the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, cast

from trimtab import registry
from trimtab.errors import problem
from trimtab.progress import Progress

Found = TypeVar("Found")


@dataclass(frozen=True)
class Asked:
    """What work needs of a cluster: so many processes, each with so many CPUs and GPUs; None: see `share`."""

    processes: int = 1
    cpus: float | None = None
    gpus: float | None = None


class Cluster(Protocol):
    """Machines that share a folder and have Trimtab installed."""

    def together(self, call: Callable[[Progress], Found], folder: Path) -> Found:
        """Call it in every one of the processes, which are joined as those of `torchrun` are; what the first one finds.

        When one is lost, all are replaced and the call is made again: it has to go on from what it left in files. Where
        no machine takes the place of a lost one, fewer processes go on. `folder` is one that all machines share, and
        the call's folder is the one that this process works in. Raises what the call raises.
        """


def opened(on: str, asked: Asked, progress: Progress) -> AbstractContextManager[Cluster]:
    """The cluster that `--on` names: its kind, and after `://` where it is. Raises TrimtabError where there is none."""
    kind, _, address = on.partition("://")
    found = registry.load("trimtab.clusters", kind, "opened", f"--on {on}")
    return cast(AbstractContextManager[Cluster], found(address, asked, progress))


def share(asked: Asked, machines: Sequence[Mapping[str, float]], idle: bool) -> dict[str, float]:
    """What each process is given: a GPU where there are enough, and the CPUs of an idle cluster in even shares.

    A cluster that others use gives one CPU where no number is asked for. Whether there are so many is not checked.
    """
    gpus = asked.gpus
    if gpus is None:
        gpus = float(fitting({"GPU": 1.0}, machines) >= asked.processes)
    cpus = asked.cpus
    if cpus is None:
        most = int(max((machine.get("CPU", 0.0) for machine in machines), default=0.0)) if idle else 1
        enough = (n for n in range(most, 1, -1) if fitting({"CPU": n, "GPU": gpus}, machines) >= asked.processes)
        cpus = float(next(enough, 1))
    return {"CPU": cpus, **({"GPU": gpus} if gpus else {})}


def fitting(needed: Mapping[str, float], machines: Sequence[Mapping[str, float]]) -> int:
    """How many processes that need so much of each kind of resource the machines have room for."""
    asked = {kind: amount for kind, amount in needed.items() if amount}
    return sum(min(int(machine.get(kind, 0.0) / amount) for kind, amount in asked.items()) for machine in machines)


def told(resources: Mapping[str, float]) -> str:
    """Resources in words: `2 CPUs, 1 GPU`."""
    kinds = {kind: resources.get(kind, 0.0) for kind in ("CPU", "GPU") if resources.get(kind)}
    return ", ".join(f"{amount:g} {kind}{'' if amount == 1 else 's'}" for kind, amount in kinds.items()) or "nothing"


def too_little(processes: int, needed: Mapping[str, float], machines: Sequence[Mapping[str, float]]) -> Exception:
    """The cluster has not, and did not get, what the processes need."""
    parts = "; ".join(told(machine) for machine in machines)
    return problem(
        "--on",
        f"{processes} processes need {told(needed)} each; the cluster has {parts or 'no machine'}"
        + (f" on {len(machines)} machines" if len(machines) > 1 else ""),
        do="ask for fewer --processes or --cpus, or add machines to the cluster",
    )
