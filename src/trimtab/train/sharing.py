"""One process leads a launch; the others learn with it whatever it hands over, and do nothing else.

What is learnt from (a network, encoded rows, settings) is handed over as it is: its numbers lie in one file, which
every process maps into its memory, and what holds them together goes through the processes' own connection.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trimtab import registry
from trimtab.errors import problem
from trimtab.nets.network import Network
from trimtab.progress import Progress, Quiet
from trimtab.train import devices, loop, methods
from trimtab.train.checkpoint import Position
from trimtab.train.loop import TrainingResult
from trimtab.train.method import Method, TrainingData
from trimtab.train.settings import Settings

_FILE = "handed-over"  # in the folder of what is learnt; gone as soon as every process has mapped it


@dataclass(frozen=True)
class Ended:
    """The last word of the process that leads: it has come to an end, and so may the others."""

    code: int  # that it exits with
    folder: Path | None = None  # of the bundle that it made
    host: str = ""
    process: int = 0


@dataclass(frozen=True)
class Lesson:
    """All that `loop.train` is given."""

    network: Network
    data: TrainingData
    settings: Settings
    folder: Path
    method: Method


@dataclass(frozen=True)
class Handed:
    """A lesson on its way: where its numbers lie, and what holds them together."""

    path: Path
    parts: tuple[tuple[int, int], ...]  # first byte and length of each array in the file
    rest: bytes


def train(
    network: Network,
    data: TrainingData,
    settings: Settings,
    folder: Path,
    progress: Progress,
    method: Method | None = None,
    on_score: Callable[[Position], None] | None = None,
) -> TrainingResult:
    """As `loop.train`, with all processes that have joined this one; called by the one that leads.

    What is told of its evaluations, and may end it, learns in one process.
    """
    method = method or methods.kind("supervised")()
    if devices.joined() == 1 or on_score is not None:
        return loop.train(network, data, settings, folder, progress, method, on_score=on_score)
    if not method.shared or getattr(network.head, "rows_meet", False):
        progress.note("one process trains alone: its loss needs all rows of a batch together")
        return loop.train(network, data, settings, folder, progress, method)
    handed = packed(Lesson(network, data, settings, folder.resolve(), method))
    if handed is None:
        progress.note("one process trains alone: a part of the network or its data cannot be handed to others (pickle)")
        return loop.train(network, data, settings, folder, progress, method)
    devices.heard(handed)
    devices.prepare(settings.precision, together=True).wait()  # every process has mapped the file
    handed.path.unlink(missing_ok=True)
    try:
        return loop.train(network, data, settings, folder, progress, method, together=True)
    except Exception:
        devices.leave()  # the others may be in the middle of a step, where they hear nothing
        raise


def follow() -> Ended:
    """Learn with the process that leads, until it comes to an end."""
    while True:
        said: Handed | Ended | None = devices.heard(None)
        if isinstance(said, Ended):
            return said
        assert said is not None
        lesson = unpacked(said)
        devices.prepare(lesson.settings.precision, together=True).wait()
        settings, method = lesson.settings, lesson.method
        loop.train(lesson.network, lesson.data, settings, lesson.folder, Quiet(), method, together=True)


def dismiss(code: int, folder: Path | None = None) -> None:
    """Tell the processes that follow, if there are any, that this one, which leads, has come to an end."""
    if devices.joined() > 1:
        devices.heard(Ended(code, folder and folder.resolve(), socket.gethostname(), os.getpid()))


# -------------------------------------------------------------------------------------------------------- handing over


def packed(lesson: Lesson) -> Handed | None:
    """Write the numbers of a lesson into a file of its folder; None where something in it cannot be handed over."""
    arrays: list[pickle.PickleBuffer] = []
    rest = io.BytesIO()
    try:
        _Pickler(rest, protocol=5, buffer_callback=arrays.append).dump(lesson)
    except (pickle.PicklingError, AttributeError, TypeError, RuntimeError):
        return None  # such as a function that a method made for itself
    path, parts = lesson.folder / _FILE, []
    lesson.folder.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for array in arrays:
            file.seek(-file.tell() % mmap.ALLOCATIONGRANULARITY, os.SEEK_CUR)  # each is mapped, and let go, by itself
            parts.append((file.tell(), file.write(array.raw())))
    return Handed(path, tuple(parts), rest.getvalue())


def unpacked(handed: Handed) -> Lesson:
    """The lesson; its arrays are mapped, and a page of them is copied when it is written to."""
    try:
        with handed.path.open("rb") as file:
            views = [_mapped(file.fileno(), *part) for part in handed.parts]
    except OSError as error:
        found = f"process {devices.join()} of {devices.joined()} on {socket.gethostname()} does not see it"
        do = "name a folder by --runs that all machines share"
        raise problem(str(handed.path.parent), f"{found} ({error.strerror})", do=do) from error
    lesson: Lesson = _Unpickler(io.BytesIO(handed.rest), buffers=views).load()
    return lesson


def _mapped(file: int, start: int, length: int) -> mmap.mmap | bytearray:
    return mmap.mmap(file, length, access=mmap.ACCESS_COPY, offset=start) if length else bytearray()


class _Pickler(pickle.Pickler):
    """Tensors and mapped arrays as plain arrays, which are left out of the stream."""

    def reducer_override(self, value: Any) -> Any:
        """How a value is made again."""
        if type(value) is np.memmap:
            return np.asarray, (np.asarray(value),)
        if type(value) not in (Tensor, nn.Parameter) or value.layout is not torch.strided:
            return NotImplemented
        plain = value.detach().cpu().contiguous()
        learns = value.requires_grad if isinstance(value, nn.Parameter) else None
        return _tensor, (plain.view(-1).view(torch.uint8).numpy(), str(value.dtype), tuple(value.shape), learns)


def _tensor(raw: np.ndarray, dtype: str, shape: Sequence[int], learns: bool | None) -> Tensor:
    """The tensor of these bytes; a parameter where it is said whether it learns."""
    found = torch.from_numpy(raw).view(getattr(torch, dtype.removeprefix("torch."))).view(tuple(shape))
    return found if learns is None else nn.Parameter(found, requires_grad=learns)


class _Unpickler(pickle.Unpickler):
    """Finds parts of one's own too: see `registry`."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        """The class or function of that name."""
        room = module_name.rpartition(".")[0]
        if room.startswith("trimtab."):
            registry.names(room)
        return super().find_class(module_name, global_name)
