"""A launch by several processes: one does everything, the others learn with it; and how they are started.

What a process does is `launch` with the variables of `torchrun` (RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE,
MASTER_ADDR, MASTER_PORT), whoever sets them.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import distributed
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from trimtab.bundle import store
from trimtab.errors import ToldElsewhere, TrimtabError, problem
from trimtab.pipeline.release import Release
from trimtab.train import devices, sharing
from trimtab.train.sharing import Ended

LOST = 4  # the exit code of a process whose fellow was killed
_FAULT, _WRONG = 3, 2  # as `__main__` has them
_TELLING = 10.0  # seconds in which the first process says its last words
_STARTER = "TRIMTAB_STARTED_BY"  # a process's number, which it may be too late to ask the system for
_LOOK = 0.2  # seconds between two looks at who started this process


def together(make: Callable[[], Release]) -> Release:
    """What `make` makes: in the first process of those that were started together, while the others learn with it.

    Raises ToldElsewhere in the others where the first one fails, and in each where another one was killed.
    """
    if _started_by_torchrun():
        starter = int(os.environ.get(_STARTER) or os.getppid())
        threading.Thread(target=_end_with, args=(starter,), daemon=True).start()
    try:
        rank = devices.join()
        if devices.joined() == 1:
            return make()
        return _led(make) if rank == 0 else _followed()
    except RuntimeError as error:  # of torch.distributed, or of gloo, which has no class of its own
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        raise ToldElsewhere(LOST) from error


def _led(make: Callable[[], Release]) -> Release:
    try:
        release = make()
    except TrimtabError:
        sharing.dismiss(_WRONG)
        raise
    except Exception as error:
        if not isinstance(error, RuntimeError):  # those of the connection are such
            sharing.dismiss(_FAULT)
        raise
    sharing.dismiss(0 if release.released else 1, release.folder)
    return release


def _followed() -> Release:
    ended = sharing.follow()
    if ended.code:
        _outlast(ended)
    if ended.folder is None:
        raise ToldElsewhere(ended.code)
    return Release(ended.folder, store.read_manifest(ended.folder), made_here=False)


def _started_by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def _end_with(parent: int) -> None:
    """End this process when the one that started it was killed: nobody would notice then what happens to the others."""
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os.kill(os.getpid(), signal.SIGKILL)


def _outlast(ended: Ended) -> None:
    """Wait until the first process has gone: `torchrun` ends all of them as soon as one exits with a code but 0."""
    until = time.monotonic() + _TELLING
    while _started_by_torchrun() and ended.host == socket.gethostname() and time.monotonic() < until:
        try:
            os.kill(ended.process, 0)
        except ProcessLookupError:
            return
        time.sleep(_LOOK)


# ------------------------------------------------------------------------------------------------------------ starting


@dataclass(frozen=True)
class Outcome:
    """How processes that were started together have ended."""

    code: int
    why: str = ""  # what they could not say themselves


def start(count: int, arguments: Sequence[str]) -> Outcome:
    """Run the command line `arguments` in so many processes on this machine, by PyTorch's elastic launcher.

    Raises TrimtabError inside of one of such processes.
    """
    if _started_by_torchrun():
        found = "this is one of the processes of torchrun already"
        raise problem("--processes", found, do="leave it out, or give torchrun's --nproc-per-node")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
    )
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # which process failed is told below
    os.environ[_STARTER] = str(os.getpid())
    try:
        elastic_launch(config, sys.executable)("-m", "trimtab", *arguments)
    except ChildFailedError as error:
        return blamed(error.failures)
    except SignalException as error:
        return Outcome(128 + error.sigval)
    finally:
        logging.disable(before)
        del os.environ[_STARTER]
    return Outcome(0)


def blamed(failures: Mapping[int, ProcessFailure]) -> Outcome:
    """The outcome of a launch by the process that failed first: the launcher itself has ended the others (SIGTERM)."""
    own = {rank: one for rank, one in failures.items() if one.exitcode not in (LOST, -signal.SIGTERM)}
    rank, first = min((own or failures).items(), key=lambda one: (one[1].exitcode > 0, one[0]))
    if first.exitcode > 0:
        return Outcome(first.exitcode)
    name = signal.Signals(-first.exitcode).name
    found = f"process {rank} (pid {first.pid}) was killed by {name}; the others were ended"
    if name == signal.SIGKILL.name:
        found += ". Where nobody did that, memory was short"
    do = "give the same command again: it goes on from the last checkpoint"
    return Outcome(128 - first.exitcode, f"trimtab: {problem('launch', found, do=do)}")
