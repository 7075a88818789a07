"""An answer may have several tensors, and each a length of its own: parts made for these tests go the whole way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from trimtab import columns, launch, runtime
from trimtab.bundle.serving import GraphEntry
from trimtab.columns import InputColumn, Named, Ragged, encode_rows, named
from trimtab.export import export
from trimtab.nets.network import Architecture, EncoderEntry, Network
from trimtab.train import loop

PARTS = Path(__file__).parent / "parts"
RATE = 8000


@pytest.fixture(autouse=True)
def own_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_PARTS", str(PARTS))


def launched(folder: Path, rows: Sequence[Mapping[str, Any]], **spec: Any) -> runtime.Model:
    """The released bundle of a spec, ready to answer; it said what it was trained to say, and its graph is whole."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    release = launch({"data": str(folder / "rows.jsonl"), **spec}, runs=folder / "runs")
    assert release.released, release.manifest.why
    assert release.manifest.evidence["differs"] <= 1e-4
    assert len(list(runtime.read_golden(release.folder))) > 3
    return runtime.load(release.folder)


def names_of(model: runtime.Model) -> list[str]:
    (graph,) = model.graphs.values()
    assert [output.name for output in graph.session.get_outputs()] == graph.entry.outputs
    return graph.entry.outputs


def alone_and_together(model: runtime.Model, rows: Sequence[Mapping[str, Any]]) -> None:
    """A row is answered alone as beside others, each tensor in its own length."""
    values = {column.name: [row[column.name] for row in rows] for column in model.inputs}
    together = model.outputs(values)
    for number in range(len(rows)):
        alone = model.outputs({name: given[number : number + 1] for name, given in values.items()})
        parts = [(together, alone)]
        if isinstance(together, Named):
            parts = [(together.parts[name], named(alone)[name]) for name in together.parts]
        for whole, one in parts:
            np.testing.assert_allclose(one[0], whole[number], atol=1e-5)


# ------------------------------------------------------------------------------------- an input of float vectors


def strokes(count: int) -> list[dict[str, Any]]:
    """Pens that turn left or right, of 6 to 20 positions."""
    random = np.random.default_rng(0)
    found = []
    for number in range(count):
        turn, steps = (1 if number % 2 else -1), int(random.integers(6, 21))
        angles = random.uniform(0, 6.28) + turn * 0.3 * np.arange(steps)
        pen = np.stack([np.cos(angles), np.sin(angles)], 1) + random.normal(0, 0.05, (steps, 2))
        found.append({"pen": pen.round(3).tolist(), "turns": "left" if number % 2 else "right"})
    return found


@pytest.mark.slow
def test_a_sequence_of_float_vectors_is_learnt_from_and_served(tmp_path: Path) -> None:
    rows = strokes(300)
    model = launched(
        tmp_path,
        rows,
        inputs={"pen": "vectors"},
        output={"turns": "label"},
        train={"epochs": 8, "learning_rate": 0.01},
        gates={"accuracy": ">= 0.8"},
    )
    assert names_of(model) == ["outputs"]
    alone_and_together(model, rows[:6])
    right = [answer["turns"] == row["turns"] for answer, row in zip(model.predict(rows), rows, strict=True)]
    assert np.mean(right) > 0.9


# ---------------------------------------------------------------------- an output as long as the head says it is


def sounds(folder: Path, count: int) -> list[dict[str, Any]]:
    """One to four tones of three pitches, each a character."""
    random, pitches = np.random.default_rng(1), {"a": 300, "b": 800, "c": 2000}
    found = []
    for number in range(count):
        text = "".join(random.choice(list(pitches), int(random.integers(1, 5))))
        parts = [np.zeros(240)]
        for character in text:
            time = np.arange(int(random.integers(800, 1300))) / RATE
            parts += [np.sin(2 * np.pi * pitches[character] * time) * np.hanning(len(time)), np.zeros(240)]
        clip = np.concatenate(parts) + random.normal(0, 0.01, sum(map(len, parts)))
        soundfile.write(folder / f"{number}.wav", clip * 0.5, RATE)
        found.append({"sound": f"{number}.wav", "text": text})
    return found


@pytest.mark.slow
def test_the_characters_of_a_sound_are_as_many_as_its_states_say(tmp_path: Path) -> None:
    rows = sounds(tmp_path, 240)
    encoder = {"name": "audio_cnn", "stages": 2, "channels": 8, "dropout": 0.0}
    model = launched(
        tmp_path,
        rows,
        inputs={"sound": {"type": "audio", "encoder": encoder, "mels": 16, "augment": "none"}},
        output={"text": "characters"},
        train={"epochs": 20, "learning_rate": 0.01},
        gates={"accuracy": ">= 0.6"},
    )
    assert names_of(model) == ["outputs", "outputs.lengths"]
    asked = [row | {"sound": str(tmp_path / str(row["sound"]))} for row in rows]
    alone_and_together(model, asked[:6])
    outputs = model.outputs({"sound": [row["sound"] for row in asked]})
    assert isinstance(outputs, Ragged)
    frames = encode_rows(model.inputs, {"sound": [row["sound"] for row in asked]}).steps
    assert outputs.lengths.tolist() == (-(-frames // 4)).tolist()  # two stages, each of which halves
    right = [answer["text"] == row["text"] for answer, row in zip(model.predict(asked), rows, strict=True)]
    assert np.mean(right) > 0.7


# ------------------------------------------------------------------------------- two named tensors of two lengths


def bumps(count: int) -> list[dict[str, Any]]:
    """Noise of 8 to 24 steps with a bump in it, or with none."""
    random = np.random.default_rng(2)
    found = []
    for number in range(count):
        steps = int(random.integers(8, 25))
        signal, boxes = random.normal(0, 0.1, (steps, 2)), []
        if number % 4:
            start = int(random.integers(0, steps - 5))
            end = start + int(random.integers(4, 6))
            signal[start:end] += 1
            boxes = [[start, end]]
        found.append({"signal": signal.round(3).tolist(), "bumps": boxes})
    return found


def test_boxes_and_scores_are_two_tensors_of_two_lengths(tmp_path: Path) -> None:
    rows = bumps(400)
    model = launched(
        tmp_path,
        rows,
        inputs={"signal": "vectors"},
        output={"bumps": "boxes"},
        train={"epochs": 15, "learning_rate": 0.01},
        gates={"accuracy": ">= 0.7"},
    )
    assert names_of(model) == ["boxes", "boxes.lengths", "scores", "scores.lengths"]
    alone_and_together(model, rows[:6])
    short = {"signal": rows[0]["signal"][:3]}  # two states: fewer than boxes
    outputs = named(model.outputs({"signal": [row["signal"] for row in [*rows[:5], short]]}))
    states = [-(-len(row["signal"]) // 2) for row in [*rows[:5], short]]
    assert [len(outputs["scores"][row]) for row in range(6)] == states
    assert [len(outputs["boxes"][row]) for row in range(6)] == [3] * 5 + [2]
    golden = next(runtime.read_golden(model.folder))
    assert set(golden["outputs"]) == {"boxes", "scores"}
    assert runtime.replay(model, runtime.read_golden(model.folder)).difference < 1e-5
    assert runtime.load(model.folder).predict([]).rows() == []
    (answer,) = model.predict([rows[1]])
    assert abs(answer["bumps"][0][0] - rows[1]["bumps"][0][0]) < 2.5


# ------------------------------------------------------------------------- the input whose places are answered


WORDS = [["one", "two", "three"], ["four"], ["five", "six"], ["seven", "eight", "nine", "ten"]]


def test_tags_are_cut_by_the_words_of_the_text_that_they_belong_to_not_by_the_first_input(tmp_path: Path) -> None:
    text = columns.fit("text", "words", "words", WORDS, {"words": True})
    events = [list("abcdef"), list("ab"), list("a"), []]
    history = columns.fit("history", "seen", "seen", events, {})
    tags = columns.fit("tags", "tags", "tags", [["O", "B-x", "O"], ["O"], ["B-x", "I-x"], ["O"] * 4], {})
    inputs: list[InputColumn] = [history, text]
    entries = tuple(
        EncoderEntry(name="gru", reads=(column.key,), config={"hidden": 16, "layers": 1}) for column in inputs
    )
    architecture = Architecture(width=16, encoders=entries, fusion="mean", dropout=0.0, head="tags")
    torch.manual_seed(0)
    network = Network(architecture, inputs, tags).eval()
    rows = encode_rows(inputs, {"words": WORDS, "seen": events})
    expected = loop.predict(network, rows, 64, torch.device("cpu"))
    assert isinstance(expected, Ragged)
    assert expected.lengths.tolist() == [3, 1, 2, 4]
    one = encode_rows([text], {"words": WORDS})
    alone = Network(architecture.model_copy(update={"encoders": entries[1:]}), [text], tags).eval()
    wanted = {name: value for name, value in network.state_dict().items() if not name.startswith("encoders.in_seen")}
    alone.load_state_dict(wanted)
    np.testing.assert_allclose(loop.predict(alone, one, 64, torch.device("cpu")).values, expected.values, atol=1e-6)
    names = export(network, inputs, rows.batch(np.arange(4)), tmp_path / "model.onnx")
    session = runtime.open_session(tmp_path / "model.onnx", 1)
    graph = runtime.Graph(session, GraphEntry(file="model.onnx", inputs=names, batch_cost=12))
    found = runtime.Answering(graph, tags).outputs(rows, np.array([3, 1, 0, 2]))
    assert found.lengths.tolist() == [4, 1, 3, 2]
    np.testing.assert_allclose(found.values, expected.take(np.array([3, 1, 0, 2])).values, atol=1e-5)
