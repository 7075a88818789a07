"""Two texts of a row are read as one sequence, exactly as the base was trained on pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tiny_models
import torch
from places import place
from tokenizers import processors
from transformers import AutoTokenizer
from transformers.models.auto import AutoModel

import trimtab
from trimtab import columns, export, pretrained
from trimtab.columns import OUTPUTS, encode_rows
from trimtab.nets.network import Architecture, EncoderEntry, Network

PAIRS = [
    ("A player is throwing the ball", "Two teams are competing in a football match"),
    ("Four children are doing backbends in the gym", "Four girls are doing backbends and playing outdoors"),
    ("The young boys are playing outdoors and the man is smiling nearby", "There is no boy playing outdoors"),
    ("A dog runs", "A brown dog is running through the tall grass behind a small white house"),
    ("Rain", ""),
]
# How a tokenizer of each kind closes and joins two texts.
TEMPLATES = {
    "bert": ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
    "distilbert": ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]"),
    "roberta": ("[CLS] $A [SEP]", "[CLS] $A [SEP] [SEP] $B [SEP]"),
    "xlm-roberta": ("[CLS] $A [SEP]", "[CLS] $A [SEP] [SEP] $B [SEP]"),
    "modernbert": ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]"),
}


def base_of(folder: Path, shape: str) -> Path:
    """A tiny model whose tokenizer joins pairs as its kind does."""
    tiny_models.save(folder, shape, [text for pair in PAIRS for text in pair])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    single, pair = TEMPLATES[shape]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save_pretrained(folder)
    return folder


def network_of(folder: Path, shape: str) -> Network:
    base = pretrained.find(str(base_of(folder / "base", shape)), "text", folder, folder)
    values = {"first": [a for a, _ in PAIRS], "second": [b for _, b in PAIRS]}
    options = {**base.options, "limit": 40}
    inputs = [
        columns.fit("text", name, name, texts, {**options, "follows": bool(place)})
        for place, (name, texts) in enumerate(values.items())
    ]
    label = columns.fit("label", "same", "same", ["0", "1"], {})
    entry = EncoderEntry(name="text", reads=("first", "second"), config=dict(base.config))
    architecture = Architecture(width=base.width, encoders=(entry,), fusion="mean", dropout=0.0, head="label")
    torch.manual_seed(0)
    network = Network(architecture, inputs, label).eval()
    for encoder in network.pretrained():
        pretrained.load_weights(base, encoder.model)
    network.columns = inputs  # type: ignore[assignment]
    return network


def tensors_of(network: Network, pairs: list[tuple[str, str]]) -> dict[str, np.ndarray]:
    rows = encode_rows(network.columns, {"first": [a for a, _ in pairs], "second": [b for _, b in pairs]})
    return rows.batch(np.arange(len(pairs)))


def answered(network: Network, pairs: list[tuple[str, str]]) -> np.ndarray:
    tensors = {name: torch.from_numpy(value) for name, value in tensors_of(network, pairs).items()}
    return network(tensors)[OUTPUTS].values.numpy()


def states_of(network: Network, pairs: list[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    tensors = {name: torch.from_numpy(value) for name, value in tensors_of(network, pairs).items()}
    with torch.no_grad():
        states = network.states(tensors)
    return states.values.numpy(), states.mask.numpy()


@pytest.mark.parametrize("shape", TEMPLATES)
def test_a_pair_is_read_as_hugging_face_reads_it(tmp_path: Path, shape: str) -> None:
    network = network_of(tmp_path, shape)
    folder = tmp_path / "base"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    values, mask = states_of(network, PAIRS[:4])  # they take an empty second text for none
    for row, (first, second) in enumerate(PAIRS[:4]):
        asked = tokenizer(first, second, return_tensors="pt", return_token_type_ids=shape == "bert")
        with torch.no_grad():
            expected = model(**asked).last_hidden_state[0].numpy()
        assert mask[row].sum() == len(expected)
        assert np.abs(values[row][mask[row]] - expected).max() < 1e-5


@pytest.mark.parametrize("shape", TEMPLATES)
def test_a_pair_alone_is_answered_as_in_a_batch(tmp_path: Path, shape: str) -> None:
    network = network_of(tmp_path, shape)
    with torch.no_grad():
        together = answered(network, PAIRS)
        for row, pair in enumerate(PAIRS):
            alone = answered(network, [pair])
            assert np.abs(together[row] - alone[0]).max() < 1e-5


@pytest.mark.slow
def test_pairs_are_exported_for_texts_of_any_length(tmp_path: Path) -> None:
    network = network_of(tmp_path, "roberta")
    names = export.export(network, network.columns, tensors_of(network, PAIRS[:3]), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for pairs in (PAIRS, PAIRS[3:4], [(b, a) for a, b in PAIRS if b], PAIRS[4:]):
        tensors = tensors_of(network, pairs)
        with torch.no_grad():
            expected = answered(network, pairs)
        found = session.run(None, {name: tensors[name] for name in names})[0]
        assert np.abs(found - expected).max() < 1e-4


def test_a_question_about_two_texts_is_launched_and_served(tmp_path: Path, reviews, tiny_base: Path) -> None:
    rows = [
        {"first": row["review"][:80], "second": reviews[i if i % 2 else i - 1]["review"][:80], "same": "yn"[i % 2]}
        for i, row in enumerate(reviews)
    ]
    made = place(tmp_path, rows, output="same", base=str(tiny_base), train={"epochs": 1})
    release = trimtab.launch(made.spec, runs=made.runs)
    assert release.released, release.manifest.why
    assert any(entry.key == "encoder" and "together" in entry.value for entry in release.manifest.automatic)
    model = trimtab.load(release.folder)
    second = next(column for column in model.inputs if column.name == "second")
    assert second.dropped == 1  # its own [CLS] stands in no pair
