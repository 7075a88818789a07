"""Several processes train one network as one process does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).parent / "train_in_processes.py"


def run(folder: Path, processes: int, code: int = 0, **settings: object) -> Any:
    """The first process's weights, answers and losses; None where the run was to end with another code."""
    folder.mkdir(exist_ok=True)
    before = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    done = subprocess.run(
        [sys.executable, *(before if processes > 1 else []), str(SCRIPT), str(folder), json.dumps(settings)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == code, done.stderr[-3000:]
    return np.load(folder / "0.npz") if code == 0 else None


def same(found: Any, wanted: Any, within: float = 1e-5) -> None:
    assert set(found.files) == set(wanted.files)
    for name in wanted.files:
        np.testing.assert_allclose(found[name], wanted[name], atol=within, err_msg=name)


def facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "0.json").read_text())
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    run(folder, 1)
    return folder


@pytest.mark.slow
def test_two_processes_end_with_the_weights_and_answers_of_one(alone: Path, tmp_path: Path) -> None:
    together = tmp_path / "together"
    run(together, 2)
    assert sorted(path.name for path in together.glob("*.npz")) == ["0.npz", "1.npz"]
    for rank in range(2):
        same(np.load(together / f"{rank}.npz"), np.load(alone / "0.npz"))
    checkpoints = sorted(path.name for path in (together / "work").iterdir())
    assert checkpoints == sorted(path.name for path in (alone / "work").iterdir())
    assert facts(alone) == {}
    found = facts(together)
    assert (found["processes"], found["exchange"], found["synchronised"]) == (2, "gloo", "every step")
    assert 0 < found["waiting_share"] + found["exchange_share"] < 1


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_with_another_number_of_processes(alone: Path, tmp_path: Path) -> None:
    run(tmp_path / "on", 3, code=1, stop=4)
    same(run(tmp_path / "on", 2), np.load(alone / "0.npz"))


@pytest.mark.slow
def test_weights_in_parts_learn_as_whole_ones_do_and_go_on_in_other_numbers(alone: Path, tmp_path: Path) -> None:
    whole = np.load(alone / "0.npz")
    with_dense_gradients = run(tmp_path / "one", 1, shard=True)
    np.testing.assert_allclose(with_dense_gradients["losses"], whole["losses"], rtol=0.2)  # Adam sees every row
    same(run(tmp_path / "two", 2, shard=True), with_dense_gradients)
    assert facts(tmp_path / "two")["weights"] == "in parts (FSDP2)"
    run(tmp_path / "on", 3, code=1, shard=True, stop=4)
    run(tmp_path / "on", 2, code=1, shard=True, stop=3)
    same(run(tmp_path / "on", 1, shard=True), with_dense_gradients)


@pytest.mark.slow
def test_averaged_weights_go_on_after_a_kill_as_if_there_was_none(tmp_path: Path) -> None:
    found = run(tmp_path / "whole", 2, synchronise=3)
    run(tmp_path / "on", 2, code=1, synchronise=3, stop=5)
    same(run(tmp_path / "on", 2, synchronise=3), found)
    told = facts(tmp_path / "whole")
    assert told["synchronised"] == "every 3 steps"
    assert 0 < told["weights_apart"] < 1
    other = np.load(tmp_path / "whole" / "1.npz")
    for name in set(found.files) - {"losses"}:  # which are those of a process's own rows
        np.testing.assert_array_equal(other[name], found[name], err_msg=name)
