"""What a server promises to those who ask it: the answers of `predict`, and a message for everything else."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import serving
import tiny_bundle
import tiny_pictures
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

from trimtab import TrimtabError, columns, runtime
from trimtab.columns import InputPolicy
from trimtab.errors import visible

ROWS = [{name: row[name] for name in ("review", "stars", "shop")} for row in tiny_bundle.ROWS]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.build(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def model(bundle: Path) -> runtime.Model:
    return runtime.load(bundle, threads=1, policy=InputPolicy(files=False))


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[TestClient]:
    with serving.client(bundle) as made:
        yield made


def message(response: Any) -> str:
    assert set(response.json()) == {"error"}
    assert response.json()["error"]["status"] == response.status_code
    return str(response.json()["error"]["message"])


def test_a_row_is_answered_as_predict_answers_it(client: TestClient, model: runtime.Model) -> None:
    for row in ROWS:
        found = client.post("/predict", json=row).json()
        assert found["answer"] == model.predict([row])[0]
        assert found["bundle"] == model.serving.hash


@pytest.mark.parametrize("wrapped", [lambda rows: rows, lambda rows: {"rows": rows}])
def test_several_rows_are_answered_in_their_order(client: TestClient, model: runtime.Model, wrapped: Any) -> None:
    found = client.post("/predict", json=wrapped(ROWS)).json()
    assert [row["answer"] for row in found["answers"]] == model.predict(ROWS).rows()
    assert len({row["id"] for row in found["answers"]}) == len(ROWS)


def test_the_best_answers_come_when_they_are_asked_for(client: TestClient, model: runtime.Model) -> None:
    expected = model.predict(ROWS, top=2).rows()
    asked = client.post("/predict?top=2", json=ROWS[0]).json()
    listed = client.post("/predict", json={"rows": ROWS, "top": 2}).json()
    assert asked["answer"] == expected[0]
    assert [row["answer"] for row in listed["answers"]] == expected


def test_what_is_wrong_with_a_value_is_told_beside_its_answer(client: TestClient) -> None:
    rows = [ROWS[0], {**ROWS[1], "stars": "many"}, {**ROWS[2], "review": "word " * 500}]
    told = [row["problems"] for row in client.post("/predict", json=rows).json()["answers"]]
    assert [[(one["column"], one["kind"]) for one in row] for row in told] == [
        [],
        [("stars", "unreadable")],
        [("review", "cut")],
    ]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "body: not JSON"),
        (b"{", 400, "body: not JSON"),
        (b"\xff\xfe\xfa", 400, "body: not JSON"),
        (b"[" * 100_000, 400, "too deep"),
        (b'{"review": "good", "stars": ' + b"9" * 5000 + b"}", 400, "body: not JSON"),
        (b'"good"', 422, "body: found a text"),
        (b"[1]", 422, "row 0: found a number"),
        (b'{"rows": {"review": "good"}}', 422, "rows: found no list"),
        (b'{"rows": [{"review": "good"}], "tpo": 3}', 422, "'tpo': not known"),
        (b'{"rows": [{"review": "good"}], "top": 0}', 422, "top: found 0"),
        (b'{"reviwe": "good"}', 422, "no column named 'review'"),
        (b"{}", 422, "no column named"),
        (b'{"review": "good", "stars": [1]}', 422, "stars: [1] is not a number"),
        (b'{"review": "good", "shop": {"name": "north"}}', 422, "shop"),
        (b'{"review": ' + b"[" * 30 + b"]" * 30 + b"}", 422, "body: review: lists and objects"),
    ],
)
def test_a_request_that_cannot_be_answered_is_told_why(client: TestClient, body: bytes, status: int, said: str) -> None:
    response = client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert response.status_code == status
    assert said in message(response)


def test_a_body_of_another_kind_or_packed_is_refused(client: TestClient) -> None:
    texts = client.post("/predict", content=b"review=good", headers={"content-type": "text/plain"})
    packed = client.post("/predict", json=ROWS[0], headers={"content-encoding": "gzip"})
    assert (texts.status_code, packed.status_code) == (415, 415)
    assert "text/plain" in message(texts)


def test_a_request_that_is_too_large_is_refused(bundle: Path) -> None:
    with serving.client(bundle, megabytes=0.001, rows=5) as client:
        many = client.post("/predict", json=[{"review": "good"}] * 6)
        long = client.post("/predict", json={"review": "good" * 1000})
        parts = client.post("/predict", content=(b"x" * 400 for _ in range(4)))
    assert [one.status_code for one in (many, long, parts)] == [413, 413, 413]
    assert "at most 5" in message(many)


def test_other_addresses_and_methods_are_refused_in_json(client: TestClient) -> None:
    assert client.get("/predict").status_code == 405
    assert "no such method" in message(client.get("/predict"))
    assert "no such address" in message(client.get("/predict/more"))


def test_a_server_says_that_it_lives_and_which_bundle_is_ready(client: TestClient, model: runtime.Model) -> None:
    assert client.get("/healthz").status_code == 200
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["bundle"]) == (200, model.serving.hash)


# ------------------------------------------------------------------------------------------------------ OpenAPI


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "components": document["components"]}


def test_every_example_and_every_answer_fits_the_schema_that_is_published(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    predict = document["paths"]["/predict"]["post"]
    request = predict["requestBody"]["content"]["application/json"]
    response = predict["responses"]["200"]["content"]["application/json"]["schema"]
    examples = [example["value"] for example in request["examples"].values()]
    assert len(examples) == 4
    for example in examples:
        jsonschema.validate(example, resolved(document, request["schema"]))
        found = client.post("/predict?top=2", json=example)
        jsonschema.validate(found.json(), resolved(document, response))


def test_a_value_fits_the_schema_of_its_column_where_predict_takes_it(model: runtime.Model) -> None:
    values = ["a", "", "5", 5, 5.5, True, None, [1], ["a", "b"], {"a": 1}, 10**30]
    for column in model.inputs:
        valid = jsonschema.Draft202012Validator(column.value_schema())
        for value in values:
            impossible = any(one.never for one in column.read([value]).problems)
            assert valid.is_valid(value) == (not impossible), (column.name, value)


def test_every_type_of_answer_has_a_schema_of_the_names_that_it_gives() -> None:
    cells = {
        "label": ["a", "b", "a", "b"],
        "labels": [["a"], ["a", "b"], ["b"], ["a"]],
        "number": [1.0, 2.0, 3.0, 4.0],
        "numbers": [[1, 2], [3, 4], [5, 6], [7, 8]],
        "ordinal": [1, 2, 3, 1],
        "ranking": ["a", "b", "a", "b"],
        "tags": [["O", "B-a"], ["B-a", "I-a"], ["O"], ["O"]],
        "picture": [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in range(4)],
        "continued_text": ["a red dog", "a dog", "a red cat", "no cat"],
        "written_text": ["a red dog", "a dog", "a red cat", "no cat"],
        "nearest": ["a red dog", "a dog", "a red cat", "no cat"],
    }
    options = {"nearest": {"of": "text"}}
    assert set(cells) == set(columns.types_of(columns.OutputColumn))
    for type_name, values in cells.items():
        column = columns.fit(type_name, "answer", "answer", values, options.get(type_name, {}))
        assert list(column.answer_schema()) == list(column.decode(columns.no_outputs(column.tensors), 2)), type_name


# ----------------------------------------------------------------------------------------------- pictures, files


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pictures.build(tmp_path_factory.mktemp("pictures"))


def png(colour: str, side: int = 8) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(content, "PNG")
    return content.getvalue()


def test_a_picture_is_sent_in_base64_as_a_uri_or_in_a_form(pictures: Path) -> None:
    coded = base64.b64encode(png("red")).decode()
    with serving.client(pictures) as client:
        asked = [
            client.post("/predict", json={"image": coded}),
            client.post("/predict", json={"image": f"data:image/png;base64,{coded}"}),
            client.post("/predict", files={"image": ("red.png", png("red"), "image/png")}),
        ]
        document = client.get("/openapi.json").json()
    assert [one.json()["answer"]["label"] for one in asked] == ["red"] * 3
    assert "multipart/form-data" in document["paths"]["/predict"]["post"]["requestBody"]["content"]


def test_a_request_never_opens_a_file_or_fetches_an_address(pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    path.write_bytes(png("red"))
    wanted = [str(path), path.as_uri(), "../red.png", "https://example.org/red.png", {"path": str(path)}]
    with serving.client(pictures) as client:
        refused = [client.post("/predict", json={"image": value}) for value in wanted]
        there = client.post("/predict", json={"image": str(tmp_path / "none.png")})
    assert [one.status_code for one in refused] == [422] * len(wanted)
    assert message(there) == message(refused[0])  # whether there is such a file is not told


def test_a_picture_with_more_pixels_than_allowed_is_not_decoded(pictures: Path) -> None:
    with serving.client(pictures, megapixels=0.01) as client:
        found = client.post("/predict", files={"image": ("large.png", png("red", 200), "image/png")}).json()
    assert "more than 0.01" in found["problems"][0]["reason"]


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"", "multipart/form-data", 400, "boundary"),
        (b"--x\r\nno form", "multipart/form-data; boundary=x", 400, "body: not a form"),
        (b"", "multipart/form-data; boundary=x", 422, "no column named 'image'"),
    ],
)
def test_a_form_that_is_none_is_told(pictures: Path, body: bytes, kind: str, status: int, said: str) -> None:
    with serving.client(pictures) as client:
        response = client.post("/predict", content=body, headers={"content-type": kind})
    assert (response.status_code, said in message(response)) == (status, True)


# ------------------------------------------------------------------------------------------------------- fuzzing

strange = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.text(st.characters(), max_size=40),
    st.sampled_from(["", "\0", "NaN", "NA", "-", "1,5", "1.500,0", "$3", "\U0001f600" * 9, "\ud800", "a" * 100_000]),
)
nested = st.recursive(strange, lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=5), one))
row = st.dictionaries(st.sampled_from(["review", "stars", "shop", "more"]), nested | strange)
fuzz = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fuzz
@given(rows=st.lists(row, max_size=4))
def test_any_rows_are_answered_as_predict_does_or_refused(
    client: TestClient, model: runtime.Model, rows: list[dict[str, Any]]
) -> None:
    response = client.post("/predict", content=json.dumps(rows), headers={"content-type": "application/json"})
    assert found_of(response) == expected_of(model, json.loads(json.dumps(rows)))


def found_of(response: Any) -> tuple[int, Any]:
    if response.status_code != 200:
        return response.status_code, message(response)
    return 200, [one["answer"] for one in response.json()["answers"]]


def expected_of(model: runtime.Model, rows: list[dict[str, Any]]) -> tuple[int, Any]:
    try:
        return 200, model.predict(rows).rows()
    except TrimtabError as error:
        return 422, visible(str(error))


@fuzz
@given(body=st.binary(max_size=60) | nested.map(lambda value: json.dumps(value).encode()))
def test_no_body_makes_the_server_fail(client: TestClient, body: bytes) -> None:
    for kind in ("application/json", "multipart/form-data; boundary=x"):
        response = client.post("/predict", content=body, headers={"content-type": kind})
        assert response.status_code in (200, 400, 422)
