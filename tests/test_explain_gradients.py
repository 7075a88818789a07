"""Integrated gradients: what is added along the path is what the score gains, whatever the inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_bundle import ROWS, build, write_tokenizer

from trimtab import columns, explain, registry, runtime
from trimtab.columns import encode_rows
from trimtab.errors import TrimtabError
from trimtab.nets.fitted import FittedNetwork, built
from trimtab.nets.gradients import integrated
from trimtab.nets.network import Architecture, EncoderEntry

ENCODERS = {
    "text": ("lstm", {}), "number": ("number", {}), "category": ("category", {}), "history": ("transformer", {}),
    "image": ("cnn", {}), "audio": ("audio_cnn", {}),
}  # fmt: skip


def values() -> dict[str, list[Any]]:
    """Four rows with an input of every type."""
    draw = np.random.default_rng(0)
    return {
        "text": [row["review"] for row in ROWS[:4]],
        "number": ["5", "1", "3", "4"],
        "category": ["north", "south", "north", "south"],
        "history": [["a", "b"], ["b", "c", "a"], ["c"], ["a"]],
        "image": list(draw.integers(0, 256, (4, 16, 16, 3), np.uint8)),
        "audio": [np.sin(np.arange(4000) / (row + 3)).astype(np.float32) for row in range(4)],
    }


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> FittedNetwork:
    """A network that reads all of them, with the weights that it begins with."""
    held = values()
    tokenizer = write_tokenizer(tmp_path_factory.mktemp("tokens") / "tokenizer.json", held["text"])
    options = {"text": {"tokenizer": str(tokenizer)}, "audio": {"rate": 8000}}
    inputs = [columns.fit(name, name, name, held[name], options.get(name, {})) for name in held]
    output = columns.fit("label", "mood", "mood", ["x", "y", "z"], {})
    entries = tuple(
        EncoderEntry(name=ENCODERS[one.type][0], reads=(one.key,), config=ENCODERS[one.type][1]) for one in inputs
    )
    shape = Architecture(width=16, encoders=entries, fusion="concat", dropout=0.0, head="label")
    return built(shape, inputs, output)


def model_of(fitted: FittedNetwork) -> runtime.Model:
    """What `gradients` asks a model for, answered by the network itself."""

    class Answering(runtime.Model):
        def answered(self, rows: Any) -> runtime.Answered:
            encoded = encode_rows(self.inputs, rows)
            batches = [encoded.batch(np.array([row])) for row in range(len(encoded))]
            with torch.no_grad():
                found = [fitted.network({k: torch.from_numpy(v) for k, v in one.items()}) for one in batches]
            return runtime.Answered(np.concatenate([one["outputs"].values.numpy() for one in found]), ())

    nothing: Any = None
    return Answering(nothing, fitted.inputs, fitted.output, {}, nothing, Path("bundle"))


@pytest.mark.parametrize("row", range(4))
def test_what_the_units_of_all_types_add_is_what_the_score_gains(
    fitted: FittedNetwork, row: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = registry.attribute

    def attribute(module: str, name: str, where: str = "") -> Any:
        return (lambda folder: fitted) if name == "read" else real(module, name, where)

    monkeypatch.setattr(registry, "attribute", attribute)
    question = explain.ask(model_of(fitted), {name: held[row] for name, held in values().items()}, {}, "y")
    found = explain.explain(question, "gradients")
    assert abs(found.delta) < 0.02 * np.abs(found.contributions).sum()
    assert {unit.column for unit, c in zip(found.units, found.contributions, strict=True) if c} == set(values())


def test_of_a_linear_score_gradients_are_differences() -> None:
    number = columns.fit("number", "n", "n", ["1", "2", "3", "6"], {"bins": 0})
    output = columns.fit("label", "mood", "mood", ["x", "y"], {})
    shape = Architecture(
        width=8, encoders=(EncoderEntry(name="number", reads=("n",)),), fusion="mean", dropout=0.0, head="label"
    )
    network = built(shape, [number], output)
    tensors = {"n_values": np.array([[1.5]], np.float32)}
    found = integrated(network, tensors, {"n_values": np.zeros((1, 1), np.float32)}, np.ones_like, points=64)
    assert found.added["n_values"].sum() == pytest.approx(float((found.end - found.start).sum()), rel=1e-2)


def test_a_bundle_without_weights_has_no_gradients(tmp_path: Path) -> None:
    model = runtime.load(build(tmp_path), threads=1)
    question = explain.ask(model, ROWS[0], {})
    with pytest.raises(TrimtabError, match=r"has no weights\.safetensors and no network\.json"):
        explain.explain(question, "gradients")
    with pytest.raises(TrimtabError, match="in memory alone"):
        explain.explain(replace(question, model=replace(model, folder=None)), "gradients")
