"""Work that is sent to a cluster: what it asks for, what comes back, and what happens when a part of it is lost."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from tests import cluster_calls

from trimtab.__main__ import main
from trimtab.clusters import Asked, fitting, opened, share, told, too_little
from trimtab.clusters import ray as on_ray
from trimtab.errors import TrimtabError
from trimtab.progress import Quiet

SMALL, GPUS = {"CPU": 2.0, "memory": 1e9}, {"CPU": 8.0, "GPU": 2.0}


class Noted(Quiet):
    """Keeps what was noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


# -------------------------------------------------------------------------------------------------- without a cluster


@pytest.mark.parametrize(
    ("asked", "machines", "idle", "given"),
    [
        (Asked(2), [SMALL], True, {"CPU": 1.0}),
        (Asked(2), [SMALL, SMALL], True, {"CPU": 2.0}),
        (Asked(3), [{"CPU": 4.0}, SMALL], True, {"CPU": 2.0}),
        (Asked(2), [SMALL, SMALL], False, {"CPU": 1.0}),
        (Asked(4), [SMALL], True, {"CPU": 1.0}),
        (Asked(2), [GPUS], True, {"CPU": 4.0, "GPU": 1.0}),
        (Asked(3), [GPUS], True, {"CPU": 2.0}),
        (Asked(4, gpus=0.5), [GPUS], True, {"CPU": 2.0, "GPU": 0.5}),
        (Asked(1, cpus=3, gpus=0), [GPUS], True, {"CPU": 3}),
        (Asked(1), [], True, {"CPU": 1.0}),
    ],
    ids=["halves", "wholes", "not-even", "busy", "too-many", "gpus", "few-gpus", "half-gpus", "as-asked", "none"],
)
def test_processes_share_an_idle_cluster_evenly(
    asked: Asked, machines: list[dict[str, float]], idle: bool, given: dict[str, float]
) -> None:
    assert share(asked, machines, idle) == given


def test_a_process_has_to_fit_on_one_machine() -> None:
    assert fitting({"CPU": 2.0}, [{"CPU": 3.0}, {"CPU": 3.0}]) == 2
    assert fitting({"CPU": 1.0, "GPU": 1.0}, [SMALL, GPUS]) == 2


def test_what_a_cluster_lacks_is_said_in_full() -> None:
    assert told({"CPU": 1.0, "GPU": 2.0, "memory": 1e9}) == "1 CPU, 2 GPUs"
    message = str(too_little(8, {"CPU": 1.0}, [SMALL, GPUS]))
    assert "8 processes need 1 CPU each; the cluster has 2 CPUs; 8 CPUs, 2 GPUs on 2 machines" in message


def test_each_process_has_the_variables_of_torchrun() -> None:
    places = [on_ray.Place("10.0.0.1", 4000), on_ray.Place("10.0.0.2", 5000)]
    first, second = on_ray.torchrun_variables(places)
    shared = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "4000", "WORLD_SIZE": "2"}
    assert first == {**shared, "RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    assert second == {**first, "RANK": "1"}


def test_of_ticks_in_a_row_the_last_is_told() -> None:
    relay = on_ray.Relay()
    relay.stage("train", "2 rows")
    for step in range(5):
        relay.tick(step, 5, {"loss": 1.0})
    relay.note("done")
    assert relay.taken() == [("stage", ("train", "2 rows")), ("tick", (4, 5, {"loss": 1.0})), ("note", ("done",))]
    assert relay.taken() == []


def spec_of(folder: Path) -> str:
    (folder / "trimtab.yaml").write_text("data: rows.csv\noutput: label\n")
    return str(folder / "trimtab.yaml")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--on", "spark"], ["no clusters named 'spark'", "allowed: ray"]),
        (["--cpus", "2"], ["--cpus: says what a cluster is asked for", "--on ray"]),
        (["--gpus", "1"], ["--gpus: says what a cluster is asked for", "--on ray"]),
    ],
    ids=["kind", "cpus", "gpus"],
)
def test_what_cannot_be_asked_for_is_told(
    options: list[str], said: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["launch", spec_of(tmp_path), *options]) == 2
    message = capsys.readouterr().err
    assert [part for part in said if part not in message] == []


def test_a_wrong_spec_is_told_before_a_cluster_is_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["launch", spec_of(tmp_path), "--set", "train.epoch=1", "--on", "ray"]) == 2
    assert "train.epoch" in capsys.readouterr().err
    assert not ray.is_initialized()


def test_without_ray_its_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "trimtab.clusters.ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["launch", spec_of(tmp_path), "--on", "ray"]) == 2
    assert "pip install 'trimtab[ray]'" in capsys.readouterr().err


def test_a_cluster_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(**_: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nPlease specify one.")

    monkeypatch.setattr(ray, "init", nobody)
    with (
        pytest.raises(TrimtabError, match=r"ray://auto: no cluster .*\(Could not find any running Ray instance\.\)"),
        opened("ray://auto", Asked(), Quiet()),
    ):
        pass


# ------------------------------------------------------------------------------------------ a cluster of two machines


@pytest.fixture(scope="module")
def machines() -> Iterator[Cluster]:
    """A cluster whose head has one CPU, and this process in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
        try:
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


@pytest.fixture
def second(machines: Cluster) -> object:
    """A second machine with one CPU; a test may remove it."""
    return next(iter(machines.worker_nodes), None) or machines.add_node(num_cpus=1)


def connected(progress: Noted, processes: int = 2, patience: float = 3.0) -> on_ray.RayCluster:
    return on_ray.RayCluster(Asked(processes, cpus=1), False, patience, progress)


@pytest.mark.slow
@pytest.mark.usefixtures("second")
def test_a_call_is_made_in_joined_processes_on_both_machines(tmp_path: Path) -> None:
    progress = Noted()
    found = connected(progress).together(partial(cluster_calls.place, tmp_path), tmp_path)
    assert (found["RANK"], found["WORLD_SIZE"]) == ("0", "2")
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["0", "1"]
    assert f"rank 0 works in {Path.cwd().name}" in progress.notes


@pytest.mark.slow
@pytest.mark.usefixtures("second")
def test_what_ends_a_call_there_ends_it_here(tmp_path: Path) -> None:
    with pytest.raises(TrimtabError, match="spec: says nothing") as refused:
        connected(Noted()).together(cluster_calls.refused, tmp_path)
    assert "Task" not in str(refused.value)
    with pytest.raises(PermissionError) as faulty:
        connected(Noted()).together(cluster_calls.faulty, tmp_path)
    assert (faulty.value.errno, faulty.value.filename) == (13, "some/file")


def lose(folder: Path, how: str, machines: Cluster, node: object) -> None:
    """Once both processes work: end one of them, or its machine; then let the call end."""
    while len(list(folder.glob("[01].*"))) < 2:
        time.sleep(0.1)
    if how == "process":
        (one,) = folder.glob("1.*")
        os.kill(int(one.suffix[1:]), signal.SIGKILL)
    else:
        machines.remove_node(node, allow_graceful=False)
    if how == "machine that comes back":
        machines.add_node(num_cpus=1)
    while len(list(folder.glob("[01].*"))) < (3 if how == "machine" else 4):
        time.sleep(0.1)
    (folder / "go").touch()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "left"), [("process", "2"), ("machine that comes back", "2"), ("machine", "1")], ids=["p", "back", "gone"]
)
def test_a_lost_process_is_replaced_where_there_is_room(
    how: str, left: str, machines: Cluster, second: object, tmp_path: Path
) -> None:
    progress = Noted()
    losing = threading.Thread(target=lose, args=(tmp_path, how, machines, second), daemon=True)
    losing.start()
    patience = 120.0 if left == "2" else 3.0
    cluster = connected(progress, patience=patience)
    assert cluster.together(partial(cluster_calls.until_told, tmp_path), tmp_path) == left
    losing.join()
    assert len([note for note in progress.notes if "a process was lost" in note]) == 1
    assert len([note for note in progress.notes if "1 of 2 processes go on" in note]) == 2 - int(left)


@pytest.mark.slow
def test_more_than_the_cluster_has_is_refused(machines: Cluster, tmp_path: Path) -> None:
    with pytest.raises(TrimtabError, match="9 processes need 1 CPU each; the cluster has 1 CPU"):
        connected(Noted(), processes=9, patience=0.5).together(cluster_calls.refused, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("machines")
def test_a_folder_that_a_machine_does_not_see_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getcwd", lambda: str(tmp_path / "elsewhere"))
    with pytest.raises(TrimtabError, match=r"elsewhere: the machine .* of the cluster does not see it"):
        connected(Noted(), processes=1).together(cluster_calls.refused, tmp_path)
