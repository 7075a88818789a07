"""Promises of a run beside others: it notices, says so, and takes fewer threads where waiting ones would spin."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import torch

from trimtab.train.busy import BusyWatch, Clocks


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Machine:
    """By its clocks a step takes as long, and gets as much of a processor, as the number of threads says."""

    def __init__(self, seconds: Callable[[int], float], share: Callable[[int], float]) -> None:
        self.seconds, self.share = seconds, share
        self.wall = self.processor = 0.0
        self.said: list[str] = []

    def steps(self, watch: BusyWatch, count: int) -> None:
        for _ in range(count):
            with watch.step(16):
                self.wall += self.seconds(watch.threads)
                self.processor += self.seconds(watch.threads) * self.share(watch.threads)

    def watch(self, threads: int, changes: bool) -> BusyWatch:
        return BusyWatch(threads, changes, self.said.append, Clocks(lambda: self.wall, lambda: self.processor))


def test_a_machine_of_its_own_is_left_alone() -> None:
    machine = Machine(lambda threads: 0.4 / threads, lambda threads: 0.9)
    watch = machine.watch(2, True)
    machine.steps(watch, 500)
    assert watch.threads == 2
    assert not machine.said


def test_spinning_threads_on_a_busy_machine_become_fewer_and_it_is_said() -> None:
    machine = Machine(lambda threads: {1: 0.6, 2: 5.0}[threads], lambda threads: {1: 0.67, 2: 0.5}[threads])
    watch = machine.watch(2, True)
    machine.steps(watch, 20)
    assert watch.threads == torch.get_num_threads() == 1
    assert machine.said == [
        "the machine is busy: steps get 50% of the time of a processor",
        "threads: 1 in place of 2 (27 rows/s in place of 3)",
    ]


def test_all_threads_come_back_when_the_others_have_gone() -> None:
    machine = Machine(lambda threads: {1: 0.6, 2: 5.0}[threads], lambda threads: {1: 0.67, 2: 0.5}[threads])
    watch = machine.watch(2, True)
    machine.steps(watch, 20)
    machine.seconds, machine.share = (lambda threads: 0.4 / threads), (lambda threads: 1.0)
    machine.steps(watch, 300)
    assert watch.threads == 2
    assert machine.said[-1] == "threads: 2 in place of 1 (80 rows/s in place of 40)"


def test_fewer_threads_that_are_no_quicker_are_given_back_and_not_tried_at_once_again() -> None:
    machine = Machine(lambda threads: 1.0, lambda threads: 0.5)
    watch = machine.watch(4, True)
    seen = []
    for _ in range(60):
        machine.steps(watch, 1)
        seen.append(watch.threads)
    assert seen.count(2) == 3  # one window
    assert watch.threads == 4


def test_threads_that_wait_asleep_stay_as_many_so_that_the_weights_are_the_same() -> None:
    machine = Machine(lambda threads: 1.0, lambda threads: 0.4)
    watch = machine.watch(2, False)
    machine.steps(watch, 60)
    assert watch.threads == 2
    assert len(machine.said) == 1


@pytest.mark.parametrize(
    ("before", "given", "asleep"),
    [
        ("", {}, True),
        ("import torch", {}, False),
        ("", {"OMP_WAIT_POLICY": "active"}, False),
        ("", {"OMP_WAIT_POLICY": "passive"}, True),
        ("", {"GOMP_SPINCOUNT": "300000"}, False),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="the OpenMP of GNU")
def test_threads_are_told_to_sleep_soon_where_it_is_not_too_late_and_nobody_chose(before, given, asleep) -> None:
    told = "import trimtab; from trimtab.train.busy import waits_asleep; print(waits_asleep())"
    environment = {key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    ended = subprocess.run(
        [sys.executable, "-c", f"{before}\n{told}"],
        env=environment | given,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == str(asleep)
