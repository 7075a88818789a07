"""The Open Inference Protocol: what clients of Triton and KServe send is answered as `predict` answers it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import serving
import tiny_bundle
from starlette.testclient import TestClient

from trimtab import runtime

# What tritonclient 2.73.0 made of two inputs with `set_data_from_numpy` and of one `InferRequestedOutput`.
HEAD = (
    b'{"inputs":[{"name":"review","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":26}},'
    b'{"name":"stars","shape":[2,1],"datatype":"FP32","parameters":{"binary_data_size":8}}],'
    b'"outputs":[{"name":"mood","parameters":{"binary_data":true}}]}'
)
TENSORS = b"\x0e\x00\x00\x00warm and funny\x04\x00\x00\x00dull\x00\x00\x80@\x00\x00\x80?"
ROWS = [{"review": "warm and funny", "stars": 4.0}, {"review": "dull", "stars": 1.0}]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.build(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[TestClient]:
    with serving.client(bundle) as made:
        yield made


def infer(client: TestClient, body: bytes, head: int | str | None = None) -> Any:
    headers = {} if head is None else {"Inference-Header-Content-Length": str(head)}
    return client.post("/v2/models/tiny/infer", content=body, headers=headers)


def tensor(name: str, values: list[Any], kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(values)], "datatype": kind, "data": values, **more}


def test_the_addresses_that_clients_look_at_first_say_that_the_model_is_there(client: TestClient) -> None:
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/tiny/ready", "/v2/models/tiny/versions/1/ready"):
        assert client.get(path).status_code == 200
    told = client.get("/v2/models/tiny").json()
    assert [(one["name"], one["datatype"]) for one in told["inputs"]] == [
        ("review", "BYTES"),
        ("stars", "FP64"),
        ("shop", "BYTES"),
    ]
    assert [(one["name"], one["datatype"]) for one in told["outputs"]] == [("mood", "BYTES"), ("confidence", "FP64")]


def test_binary_tensors_of_a_triton_client_are_answered_in_binary(client: TestClient, bundle: Path) -> None:
    response = infer(client, HEAD + TENSORS, len(HEAD))
    length = int(response.headers["inference-header-content-length"])
    said, data = json.loads(response.content[:length]), response.content[length:]
    expected = [answer.encode() for answer in runtime.load(bundle).predict(ROWS).answers["mood"]]
    assert said["outputs"] == [
        {"name": "mood", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(data)}}
    ]
    assert data == b"".join(len(answer).to_bytes(4, "little") + answer for answer in expected)


def test_tensors_in_json_are_answered_in_json_with_the_id_of_the_request(client: TestClient, bundle: Path) -> None:
    inputs = [tensor("review", ["warm and funny", "dull"], "BYTES"), tensor("stars", [[4.0], [1.0]], "FP32")]
    said = infer(client, json.dumps({"id": "seven", "inputs": inputs}).encode()).json()
    found = {one["name"]: one["data"] for one in said["outputs"]}
    assert (said["id"], said["model_name"]) == ("seven", "tiny")
    assert found == runtime.load(bundle).predict(ROWS).answers


def test_all_outputs_come_in_binary_where_the_request_says_so(client: TestClient) -> None:
    body = {"inputs": [tensor("review", ["dull"], "BYTES")], "parameters": {"binary_data_output": True}}
    response = infer(client, json.dumps(body).encode())
    data = response.content[int(response.headers["inference-header-content-length"]) :]
    assert 0 < np.frombuffer(data[-8:], "<f8")[0] <= 1


@pytest.mark.parametrize(
    ("body", "head", "status", "said"),
    [
        (b"{}", None, 422, "inputs"),
        (b"{", None, 400, "not JSON"),
        (HEAD, "many", 400, "found 'many'"),
        (HEAD, len(HEAD) + 1, 400, "at most the length"),
        (HEAD + TENSORS + b"more", len(HEAD), 400, "4 bytes behind"),
        (HEAD + TENSORS[:-1], len(HEAD), 422, "binary_data_size"),
        (HEAD + b"\xff" + TENSORS[1:], len(HEAD), 422, "longer than the bytes"),
        (json.dumps({"inputs": [tensor("review", ["a"], "STRING")]}).encode(), None, 422, "datatype"),
        (json.dumps({"inputs": [{**tensor("review", ["a"], "BYTES"), "shape": [1, 2]}]}).encode(), None, 422, "shape"),
        (json.dumps({"inputs": [{**tensor("review", ["a"], "BYTES"), "shape": [2]}]}).encode(), None, 422, "1 values"),
        (json.dumps({"inputs": [tensor("stars", [1.0], "FP32")]}).encode(), None, 422, "no column named 'review'"),
        (
            json.dumps({"inputs": [tensor("review", ["a"], "BYTES"), tensor("stars", [1, 2], "INT8")]}).encode(),
            None,
            422,
            "different lengths",
        ),
        (
            json.dumps({"inputs": [tensor("review", ["a"], "BYTES")], "outputs": [{"name": "moot"}]}).encode(),
            None,
            422,
            "mood",
        ),
        (
            json.dumps(
                {"inputs": [tensor("review", ["a"], "BYTES", parameters={"shared_memory_region": "/x"})]}
            ).encode(),
            None,
            422,
            "shared memory",
        ),
    ],
)
def test_what_is_no_request_is_told_as_the_protocol_has_it(
    client: TestClient, body: bytes, head: Any, status: int, said: str
) -> None:
    response = infer(client, body, head)
    assert (response.status_code, said in response.json()["error"]) == (status, True)


def test_another_model_is_not_there(client: TestClient) -> None:
    for path in ("/v2/models/other", "/v2/models/tiny/versions/9"):
        assert client.get(path).status_code == 404
