"""Several processes carry out one launch: one does everything, the others learn with it."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from places import Place, place
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from trimtab import runtime
from trimtab.__main__ import main
from trimtab.bundle import store
from trimtab.columns import encode_rows, fit
from trimtab.nets.network import Architecture, EncoderEntry, Network
from trimtab.pipeline import processes
from trimtab.train import methods, sharing
from trimtab.train.devices import Devices
from trimtab.train.method import TrainingData

KILLS = 10
TEXTS = ["a warm film", "a dull and long plot"] * 30


def devices(rank: int, count: int) -> Devices:
    return Devices(torch.device("cpu"), "fp32", torch.amp.GradScaler("cpu", enabled=False), rank, count)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_rows_of_a_batch_are_dealt_out_once_each_and_as_equal_work(count: int) -> None:
    steps = np.random.default_rng(0).integers(3, 400, 1000)
    batch = np.argsort(steps)[300:337]
    shares = [devices(rank, count).share(batch, steps) for rank in range(count)]
    assert sorted(np.concatenate(shares)) == sorted(batch)
    padded = [len(share) * steps[share].max() for share in shares]
    assert max(padded) - min(padded) <= 1.2 * steps[batch].max()  # a row
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_of_fewer_rows_than_processes_some_get_none() -> None:
    steps = np.arange(1, 10)
    shares = [devices(rank, 4).share(np.array([2, 5]), steps) for rank in range(4)]
    assert [len(share) for share in shares] == [1, 1, 0, 0]


def test_what_is_handed_over_arrives_as_it_is_and_is_nobody_elses(tmp_path: Path) -> None:
    inputs, output = [fit("text", "t", "t", TEXTS, {"vocabulary": 200})], fit("label", "y", "y", ["a", "b"] * 30, {})
    shape = {"width": 8, "head_width": 4, "layers": [{"heads": 2, "neurons": 8}], "positions": 16}
    entries = (EncoderEntry(name="compact", reads=("t",), config=shape),)
    made = Architecture(width=8, encoders=entries, fusion="mean", dropout=0.0, head="label")
    network, rows = Network(made, inputs, output), encode_rows(inputs, {"t": TEXTS})
    network.head.requires_grad_(False)
    data = TrainingData(rows, output.targets(["a", "b"] * 30), rows, output.targets(["a", "b"] * 30), output)
    lesson = sharing.Lesson(network, data, None, tmp_path, methods.kind("supervised")())
    handed = sharing.packed(lesson)
    assert handed is not None
    assert len(handed.rest) < 20_000 < handed.path.stat().st_size  # numbers lie in the file
    first, second = sharing.unpacked(handed), sharing.unpacked(handed)
    for name, value in network.state_dict().items():
        assert torch.equal(first.network.state_dict()[name], value), name
    wanted = {name: one.requires_grad for name, one in network.named_parameters()}
    assert {name: one.requires_grad for name, one in first.network.named_parameters()} == wanted
    for name, array in rows.batch(np.arange(5)).items():
        np.testing.assert_array_equal(first.data.train.batch(np.arange(5))[name], array)
    with torch.no_grad():
        for parameter in first.network.parameters():
            parameter.add_(1)
    for name, value in network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], value), name


def test_what_cannot_be_handed_over_is_said(tmp_path: Path) -> None:
    lesson = sharing.Lesson(torch.nn.Linear(1, 1), lambda: None, None, tmp_path, methods.kind("supervised")())
    assert sharing.packed(lesson) is None


def failure(code: int) -> ProcessFailure:
    return ProcessFailure(local_rank=0, pid=7, exitcode=code, error_file="")


def test_the_process_that_was_killed_is_blamed_and_not_those_that_were_ended_for_it() -> None:
    ended = processes.blamed({0: failure(processes.LOST), 1: failure(-signal.SIGKILL), 2: failure(-signal.SIGTERM)})
    assert ended.code == 137
    assert "process 1 (pid 7) was killed by SIGKILL" in ended.why
    assert "goes on from the last checkpoint" in ended.why


def test_what_a_process_has_told_is_not_told_again() -> None:
    assert processes.blamed({0: failure(2), 1: failure(-signal.SIGTERM)}) == processes.Outcome(2)


def test_processes_are_not_asked_for_inside_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = place(tmp_path, [{"x": "a", "y": "b"}], output="y")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert made.launch("--processes", "2") == 2
    assert "--nproc-per-node" in capsys.readouterr().err


def test_a_network_in_parts_does_not_go_on_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, object]] = [{"x": f"{text} {n}", "y": "ab"[n % 2]} for n, text in enumerate(TEXTS)]
    made = place(tmp_path, rows, output="y", train={"shard": True, "synchronise": 4})
    assert made.launch() == 2
    assert "train.synchronise: 4" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------ whole launches


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, reviews_csv: Path) -> Place:
    folder = tmp_path_factory.mktemp("ready")
    with reviews_csv.open(newline="", encoding="utf-8") as file:
        rows: list[dict[str, object]] = list(csv.DictReader(file))[:400]
    base = tiny_models.save(folder / "bert", "bert", [str(row["review"]) for row in rows])
    shape = json.loads((base / "config.json").read_text())  # each process draws its own dropout
    without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (base / "config.json").write_text(json.dumps(shape | without))
    train = {"epochs": 6, "checkpoint_seconds": 0.2, "patience": 20, "dropout": 0.0, "precision": "fp32"}
    return place(folder, rows, output="sentiment", base=str(base), train=train)


def start(made: Place, runs: str, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [sys.executable, *before, "-m", "trimtab", "launch", str(made.spec), "--runs", str(made.folder / runs)]
    pipe = subprocess.PIPE
    return subprocess.Popen([*command, *arguments], stdout=pipe, stderr=pipe, text=True, start_new_session=True)


@pytest.fixture(scope="module")
def together(ready: Place) -> Path:
    """A launch of two processes that nobody disturbed."""
    out, said = (done := start(ready, "whole", "--processes", "2", "--json")).communicate(timeout=300)
    assert done.returncode == 0, said
    assert json.loads(out)["released"]  # told once
    return ready.folder / "whole" / "rows" / "bundle"


@pytest.mark.slow
def test_two_processes_release_what_one_does(ready: Place, together: Path) -> None:
    assert start(ready, "one", "-q").wait(300) == 0
    texts = [{"review": text} for text in TEXTS[:8]]
    one, two = (runtime.load(bundle).predict(texts).outputs for bundle in (ready.folder / "one/rows/bundle", together))
    np.testing.assert_allclose(two, one, atol=1e-5)
    detail = next(stage.detail for stage in store.read_manifest(together).stages if stage.name == "train")
    assert (detail["processes"], detail["exchange"], detail["weights"]) == (2, "gloo", "whole in each")
    assert "waiting share" in (together / "card.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_torchrun_does_the_same_and_two_launches_give_one_hash(ready: Place, together: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = start(ready, "torchrun", "-q", before=torchrun)
    _, said = done.communicate(timeout=300)
    assert done.returncode == 0, said
    assert store.read_manifest(ready.folder / "torchrun/rows/bundle").hash == store.read_manifest(together).hash


@pytest.mark.slow
def test_a_wrong_request_is_told_once(ready: Place) -> None:
    done = start(ready, "wrong", "--processes", "2", "--set", "output=sentimnet")
    _, said = done.communicate(timeout=300)
    assert done.returncode == 2
    assert said.count("did you mean 'sentiment'") == 1
    assert "Traceback" not in said


def processes_of(launcher: int) -> list[int]:
    """A launcher and the processes that it has started."""
    found = subprocess.run(["pgrep", "-P", str(launcher)], capture_output=True, text=True, check=False).stdout
    return [launcher, *map(int, found.split())]


@pytest.mark.slow
def test_ten_kills_of_any_process_change_nothing(ready: Place, together: Path) -> None:
    moments, killed, tries, told = random.Random(3), 0, 0, []
    while killed < KILLS:
        tries += 1
        assert tries < 4 * KILLS, "the launches end before they can be killed"
        run, until = start(ready, "killed", "-q", "--processes", "2"), time.monotonic() + moments.uniform(3, 20)
        while run.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        if run.poll() is not None:
            shutil.rmtree(ready.folder / "killed")  # begin again
            continue
        chosen = moments.choice(processes_of(run.pid))
        os.kill(chosen, signal.SIGKILL)
        killed += 1
        run.wait(60)
        told.append((chosen == run.pid, run.communicate(timeout=60)[1]))  # the pipes close when all have ended
    assert all("was killed by SIGKILL" in said for the_launcher, said in told if not the_launcher)
    assert start(ready, "killed", "-q", "--processes", "2").wait(300) == 0
    assert store.read_manifest(ready.folder / "killed/rows/bundle").hash == store.read_manifest(together).hash


@pytest.mark.slow
def test_a_launch_goes_on_with_another_number_of_processes(ready: Place, together: Path) -> None:
    run = start(ready, "other", "-q", "--processes", "2")
    while not (ready.folder / "other/rows/work/train/last").is_dir():
        assert run.poll() is None
        time.sleep(0.05)
    os.kill(processes_of(run.pid)[-1], signal.SIGKILL)
    run.communicate(timeout=60)
    assert main(["launch", str(ready.spec), "--runs", str(ready.folder / "other"), "-q"]) == 0
    texts = [{"review": text} for text in TEXTS[:8]]
    one, two = (runtime.load(path).predict(texts).outputs for path in (ready.folder / "other/rows/bundle", together))
    np.testing.assert_allclose(two, one, atol=1e-5)
