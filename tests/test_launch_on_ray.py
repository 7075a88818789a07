"""`trimtab launch --on ray`: what torchrun's processes make, and a machine that is lost on the way changes nothing."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import yaml
from ray.cluster_utils import Cluster
from safetensors.numpy import load_file

from trimtab.bundle import store

EPOCHS = 6


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory, reviews: list[dict[str, object]]) -> Path:
    """A spec with its rows and a tiny base; nothing of it is chosen by the time that it takes."""
    folder = tmp_path_factory.mktemp("spec")
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["review", "sentiment"])
        writer.writeheader()
        writer.writerows(reviews)
    base = tiny_models.save(folder / "bert", "bert", [str(row["review"]) for row in reviews])
    train = {"epochs": EPOCHS, "patience": 20, "checkpoint_seconds": 0.2, "precision": "fp32", "attention": "plain"}
    (folder / "trimtab.yaml").write_text(
        yaml.safe_dump({"data": "rows.csv", "output": "sentiment", "base": str(base), "train": train})
    )
    return folder / "trimtab.yaml"


def start(spec: Path, runs: str, *options: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "trimtab", "launch", spec.name, "--runs", runs, "--processes", "2", *options]
    return subprocess.Popen(
        command,
        cwd=spec.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def by_torchrun(spec: Path) -> Path:
    """The run's folder of the same launch by two processes of torchrun."""
    run = start(spec, "torchrun")
    _, told = run.communicate(timeout=300)
    assert run.returncode == 0, told
    return spec.parent / "torchrun" / "rows"


@pytest.fixture
def two_machines() -> Iterator[Cluster]:
    """A cluster of two machines, each with room for one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        try:
            cluster.add_node(num_cpus=1)
            yield cluster
        finally:
            cluster.shutdown()


def assert_same(found: Path, wanted: Path) -> None:
    weights, others = (load_file(run / "work" / "train" / "best" / "weights.safetensors") for run in (found, wanted))
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        np.testing.assert_allclose(value, others[name], atol=1e-5, err_msg=name)
    assert store.read_manifest(found / "bundle").hash == store.read_manifest(wanted / "bundle").hash


@pytest.mark.slow
def test_two_processes_of_a_cluster_of_its_own_make_what_those_of_torchrun_make(spec: Path, by_torchrun: Path) -> None:
    run = start(spec, "ray", "--on", "ray", "--json")
    verdict, told = run.communicate(timeout=300)
    assert run.returncode == 0, told
    assert '"bundle": "ray/rows/bundle"' in verdict
    assert "on Ray: 2 processes with 1 CPU each" in told
    assert f"epoch {EPOCHS}/{EPOCHS}" in told
    assert_same(spec.parent / "ray" / "rows", by_torchrun)


@pytest.mark.slow
def test_a_machine_that_is_killed_while_it_learns_changes_nothing(
    spec: Path, by_torchrun: Path, two_machines: Cluster
) -> None:
    run = start(spec, "killed", "--on", "ray", RAY_ADDRESS=two_machines.address)
    checkpoint = spec.parent / "killed" / "rows" / "work" / "train" / "last"
    while not checkpoint.exists():
        assert run.poll() is None, run.communicate()[1]
        time.sleep(0.05)
    (node,) = two_machines.worker_nodes
    two_machines.remove_node(node, allow_graceful=False)
    two_machines.add_node(num_cpus=1)
    _, told = run.communicate(timeout=300)
    assert run.returncode == 0, told
    assert told.count("a process was lost") == 1
    assert_same(spec.parent / "killed" / "rows", by_torchrun)
