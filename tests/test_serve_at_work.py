"""What a server keeps and compares while it works: its log, feedback, counters, another bundle beside."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import serving
import tiny_bundle
from starlette.testclient import TestClient

from trimtab.serve import drift, keys
from trimtab.watch.log import Kept, open_log

ROWS = [{name: row[name] for name in ("review", "stars", "shop")} for row in tiny_bundle.ROWS]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.build(tmp_path_factory.mktemp("served"))


def logged(bundle: Path, file: Path, ask: Any, **settings: Any) -> list[Kept]:
    """What stands in the log when a server that was asked something has ended."""
    with serving.client(bundle, log=str(file), **settings) as client:
        ask(client)
    with open_log(str(file)) as log:
        return list(log.read(column="mood"))


def test_every_answer_stands_in_the_log_without_its_input_and_feedback_finds_it_by_its_id(
    bundle: Path, tmp_path: Path
) -> None:
    told: list[dict[str, Any]] = []

    def ask(client: TestClient) -> None:
        told.extend(client.post("/predict", json=ROWS).json()["answers"])
        assert client.post("/feedback", json={"id": told[0]["id"], "value": "so"}).json() == {"recorded": 1}
        label = {"id": told[1]["id"], "column": "mood", "value": "bad"}
        assert client.post("/feedback", json=[label]).status_code == 200

    kept = logged(bundle, tmp_path / "answers.db", ask)
    assert [(one.entry.id, one.entry.answer) for one in kept] == [(one["id"], one["answer"]) for one in told]
    assert [one.entry.confidence for one in kept] == [one["answer"]["confidence"] for one in told]
    assert [one.label for one in kept[:3]] == ["so", "bad", None]
    assert {str(one.entry.input) for one in kept} == {"None"}
    assert all(one.entry.sketch and one.entry.milliseconds > 0 for one in kept)


def test_inputs_are_kept_only_where_they_are_asked_for_and_failures_without_quoting(
    bundle: Path, tmp_path: Path
) -> None:
    def ask(client: TestClient) -> None:
        client.post("/predict", json={**ROWS[0], "secret": "x"})
        client.post("/predict", json={"review": "a", "stars": ["secret"]})

    kept = logged(bundle, tmp_path / "answers.db", ask, log_inputs=True)
    assert [(one.entry.input, one.entry.error) for one in kept] == [(ROWS[0], None), (None, "status 422")]


def test_a_share_of_nothing_is_kept_where_none_is_asked_for(bundle: Path, tmp_path: Path) -> None:
    kept = logged(bundle, tmp_path / "answers.db", lambda client: client.post("/predict", json=ROWS), log_share=0.0)
    assert kept == []


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"id": "a"}, 422, "allowed"),
        ({"id": "a", "value": "good", "more": 1}, 422, "allowed"),
        ({"id": "a b", "value": "good"}, 422, "id"),
        ({"id": "a", "value": "grand"}, 422, "grand"),
        ({"id": "a", "column": "stars", "value": "good"}, 422, "mood"),
        ([1], 422, "feedback 0"),
        ([{"id": "a", "value": "good"}] * 1001, 413, "at most 1,000"),
    ],
)
def test_feedback_that_says_nothing_is_refused(bundle: Path, tmp_path: Path, body: Any, status: int, said: str) -> None:
    with serving.client(bundle, log=str(tmp_path / "answers.db")) as client:
        response = client.post("/feedback", json=body)
    assert (response.status_code, said in response.json()["error"]["message"]) == (status, True)


def test_without_a_log_feedback_is_told_so(bundle: Path) -> None:
    with serving.client(bundle) as client:
        assert client.post("/feedback", json={"id": "a", "value": "good"}).status_code == 409


def test_what_was_asked_and_answered_is_counted_for_prometheus(bundle: Path, tmp_path: Path) -> None:
    with serving.client(bundle, log=str(tmp_path / "answers.db")) as client:
        for _ in range(3):
            client.post("/predict", json=ROWS[0])
        client.post("/predict", json=[])
        client.post("/predict", json=[{"review": "a", "stars": "many", "shop": "north"}])
        client.get("/predict")
        lines = client.get("/metrics").text.splitlines()
    counted = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert counted['trimtab_requests_total{route="/predict",status="200"}'] == "5.0"
    assert counted['trimtab_request_seconds_count{route="/predict"}'] == "5.0"
    assert counted["trimtab_batch_rows_sum"] == "4.0"
    assert counted['trimtab_answers_total{answer="good"}'] >= "3.0"
    assert counted['trimtab_problems_total{column="stars",kind="unreadable"}'] == "1.0"
    assert counted["trimtab_waiting_rows"] == "0.0"
    assert 'trimtab_log_entries{state="lost"}' in counted


def test_who_looks_at_the_counters_finds_what_moved_in_the_log_when_he_looks_again(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "_PAUSE", 0.0)
    with serving.client(bundle, log=str(tmp_path / "answers.db")) as client:
        client.post("/predict", json={"review": "a", "stars": ["many"]})
        found = "trimtab_watched_errors 1.0"
        assert serving.until(lambda: found in client.get("/metrics").text.splitlines())


def test_another_bundle_is_asked_beside_and_what_both_say_is_compared(bundle: Path, tmp_path: Path) -> None:
    admin = {"authorization": f"Bearer {keys.made(tmp_path / 'admin.txt', 'me')}"}
    with serving.client(bundle, admin_keys=str(tmp_path / "admin.txt"), shadow=str(bundle)) as client:
        hashes = {client.post("/predict", json=ROWS).json()["bundle"] for _ in range(5)}
        report = serving.until(
            lambda: found if (found := client.get("/admin/comparison", headers=admin).json())["rows"] == 30 else None
        )
        assert client.get("/admin/comparison").status_code == 401
    assert (report["agreement"], report["different"], report["skipped_requests"]) == (1.0, [], 0)
    assert (report["current"]["heard"], report["other"]["heard"]) == (5, 0)
    assert report["current"]["answers"] == report["other"]["answers"]
    assert report["other"]["p95_ms"] > 0
    assert hashes == set(report["bundles"].values())


def test_a_canary_answers_its_share(bundle: Path, tmp_path: Path) -> None:
    admin = {"authorization": f"Bearer {keys.made(tmp_path / 'admin.txt', 'me')}"}
    files = {"admin_keys": str(tmp_path / "admin.txt"), "shadow": str(bundle)}
    with serving.client(bundle, canary=1.0, **files) as client:
        assert client.post("/predict", json=ROWS[0]).status_code == 200
        report = client.get("/admin/comparison", headers=admin).json()
    with serving.client(bundle, admin_keys=str(tmp_path / "admin.txt")) as client:
        assert client.get("/admin/comparison", headers=admin).status_code == 409
    assert (report["current"]["heard"], report["other"]["heard"]) == (0, 1)


def test_a_line_for_each_request_quotes_nothing_of_it(bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "trimtab.serve.access"), serving.client(bundle, access_log=1.0) as client:
        client.post("/predict", json={"review": "a secret"})
    assert '"route": "/predict", "status": 200' in caplog.text
    assert "secret" not in caplog.text


def test_pages_of_others_may_ask_only_where_they_are_named(bundle: Path) -> None:
    asks = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    with serving.client(bundle) as client:
        assert "access-control-allow-origin" not in client.options("/predict", headers=asks).headers
    with serving.client(bundle, origins=("https://shop.example",)) as client:
        allowed = client.options("/predict", headers=asks).headers
    assert allowed["access-control-allow-origin"] == "https://shop.example"


def test_bodies_that_fill_the_memory_are_refused_and_give_it_back(bundle: Path) -> None:
    with serving.client(bundle, held_megabytes=0.0005) as client:
        large = client.post("/predict", json={"review": "a" * 600})
        small = [client.post("/predict", json={"review": "a" * 300}).status_code for _ in range(5)]
    assert (large.status_code, large.headers["retry-after"]) == (429, "1")
    assert small == [200] * 5
