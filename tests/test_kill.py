"""kill -9 at any moment: the next launch goes on, and ends with the same numbers as an undisturbed one."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_models
import yaml

from trimtab.bundle import store

KILLS = 20


def start(spec: Path, runs: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "trimtab", "launch", str(spec), "--runs", str(runs), "-q"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(tmp_path: Path, reviews_csv: Path) -> None:
    with reviews_csv.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:600]
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["review", "sentiment"])
        writer.writeheader()
        writer.writerows(rows)
    base = tiny_models.save(tmp_path / "bert", "bert", [row["review"] for row in rows])
    train = {"epochs": 10, "checkpoint_seconds": 0.2, "patience": 20, "ema_decay": 0.9}
    spec = tmp_path / "trimtab.yaml"
    spec.write_text(yaml.safe_dump({"data": "rows.csv", "output": "sentiment", "base": str(base), "train": train}))

    began = time.perf_counter()
    undisturbed = start(spec, tmp_path / "whole")
    assert undisturbed.wait() == 0, undisturbed.stderr.read().decode()
    seconds = time.perf_counter() - began
    whole = store.read_manifest(tmp_path / "whole" / "rows" / "bundle")

    moments = random.Random(5)
    killed, tries = 0, 0
    while killed < KILLS:
        tries += 1
        assert tries < 4 * KILLS, "the launches end before they can be killed"
        run = start(spec, tmp_path / "killed")
        time.sleep(moments.uniform(0.5, seconds))
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            killed += 1
        run.wait()
        bundle = tmp_path / "killed" / "rows" / "bundle"
        if (bundle / "manifest.json").exists():  # whenever there is a bundle, it is whole
            store.check_files(bundle, store.read_manifest(bundle))
            if moments.random() < 0.5:  # begin again now and then, so that every stage is hit
                subprocess.run(["rm", "-r", str(tmp_path / "killed")], check=True)
    last = start(spec, tmp_path / "killed")
    assert last.wait() == 0, last.stderr.read().decode()
    ended = store.read_manifest(tmp_path / "killed" / "rows" / "bundle")
    assert ended.hash == whole.hash
    quality = [name for name, value in whole.measured.items() if not value.unit]
    assert len(quality) >= 5
    assert {name: ended.measured[name] for name in quality} == {name: whole.measured[name] for name in quality}
