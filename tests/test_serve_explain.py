"""What a server promises to those who ask why: the explanations of `trimtab explain`, never at the cost of answers."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import serving
import tiny_bundle
import tiny_pictures
from hypothesis import given, settings
from PIL import Image
from starlette.testclient import TestClient
from tests.test_serve import fuzz, message, resolved, row

from trimtab import explain, runtime
from trimtab.serve.aside import Aside
from trimtab.serve.refusals import Refused
from trimtab.serve.routes import explain as route

ROW = {"review": "A lovely little film, warm and funny.", "stars": "5", "shop": "north"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.build(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[TestClient]:
    with serving.client(bundle) as made:
        yield made


@pytest.mark.parametrize("method", route.METHODS)
def test_a_row_is_explained_as_on_the_command_line(client: TestClient, bundle: Path, method: str) -> None:
    model = runtime.load(bundle, threads=1)
    expected = explain.explain(explain.ask(model, ROW, explain.reference_of(model)), method, calls=64)
    found = client.post(f"/explain?method={method}&calls=64", json=ROW).json()
    assert found["units"] == expected.as_json()["units"]
    assert (found["explained"], found["score"], found["base"]) == (expected.name, expected.score, expected.base)
    assert found["answer"] == client.post("/predict", json=ROW).json()["answer"]


def test_another_answer_than_the_one_that_is_given_can_be_explained(client: TestClient) -> None:
    found = [client.post(f"/explain?class={name}", json={"rows": [ROW, ROW]}).json() for name in ("good", "bad")]
    assert [[one["explained"] for one in answer["explanations"]] for answer in found] == [["good"] * 2, ["bad"] * 2]


def test_a_patch_of_a_picture_that_is_sent_has_its_place(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(content, "PNG")
    with serving.client(tiny_pictures.build(tmp_path)) as client:
        found = client.post("/explain", files={"image": ("red.png", content.getvalue(), "image/png")}).json()
    assert found["explained"] == "red"
    assert (found["units"][0]["place"][:2], found["units"][-1]["place"][2:]) == ([0, 0], [1, 1])
    assert all(unit["contribution"] > 0 for unit in found["units"])


@pytest.mark.parametrize(
    ("address", "body", "status", "said"),
    [
        ("/explain?class=nice", ROW, 422, "'nice' is no answer of 'mood'"),
        ("/explain?method=gradients", ROW, 422, "method: found 'gradients'"),
        ("/explain?calls=100000", ROW, 422, "calls: found '100000'"),
        ("/explain?calls=½", ROW, 422, "calls"),
        ("/explain", [ROW] * 9, 413, "at most 8"),
        ("/explain", {"reviwe": "good"}, 422, "no column named 'review'"),
        ("/explain", {**ROW, "stars": [1]}, 422, "stars: [1] is not a number"),
    ],
)
def test_what_is_not_explained_is_told(client: TestClient, address: str, body: Any, status: int, said: str) -> None:
    response = client.post(address, json=body)
    assert (response.status_code, said in message(response)) == (status, True)


def test_every_explanation_fits_the_schema_that_is_published(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/explain"]["post"]
    schema = resolved(document, operation["responses"]["200"]["content"]["application/json"]["schema"])
    for example in operation["requestBody"]["content"]["application/json"]["examples"].values():
        jsonschema.validate(client.post("/explain?calls=16", json=example["value"]).json(), schema)


@settings(fuzz, max_examples=20)
@given(values=row)
def test_any_row_is_explained_where_it_is_answered(client: TestClient, values: dict[str, Any]) -> None:
    content = json.dumps(values)
    asked = [client.post(path, content=content) for path in ("/predict", "/explain?method=occlusion")]
    assert asked[0].status_code == asked[1].status_code
    assert asked[0].json().get("answer") == asked[1].json().get("answer")


# ------------------------------------------------------------------------------------------- aside of the answers


def test_answers_are_given_while_a_row_is_explained(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started, goes_on, ask = threading.Event(), threading.Event(), explain.ask

    def waits(*words: Any, **options: Any) -> Any:
        started.set()
        goes_on.wait(30)
        return ask(*words, **options)

    monkeypatch.setattr(explain, "ask", waits)
    with serving.client(bundle) as client, ThreadPoolExecutor(1) as pool:
        explained = pool.submit(client.post, "/explain", json=ROW)
        assert started.wait(30)
        assert client.post("/predict", json=ROW).status_code == 200
        goes_on.set()
        assert explained.result(30).status_code == 200


def test_what_comes_while_too_many_wait_is_refused_at_once() -> None:
    goes_on = threading.Event()

    async def crowd() -> list[Any]:
        aside = Aside("explain", 2)
        waiting = [asyncio.create_task(aside.run(lambda stop: goes_on.wait(30), 30)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="too many requests wait") as refused:
            await aside.run(lambda stop: True, 30)
        goes_on.set()
        found = await asyncio.gather(*waiting)
        return [refused.value.status, refused.value.headers, *found, await aside.run(lambda stop: True, 30)]

    assert asyncio.run(crowd()) == [429, {"Retry-After": "1"}, True, True, True, True]


def test_work_that_nobody_waits_for_is_told_to_end() -> None:
    told = threading.Event()

    def work(stop: threading.Event) -> None:
        stop.wait(30)
        told.set()

    with pytest.raises(Refused, match="not ready within"):
        asyncio.run(Aside("test", 0).run(work, 0.01))
    assert told.wait(30)


def test_an_explanation_ends_between_two_batches_where_nobody_waits(bundle: Path) -> None:
    with serving.client(bundle, timeout=1e-9) as client:
        assert client.post("/explain", json=ROW).status_code == 504
