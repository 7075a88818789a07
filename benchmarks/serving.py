"""A served bundle under load, beside other servers of the same network: `python -m benchmarks.serving BUNDLE`.

Each server runs in an environment and a process of its own, all of them compute the same ONNX file with ONNX Runtime.
A second process sends texts of mixed lengths at a given rate, whether or not they are answered (an open loop: arrivals
by a Poisson process, times counted from when a request was due). Printed are the time until a server is ready, what it
has in memory, its median when idle, and the largest rate at which 95% of the requests are answered within a bound.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks import environments
from trimtab.audit.cost import machine

RIVALS = Path(__file__).resolve().parent / "rivals"
ROOT = environments.ROOT
WORDS = [
    "the",
    "a",
    "it",
    "is",
    "was",
    "works",
    "well",
    "bad",
    "good",
    "phone",
    "battery",
    "screen",
    "charger",
    "very",
    "not",
    "and",
    "but",
    "after",
    "two",
    "days",
    "returned",
]
LENGTHS = (3, 6, 10, 16, 25, 40, 70, 110)  # words; half of the texts have 16 or fewer
WEIGHTS = (4, 6, 6, 5, 4, 3, 2, 1)
CONNECTIONS = 64


@dataclass(frozen=True)
class Run:
    """What one rate did to one server."""

    rate: float  # requests a second that were due
    answered: float  # a second
    p50: float  # ms
    p95: float
    failed: int
    cpu_ms: float = 0.0  # of the server's processes, for each answer: comparable where others use the machine too


def texts(count: int, seed: int) -> list[str]:
    """Texts of mixed lengths."""
    source = random.Random(seed)
    lengths = source.choices(LENGTHS, WEIGHTS, k=count)
    return [" ".join(source.choices(WORDS, k=length)) for length in lengths]


# -------------------------------------------------------------------------------------------------------- load


async def _load(port: int, name: str, rate: float, seconds: float, seed: int) -> dict[str, Any]:
    """Send requests when they are due, over connections that are kept; latencies in ms."""
    source = random.Random(seed)
    due, moment = [], 0.0
    while moment < seconds:
        moment += source.expovariate(rate)
        due.append(moment)
    bodies = [json.dumps({name: text}).encode() for text in texts(len(due), seed)]
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    start = time.perf_counter() + 0.1
    took: list[float] = []
    failed = 0

    async def one(at: float, body: bytes) -> None:
        nonlocal failed
        await asyncio.sleep(max(0.0, start + at - time.perf_counter()))
        reader, writer = await free.get()
        try:
            writer.write(
                b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            if b"content-length" in fields:
                await reader.readexactly(int(fields[b"content-length"]))
            else:
                while size := int(await reader.readline(), 16):
                    await reader.readexactly(size + 2)
                await reader.readline()
            if head[9:12] == b"200":
                took.append(1000 * (time.perf_counter() - start - at))
            else:
                failed += 1
            free.put_nowait((reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            failed += 1
            free.put_nowait(await asyncio.open_connection("127.0.0.1", port))

    await asyncio.gather(*map(one, due, bodies))
    end = time.perf_counter() - start
    return {"took": took, "failed": failed, "seconds": max(end, seconds)}


def load(server: Server, port: int, name: str, rate: float, seconds: float, seed: int) -> Run:
    """One rate, sent by another process."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.serving",
        "--load",
        str(port),
        name,
        str(rate),
        str(seconds),
        str(seed),
    ]
    before = server.cpu_seconds()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    used = server.cpu_seconds() - before
    found = json.loads(done.stdout)
    took = sorted(found["took"])
    if not took:
        return Run(rate, 0.0, float("inf"), float("inf"), found["failed"])
    p50, p95 = (took[min(len(took) - 1, int(len(took) * part))] for part in (0.5, 0.95))
    return Run(rate, len(took) / found["seconds"], p50, p95, found["failed"], 1000 * used / len(took))


# ------------------------------------------------------------------------------------------------------ servers


def commands(bundle: Path, name: str, port: int) -> dict[str, tuple[list[str], Mapping[str, str]]]:
    """What starts each server, and what its environment holds."""
    ours = [sys.executable, "-m", "trimtab", "serve", str(bundle), "--port", str(port), "--log", "off"]
    fastapi, litserve, bentoml = (environments.python(one) for one in ("fastapi", "litserve", "bentoml"))
    service = [
        str(bentoml.with_name("bentoml")),
        "serve",
        "serving_bentoml:Answering",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    return {
        "trimtab": (ours, {}),
        "fastapi": ([str(fastapi), "serving_fastapi.py", str(bundle), str(port)], {}),
        "litserve": ([str(litserve), "serving_litserve.py", str(bundle), str(port)], {}),
        "bentoml": (service, {"BUNDLE": str(bundle), "BENTOML_DO_NOT_TRACK": "True"}),
    }


class Server:
    """A server that runs, in a group of processes of its own."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], port: int, row: Mapping[str, str]
    ) -> None:
        start = time.perf_counter()
        own = {**os.environ, **environment}
        self.process = subprocess.Popen(
            command, cwd=RIVALS, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        body = json.dumps(row).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", body, {"content-type": "application/json"})
        while True:
            with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(request, timeout=5) as found:
                if found.status == 200:
                    break
            if self.process.poll() is not None or time.perf_counter() - start > 90:
                self.stop()
                raise RuntimeError(f"did not start: {' '.join(command)}")
            time.sleep(0.01)
        self.ready = time.perf_counter() - start

    def family(self) -> list[psutil.Process]:
        """All its processes."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def megabytes(self) -> float:
        """Resident, of all its processes."""
        return sum(one.memory_info().rss for one in self.family()) / 1e6

    def cpu_seconds(self) -> float:
        """Used so far, by all its processes."""
        return sum(sum(one.cpu_times()[:2]) for one in self.family())

    def stop(self) -> None:
        """With everything that it started."""
        with suppress(psutil.NoSuchProcess):
            for one in self.family():
                with suppress(psutil.NoSuchProcess):
                    one.kill()
        self.process.wait()


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def measured(bundle: Path, name: str, which: str, asked: argparse.Namespace) -> dict[str, Any]:
    """One server: ready, memory, idle, then rising rates until it answers too late."""
    port = free_port()
    command, environment = commands(bundle, name, port)[which]
    server = Server(command, environment, port, {name: "works well"})
    try:
        idle_memory = server.megabytes()
        load(server, port, name, 10, 2, 1)  # warm
        idle = load(server, port, name, asked.idle, asked.seconds, 2)
        runs = []
        for rate in asked.rates:
            runs.append(load(server, port, name, rate, asked.seconds, 3))
            print(f"{which:10} {_line(runs[-1])}", file=sys.stderr, flush=True)
            if runs[-1].p95 > 4 * asked.bound:
                break
        loaded = server.megabytes()
    finally:
        server.stop()
    within = [run for run in runs if run.p95 <= asked.bound and not run.failed]
    return {
        "server": which,
        "ready_s": round(server.ready, 2),
        "idle_mb": round(idle_memory),
        "loaded_mb": round(loaded),
        "idle_p50_ms": round(idle.p50, 2),
        "idle_p95_ms": round(idle.p95, 2),
        "most_per_s": round(max((run.answered for run in within), default=0.0), 1),
        "runs": [asdict(run) for run in runs],
    }


def _line(run: Run) -> str:
    times = f"p50 {run.p50:8.1f} ms  p95 {run.p95:8.1f} ms  {run.cpu_ms:6.2f} ms of cpu"
    return f"{run.rate:7.1f}/s due  {run.answered:7.1f}/s  {times}  {run.failed} failed"


def main() -> None:
    """Measure every server, in turn, as often as asked; print a table and JSON."""
    if sys.argv[1:2] == ["--load"]:
        port, name, rate, seconds, seed = sys.argv[2:]
        print(json.dumps(asyncio.run(_load(int(port), name, float(rate), float(seconds), int(seed)))))
        return
    asked = _arguments()
    bundle = asked.bundle.resolve()
    name = json.loads((bundle / "serving.json").read_text())["inputs"][0]["name"]
    found = []
    for which in asked.servers * asked.repeats:
        try:
            found.append(measured(bundle, name, which, asked))
        except RuntimeError as error:
            print(f"{which}: {error}", file=sys.stderr, flush=True)
    print(f"{json.dumps(machine())}; p95 within {asked.bound:g} ms, {asked.seconds:g} s for each rate")
    columns = [key for key in found[0] if key != "runs"]
    print("  ".join(f"{key:>12}" for key in columns))
    for one in found:
        print("  ".join(f"{one[key]!s:>12}" for key in columns))
    if asked.to:
        asked.to.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("bundle", type=Path, help="a bundle that reads one text and answers one label")
    parser.add_argument("--servers", nargs="+", default=["trimtab", "fastapi", "litserve", "bentoml"])
    parser.add_argument("--rates", nargs="+", type=float, default=[20, 40, 60, 80, 100, 120, 140, 160, 180, 200, 240])
    parser.add_argument("--idle", type=float, default=4.0, help="requests a second of a server without load")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--bound", type=float, default=100.0, help="ms, of the p95")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--to", type=Path, help="a file for all figures as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
