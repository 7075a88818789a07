"""What a server promises as processes: it starts or says why not, outlives its workers, and ends well."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny_bundle
from serving import until

from trimtab import runtime
from trimtab.bundle import store
from trimtab.serve import keys

ROW = {"review": "warm and funny", "stars": "4", "shop": "north"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.build(tmp_path_factory.mktemp("served"))


class Running:
    """A server that was started as users start it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()
        self.address = until(lambda: next((m[0] for line in self.said if (m := re.search(r"http\S+\d", line))), None))

    def _listen(self) -> None:
        assert self.process.stderr
        self.said.extend(iter(self.process.stderr.readline, ""))

    def ask(self, path: str, body: Any = None, key: str = "", method: str | None = None) -> tuple[int, Any]:
        head = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, head, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as found:
                return found.status, json.loads(found.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def workers(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children()]


def started(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "trimtab", "serve", *map(str, arguments), "--port", "0", "--threads", "1"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@contextmanager
def running(*arguments: str | Path) -> Iterator[Running]:
    process = started(*arguments)
    try:
        yield Running(process)
    finally:
        process.kill()
        process.wait()


def test_workers_outlive_each_other_change_bundles_together_and_end_well(bundle: Path, tmp_path: Path) -> None:
    admin = keys.made(tmp_path / "admin.txt", "me")
    expected = runtime.load(bundle).predict([ROW])[0]
    served = tmp_path / "bundle"
    served.symlink_to(bundle)
    with running(served, "--workers", "2", "--admin-keys", tmp_path / "admin.txt") as server:
        assert server.ask("/predict", ROW)[1]["answer"] == expected
        first = until(lambda: server.workers() if len(server.workers()) == 2 else None)

        os.kill(first[0], signal.SIGKILL)
        assert [server.ask("/predict", ROW)[1]["answer"] for _ in range(20)] == [expected] * 20
        until(lambda: len(set(server.workers()) - {first[0]}) == 2)

        status, said = server.ask("/admin/reload", {"bundle": str(tmp_path / "none")}, admin)
        assert (status, "no such folder" in said["error"]["message"]) == (409, True)
        assert server.ask("/predict", ROW)[0] == 200
        until(lambda: server.ask("/admin/reload", {}, admin)[1].get("workers") == 2)
        assert server.ask("/admin/reload", {}, "wrong")[0] == 401

        server.process.send_signal(signal.SIGHUP)
        until(lambda: any("reloaded" in line for line in server.said))
        ends = server.workers()
        server.process.terminate()
        assert server.process.wait(30) == 0
        assert not [pid for pid in ends if psutil.pid_exists(pid)]


def test_no_request_is_lost_while_bundles_change_and_none_that_was_taken_when_it_ends(bundle: Path) -> None:
    outcomes: list[int] = []

    def ask() -> None:
        while not done.is_set():
            outcomes.append(server.ask("/predict", [ROW] * 20)[0])

    done = threading.Event()
    with running(bundle) as server:
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for turn in range(1, 4):
            server.process.send_signal(signal.SIGHUP)
            until(lambda turn=turn: sum("reloaded" in line for line in server.said) == turn)
        done.set()
        for thread in threads:
            thread.join()
        server.process.terminate()
        assert server.process.wait(30) == 0
    assert len(outcomes) > 3
    assert set(outcomes) == {200}


def test_workers_do_not_outlive_a_supervisor_that_is_killed(bundle: Path) -> None:
    with running(bundle, "--workers", "2") as server:
        workers = until(lambda: server.workers() if len(server.workers()) == 2 else None)
        assert server.ask("/predict", ROW)[0] == 200
        server.process.kill()
        until(lambda: not [pid for pid in workers if psutil.pid_exists(pid)])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_bundle_whose_golden_rows_disagree_is_not_served(tmp_path: Path, workers: str) -> None:
    manifest = tiny_bundle.stage(tmp_path)
    golden = tmp_path / "staging" / "golden.jsonl"
    first, *others = golden.read_text().splitlines(keepends=True)
    line = json.loads(first)
    line["outputs"][0] += 1.0
    golden.write_text(json.dumps(line) + "\n" + "".join(others))
    spoilt = tmp_path / "bundle"
    store.save(tmp_path / "staging", manifest, spoilt)
    process = started(spoilt, "--workers", workers)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert "golden row 1 is answered differently" in said


def raw(server: Running, sent: bytes, then: bytes = b"", pause: float = 0.0) -> bytes:
    """What comes back for bytes, until the connection is closed."""
    host, _, port = server.address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent)
        time.sleep(pause)
        with suppress(OSError):
            connection.sendall(then)
        found = bytearray()
        with suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                found += part
    return bytes(found)


def test_who_sends_slowly_without_end_or_nonsense_is_sent_away_and_others_are_answered(bundle: Path) -> None:
    post = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with running(bundle, "--body-timeout", "0.3", "--log", "off") as server:
        assert b" 408 " in raw(server, b"")
        assert b" 408 " in raw(server, b"GET / HTTP/1.1\r\nx: ", b"y", 0.1)
        assert b" 408 " in raw(server, post + b"Content-Length: 20\r\nConnection: close\r\n\r\n{", b"{", 0.1)
        assert b" 431 " in raw(server, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000)
        assert b" 400 " in raw(server, b"\x16\x03\x01 nonsense\r\n\r\n")
        assert b" 404 " in raw(server, b"GET /%ff/../%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert server.ask("/predict", ROW)[0] == 200
        assert "Traceback" not in "".join(server.said)


def test_a_port_that_is_taken_and_half_a_certificate_are_told(bundle: Path) -> None:
    with running(bundle) as server:
        port = server.address.rpartition(":")[2]
        command = [sys.executable, "-m", "trimtab", "serve", str(bundle), "--port", port]
        taken = subprocess.run(command, capture_output=True, text=True, timeout=60)
        half = subprocess.run([*command, "--certificate", "c.pem"], capture_output=True, text=True, timeout=60)
    assert (taken.returncode, half.returncode) == (2, 2)
    assert "cannot listen" in taken.stderr
    assert "--key" in half.stderr
