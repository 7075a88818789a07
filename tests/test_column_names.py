"""A column may be called whatever the data call it: names meet nothing, and nobody."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import trimtab
from trimtab import runtime
from trimtab.bundle import store
from trimtab.columns import OUTPUTS, encode_rows, fit, keys
from trimtab.nets import fitted
from trimtab.nets.network import Architecture, EncoderEntry, Network, one_each

ATTRIBUTES = sorted({*dir(nn.ModuleDict()), *dir(nn.Module()), "outputs", "rows", "encoders", "head", "fusion"})
PARTS = ("ids", "mask", "words", "word_mask", "values", "pixels", "frames", "seen")
NAMES = st.lists(
    st.one_of(
        st.text(max_size=80),
        st.sampled_from(ATTRIBUTES),
        st.from_regex(r"(in_)?[ab]( |_|-)?(word|1|A)?(_mask|_word)?", fullmatch=True),
    ),
    min_size=1,
    max_size=8,
    unique=True,
)


def network_of(names: list[str]) -> Network:
    called = keys(names)
    inputs = [fit("number", name, key, ["1", "2", "4"], {}) for name, key in called.items()]
    output = fit("label", "y", "y", ["a", "b", "a"], {})
    shape = Architecture(width=8, encoders=one_each(inputs), fusion="mean", dropout=0.0, head="label")
    network = Network(shape, inputs, output).eval()
    rows = encode_rows(inputs, {name: ["1", "2"] for name in names})
    outputs = network({name: torch.from_numpy(part) for name, part in rows.batch(np.arange(2)).items()})[OUTPUTS].values
    assert outputs.shape == (2, 2)
    return network


@given(names=NAMES)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_any_columns_have_keys_of_their_own_and_a_network_is_made_of_them(names: list[str]) -> None:
    called = keys(names)
    assert list(called) == names
    assert len({f"{key}_{part}" for key in called.values() for part in PARTS}) == len(names) * len(PARTS)
    assert all(len(f"{key}.tokenizer.json") < 100 and key.replace("_", "a").isalnum() for key in called.values())
    assert len(network_of(names).encoders) == len(names)


def test_a_column_may_be_called_like_anything_that_a_module_has() -> None:
    assert len(ATTRIBUTES) > 80
    network_of(ATTRIBUTES)


def test_columns_that_are_read_together_are_called_like_no_other() -> None:
    together = [EncoderEntry(name="text", reads=reads) for reads in (("a", "b_c"), ("a_b", "c"), ("a_b_c",), ("a",))]
    assert len({entry.key for entry in together}) == 4
    assert not {entry.key for entry in together} & set(ATTRIBUTES)


def test_weights_from_before_encoders_were_renamed_are_read() -> None:
    for names in (["x", "in_x"], ["x"], ["in_x"], ["stars", "first name"]):
        network = network_of(names)
        former = {present: key for key, present in network.former_names.items()}
        assert set(former) == set(network.encoders)
        weights = {name: torch.randn_like(value) for name, value in network.state_dict().items()}
        old = {
            ".".join([part, former.get(key, key), *rest]): value
            for name, value in weights.items()
            for part, key, *rest in [name.split(".")]
        }
        for held in (old, weights):
            network.load_state_dict(held)
            assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> trimtab.Release:
    """Of columns with names that once met something: `first` and `name` are read together, `first_name` is not."""
    folder, draw = tmp_path_factory.mktemp("names"), random.Random(0)
    words = ["good", "bad", "long", "winding", "road", "door", "house", "really", "people", "time"]
    question = "How satisfied are you with the service that you were given? " * 6 + "(1 to 5)"
    names = ["type", "first", "name", "first_name", question, "outputs", "forward"]
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for number in range(60):
            texts = [" ".join(draw.choices(words, k=6)) for _ in range(2)]
            writer.writerow([number, *texts, draw.choice("xyz"), draw.random(), draw.random(), "ab"[number % 2]])
    kinds = ("number", "text", "text", "category", "number", "number")
    spec = {
        "data": str(folder / "rows.csv"),
        "inputs": dict(zip(names, kinds, strict=False)),
        "output": {"forward": "label"},
        "base": str(tiny_base),
        "train": {"epochs": 1},
    }
    return trimtab.launch(spec, runs=folder / "runs")


@pytest.mark.slow
def test_columns_of_any_name_go_the_whole_way(release: trimtab.Release) -> None:
    restored = fitted.read(release.folder)
    assert list(restored.network.encoders) == [
        "in_type", "in_first-name", "in_first_name",
        "in_how_satisfied_are_you_with_the_service_that_you_were_given", "in_outputs_5",
    ]  # fmt: skip
    model = runtime.load(release.folder)
    assert len(model.predict([{"type": "3", "first": "good", "name": "road", "first_name": "x"}]).rows()) == 1
    with np.load(release.folder / store.REFERENCE) as reference:
        assert {"outputs.quantiles", "outputs_5.quantiles"} <= set(reference.files)
