"""The log of answers: what is recorded is kept, by any number of processes, whatever happens to them."""

from __future__ import annotations

import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trimtab.errors import TrimtabError
from trimtab.watch.log import Entry, Label, Log, LogError, checked_label, new_id, open_log
from trimtab.watch.recorder import Recorder

A, B, KILLED = "a" * 64, "b" * 64, "f" * 64
# Records entries and says after each how many, until it is killed.
ENDLESS = """
import sys, time
from trimtab.watch.log import Entry, open_log
from trimtab.watch.recorder import Recorder
recorder = Recorder(open_log(sys.argv[1], create=True))
for number in range(10**9):
    recorder.record([Entry(sys.argv[2], answer={"number": number})])
    print(number, time.time(), flush=True)
    time.sleep(0.001)
"""
MANY = """
import sys
from trimtab.watch.log import Entry, open_log
from trimtab.watch.recorder import Recorder
recorder = Recorder(open_log(sys.argv[1], create=True))
for number in range(500):
    recorder.record([Entry(sys.argv[2], answer=number)])
assert recorder.close()
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "answers.db")


@pytest.fixture(scope="module")
def server(postgresql_server: str) -> str:
    return postgresql_server


def written(url: str, bundle: str | None = None) -> list[Entry]:
    with open_log(url) as log:
        return [kept.entry for kept in log.read(bundle)]


def whole() -> Entry:
    return Entry(A, 3.5, {"stars": "vier ★"}, 0.5, {"text.length": 4, "text.tokens": [0, 1]}, {"text": "gut\x00\ud800"})


def everything_that_a_log_does(url: str) -> None:
    """One promise of both kinds of log."""
    entries = [whole(), Entry(B, error="the row is too long\x00"), Entry(A, confidence=math.nan, answer=[math.inf])]
    with open_log(url, create=True) as log:
        log.append(entries, [Label(entries[0].id, "stars", "drei")])
        log.append(entries[:1], [Label(entries[0].id, "stars", "fünf"), Label(entries[0].id, "other", 1)])
        found = list(log.read(A, "stars"))
        assert [kept.entry.id for kept in found] == [entries[0].id, entries[2].id]
        assert found[0].entry == entries[0]
        assert [(kept.label, kept.labelled) for kept in found] == [("fünf", True), (None, False)]
        assert (found[1].entry.confidence, found[1].entry.answer) == (None, [None])
        assert [kept.entry.error for kept in log.read()] == [None, "the row is too long\\x00", None]
        assert [kept.place for kept in log.read(after=found[0].place)] == [found[0].place + 1, found[1].place]
        labels = [(kept.entry.id, kept.label) for _, kept in log.labelled(A, "stars")]
        assert labels == [(entries[0].id, "drei"), (entries[0].id, "fünf")]
        (last,) = log.labelled(A, "stars", next(place for place, _ in log.labelled(A, "stars")))
        assert last[1].label == "fünf"
        assert [(one.bundle, one.entries) for one in log.seen()] == [(A, 2), (B, 1)]


def test_a_file_keeps_entries_labels_and_their_order(url: str) -> None:
    everything_that_a_log_does(url)


def test_a_server_keeps_entries_labels_and_their_order(server: str) -> None:
    everything_that_a_log_does(server)


def test_processes_write_one_log_at_once_and_nothing_is_lost(url: str) -> None:
    running = [subprocess.Popen([sys.executable, "-c", MANY, url, name * 64]) for name in "abc"]
    assert [process.wait() for process in running] == [0, 0, 0]
    with open_log(url) as log:
        assert sorted((one.bundle[0], one.entries) for one in log.seen()) == [("a", 500), ("b", 500), ("c", 500)]
    assert [entry.answer for entry in written(url, A)] == list(range(500))


def killed(url: str) -> tuple[dict[int, float], list[int]]:
    """When a process that was killed had recorded each number, and the numbers in the log."""
    process = subprocess.Popen([sys.executable, "-c", ENDLESS, url, KILLED], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(300)]
    os.kill(process.pid, signal.SIGKILL)
    said += process.stdout.read().splitlines()
    process.wait()
    pairs = [line.split() for line in said if len(line.split()) == 2]
    numbers = [entry.answer["number"] for entry in written(url, KILLED)]
    return {int(number): float(moment) for number, moment in pairs}, numbers


def test_kill_9_loses_at_most_the_last_100_ms(url: str) -> None:
    recorded, kept = killed(url)
    last = max(recorded.values())
    lost = [number for number, moment in recorded.items() if moment < last - 0.1 and number not in kept]
    assert len(recorded) >= 299
    assert lost == []
    assert kept == list(range(len(kept)))


def test_kill_9_of_a_writer_to_a_server_loses_as_little(server: str) -> None:
    recorded, kept = killed(server)
    last = max(recorded.values())
    assert [number for number, moment in recorded.items() if moment < last - 0.1 and number not in kept] == []


class Failing(Log):
    """A log that cannot be written for a while: a full disk, which a test cannot fill."""

    where = "failing"

    def __init__(self, log: Log, failures: int) -> None:
        self.log, self.failures = log, failures

    @classmethod
    def opened(cls, url: str, create: bool) -> Failing:
        raise NotImplementedError

    def append(self, entries: object, labels: object = ()) -> None:
        if self.failures:
            self.failures -= 1
            raise LogError("database or disk is full")
        self.log.append(entries, labels)  # type: ignore[arg-type]

    def rows(self, statement: str, values: object = ()) -> list[object]:
        raise NotImplementedError

    def close(self) -> None:
        self.log.close()


def test_answers_wait_while_the_disk_is_full_and_are_written_after(url: str) -> None:
    recorder = Recorder(Failing(open_log(url, create=True), 3))
    recorder.record([Entry(A, answer=number) for number in range(10)])
    assert recorder.close()
    counts = recorder.counts()
    assert (counts.written, counts.failures, counts.lost, counts.error) == (10, 3, 0, "database or disk is full")
    assert [entry.answer for entry in written(url)] == list(range(10))


def test_what_has_no_room_is_lost_and_counted_and_nobody_waits(url: str) -> None:
    recorder = Recorder(Failing(open_log(url, create=True), 10**9), most_waiting=5)
    recorder.record([Entry(A, answer=number) for number in range(10)])
    counts = recorder.counts()
    assert (counts.waiting, counts.lost) == (5, 5)
    assert not recorder.close(0.1)
    assert recorder.counts().lost == 10


def test_a_log_that_another_process_locks_is_waited_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.watch.logs.sqlite._PATIENCE", 0.01)
    recorder = Recorder(open_log(url, create=True))
    other = sqlite3.connect(url, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    recorder.record([Entry(A, answer=1)])
    while not recorder.counts().failures:
        time.sleep(0.005)
    other.execute("COMMIT")
    assert recorder.close()
    assert "locked" in recorder.counts().error
    assert [entry.answer for entry in written(url)] == [1]


def test_an_entry_that_no_log_can_hold_keeps_no_other_out(url: str) -> None:
    recorder = Recorder(open_log(url, create=True))
    odd = Entry(A, milliseconds="soon")  # type: ignore[arg-type]
    recorder.record([Entry(A, answer=1), odd, Entry(A, answer=object()), Entry(A, answer={1: (2, 3)})])
    assert recorder.close()
    assert (recorder.counts().written, recorder.counts().lost) == (3, 1)
    first, second, third = (entry.answer for entry in written(url))
    assert (first, second[:7], third) == (1, "<object", {"1": [2, 3]})


def test_entries_that_are_made_later_are_written_and_their_faults_counted(url: str) -> None:
    recorder = Recorder(open_log(url, create=True))

    def broken() -> list[Entry]:
        raise ValueError("no sketch of this")

    recorder.record_later(broken, 3)
    recorder.record_later(lambda: [Entry(A, answer=1), Entry(A, answer=2)], 2)
    assert recorder.close()
    counts = recorder.counts()
    assert (counts.written, counts.lost, counts.waiting, counts.error) == (2, 3, 0, "no sketch of this")
    assert [entry.answer for entry in written(url)] == [1, 2]


def test_ids_grow_and_never_meet() -> None:
    made = [new_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert made[0] < made[-1]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("none.db", "no such log"),
        ("mysql://host/database", "no kind of log named 'mysql'"),
        ("postgresql://nobody@127.0.0.1:1/none", "is no log of answers that can be used"),
        ("postgresql://host/?what=1", "the URL cannot be read"),
    ],
)
def test_a_log_that_is_not_there_is_the_users_mistake(url: str, said: str) -> None:
    with pytest.raises(TrimtabError, match=said):
        open_log(url)


def test_a_file_of_something_else_is_no_log_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be taken for one" * 20)
    with pytest.raises(TrimtabError, match="is no log of answers"):
        open_log(str(path), create=True)
    assert path.read_text().startswith("not a database")


@pytest.mark.parametrize(
    ("id", "column", "value", "said"),
    [
        ("a\x00b", "stars", "five", "feedback: id"),
        (7, "stars", "five", "feedback: id"),
        ("18c1a2b3", "star", "five", "did you mean 'stars'"),
        ("18c1a2b3", "stars", None, "feedback: value"),
        ("18c1a2b3", "stars", math.nan, "feedback: value"),
    ],
)
def test_feedback_that_can_be_none_is_refused_by_its_part(id: object, column: str, value: object, said: str) -> None:
    with pytest.raises(TrimtabError, match=said):
        checked_label(id, column, value, ["stars"])


def test_a_log_is_plain_tables_that_other_programs_read(url: str) -> None:
    with open_log(f"sqlite:///{url}", create=True) as log:
        log.append([whole()])
    (answer,) = sqlite3.connect(url).execute("SELECT answer FROM trimtab_entries").fetchone()
    assert json.loads(answer) == {"stars": "vier ★"}
