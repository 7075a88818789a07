"""Texts over HTTP: OpenAI's own client asks, many at once, and everyone gets what `predict` answers."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import openai
import pytest
import serving
import tiny_bundle
import tiny_texts
from starlette.testclient import TestClient

from trimtab import runtime
from trimtab.runtime import Graph
from trimtab.serve import completions, keys
from trimtab.serve.refusals import Refused
from trimtab.serve.writing import Writing
from trimtab.watch.log import open_log

PROMPTS = ["c d e", "f", "c d e f g h i j", "k l", "m n o p q", "a b c d e f"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_texts.build(tmp_path_factory.mktemp("writes"))


@pytest.fixture(scope="module")
def model(bundle: Path) -> runtime.Model:
    return runtime.load(bundle, 1)


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[TestClient]:
    with serving.client(bundle) as made:
        yield made


@pytest.fixture(scope="module")
def ai(client: TestClient) -> openai.OpenAI:
    return asking("http://testserver", http_client=client)


def asking(address: str, **more: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, **more)


def answers(model: runtime.Model, prompts: list[str] = PROMPTS, **options: Any) -> list[str]:
    found = model.writing(**options).predict([{"source": prompt} for prompt in prompts])
    return [str(text) for text in found.answers["answer"]]


def tokens(model: runtime.Model, prompt: str, **options: Any) -> list[int]:
    outputs: Any = model.writing(**options).predict([{"source": prompt}]).outputs
    return [int(one) for one in outputs[0]["ids"].reshape(-1)]


# --------------------------------------------------------------------------------------------- what is asked, answered


def test_a_prompt_is_answered_as_predict_answers_it(ai: openai.OpenAI, model: runtime.Model) -> None:
    found = ai.completions.create(model="tiny", prompt=PROMPTS)
    assert [choice.text for choice in found.choices] == answers(model)
    assert [choice.index for choice in found.choices] == list(range(len(PROMPTS)))
    ids = [tokens(model, prompt) for prompt in PROMPTS]
    assert [choice.finish_reason for choice in found.choices] == [
        "stop" if one[-1] == tiny_texts.EOS else "length" for one in ids
    ]
    assert {choice.finish_reason for choice in found.choices} == {"stop", "length"}
    assert found.usage is not None
    assert found.usage.completion_tokens == sum(map(len, ids))
    assert found.usage.prompt_tokens == sum(len(prompt.split()) for prompt in PROMPTS)
    assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens
    assert (found.model, found.object) == ("tiny", "text_completion")


def test_a_message_is_answered_by_one(ai: openai.OpenAI, model: runtime.Model) -> None:
    for prompt, expected in zip(PROMPTS, answers(model), strict=True):
        found = ai.chat.completions.create(model="tiny", messages=[{"role": "user", "content": prompt}])
        assert [choice.message.content for choice in found.choices] == [expected]
        assert found.choices[0].message.role == "assistant"
    parts: Any = [{"type": "text", "text": "c d"}, {"type": "text", "text": " e"}]
    found = ai.chat.completions.create(model="tiny", messages=[{"role": "user", "content": parts}])
    assert found.choices[0].message.content == answers(model)[0]


def test_a_prompt_without_an_encoder_is_counted_token_by_token(tmp_path: Path) -> None:
    with serving.client(tiny_texts.build(tmp_path, memory=False)) as client:
        found = asking("http://testserver", http_client=client).completions.create(model="tiny", prompt="c d e")
    assert found.usage is not None
    assert found.usage.prompt_tokens == 2 + 3 + 1  # what stands before the text, the text, what stands behind it
    assert found.choices[0].text == answers(runtime.load(tmp_path / "bundle", 1), ["c d e"])[0]


def test_answers_are_written_as_the_request_says(ai: openai.OpenAI, model: runtime.Model) -> None:
    text = answers(model)[0]
    short = ai.completions.create(model="tiny", prompt=PROMPTS[0], max_tokens=3)
    assert (short.choices[0].text, short.choices[0].finish_reason) == (text[:3], "length")
    stop = text[4:6]
    stopped = ai.completions.create(model="tiny", prompt=PROMPTS[0], stop=[stop, "@"])
    assert (stopped.choices[0].text, stopped.choices[0].finish_reason) == (text[: text.index(stop)], "stop")
    more: dict[str, Any] = {"temperature": 1.3, "top_p": 0.9}
    drawn = ai.completions.create(model="tiny", prompt=PROMPTS, n=3, seed=11, **more)
    expected = [answers(model, **more, seed=11 + one) for one in range(3)]
    assert [choice.text for choice in drawn.choices] == [one[row] for row in range(len(PROMPTS)) for one in expected]
    beams = ai.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": PROMPTS[2]}], extra_body={"beams": 3, "no_repeat": 2}
    )
    assert beams.choices[0].message.content == answers(model, beams=3, no_repeat=2)[2]
    by_name = ai.completions.create(model="tiny", prompt="x", extra_body={"row": {"source": "y"}})
    assert by_name.choices[0].text == answers(model, ["x"])[0]


def test_the_probability_of_each_token_is_told(ai: openai.OpenAI, model: runtime.Model) -> None:
    outputs: Any = model.predict([{"source": PROMPTS[1]}]).outputs
    expected = outputs[0]["scores"].reshape(-1)
    found = ai.completions.create(model="tiny", prompt=PROMPTS[1], logprobs=0).choices[0]
    assert found.logprobs is not None
    assert np.abs(np.array(found.logprobs.token_logprobs) - expected).max() < 1e-5
    assert "".join(found.logprobs.tokens or ()) == found.text
    chat = ai.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": PROMPTS[1]}], logprobs=True
    ).choices[0]
    assert chat.logprobs is not None
    assert chat.logprobs.content is not None
    assert [one.logprob for one in chat.logprobs.content] == found.logprobs.token_logprobs


def test_predict_and_completions_give_the_same(client: TestClient, model: runtime.Model) -> None:
    found = client.post("/predict", json=[{"source": prompt} for prompt in PROMPTS]).json()["answers"]
    assert [one["answer"]["answer"] for one in found] == answers(model)
    assert [one["answer"] for one in found] == model.predict([{"source": prompt} for prompt in PROMPTS]).rows()


def test_clients_find_the_model_by_its_name(ai: openai.OpenAI, client: TestClient) -> None:
    assert [one.id for one in ai.models.list()] == ["tiny"]
    assert ai.models.retrieve("tiny").owned_by == "trimtab"
    with pytest.raises(openai.NotFoundError, match="no model of that name; there is 'tiny'"):
        ai.models.retrieve("large")
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/completions", "/v1/chat/completions", "/v1/models"} <= set(paths)


# -------------------------------------------------------------------------------------------------- piece by piece


def test_pieces_put_together_are_the_answer(bundle: Path, model: runtime.Model) -> None:
    with serving.listening(bundle) as (address, _):
        ai = asking(address)
        for prompt, expected in zip(PROMPTS, answers(model), strict=True):
            parts = list(ai.completions.create(model="tiny", prompt=prompt, stream=True))
            assert "".join(choice.text for part in parts for choice in part.choices) == expected
            assert len(parts) >= len(expected)
            assert [choice.finish_reason for choice in parts[-1].choices] != [None]
        events = list(
            ai.chat.completions.create(
                model="tiny", messages=[{"role": "user", "content": PROMPTS[0]}], stream=True, n=2, temperature=1.0,
                seed=4, stream_options={"include_usage": True},
            )
        )  # fmt: skip
    told = ["", ""]
    for event in events:
        for choice in event.choices:
            told[choice.index] += choice.delta.content or ""
    assert told == [answers(model, [PROMPTS[0]], temperature=1.0, seed=seed)[0] for seed in (4, 5)]
    assert [event.choices[0].delta.role for event in events[:2]] == ["assistant", "assistant"]
    assert events[-1].choices == []
    usage = events[-1].usage
    assert usage is not None
    assert usage.completion_tokens == sum(len(tokens(model, PROMPTS[0], temperature=1.0, seed=seed)) for seed in (4, 5))
    assert len({event.id for event in events}) == 1


def test_the_model_streams_as_the_server_does(model: runtime.Model) -> None:
    counts = []
    for prompt, expected in zip(PROMPTS, answers(model), strict=True):
        pieces = list(model.stream({"source": prompt}))
        assert "".join(pieces) == expected
        counts.append(len(pieces))
    assert counts == [len(text) for text in answers(model)]
    text = answers(model)[0]
    assert "".join(model.stream({"source": PROMPTS[0]}, stop=(text[2:4],))) == text[: text.index(text[2:4])]
    assert list(model.stream({"source": PROMPTS[0]}, beams=3)) == answers(model, [PROMPTS[0]], beams=3)


# ----------------------------------------------------------------------------------------------------- many at once


def test_many_clients_at_once_get_each_their_own_answer(
    bundle: Path, model: runtime.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = random.Random(1)
    prompts = [" ".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=1 + one % 9)) for one in range(120)]
    ways: list[dict[str, Any]] = [
        {}, {"temperature": 1.2, "seed": 3}, {"max_tokens": 5}, {"extra_body": {"beams": 3}}, {"stop": "w"},
    ]  # fmt: skip
    ours: list[dict[str, Any]] = [
        {}, {"temperature": 1.2, "seed": 3}, {"longest": 5}, {"beams": 3}, {"stop": ("w",)},
    ]  # fmt: skip
    by_way = [answers(model, prompts, **way) for way in ours]
    expected = [by_way[one % len(ways)][one] for one in range(len(prompts))]
    shapes: list[tuple[int, ...]] = []
    run = Graph.run

    def counted(self: Graph, tensors: Any) -> Any:
        if "ids" in tensors:
            shapes.append(tensors["ids"].shape)
        return run(self, tensors)

    monkeypatch.setattr(Graph, "run", counted)
    with serving.listening(bundle) as (address, server), ThreadPoolExecutor(24) as pool:
        ai = asking(address)

        def ask(one: int) -> str:
            way = ways[one % len(ways)]
            if one % 2:
                events = ai.completions.create(model="tiny", prompt=prompts[one], stream=True, **way)
                return "".join(choice.text for event in events for choice in event.choices)
            return ai.completions.create(model="tiny", prompt=prompts[one], **way).choices[0].text

        found = list(pool.map(ask, range(len(prompts))))
        serving.until(lambda: server.writing.written == 0)
    assert found == expected
    assert max(rows for rows, _ in shapes) > 4  # rows of several clients at once
    assert len(set(found)) > 60


def slow_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a step takes long."""
    run = Graph.run

    def slowly(self: Graph, tensors: Any) -> Any:
        time.sleep(0.05 if "ids" in tensors else 0.0)
        return run(self, tensors)

    monkeypatch.setattr(Graph, "run", slowly)


def test_who_goes_away_frees_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = tiny_texts.build(tmp_path, ends=-99.0, longest=60)
    with serving.listening(endless) as (address, server):
        slow_down(monkeypatch)
        before = server.metrics.written_tokens._value.get()
        stream = asking(address).completions.create(model="tiny", prompt="a b", stream=True)
        assert len(list(itertools.islice(stream, 3))) == 3
        assert server.writing.written == 1
        stream.close()
        serving.until(lambda: server.writing.written == 0)
        with pytest.raises(openai.APITimeoutError):
            asking(address, timeout=0.3).completions.create(model="tiny", prompt="a b")
        serving.until(lambda: server.writing.written == 0)
        assert 3 <= server.metrics.written_tokens._value.get() - before < 60


def test_a_request_that_there_is_no_room_for_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.serve.writing._PLACES", 1)
    with serving.listening(tiny_texts.build(tmp_path, ends=-99.0, longest=60), queue=1, timeout=0.5) as (
        address,
        server,
    ):
        ai = asking(address)
        slow_down(monkeypatch)
        with ai.completions.create(model="tiny", prompt="a b", stream=True) as first:
            next(iter(first))
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(ai.completions.create, model="tiny", prompt="c")
                serving.until(lambda: server.writing.waiting == 1)
                with pytest.raises(openai.RateLimitError, match="1 rows wait already"):
                    ai.completions.create(model="tiny", prompt="d")
                with pytest.raises(openai.InternalServerError, match="nothing was written within the time") as late:
                    waiting.result()
        assert late.value.status_code == 504
        serving.until(lambda: server.writing.written + server.writing.waiting == 0)


def test_a_reload_cuts_no_answer_that_is_being_written(
    bundle: Path, model: runtime.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tiny_texts.build(tmp_path / "other", seed=8)
    admin = keys.made(tmp_path / "admin.txt", "me")
    with serving.listening(bundle, admin_keys=str(tmp_path / "admin.txt")) as (address, server):
        ai = asking(address)
        slow_down(monkeypatch)
        with ai.completions.create(model="tiny", prompt=PROMPTS[0], stream=True) as stream:
            text = next(iter(stream)).choices[0].text
            client = openai.OpenAI(base_url=address, api_key=admin, max_retries=0)
            client.post("/admin/reload", cast_to=object, body={"bundle": str(other)})
            assert server.served.model.folder == other
            monkeypatch.undo()
            after = ai.completions.create(model="tiny", prompt=PROMPTS[0]).choices[0].text
            text += "".join(choice.text for event in stream for choice in event.choices)
    assert text == answers(model)[0]
    assert after == answers(runtime.load(other, 1))[0]
    assert after != text


def test_a_fault_of_the_writer_itself_leaves_nobody_waiting(
    bundle: Path, model: runtime.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(self: Writing, number: int) -> None:
        raise ZeroDivisionError

    with serving.client(bundle) as client:
        ai = asking("http://testserver", http_client=client)
        with monkeypatch.context() as patched:
            patched.setattr(Writing, "_step", faulty)
            with pytest.raises(openai.InternalServerError, match="a fault of the server"):
                ai.completions.create(model="tiny", prompt=PROMPTS)
        assert ai.completions.create(model="tiny", prompt=PROMPTS).choices[0].text == answers(model)[0]


def test_a_fault_is_told_and_others_are_answered_after_it(
    bundle: Path, model: runtime.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, faults = Graph.run, iter([1, 2, 3])

    def faulty(self: Graph, tensors: Any) -> Any:
        if "ids" in tensors and next(faults, 0) == 3:
            raise RuntimeError("out of memory")
        return run(self, tensors)

    with serving.client(bundle) as client:
        ai = asking("http://testserver", http_client=client)
        monkeypatch.setattr(Graph, "run", faulty)
        with pytest.raises(openai.InternalServerError, match="a fault of the server") as fault:
            ai.completions.create(model="tiny", prompt=PROMPTS[0])
        assert fault.value.body == {
            "message": "a fault of the server", "type": "server_error", "param": None, "code": None,
        }  # fmt: skip
        assert ai.completions.create(model="tiny", prompt=PROMPTS).choices[0].text == answers(model)[0]


# -------------------------------------------------------------------------------------------------- conversations


TURNS = [
    {"role": "user", "content": "c d"},
    {"role": "assistant", "content": "ef"},
    {"role": "user", "content": [{"type": "text", "text": "g"}]},
]


def test_what_was_said_before_is_read_in_the_words_of_the_prompt(tmp_path: Path) -> None:
    prompt = {"opening": [1], "pieces": [[7], "source", [9]], "between": [10, 11]}
    bundle = tiny_texts.build(tmp_path, memory=False, prompt=prompt)
    model = runtime.load(bundle, 1)
    rows, _ = model.read([{"source": "c d"}, {"source": "g"}])
    ids = [np.asarray(rows.encoded[0][row]).tolist() for row in range(2)]
    said = model.conversed(rows, ["ef"])
    program: Any = model.program
    (read,) = program._prompts(said, np.array([0]))
    assert read.tolist() == [1, 7, *ids[0], 9, *model.output.spelt("ef"), 10, 11, 7, *ids[1], 9]
    expected = model.output.decode(model.outputs(said))["answer"][0]
    with serving.client(bundle) as client:
        found = asking("http://testserver", http_client=client).chat.completions.create(model="tiny", messages=TURNS)
        assert found.choices[0].message.content == expected
        assert found.usage is not None
        assert found.usage.prompt_tokens == len(read)
        refused = client.post("/v1/chat/completions", json={"model": "tiny", "messages": TURNS[1:]})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "messages")


def test_a_bundle_that_was_made_for_single_texts_refuses_a_conversation(client: TestClient) -> None:
    found = client.post("/v1/chat/completions", json={"model": "tiny", "messages": TURNS})
    assert (found.status_code, found.json()["error"]["param"]) == (400, "messages")
    assert "what was said before is not read by this bundle" in found.json()["error"]["message"]


# ------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("path", "body", "status", "field", "said"),
    [
        ("completions", {"model": "tiny"}, 400, "prompt", "prompt: there is none"),
        ("completions", {"prompt": "a"}, 400, "model", "model: Field required"),
        ("completions", {"model": "gpt", "prompt": "a"}, 404, "model", "no model named 'gpt'; there is 'tiny'"),
        ("completions", {"model": "tiny", "prompt": [1, 2]}, 400, "prompt", "prompt: Input should be a valid string"),
        ("completions", {"model": "tiny", "prompt": "a", "max_tokens": 13}, 400, "max_tokens", "found 13; at most 12"),
        ("completions", {"model": "tiny", "prompt": "a", "max_tokens": 0}, 400, "max_tokens", "greater than or equal"),
        ("completions", {"model": "tiny", "prompt": "a", "n": 99}, 400, "n", "less than or equal to 16"),
        ("completions", {"model": "tiny", "prompt": "a", "echo": True}, 400, "echo", "echo: not done here"),
        ("completions", {"model": "tiny", "prompt": "a", "logit_bias": {"5": 1}}, 400, "logit_bias", "not done here"),
        ("completions", {"model": "tiny", "prompt": "a", "temprature": 1}, 400, "temprature", "Extra inputs"),
        (
            "completions",
            {"model": "tiny", "prompt": "a", "temperature": 1, "beams": 3},
            400,
            None,
            "with beams the likeliest answers are followed",
        ),
        ("chat/completions", {"model": "tiny", "messages": []}, 400, "messages", "at least 1 item"),
        (
            "chat/completions",
            {"model": "tiny", "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "a"}]},
            400,
            "messages",
            "found system, user; a conversation is one message",
        ),
        (
            "chat/completions",
            {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "tools": [{}]},
            400,
            "tools",
            "tools: not done here",
        ),
        (
            "chat/completions",
            {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "response_format": {"type": "json"}},
            400,
            "response_format",
            "an answer is a text",
        ),
    ],
    ids=[
        "no prompt", "no model", "another model", "ids", "too long", "no tokens", "too many", "echo", "bias",
        "mistyped", "beams that are drawn", "no message", "a system message", "tools", "a format",
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told_as_openai_tells_it(
    client: TestClient, path: str, body: dict[str, Any], status: int, field: str | None, said: str
) -> None:
    found = client.post(f"/v1/{path}", json=body)
    error = found.json()["error"]
    assert (found.status_code, error["type"], error["param"]) == (status, "invalid_request_error", field)
    assert said in error["message"]
    assert client.post(f"/v1/{path}", content=b"{").status_code == 400


def test_a_message_may_hold_what_is_no_text_and_a_row_the_rest() -> None:
    kinds = {"note": (True, False), "photo": (False, True), "age": (False, False), "voice": (False, True)}

    def asked(names: list[str], content: Any, **more: Any) -> list[dict[str, Any]]:
        made = [(name, *kinds[name]) for name in names]
        inputs = [SimpleNamespace(name=n, is_text=text, from_files=file, begins=False) for n, text, file in made]
        body = {"model": "m", "messages": [{"role": "user", "content": content}], **more}
        model: Any = SimpleNamespace(inputs=inputs)
        return completions.rows(completions.read(completions.Chat, body), model)

    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    sound = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
    text = {"type": "text", "text": "what is it?"}
    assert asked(["photo"], [picture]) == [{"photo": "data:image/png;base64,aGk="}]
    assert asked(["voice", "note"], [text, sound]) == [{"voice": "aGk=", "note": "what is it?"}]
    assert asked(["note", "age"], "hello", row={"age": 4}) == [{"age": 4, "note": "hello"}]
    assert asked(["age"], None, row={"age": 4}) == [{"age": 4}]
    for names, content in ((["photo", "voice"], [picture]), (["note"], [picture]), (["age"], "four")):
        with pytest.raises(Refused, match=f"the bundle reads {', '.join(names)}; say the row"):
            asked(names, content)


def test_a_bundle_that_writes_nothing_says_where_it_is_asked(tmp_path: Path) -> None:
    with serving.client(tiny_bundle.build(tmp_path)) as client:
        found = client.post("/v1/completions", json={"model": "tiny", "prompt": "a"})
        assert "/v1/completions" not in client.get("/openapi.json").json()["paths"]
    assert found.status_code == 404
    assert found.json()["error"]["message"] == "tiny writes no texts: ask POST /predict"


def test_openais_key_is_the_servers_key(bundle: Path, tmp_path: Path) -> None:
    key = keys.made(tmp_path / "keys.txt", "me")
    with serving.client(bundle, keys=str(tmp_path / "keys.txt")) as client:
        with pytest.raises(openai.AuthenticationError, match="the key is not known"):
            asking("http://testserver", http_client=client).models.list()
        known = openai.OpenAI(base_url="http://testserver/v1", api_key=key, http_client=client, max_retries=0)
        assert [one.id for one in known.models.list()] == ["tiny"]


def test_answers_may_be_shorter_than_the_bundle_says_and_longer_where_the_server_does(bundle: Path) -> None:
    for most in (4, 20):
        with serving.client(bundle, tokens=most) as client:
            ai = asking("http://testserver", http_client=client)
            assert len(ai.completions.create(model="tiny", prompt=PROMPTS[2], max_tokens=most).choices[0].text) == most
            with pytest.raises(openai.BadRequestError, match=f"found {most + 1}; at most {most}"):
                ai.completions.create(model="tiny", prompt="a", max_tokens=most + 1)


# ------------------------------------------------------------------------------------------- what is counted and kept


def test_tokens_and_times_are_counted(bundle: Path, model: runtime.Model) -> None:
    with serving.client(bundle) as client:
        asking("http://testserver", http_client=client).completions.create(model="tiny", prompt=PROMPTS)
        found = client.get("/metrics").text
    written = sum(len(tokens(model, prompt)) for prompt in PROMPTS)
    lines = dict(line.rsplit(" ", 1) for line in found.splitlines() if not line.startswith("#"))
    assert float(lines["trimtab_tokens_total"]) == written
    assert float(lines["trimtab_prompt_tokens_total"]) == sum(len(prompt.split()) for prompt in PROMPTS)
    assert float(lines["trimtab_first_token_seconds_count"]) == 1
    assert float(lines["trimtab_token_seconds_count"]) == written - 1
    assert float(lines["trimtab_writing_rows"]) == 0


def test_answers_are_recorded_whole_or_in_pieces(bundle: Path, model: runtime.Model, tmp_path: Path) -> None:
    log = tmp_path / "answers.db"
    with serving.listening(bundle, log=str(log), log_inputs=True) as (address, _):
        ai = asking(address)
        whole = ai.completions.create(model="tiny", prompt=PROMPTS[:2])
        pieces = list(ai.completions.create(model="tiny", prompt=PROMPTS[2], stream=True))
    with open_log(str(log)) as kept:
        entries = [one.entry for one in kept.read()]
    assert [one.answer["answer"] for one in entries] == answers(model)[:3]
    assert [one.input for one in entries] == [{"source": prompt} for prompt in PROMPTS[:3]]
    assert [entries[0].id, entries[2].id] == [whole.id, pieces[0].id]
