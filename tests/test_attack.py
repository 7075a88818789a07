"""Typing errors on purpose: they are made where the answer leans on a word, and within their budget."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle
import torch
from PIL import Image
from places import place
from sklearn.datasets import load_digits
from torch.nn import functional

from trimtab import columns, perturb, runtime
from trimtab.audit import attack
from trimtab.bundle import store
from trimtab.checks import Context
from trimtab.checks import attack as check
from trimtab.columns import encode_rows
from trimtab.data.table import Origin, Table
from trimtab.nets import adversarial
from trimtab.nets.fitted import FittedNetwork, built
from trimtab.nets.network import Architecture, EncoderEntry
from trimtab.nets.states import only


class Keywords:
    """Answers rightly where a text holds one of the words; counts how often it is asked of each text."""

    def __init__(self, *words: str) -> None:
        self.words, self.asked = words, np.zeros(10, int)

    def __call__(self, whose: Sequence[int], texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        np.add.at(self.asked, list(whose), 1)
        held = np.array([sum(word in text.split() for word in self.words) for text in texts])
        return held / len(self.words), held > 0


@pytest.mark.parametrize("words", [["lovely"], ["lovely", "funny"]])
def test_the_words_that_an_answer_leans_on_are_mistyped(words: list[str]) -> None:
    text = "a lovely little film, warm and funny from the very first minute"
    (made,), survived = attack.attacked([text], Keywords(*words), np.random.default_rng(0))
    assert survived.tolist() == [False]
    changed = [old for old, new in zip(text.split(), made.split(), strict=True) if old != new]
    assert changed == words


def test_an_answer_that_leans_on_three_words_survives_two_errors() -> None:
    model = Keywords("lovely", "funny", "minute")
    text = "a lovely little film, warm and funny from the very first minute " + "more words " * 40
    _, survived = attack.attacked([text], model, np.random.default_rng(0))
    assert survived.tolist() == [True]
    assert 40 < model.asked[0] <= attack.CALLS == 58


def test_short_words_are_never_mistyped() -> None:
    assert not attack.can_be("not so bad")
    assert not attack.can_be("很好")
    assert attack.can_be("not so good at all, sadly")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A bundle, and rows whose label is what it answers."""
    model = runtime.load(tiny_bundle.build(tmp_path_factory.mktemp("tiny")))
    answers = model.predict(tiny_bundle.ROWS).answers["mood"]
    rows = [{**row, "mood": answer} for row, answer in zip(tiny_bundle.ROWS, answers, strict=True)] * 4
    test = Table(
        {name: [row[name] for row in rows] for name in rows[0]}, [Origin("rows.csv", i) for i in range(len(rows))]
    )
    return Context(model, model.inputs, test, test, (), seed=7)


def test_only_texts_that_were_answered_rightly_are_attacked(context: Context) -> None:
    found = check.check(context)
    assert found.evidence["attack"] == {
        "rows": 20,
        "column": "review",
        "moved": None,
    }  # of 24 rows, 4 of which have no text
    share = found.measured["attack.survival"]
    assert 0 <= share.low <= share.value <= share.high <= 1
    manifest = context.model.manifest.model_copy(update={"measured": found.measured, "evidence": found.evidence})
    (section,) = check.sections(manifest)
    assert section.title == "Robustness"
    assert "of 20 texts" in section.blocks[0].text


def test_nothing_is_attacked_without_a_text(context: Context) -> None:
    assert check.check(dataclasses.replace(context, inputs=context.inputs[1:])).measured == {}


@pytest.fixture(scope="module")
def digits() -> tuple[FittedNetwork, np.ndarray, np.ndarray]:
    """A network of its first weights that tells digits apart, pictures (rows, 8, 8), and their classes (rows,)."""
    pictures, names = (load_digits().images[:20] * 15).astype(np.uint8), load_digits().target[:20].astype(str).tolist()
    image = columns.fit("image", "photo", "photo", list(pictures), {"size": 8})
    label = columns.fit("label", "digit", "digit", names, {})
    entry = EncoderEntry(name="cnn", reads=("photo",), config={})
    shape = Architecture(width=16, encoders=(entry,), fusion="concat", dropout=0.0, head="label")
    return built(shape, [image], label, seed=7), pictures, np.asarray(label.targets(names))


def test_no_pixel_moves_further_than_allowed_and_the_right_answer_gets_less_likely(
    digits: tuple[FittedNetwork, np.ndarray, np.ndarray],
) -> None:
    fitted, pictures, targets = digits
    read = encode_rows(fitted.inputs, {"photo": list(pictures)}).batch(np.arange(len(pictures)))
    random = np.random.default_rng(0)
    moved = adversarial.moved(fitted, read, "photo_pixels", targets, 8.0, (0.0, 255.0), 10, random)
    own = read["photo_pixels"].astype(np.float32)
    assert np.abs(moved - own).max() == pytest.approx(8.0)
    assert moved.min() >= 0
    assert moved.max() <= 255
    assert (_losses(fitted, moved, targets) > _losses(fitted, own, targets)).all()
    (column,) = fitted.inputs
    read_again = column.encode(perturb.budget("image").values(moved))
    np.testing.assert_array_equal(read_again, np.rint(moved).astype(np.uint8))


def _losses(fitted: FittedNetwork, pixels: np.ndarray, targets: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        logits = only(fitted.network({"photo_pixels": torch.from_numpy(pixels)}))
    return functional.cross_entropy(logits, torch.from_numpy(targets), reduction="none").numpy()


@pytest.mark.slow
def test_pictures_are_attacked_along_the_gradients_of_the_trained_network(tmp_path: Path) -> None:
    pictures, digits = load_digits(n_class=2, return_X_y=True)
    for number, picture in enumerate(pictures[:300]):
        Image.fromarray((picture.reshape(8, 8) * 15).astype(np.uint8)).save(tmp_path / f"{number}.png")
    rows = [{"photo": f"{number}.png", "digit": str(digit)} for number, digit in enumerate(digits[:300])]
    made = place(tmp_path, rows, output="digit", compress="none", train={"epochs": 3})
    assert made.launch() == 0
    drawn = store.read_manifest(made.runs / "rows" / "bundle")
    assert 20 <= drawn.evidence["attack"]["rows"] <= 30
    assert drawn.evidence["attack"]["moved"] == "each pixel by up to 8 of 255 levels"
    assert 0 <= drawn.measured["attack.survival"].value <= 1
    (section,) = check.sections(drawn)
    assert "each pixel by up to 8 of 255 levels, in 10 steps" in section.blocks[0].text
