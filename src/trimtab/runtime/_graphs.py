"""A network's file, opened as it is served, and run in batches."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Self

import numpy as np
import onnxruntime

from trimtab.bundle.serving import GraphEntry, Serving
from trimtab.columns import InputColumn, length_batches
from trimtab.errors import problem
from trimtab.runtime import _device

_LARGEST = 512  # rows of one batch
_NUMBERS = 2_000_000  # of rows of fixed size, such as pictures, that are encoded for one batch
_SMALL = 4_000_000  # bytes of a network whose operations are too short to be shared by threads
_LEAST = 256  # cost of a batch that is worth a thread of its own
_PADDING = 16  # part of `batch_cost` that may be padding in one batch: another call costs about as much


class Beside:
    """A network that computes several batches at once, each with one thread; its file is opened when it is asked for.

    Several batches at once, each on a core of its own, wait for nothing; threads that share a batch meet behind every
    operation.
    """

    def __init__(self, network: Path, threads: int, session: onnxruntime.InferenceSession | None = None) -> None:
        self.network, self.threads = network, threads
        self._lock, self._session = Lock(), session

    @property
    def session(self) -> onnxruntime.InferenceSession:
        """Opened once, also where several threads ask first."""
        with self._lock:
            self._session = self._session or open_session(self.network, 1)
            return self._session


@dataclass(frozen=True)
class Graph:
    """One network, ready to run."""

    session: onnxruntime.InferenceSession = field(repr=False, compare=False)
    entry: GraphEntry
    beside: Beside | None = field(default=None, repr=False, compare=False)  # for several batches at once

    def batches(self, costs: np.ndarray) -> list[np.ndarray]:
        """Which rows of such costs are computed together.

        A network that is quick with small batches has dear steps: of padding it is given little. Where several batches
        are computed at once there is one for every thread, as far as each is worth it.
        """
        most = self.entry.batch_cost
        if self.beside:
            most = min(most, max(_LEAST, math.ceil(float(costs.sum()) / self.beside.threads)))
        return length_batches(costs, most, self.entry.batch_rows or _LARGEST, self.entry.batch_cost // _PADDING)

    def in_batches(self, cost: int, rows: int | None = None) -> Self:
        """The same in batches of another size."""
        return replace(self, entry=self.entry.model_copy(update={"batch_cost": cost, "batch_rows": rows}))

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The tensors that the network gives for those of one batch, by their names."""
        return self._run(self.session, tensors)

    def run_each(self, batches: Sequence[Callable[[], Mapping[str, np.ndarray]]]) -> list[dict[str, np.ndarray]]:
        """What `run` gives for the tensors that each call returns, several at once where that is quicker."""
        if self.beside is None or len(batches) == 1:
            return [self.run(tensors()) for tensors in batches]
        session = self.beside.session
        with ThreadPoolExecutor(min(self.beside.threads, len(batches))) as pool:
            return list(pool.map(lambda tensors: self._run(session, tensors()), batches))

    def _run(self, session: onnxruntime.InferenceSession, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = {name: tensors[name] for name in self.entry.inputs}
        return dict(zip(self.entry.outputs, session.run(self.entry.outputs, given), strict=True))


def open_graphs(
    folder: Path, serving: Serving, threads: int | None = None, device: str = _device.CPU
) -> dict[str, Graph]:
    """The networks of a folder, opened as they are served."""
    threads = threads or usable_cores()
    with ThreadPoolExecutor(len(serving.graphs)) as pool:
        opened = {
            name: pool.submit(_open_graph, folder, entry, threads, device) for name, entry in serving.graphs.items()
        }
        return {name: graph.result() for name, graph in opened.items()}


def _open_graph(folder: Path, entry: GraphEntry, threads: int, device: str) -> Graph:
    """A small network answers a row no slower with one thread, and is opened once."""
    path = folder / entry.file
    if device != _device.CPU:  # one batch after the other fills a GPU, and its weights are there once
        return Graph(open_session(path, threads, device), entry)
    if threads == 1:
        return Graph(open_session(path, 1), entry)
    if sum(part.stat().st_size for part in folder.glob(f"{entry.file}*")) > _SMALL:
        return Graph(open_session(path, threads), entry, Beside(path, threads))
    session = open_session(path, 1)
    return Graph(session, entry, Beside(path, threads, session))


def most_rows(inputs: Sequence[InputColumn]) -> int:
    """Rows whose numbers, as the network takes them, are held at once for one batch."""
    numbers = sum(column.fixed_numbers for column in inputs)
    return _LARGEST if not numbers else min(_LARGEST, max(1, _NUMBERS // numbers))


def open_session(network: Path | bytes, threads: int, device: str = _device.CPU) -> onnxruntime.InferenceSession:
    """A network's file, or its content, opened as it is served.

    Raises TrimtabError for what is no network, and for a device that there is not.
    """
    providers = _device.providers(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait by spinning burn the cores that a server shares: 150 rows per CPU second against 240 without.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors only: what it warns of is nothing that a user could change
    try:
        if isinstance(network, Path) and (weights := _linked_weights(network)):
            options.add_external_initializers_from_files_in_memory([f"{network.name}.data"], [weights], [len(weights)])
        given = str(network) if isinstance(network, Path) else network
        session = onnxruntime.InferenceSession(given, options, providers=providers)
    except Exception as error:  # the library's errors have no common base
        said = " ".join(str(error).split())[:300]
        where = str(network) if isinstance(network, Path) else "network"
        raise problem(where, f"ONNX Runtime {onnxruntime.__version__} cannot load it ({said})") from error
    _device.check(session, device)
    return session


def _linked_weights(path: Path) -> bytes:
    """The weights of a model where a link leads to another folder, from which ONNX Runtime reads none; else nothing.

    Caches and deployment tools lay out a folder as links to files elsewhere.
    """
    data = path.with_name(f"{path.name}.data")
    outside = data.is_symlink() and data.resolve().parent != path.resolve().parent
    return data.read_bytes() if outside else b""


def usable_cores() -> int:
    """Cores that this process may use: its CPU affinity, and its container's quota."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no control groups, or "max"
        return cores
