"""Several processes train one network as one process does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parent / "train_in_processes.py"


def run(folder: Path, *before: str) -> None:
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, *before, str(SCRIPT), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_two_processes_end_with_the_weights_and_answers_of_one(tmp_path: Path) -> None:
    run(tmp_path / "alone")
    run(tmp_path / "together", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    one = np.load(tmp_path / "alone" / "0.npz")
    assert sorted(path.name for path in (tmp_path / "together").glob("*.npz")) == ["0.npz", "1.npz"]
    for rank in range(2):
        other = np.load(tmp_path / "together" / f"{rank}.npz")
        assert set(other.files) == set(one.files)
        for name in one.files:
            np.testing.assert_allclose(other[name], one[name], atol=1e-5, err_msg=name)
    checkpoints = sorted(path.name for path in (tmp_path / "together" / "work").iterdir())
    assert checkpoints == sorted(path.name for path in (tmp_path / "alone" / "work").iterdir())
