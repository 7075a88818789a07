"""Ray: a cluster that is joined, or one of this machine's own that ends with the command.

Ray's actors in a placement group stand for the processes of `torchrun`. Ray Train would start them too, but it cannot
be imported without pandas and pyarrow (of a version that MLflow refuses), it keeps checkpoints beside those of a run's
folder, and it makes a call again that ended by the user's mistake.
"""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from trimtab import __version__
from trimtab.clusters import Asked, Found, fitting, share, told, too_little
from trimtab.errors import ToldElsewhere, TrimtabError, problem
from trimtab.progress import Progress

Event = tuple[str, tuple[Any, ...]]  # what a Progress is told, and by what
_POLL = 0.5  # seconds between looks at what is told
_PATIENCE = 120.0  # seconds that resources may take to come: machines of a cluster that grows have to start
_GRACE = 60.0  # seconds that Ray may take to notice that a process is lost, by the calls that it does not answer
_MOST_LOST = 20  # replacements; what is lost more often than machines are is killed by the work itself
_STORE_BYTES = 100_000_000  # of shared memory, of a cluster that is started here: nothing large is sent


@contextmanager
def opened(address: str, asked: Asked, progress: Progress) -> Iterator[RayCluster]:
    """Join the cluster at `address`, or start one on this machine; it is left, or ended, whatever happens.

    An address is `HOST:PORT` of a Ray Client server, or `auto`, the cluster that this machine is part of; nothing is
    the cluster that RAY_ADDRESS names, else one of this machine alone.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report to its vendor
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    own = not address and not os.environ.get("RAY_ADDRESS")
    if own:
        options |= {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
    where = "local" if own else address if address in ("", "auto") else f"ray://{address}"
    try:
        ray.init(address=where or None, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise problem(
            f"--on ray://{address}" if address else "--on ray",
            f"no cluster of Ray can be joined there ({str(error).strip().splitlines()[0]})",
            allowed="ray, ray://auto, ray://HOST:PORT of a Ray Client server",
            do="start one with `ray start --head`, or let `--on ray` start one for this command",
        ) from error
    try:
        yield RayCluster(asked, own, _PATIENCE, progress)
    finally:
        ray.shutdown()


@dataclass(frozen=True)
class RayCluster:
    """A cluster that is connected; `patience` are the seconds that a machine may take to come."""

    asked: Asked
    own: bool
    patience: float
    progress: Progress

    def together(self, call: Callable[[Progress], Found], folder: Path) -> Found:
        """Call it in all processes at once, again from where it was when one of them is lost: see `Cluster`."""
        needed = self._needed()
        for number in range(_MOST_LOST):
            with _Caller.of(folder) as caller, self._processes(needed, elastic=number > 0) as processes:
                outcome = _outcome(processes, call, caller, self.progress)
            if not isinstance(outcome, _Lost):
                return outcome.value
            if number == 0 and not outcome.met:
                do = "see that this version of Trimtab, with its extras, is installed on every machine of the cluster"
                raise problem("--on ray", f"no process comes up there: {outcome.why}", do=do)
            self.progress.note(f"a process was lost ({outcome.why}): all are replaced, and go on from the checkpoint")
        raise _too_often()

    def _needed(self) -> dict[str, float]:
        machines, free = _machines(), ray.available_resources().get("CPU", 0.0)
        needed = share(self.asked, machines, idle=free == sum(machine.get("CPU", 0.0) for machine in machines))
        self.progress.note(f"on Ray: {self.asked.processes} processes with {told(needed)} each")
        return needed

    @contextmanager
    def _processes(self, needed: Mapping[str, float], elastic: bool) -> Iterator[list[Any]]:
        """Actors, one for each process; `elastic`: fewer where there is no room for all of them."""
        group, count = self._placed(needed, elastic)
        made: list[Any] = []
        try:
            for place in range(count):
                made.append(_process(needed, scheduling_strategy=PlacementGroupSchedulingStrategy(group, place)))
            yield made
        finally:
            for process in made:
                ray.kill(process)
            remove_placement_group(group)

    def _placed(self, needed: Mapping[str, float], elastic: bool) -> tuple[PlacementGroup, int]:
        """Room for the processes, and for how many."""
        wanted = self.asked.processes
        if self.own and fitting(needed, _machines()) < wanted:
            raise too_little(wanted, needed, _machines())  # nothing will come
        for count in range(wanted, 0, -1):
            if count < wanted and (not elastic or fitting(needed, _machines()) < count):
                continue
            group = placement_group([dict(needed)] * count, strategy="PACK")
            if group.wait(self.patience):
                if count < wanted:
                    self.progress.note(f"{count} of {wanted} processes go on: there is no room for more")
                return group, count
            remove_placement_group(group)
        raise too_little(wanted, needed, _machines())


def _process(needed: Mapping[str, float], **options: Any) -> Any:
    """An actor that has so much of a machine."""
    actor: Any = ray.remote(_Process)
    gpus = needed.get("GPU", 0)
    # One thread of it works, one tells of that.
    return actor.options(num_cpus=needed["CPU"], num_gpus=gpus, max_concurrency=2, **options).remote()


def _too_often() -> TrimtabError:
    return problem("--on ray", f"{_MOST_LOST} times a process was lost", do="look for the reason in Ray's own log")


def _machines() -> list[dict[str, float]]:
    """The resources of each machine that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


# ------------------------------------------------------------------------------------------------ processes together


@dataclass(frozen=True)
class _Ended(Generic[Found]):
    """What a call found."""

    value: Found


@dataclass(frozen=True)
class _Refused:
    """The user's mistake that ended a call: what Ray makes of an exception is no TrimtabError."""

    message: str


@dataclass(frozen=True)
class _Lost:
    """A process that is no more; `met` is whether all had come up before."""

    why: str
    met: bool = True


@dataclass(frozen=True)
class Place:
    """Where a process is: the address of its machine, and a port that is free there."""

    address: str
    port: int


def _outcome(
    processes: Sequence[Any], call: Callable[[Progress], Found], caller: _Caller, progress: Progress
) -> _Ended[Found] | _Lost:
    """Begin a call in all processes and tell what the first of them tells, until it ends or one of them is lost."""
    try:
        places = ray.get([process.meet.remote() for process in processes])
    except RayActorError as error:
        return _Lost(_brief(error), met=False)
    joined = zip(processes, torchrun_variables(places), strict=True)
    pending = running = [process.work.remote(call, caller, variables) for process, variables in joined]
    try:
        while True:
            done, pending = ray.wait(pending, timeout=_POLL)
            _tell(progress, ray.get(processes[0].told.remote()))
            for reference in done:
                ended: _Ended[Found] | None = _checked(ray.get(reference))
                if reference == running[0]:
                    return ended or _one_lost(processes) or _Lost("the connection to another process broke")
    except (RayActorError, GetTimeoutError) as error:
        return _Lost(_brief(error))
    except RayTaskError as error:
        # Those that are joined to a lost process fail too, and maybe before Ray notices that it is lost.
        lost = _one_lost(processes)
        if lost is not None:
            return lost
        raise _cause(error) from error


def _tell(progress: Progress, events: Sequence[Event]) -> None:
    for event, arguments in events:
        getattr(progress, event)(*arguments)


def _one_lost(processes: Sequence[Any]) -> _Lost | None:
    try:
        ray.get([process.alive.remote() for process in processes], timeout=_GRACE)
    except (RayActorError, GetTimeoutError) as error:
        return _Lost(_brief(error))
    return None


def _checked(outcome: Any) -> Any:
    """What a process says, unless that is a refusal."""
    if isinstance(outcome, _Refused):
        raise TrimtabError(outcome.message)
    return outcome


def _cause(error: RayTaskError) -> BaseException:
    """What was raised over there: commands know what a full disk is."""
    return error.cause if isinstance(error.cause, Exception) else error


def _brief(error: RayError) -> str:
    return next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)


def torchrun_variables(places: Sequence[Place]) -> list[dict[str, str]]:
    """The environment variables that `torchrun` would give to each of the processes.

    Each is alone on its machine: Ray gives it threads and GPUs of its own, and hides those of the others.
    """
    first = {"MASTER_ADDR": places[0].address, "MASTER_PORT": str(places[0].port), "WORLD_SIZE": str(len(places))}
    return [{**first, "RANK": str(rank), "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"} for rank in range(len(places))]


# --------------------------------------------------------------------------------------------------- on the machines


@dataclass(frozen=True)
class _Caller:
    """Who asks for work: in which folder, with which version, which parts of its own; and a file to know it by."""

    folder: str
    version: str
    environment: Mapping[str, str]
    mark: str

    @classmethod
    @contextmanager
    def of(cls, shared: Path) -> Iterator[_Caller]:
        """This process; the folder `shared` is one that all machines have to see."""
        own = {name: value for name, value in os.environ.items() if name.startswith("TRIMTAB_")}
        shared.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=shared.resolve(), prefix=".on-ray-") as mark:
            yield cls(os.getcwd(), __version__, own, mark.name)

    def enter(self) -> _Refused | None:
        """Let this process be where the caller is, or say why it cannot."""
        machine = socket.gethostname()
        for path in (Path(self.mark), Path(self.folder)):
            if not path.exists():
                place = str(path.parent if path.name == Path(self.mark).name else path)
                do = "work in a folder that all machines of the cluster share, by the same path; --runs too"
                return _Refused(str(problem(place, f"the machine {machine} of the cluster does not see it", do=do)))
        if self.version != __version__:
            found = f"has Trimtab {__version__}, the machine that asks {self.version}"
            return _Refused(str(problem(machine, found, do=f"install {self.version} on all machines of the cluster")))
        os.chdir(self.folder)
        os.environ.update(self.environment)
        return None


class _Process:
    """One of the processes that a call is made in; Ray makes an actor of it."""

    def __init__(self) -> None:
        self.relay = Relay()

    def meet(self) -> Place:
        """Where this process can be met."""
        address = ray.util.get_node_ip_address()
        with socket.create_server((address, 0)) as free:
            return Place(address, free.getsockname()[1])

    def work(
        self, call: Callable[[Progress], Found], caller: _Caller, variables: Mapping[str, str]
    ) -> _Ended[Found] | _Refused | None:
        """Make the call; None where it ended by what another process says."""
        os.environ.update(variables)
        try:
            return caller.enter() or _Ended(call(self.relay))
        except ToldElsewhere:
            return None
        except TrimtabError as error:
            return _Refused(str(error))

    def told(self) -> list[Event]:
        """What the call has told since this was asked."""
        return self.relay.taken()

    def alive(self) -> None:
        """Answers as long as the process lives."""


class Relay:
    """Progress that is fetched from another machine: of ticks in a row the last."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.lock = threading.Lock()

    def stage(self, name: str, detail: str = "") -> None:
        """A new stage begins."""
        self._add("stage", name, detail)

    def tick(self, done: int, total: int, figures: Mapping[str, float | str]) -> None:
        """How far the stage is."""
        with self.lock:
            if self.events and self.events[-1][0] == "tick":
                self.events.pop()
        self._add("tick", done, total, dict(figures))

    def note(self, text: str) -> None:
        """A line for the user."""
        self._add("note", text)

    def taken(self) -> list[Event]:
        """The events since the last call."""
        with self.lock:
            found, self.events = self.events, []
        return found

    def _add(self, event: str, *arguments: Any) -> None:
        with self.lock:
            self.events.append((event, arguments))
