"""Cost is measured on the served files, through the runtime."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_bundle import ROWS, build

from trimtab import runtime
from trimtab.audit.cost import _memory as memory_of
from trimtab.audit.cost import cost, machine
from trimtab.bundle import store
from trimtab.cli import predict


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("cost"))


def test_every_cost_is_measured(bundle: Path) -> None:
    found = cost(runtime.load(bundle), ROWS)
    assert {name: one.unit for name, one in found.items()} == {
        "size": "MB",
        "latency": "ms",
        "latency_p95": "ms",
        "latency_p99": "ms",
        "throughput": "rows/s",
        "memory": "MB",
        "memory_peak": "MB",
        "cold_start": "ms",
    }
    assert found["size"].value == store.serving_bytes(bundle) / 1e6
    assert 0 < found["latency"].low <= found["latency"].value <= found["latency"].high
    assert found["latency"].value <= found["latency_p95"].value <= found["latency_p99"].value
    assert found["cold_start"].value > 10 * found["latency"].value
    assert found["throughput"].value > 100
    assert 20 < found["memory"].value <= found["memory_peak"].value < 1000


def test_memory_is_that_of_a_process_without_heavy_packages(bundle: Path) -> None:
    program = (
        "import sys, runpy; sys.argv = ['memory', sys.argv[1], '600'];"
        "runpy.run_module('trimtab.audit.memory', run_name='__main__');"
        "heavy = {'torch', 'transformers', 'sklearn', 'scipy', 'pandas', 'polars', 'matplotlib'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(bundle)],
        input=json.dumps(ROWS),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    held = json.loads(done.stdout)
    assert held["memory"] <= held["memory_peak"]


def test_memory_is_that_of_as_many_rows_as_predict_answers_at_once(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    run = subprocess.run
    monkeypatch.setattr(
        subprocess, "run", lambda *words, **options: asked.append(words[0][-1]) or run(*words, **options)
    )
    for rate in (1e6, 20.0, 0.1):
        memory_of(bundle, ROWS, rate)
    assert asked == [str(predict._LARGEST_CHUNK), "200", "64"]


def test_the_machine_is_named() -> None:
    found = machine()
    assert found.keys() == {"cpu", "cores", "memory", "system", "python", "onnxruntime"}
    assert found["cpu"]
    assert found["cores"] >= 1
    assert json.loads(json.dumps(found)) == found
