"""What a server publishes of itself is true, as others' tests of it by /openapi.json find."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import tiny_bundle
from benchmarks import environments
from tests.test_serve_process import running

CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance,status_code_conformance"


@pytest.mark.slow
def test_two_thousand_examples_find_no_fault_and_nothing_that_the_schema_does_not_say(tmp_path: Path) -> None:
    program = environments.python("schemathesis").with_name("schemathesis")
    options = ["--checks", CHECKS, "--seed", "7", "--no-color", "--suppress-health-check", "all"]
    with running(tiny_bundle.build(tmp_path)) as server:
        command = [program, "run", f"{server.address}/openapi.json", "--max-examples", "600", *options]
        phases = ["--phases", "examples,coverage,fuzzing", "--continue-on-failure"]
        done = subprocess.run([*map(str, command), *phases], capture_output=True, text=True, timeout=1800, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    (generated,) = re.findall(r"([\d,]+) generated", done.stdout)
    assert int(generated.replace(",", "")) >= 2_000
