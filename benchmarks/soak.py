"""`python -m benchmarks.soak BUNDLE`: a server under load, reloads and kills, for minutes; what it promises is counted.

Rows are asked for by several clients over kept connections, each answer is held against `predict`; every minute
the bundle is loaded anew, and some workers are killed by SIGKILL. At the end the log is held against what was answered.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from trimtab import runtime
from trimtab.runtime import read_golden
from trimtab.watch.log import open_log

_LATE = 0.1  # seconds before a kill from which the log may miss answers
_CLOSE = 1e-4  # of a confidence: rows that are computed together are rounded otherwise
_PAUSE = 0.02  # seconds between two requests of a client


@dataclass
class Seen:
    """What the clients saw."""

    answered: list[tuple[str, float]] = field(default_factory=list)  # id, when
    wrong: int = 0
    refused: Counter[int] = field(default_factory=Counter)  # by status
    unanswered: list[float] = field(default_factory=list)  # when: sent, and the connection ended without an answer
    lock: threading.Lock = field(default_factory=threading.Lock)


def main() -> int:
    """Print what was seen as JSON; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--reload-every", type=float, default=60.0, help="seconds")
    options = parser.parse_args()
    found = soak(options)
    print(json.dumps(found, indent=1))
    return int(
        bool(found["wrong"] or found["unanswered_elsewhere"] or found["missing_in_log"] or found["reloads_failed"])
    )


def soak(options: argparse.Namespace) -> dict[str, Any]:
    """Start a server, ask it, disturb it, count."""
    with tempfile.TemporaryDirectory() as folder:
        log, words = f"{folder}/answers.db", ["--workers", str(options.workers), "--port", "0", "--threads", "1"]
        command = [sys.executable, "-m", "trimtab", "serve", str(options.bundle), "--log", log, *words]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            lines = listen(server)
            seen, over = Seen(), threading.Event()
            rows = expected(options.bundle)
            host, port = address(lines)
            clients = [
                threading.Thread(target=client, args=(host, port, rows, seen, over)) for _ in range(options.clients)
            ]
            for one in clients:
                one.start()
            kills = disturb(server, options)
            over.set()
            for one in clients:
                one.join()
            server.send_signal(signal.SIGTERM)
            code = server.wait(60)
        finally:
            server.kill()
        return told(options, seen, kills, log, lines, code)


def expected(bundle: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Rows with what `predict` answers to them: the golden ones, and what comes of putting texts of two together."""
    model = runtime.load(bundle, threads=1)
    golden = [line["row"] for line in read_golden(bundle)]
    draw = random.Random(5)
    mixed = [
        {name: f"{one[name]} {other[name]}" if isinstance(one[name], str) else one[name] for name in one}
        for one, other in ((draw.choice(golden), draw.choice(golden)) for _ in range(200))
    ]
    rows = [*golden, *mixed]
    return list(zip(rows, model.predict(rows).rows(), strict=True))


def listen(server: subprocess.Popen[str]) -> list[str]:
    """What the server says, as it comes."""
    lines: list[str] = []
    assert server.stderr is not None
    threading.Thread(target=lambda: lines.extend(iter(server.stderr.readline, "")), daemon=True).start()  # type: ignore[union-attr]
    return lines


def address(lines: list[str]) -> tuple[str, int]:
    """Where the server listens, once it says so."""
    while True:
        for line in list(lines):
            if found := re.search(r"http://([\d.]+):(\d+)", line):
                return found[1], int(found[2])
        time.sleep(0.05)


def client(
    host: str, port: int, rows: list[tuple[dict[str, Any], dict[str, Any]]], seen: Seen, over: threading.Event
) -> None:
    """Ask until it is over, over a connection that is kept while it holds."""
    connection, draw = http.client.HTTPConnection(host, port, timeout=30), random.Random(threading.get_ident())
    while not over.wait(_PAUSE):
        row, answer = draw.choice(rows)
        try:
            connection.connect() if connection.sock is None else None
        except OSError:
            continue  # nobody accepted: the request was never sent
        try:
            connection.request("POST", "/predict", json.dumps(row), {"content-type": "application/json"})
            response = connection.getresponse()
            content = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            with seen.lock:
                seen.unanswered.append(time.time())
            connection.close()
            continue
        with seen.lock:
            if response.status != 200:
                seen.refused[response.status] += 1
            else:
                seen.answered.append((content["id"], time.time()))
                seen.wrong += not same(content["answer"], answer)


def same(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether two answers are the same, but for how numbers are rounded."""
    return found.keys() == wanted.keys() and all(
        abs(found[name] - value) <= _CLOSE * max(1, abs(value)) if isinstance(value, float) else found[name] == value
        for name, value in wanted.items()
    )


def disturb(server: subprocess.Popen[str], options: argparse.Namespace) -> list[float]:
    """Reload every so often, and kill a worker now and then; when the kills were."""
    start, kills = time.monotonic(), []
    length = 60 * options.minutes
    at = [("kill", length * (number + 0.5) / options.kills) for number in range(options.kills)]
    at += [("reload", moment) for moment in frange(options.reload_every, length)]
    for what, moment in sorted(at, key=lambda one: one[1]):
        time.sleep(max(0.0, start + moment - time.monotonic()))
        if what == "reload":
            server.send_signal(signal.SIGHUP)
        elif workers := psutil.Process(server.pid).children():
            kills.append(time.time())
            os.kill(random.choice(workers).pid, signal.SIGKILL)
    time.sleep(max(0.0, start + length - time.monotonic()))
    return kills


def frange(step: float, end: float) -> list[float]:
    """step, 2 step ... below end."""
    return [step * number for number in range(1, int(end / step) + 1) if step * number < end]


def told(
    options: argparse.Namespace, seen: Seen, kills: list[float], log: str, lines: list[str], code: int
) -> dict[str, Any]:
    """What was promised, and what was seen."""
    with open_log(log) as opened:
        kept = Counter(one.entry.id for one in opened.read())
    missing = [moment for id, moment in seen.answered if id not in kept]
    near = [moment for moment in missing if any(moment - 0.05 <= kill <= moment + _LATE for kill in kills)]
    elsewhere = [moment for moment in seen.unanswered if not any(0 <= moment - kill < 1 for kill in kills)]
    reloads = [line for line in lines if "reload" in line or "not" in line]
    return {
        "minutes": options.minutes,
        "kills": len(kills),
        "reloads": len(frange(options.reload_every, 60 * options.minutes)),
        "reloads_failed": sum("not reloaded" in line for line in reloads),
        "answered": len(seen.answered),
        "wrong": seen.wrong,
        "refused": dict(seen.refused),
        "unanswered_at_a_kill": len(seen.unanswered) - len(elsewhere),
        "unanswered_elsewhere": len(elsewhere),
        "missing_in_log_within_100_ms_of_a_kill": len(near),
        "missing_in_log": len(missing) - len(near),
        "twice_in_log": sum(count > 1 for count in kept.values()),
        "exit_code": code,
        "said": [line.strip() for line in lines][-12:],
    }


if __name__ == "__main__":
    sys.exit(main())
