"""A bundle on more than one machine: the application under a local Ray Serve, whose replicas write one log."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest
import tiny_bundle
from benchmarks import environments
from tests.test_watch_log import server  # noqa: F401 - a fixture: a PostgreSQL server

from trimtab import runtime
from trimtab.watch.log import open_log

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "ray"
REQUESTS = 100
DRIVER = """
import json, sys, time, urllib.request
from concurrent.futures import ThreadPoolExecutor
import ray
from ray import serve
import replicas

bundle, log, port, rows = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
serve.start(http_options={"port": port})
serve.run(replicas.app({"bundle": bundle, "log": log, "replicas": "2"}))

def ask(row):
    head = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", json.dumps(row).encode(), head)
    return json.load(urllib.request.urlopen(request, timeout=60))

with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(ask, rows))
states = {str(k): v for k, v in serve.status().applications["default"].deployments["trimtab"].replica_states.items()}
time.sleep(1)  # the log is written within 100 ms
serve.shutdown()
ray.shutdown()
print("\\n" + json.dumps({"found": found, "states": states}))
"""


@pytest.mark.slow
def test_two_replicas_of_ray_answer_as_predict_does_and_write_one_log(
    tmp_path: Path,
    server: str,  # noqa: F811
) -> None:
    bundle = tiny_bundle.build(tmp_path)
    rows = [{name: row[name] for name in ("review", "stars", "shop")} for row in tiny_bundle.ROWS]
    asked = [rows[place % len(rows)] for place in range(REQUESTS)]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [environments.python("ray"), "-c", DRIVER, bundle, server, str(port), json.dumps(asked)]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLE), "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=300, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"found"')))
    assert told["states"] == {"RUNNING": 2}
    assert [one["answer"] for one in told["found"]] == runtime.load(bundle, threads=1).predict(asked).rows()
    with open_log(server) as log:
        assert {kept.entry.id for kept in log.read()} == {one["id"] for one in told["found"]}
