"""Promises of the encoders of sequences: text, histories and sound, read from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from trimtab import registry
from trimtab.columns import OUTPUTS, EncodedRows, InputColumn, encode_rows, fit, kind, types_of
from trimtab.errors import TrimtabError
from trimtab.export import export
from trimtab.nets import steps
from trimtab.nets.network import Architecture, EncoderEntry, Network, encoder_kind, reads
from trimtab.nets.states import States

WIDTH = 16
RATE = 8_000  # Hz


def tone(pitch: float, seconds: float) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * pitch * time * (1 + time))).astype(np.float32)


VALUES: dict[str, list[Any]] = {
    "text": ["good", "a long and winding road that leads to your door", "bad, really bad!", "房间很大", "", "so so"]
    * 2,
    "history": ["milk|bread|eggs|milk", "tea", "", "eggs|tea|tea|milk|bread|bread|soap", "soap|milk", "bread"] * 2,
    "audio": [
        tone(pitch, seconds) for pitch, seconds in zip(range(200, 1400, 100), np.linspace(0.01, 0.5, 12), strict=True)
    ],
}
OPTIONS: dict[str, dict[str, Any]] = {"text": {}, "history": {}, "audio": {"rate": RATE, "mels": 20}}
ENCODERS = {  # the options that reach the code beyond the defaults
    "lstm": {"layers": 2, "hidden": 12},
    "bilstm": {"layers": 2, "embedding": 10},
    "gru": {"layers": 2},
    "transformer": {"layers": 1, "heads": 4, "hidden": 24},
    "textcnn": {"kernels": [2, 3, 4], "filters": 7, "pooled": False},
    "conformer": {"layers": 1, "channels": 4, "heads": 2, "kernel": 5},
    "audio_cnn": {"channels": 4},
}
SOUND = {"conformer": 4, "audio_cnn": 8}  # frames of a state
READS = [(name, kind) for name in ENCODERS for kind in VALUES if name not in SOUND or kind == "audio"]


@pytest.fixture(scope="module")
def columns() -> dict[str, InputColumn]:
    return {kind: fit(kind, "Steps", "steps", values, OPTIONS[kind]) for kind, values in VALUES.items()}


def encoder(name: str, column: InputColumn, config: Mapping[str, Any] | None = None) -> torch.nn.Module:
    torch.manual_seed(0)
    made: torch.nn.Module = encoder_kind(name, "encoder")([column], WIDTH, ENCODERS[name] if config is None else config)
    return made.eval()


def rows_of(column: InputColumn) -> EncodedRows:
    return encode_rows([column], {column.name: VALUES[column.type]})


def tensors(rows: EncodedRows, picked: Any) -> dict[str, Tensor]:
    return {key: torch.from_numpy(value) for key, value in rows.batch(np.asarray(picked)).items()}


@torch.no_grad()
def states(encoder: torch.nn.Module, given: dict[str, Tensor]) -> States:
    found: States = encoder(given)
    return found


@pytest.mark.parametrize(("name", "kind"), READS)
def test_there_is_a_state_for_each_step_or_each_few_frames(columns, name: str, kind: str) -> None:
    given = tensors(rows_of(columns[kind]), range(12))
    found = states(encoder(name, columns[kind]), given)
    every = SOUND.get(name, 1)
    count = -(-given["steps_mask"].shape[1] // every)
    assert found.values.shape == (12, count, WIDTH)
    assert found.values.dtype == torch.float32
    assert torch.equal(found.mask.sum(1), -(-given["steps_mask"].sum(1) // every))
    assert torch.equal(found.source, torch.zeros(count, dtype=torch.long))


# Encoders of texts alone: with a pretrained model, what becomes of one, and those that give one state for a row.
ELSEWHERE = {"causal", "encoder_decoder", "text", "compact", "static", "conv"}


def test_every_encoder_of_sequences_is_tested_here() -> None:
    sequences = [found for name in types_of(InputColumn) if (found := kind(name, "")).sequence]
    assert sorted(found.type for found in sequences) == ["audio", "history", "text"]
    encoders = {name: encoder_kind(name, "") for name in registry.names("trimtab.nets.encoders")}
    every = [name for name, encoder in encoders.items() if any(reads(encoder, found) for found in sequences)]
    assert sorted(ENCODERS) == sorted(set(every) - ELSEWHERE)
    assert all(reads(encoders[name], kind(type_name, "")) for name, type_name in READS)
    assert len(READS) == 17


@pytest.mark.parametrize(("name", "kind"), READS)
def test_padding_changes_nothing_alone_or_in_any_batch(columns, name: str, kind: str) -> None:
    rows, net = rows_of(columns[kind]), encoder(name, columns[kind])
    given = tensors(rows, range(12))
    together = states(net, given)
    strange = dict(given)
    (key,) = given.keys() & {"steps_ids", "steps_frames"}
    padding = given["steps_mask"] == 0
    assert padding.any()
    strange[key] = given[key].masked_fill(padding.reshape(*padding.shape, *[1] * (given[key].ndim - 2)), 3)
    with_strange = states(net, strange)
    for row in range(12):
        alone, real = states(net, tensors(rows, [row])), together.mask[row]
        assert torch.allclose(alone.values[0][alone.mask[0]], together.values[row][real], atol=1e-5)
        assert torch.allclose(with_strange.values[row][real], together.values[row][real], atol=1e-5)


@pytest.mark.parametrize("name", ["lstm", "gru", "transformer"])
def test_no_state_of_a_history_knows_a_later_event(columns, name: str) -> None:
    given = tensors(rows_of(columns["history"]), [3, 0])
    net = encoder(name, columns["history"])
    before = states(net, given).values
    later = {**given, "steps_ids": given["steps_ids"].clone()}
    later["steps_ids"][:, 3:] = 1
    after = states(net, later).values
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3:], after[:, 3:], atol=1e-3)


@pytest.mark.parametrize(("name", "config"), [("bilstm", {}), ("transformer", {}), ("transformer", {"causal": True})])
def test_a_state_of_a_text_knows_the_words_behind_it_unless_it_must_not(columns, name: str, config) -> None:
    given = tensors(rows_of(columns["text"]), [1])
    net = encoder(name, columns["text"], config)
    before = states(net, given).values
    given["steps_ids"][:, -1] = 1
    same = torch.allclose(before[:, 0], states(net, given).values[:, 0], atol=1e-4)
    assert same == config.get("causal", False)


def test_a_textcnn_gives_a_text_the_largest_value_of_each_filter(columns) -> None:
    rows = rows_of(columns["text"])
    net, every = (encoder("textcnn", columns["text"], {"pooled": pooled, "filters": 3}) for pooled in (None, False))
    for net_of_one in (net, every):
        net_of_one.project = torch.nn.Identity()
    found, steps_of = (states(one, tensors(rows, range(12))) for one in (net, every))
    assert found.values.shape == (12, 1, 9)
    assert torch.equal(found.values[:, 0], steps.blank(steps_of.values, steps_of.mask).amax(1))
    assert torch.allclose(states(net, tensors(rows, [0])).values[0], found.values[0], atol=1e-5)


def test_a_row_reversed_twice_is_itself_and_its_padding_stays() -> None:
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0]], dtype=torch.bool)
    places = steps.reversal(mask)
    assert places.tolist() == [[2, 1, 0, 3], [3, 2, 1, 0], [0, 1, 2, 3]]
    assert places.gather(1, places).tolist() == [[0, 1, 2, 3]] * 3


def test_the_longest_rows_have_as_many_steps_as_their_column_says(columns) -> None:
    long = {"text": "many words " * 5000, "history": "tea|" * 5000, "audio": tone(500, 5)}
    for name, column in columns.items():
        rows = encode_rows([column], {"Steps": [long[name]]})
        assert rows.steps.tolist() == [column.longest]
        found = states(encoder("transformer", column), tensors(rows, [0]))
        assert torch.isfinite(found.values).all()


def test_where_a_text_is_a_list_of_words_there_is_a_state_for_each_word(columns) -> None:
    sentences = [["房间很大", "good", "!"], ["Good"], ["so"]] * 3
    column = fit("text", "Steps", "steps", sentences, {"words": True})
    rows = encode_rows([column], {"Steps": sentences})
    for name in ("lstm", "bilstm", "gru", "transformer", "textcnn"):
        given = tensors(rows, [0, 1, 2])
        found = states(encoder(name, column), given)
        assert found.mask.tolist() == [[True, True, True], [True, False, False], [True, False, False]]
        plain = fit("text", "Steps", "steps", sentences, {"words": True})
        whole = encoder(name, plain)
        whole.embed.words = False  # type: ignore[union-attr]
        tokens = states(whole, given).values
        assert given["steps_words"][0].tolist()[:2] != [0, 1]  # the first word is of several tokens
        assert torch.equal(found.values[0], tokens[0][given["steps_words"][0]])


EXPORTED = [  # each a network of several inputs
    {"textcnn": "text", "lstm": "text", "gru": "history", "transformer": "history", "bilstm": "audio"},
    {"conformer": "audio", "audio_cnn": "audio"},
]


@pytest.mark.slow
@pytest.mark.parametrize("read", EXPORTED, ids=["steps", "sound"])
def test_exported_networks_give_the_same_outputs_at_any_size(tmp_path: Path, read: dict[str, str]) -> None:
    inputs = [fit(kind, name, name, VALUES[kind], OPTIONS[kind]) for name, kind in read.items()]
    rows = encode_rows(inputs, {name: VALUES[kind] for name, kind in read.items()})
    entries = tuple(EncoderEntry(name=name, reads=(name,), config=ENCODERS[name]) for name in read)
    torch.manual_seed(0)
    shape = Architecture(width=WIDTH, encoders=entries, fusion="attention", dropout=0.1, head="label")
    net = Network(shape, inputs, fit("label", "answer", "answer", ["yes", "no", "maybe"], {})).eval()
    names = export(net, inputs, rows.batch(np.argsort(rows.steps)[-3:]), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for picked in ([0], [4], [11], [0, 4], list(range(12)), [1] * 40):
        batch = rows.batch(np.asarray(picked))
        with torch.no_grad():
            expected = net({key: torch.from_numpy(value) for key, value in batch.items()})[OUTPUTS].values.numpy()
        (found,) = session.run(None, {key: batch[key] for key in names})
        assert found.shape == (len(picked), 3)
        assert np.abs(found - expected).max() <= 1e-4


def test_every_encoder_is_exported_here() -> None:
    assert sorted(name for read in EXPORTED for name in read) == sorted(ENCODERS)


WRONG = [
    (
        "lstm",
        {"layer": 2},
        "inputs.Steps.encoder: no option named 'layer'\n  allowed: dropout, embedding, hidden, layers",
    ),
    (
        "gru",
        {"layers": 0},
        "inputs.Steps.encoder: layers: found 0 (Input should be greater than or equal to 1)\n  allowed: Recurrent",
    ),
    ("transformer", {"heads": 3}, "inputs.Steps.encoder: heads: 3 heads do not divide a width of 16"),
    (
        "textcnn",
        {"kernels": [0]},
        "inputs.Steps.encoder: kernels.0: found 0 (Input should be greater than or equal to 1)",
    ),
    ("conformer", {"kernel": 4}, "inputs.Steps.encoder: kernel: found 4\n  allowed: an odd number"),
    ("conformer", {"heads": 16}, "inputs.Steps.encoder: heads: 16 heads do not cut a width of 16 into even numbers"),
    ("audio_cnn", {"stages": 9}, "inputs.Steps.encoder: stages: found 9 (Input should be less than or equal to 6)"),
]


@pytest.mark.parametrize(("name", "config", "said"), WRONG)
def test_a_wrong_option_is_told_with_its_place(columns, name: str, config: dict[str, Any], said: str) -> None:
    with pytest.raises(TrimtabError) as error:
        encoder(name, columns["audio"], config)
    assert said in str(error.value)
