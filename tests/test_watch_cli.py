"""`trimtab watch`: tables, pages and exit codes, for people, cron and CI."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import build

from trimtab import runtime
from trimtab.__main__ import main
from trimtab.watch import answering
from trimtab.watch.log import Entry, open_log
from trimtab.watch.sketch import Sketcher

WORDS = ("warm", "soup", "cold", "staff", "funny", "film", "dull", "lovely", "little", "good", "bad", "it", "is")


def rows(path: Path, seed: int, count: int, stars: float = 3.0) -> Path:
    random = np.random.default_rng(seed)
    with path.open("w", newline="", encoding="utf-8") as stream:
        sink = csv.writer(stream)
        sink.writerow(["review", "stars", "shop", "mood"])
        for _ in range(count):
            text = " ".join(random.choice(WORDS, random.integers(1, 9)))
            shop, mood = random.choice(["north", "south"]), random.choice(["good", "bad", "so"])
            sink.writerow([text, f"{random.normal(stars, 1):.2f}", shop, mood])
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("watched"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("rows")
    made = {"before": rows(folder / "before.csv", 1, 400), "same": rows(folder / "same.csv", 2, 400)}
    return {name: str(path) for name, path in {**made, "moved": rows(folder / "moved.csv", 3, 400, 4.5)}.items()}


@pytest.fixture
def hook() -> Iterator[tuple[str, list[object]]]:
    """The URL of a server, and what was posted to it."""
    got: list[object] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/alarm", got
    server.shutdown()
    server.server_close()


def test_rows_that_no_server_saw_are_watched_and_nothing_moved(
    bundle: Path, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["watch", str(bundle), "--data", files["same"], "--baseline", files["before"], "--labels", "mood"]
    assert main([*asked, "--gate", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["alarms"] == []
    assert said["answers"] == 400
    assert said["accuracy"]["measured"]["rows"] == 400
    assert {"review", "stars", "shop", "mood"} <= {one["column"] for one in said["movements"]}


def test_an_alarm_is_told_sent_shown_on_a_page_and_ends_with_1_where_asked(
    bundle: Path,
    files: dict[str, str],
    tmp_path: Path,
    hook: tuple[str, list[object]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, got = hook
    asked = ["watch", str(bundle), "--data", files["moved"], "--baseline", files["before"]]
    assert main(asked) == 0
    assert "alarm: tiny, 400 answers" in capsys.readouterr().out
    assert main([*asked, "--gate", "--webhook", url, "--html", str(tmp_path / "watch.html")]) == 1
    assert "  stars: value: above " in capsys.readouterr().out
    (sent,) = got
    assert isinstance(sent, dict)
    assert sent["alarms"][0].startswith("stars: value")
    page = (tmp_path / "watch.html").read_text(encoding="utf-8")
    assert "✗</span> Alarm" in page
    assert "above " in page
    assert "<script" not in page


def test_a_log_is_followed_by_bundle_and_time(
    bundle: Path, files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, model = str(tmp_path / "answers.db"), runtime.load(bundle)
    portion = list(answering.row_files.read(files["moved"], print, None, print))
    found = answering.entries(model, Sketcher.of(model), portion, tmp_path)
    with open_log(url, create=True) as log:
        log.append(
            [
                Entry("f" * 64, time=1e9),
                *(Entry(model.serving.hash, 1.0, one.answer, one.confidence, one.sketch) for one in found),
            ]
        )
    asked = ["watch", str(bundle), "--log", url, "--json"]
    assert main([*asked, "--since", "1h"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["answers"], said["bundle"]) == (400, model.serving.hash)
    assert "first 500 answers, of which there are not that many yet" in said["untold"][0]
    assert main([*asked, "--since", "2099-01-01"]) == 0
    assert json.loads(capsys.readouterr().out)["answers"] == 0
    page = tmp_path / "log.html"
    assert main([*asked, "--baseline", files["before"], "--html", str(page), "--gate"]) == 1
    assert "Mean confidence of the answers" in page.read_text(encoding="utf-8")


def test_a_log_without_answers_of_this_bundle_says_whose_it_has(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, other = str(tmp_path / "empty.db"), str(tmp_path / "other.db")
    open_log(empty, create=True).close()
    with open_log(other, create=True) as log:
        log.append([Entry("f" * 64)] * 1)
    assert main(["watch", str(bundle), "--log", empty, "--gate"]) == 0
    assert "no answers yet: tiny, 0 answers" in capsys.readouterr().out
    assert main(["watch", str(bundle), "--log", other]) == 2
    assert "but 1 of ffffffffffff" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--log", "none.db"], "no such log"),
        (["--data", "none.csv"], "no such file"),
        (["--data", "x.csv", "--log", "y.db"], "name one of them"),
        (["--labels", "mood"], "no file of rows is named"),
        (["--webhook", "file:///etc/passwd"], "begins with http:// or https://"),
        (["--since", "yesterday"], "cannot read 'yesterday'"),
    ],
)
def test_a_request_that_is_wrong_ends_with_2(
    bundle: Path, asked: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", str(bundle), *asked]) == 2
    assert said in capsys.readouterr().err


def test_labels_and_baselines_that_are_not_there_are_named(
    bundle: Path, files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", str(bundle), "--data", files["same"], "--labels", "truth"]) == 2
    assert "no column 'truth' with the right answers" in capsys.readouterr().err
    few = rows(tmp_path / "few.csv", 4, 3)
    assert main(["watch", str(bundle), "--data", files["same"], "--baseline", str(few)]) == 2
    assert "holds 3 rows" in capsys.readouterr().err


def test_a_webhook_that_is_away_hides_no_alarm(
    bundle: Path, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["watch", str(bundle), "--data", files["moved"], "--baseline", files["before"], "--gate"]
    assert main([*asked, "--webhook", "http://127.0.0.1:1/"]) == 1
    assert "the alarm could not be sent" in capsys.readouterr().err
