"""Several modalities at once: pictures, texts and numbers of one row become one answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from places import Place, place
from sklearn.datasets import load_digits

import trimtab
from trimtab.__main__ import main
from trimtab.bundle import store

ROWS = 180


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory, reviews: list[dict[str, object]], tiny_base: Path) -> Place:
    """A product with a picture (a digit), a review and a price: it is sold when the three agree."""
    folder = tmp_path_factory.mktemp("shop")
    digits = load_digits(n_class=2)
    rows: list[dict[str, object]] = []
    for number in range(ROWS):
        pixels, digit, review = digits.images[number], int(digits.target[number]), reviews[number]
        Image.fromarray((pixels * 15).astype(np.uint8)).save(folder / f"{number}.png")
        price = 10 + 25 * digit + number % 7
        sold = "yes" if digit else "no"
        rows.append({"photo": f"{number}.png", "review": review["review"], "price": price, "sold": sold})
    spec = {
        "output": "sold",
        "inputs": {"photo": {"type": "image", "encoder": "cnn"}, "review": "text", "price": "number"},
        "base": str(tiny_base),
        "train": {"epochs": 2, "learning_rate": 1e-3},
        "gates": {"accuracy": ">= 0.8"},
    }
    made = place(folder, rows, **spec)
    assert made.launch() == 0
    return made


def test_a_picture_a_text_and_a_number_are_learnt_together_and_released(launched: Place) -> None:
    manifest = store.read_manifest(launched.runs / "rows" / "bundle")
    assert [column.type for column in manifest.inputs] == ["image", "text", "number"]
    assert manifest.released
    assert manifest.evidence["differs"] <= 1e-4


def test_a_bundle_of_three_modalities_serves_rows_and_replays_its_golden_ones(launched: Place) -> None:
    bundle = launched.runs / "rows" / "bundle"
    assert main(["verify", str(bundle)]) == 0
    model = trimtab.load(bundle)
    rows = [
        {"photo": str(launched.folder / "0.png"), "review": "A warm, funny film.", "price": 12},
        {"photo": str(launched.folder / "1.png"), "review": "", "price": None},
        {"photo": None, "review": None, "price": 38},
    ]
    together = model.predict(rows)
    assert together.answers["sold"][:2] == ["no", "yes"]
    for number, row in enumerate(rows):  # what stands beside a row changes nothing
        alone = model.outputs({name: [row[name]] for name in row})
        beside = model.outputs({name: [one[name] for one in rows] for name in row})
        np.testing.assert_allclose(alone[0], beside[number], atol=1e-5)
