"""Compact encoders answer as the pretrained ones did, and a network loses the blocks that it was told to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from tests import tiny_models
from torch import Tensor
from transformers import ModernBertConfig

from trimtab.columns import OUTPUTS, encode_rows, fit
from trimtab.compress import Skip, layers
from trimtab.export import export
from trimtab.nets.fitted import FittedNetwork, built
from trimtab.nets.network import Architecture, EncoderEntry

TITLES = ["so good", "bad", "a long and winding road", "", "I would buy it again", "never again, and I mean it"] * 2
BODIES = ["The plot is thin.", "Well made and well played by all of them", "", "too long", "房间很大", "fine"] * 2
LABELS = ["good", "bad", "good", "bad", "good", "bad"] * 2
BERT_KINDS = ["bert", "roberta", "xlm-roberta", "distilbert"]


def trained(folder: Path, shape: str, texts: int = 1, encoder: EncoderEntry | None = None) -> FittedNetwork:
    """A network with random weights that reads a price beside one text or two."""
    tokenizer = tiny_models.word_pieces(TITLES + BODIES, size=200)
    tokenizer.save_pretrained(folder)
    options = {"tokenizer": str(folder / "tokenizer.json"), "pad_id": 0, "limit": 60}
    columns = [
        fit("text", name, name, values, {**options, **({"follows": True} if number else {})})
        for number, (name, values) in enumerate([("title", TITLES), ("body", BODIES)][:texts])
    ]
    price = fit("number", "price", "price", [str(number) for number in range(12)], {})
    config = {**tiny_models.SHAPES[shape](len(tokenizer)).to_dict(), "model_type": shape}
    text = encoder or EncoderEntry(name="text", reads=tuple(column.key for column in columns), config=config)
    architecture = Architecture(
        width=32,
        encoders=(text, EncoderEntry(name="number", reads=("price",))),
        fusion="mean",
        dropout=0.1,
        head="label",
    )
    output = fit("label", "label", "label", LABELS, {})
    return shaken(built(architecture, [*columns, price], output, seed=3))


def shaken(given: FittedNetwork) -> FittedNetwork:
    """Biases and norms as training leaves them: fresh ones of 0 and 1 would hide a mistake."""
    generator = torch.Generator().manual_seed(5)
    weights = {
        name: value + 0.2 * torch.randn(value.shape, generator=generator) if value.is_floating_point() else value
        for name, value in given.network.state_dict().items()
    }
    return built(given.architecture, given.inputs, given.output, weights)


def batch(given: FittedNetwork) -> dict[str, np.ndarray]:
    values = {"title": TITLES, "body": BODIES, "price": [str(number) for number in range(12)]}
    rows = encode_rows(given.inputs, {column.name: values[column.name] for column in given.inputs})
    return rows.batch(np.arange(12))


@torch.no_grad()
def outputs(given: FittedNetwork) -> Tensor:
    found: Tensor = given.network({key: torch.from_numpy(value) for key, value in batch(given).items()})[OUTPUTS].values
    return found


def made(found: FittedNetwork | Skip) -> FittedNetwork:
    assert isinstance(found, FittedNetwork), found
    return found


@pytest.mark.parametrize("texts", [1, 2])
@pytest.mark.parametrize("shape", BERT_KINDS)
def test_a_compact_network_answers_as_the_pretrained_one(tmp_path, shape: str, texts: int) -> None:
    before = trained(tmp_path, shape, texts)
    after = made(layers.compact(before))
    assert [entry.name for entry in after.architecture.encoders] == ["compact", "number"]
    assert torch.allclose(outputs(after), outputs(before), atol=1e-5)
    assert outputs(before).std(0).min() > 1e-3  # the rows differ, so that equal answers mean something
    assert after.parameters < before.parameters  # positions that no row can reach are gone


@pytest.mark.parametrize("texts", [1, 2])
def test_the_file_of_a_kept_network_answers_as_the_network(tmp_path, texts: int) -> None:
    found = made(layers.keep(made(layers.compact(trained(tmp_path, "bert", texts))), [1]))
    given = batch(found)
    names = export(found.network, found.inputs, {key: value[:2] for key, value in given.items()}, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    (answers,) = session.run(None, {name: given[name] for name in names})
    assert np.allclose(answers, outputs(found).numpy(), atol=1e-4)


def test_blocks_that_are_kept_keep_their_weights_and_the_others_are_gone(tmp_path) -> None:
    before = made(layers.compact(trained(tmp_path, "bert")))
    after = made(layers.keep(before, [1]))
    old, new = before.network.state_dict(), after.network.state_dict()
    here = "encoders.in_title.blocks."
    assert {name.split(".")[3] for name in new if name.startswith(here)} == {"0"}
    assert torch.equal(new[f"{here}0.inner.weight"], old[f"{here}1.inner.weight"])
    assert torch.equal(new["encoders.in_title.embed.weight"], old["encoders.in_title.embed.weight"])
    assert after.made == ("layer 1 of 2",)
    assert not torch.allclose(outputs(after), outputs(before), atol=1e-3)
    assert layers.depth(before) == 2
    assert layers.depth(after) == 1


def test_a_block_without_heads_or_neurons_is_exported_and_leaves_the_rest_as_it_was(tmp_path) -> None:
    config = {"width": 24, "head_width": 8, "positions": 60, "embedding": 12}
    blocks = [{"heads": 2, "neurons": 0}, {"heads": 0, "neurons": 40}, {"heads": 0, "neurons": 0}]
    entry = EncoderEntry(name="compact", reads=("title",), config={**config, "layers": blocks})
    found = trained(tmp_path, "bert", encoder=entry)
    given = batch(found)
    export(found.network, found.inputs, given, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    (answers,) = session.run(None, given)
    assert np.allclose(answers, outputs(found).numpy(), atol=1e-4)
    assert outputs(found).std(0).min() > 1e-3


def test_a_transformer_from_scratch_loses_blocks_too(tmp_path) -> None:
    entry = EncoderEntry(name="transformer", reads=("title",), config={"layers": 4})
    found = made(layers.keep(trained(tmp_path, "bert", encoder=entry), layers.evenly(4, 2)))
    assert found.made == ("layers 0, 2 of 4",)
    assert layers.depth(found) == 2


def test_what_computes_otherwise_is_skipped_with_the_reason(tmp_path) -> None:
    found = layers.compact(trained(tmp_path, "modernbert"))
    assert isinstance(found, Skip)
    assert "modernbert computes otherwise than BERT" in found.reason
    assert ModernBertConfig.model_type in found.reason
    before = trained(tmp_path, "bert")
    kept = layers.keep(before, [0])
    assert isinstance(kept, Skip)
    assert "text has no blocks that can be left out" in kept.reason
    beyond = layers.keep(made(layers.compact(before)), [0, 2])
    assert isinstance(beyond, Skip)
    assert "2 blocks, there is no 2" in beyond.reason
    everything = layers.keep(made(layers.compact(before)), [0, 1])
    assert isinstance(everything, Skip)
    assert "all 2 blocks would stay" in everything.reason


def test_layers_are_kept_evenly_apart() -> None:
    assert layers.evenly(6, 3) == (0, 2, 4)
    assert layers.evenly(12, 4) == (0, 3, 6, 9)
    assert layers.evenly(6, 6) == (0, 1, 2, 3, 4, 5)
    assert layers.evenly(6, 1) == (0,)
    with pytest.raises(ValueError, match="7 of 6 layers"):
        layers.evenly(6, 7)
