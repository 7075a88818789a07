"""Every example: its page shows its spec, and its spec goes all the way on a small part of its data."""

from __future__ import annotations

import csv
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fetching
import numpy as np
import pytest
import soundfile
import yaml
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

import trimtab
from trimtab import spec
from trimtab.data import samples

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
REAL = "TRIMTAB_EXAMPLES_DATA"  # names a folder with the data of the examples that are not on PyPI, unpacked
RATE = 8_000  # samples a second

Row = dict[str, str]


@dataclass(frozen=True)
class Small:
    """How an example's data are made small: rows of the sample, or a function that writes a folder."""

    keep: Callable[[list[Row]], list[Row]] | None = None
    folder: Callable[[Path], None] | None = None
    changes: Callable[[dict[str, Any]], dict[str, Any]] = dict  # to the spec


def spread(count: int) -> Callable[[list[Row]], list[Row]]:
    """So many rows, from all over the table."""
    return lambda rows: rows[:: max(1, len(rows) // count)][:count]


def of_users(last: int) -> Callable[[list[Row]], list[Row]]:
    """All rows of the users 1 to `last`."""
    return lambda rows: [row for row in rows if int(row["user"]) <= last]


def digits(target: Path) -> None:
    """The first twelve pictures of each class."""
    made = samples.SAMPLES["digits"].made
    assert isinstance(made, samples.Folder)
    samples.Folder(lambda: few(made.files(), 12)).write(target)


def few(files: Iterator[tuple[str, bytes]], each: int) -> Iterator[tuple[str, bytes]]:
    counts: Counter[str] = Counter()
    for name, content in files:
        label = name.split("/")[0]
        counts[label] += 1
        if counts[label] <= each:
            yield name, content


def photos(target: Path) -> None:
    """In place of the cells, whose archive is large: pieces of scikit-learn's photographs of a temple and a flower."""
    for label, photo in zip(("sound", "defective"), load_sample_images().images, strict=True):
        (target / label).mkdir(parents=True)
        for number in range(16):
            top, left = 80 * (number // 6), 90 * (number % 6)
            Image.fromarray(photo[top : top + 96, left : left + 96]).save(target / label / f"{number}.png")


def tones(target: Path) -> None:
    """In place of the recordings: a tone for each digit, each time with other noise."""
    draw = np.random.default_rng(7)
    for part, count in {"train": 6, "test": 2}.items():
        for digit in range(10):
            (target / part / str(digit)).mkdir(parents=True)
            for take in range(count):
                tone = np.sin(np.arange(RATE // 4) * 2 * np.pi * (300 + 150 * digit) / RATE)
                noisy = 0.3 * tone + 0.01 * draw.standard_normal(len(tone))
                soundfile.write(target / part / str(digit) / f"{take}.wav", noisy, RATE)


def pairs(target: Path) -> None:
    """Twelve digits of each class, and the same ones with noise, as the example's script writes them."""
    digits(target.parent / "digits")
    noise = EXAMPLES / "denoise" / "noise.py"
    subprocess.run([sys.executable, noise, target.parent / "digits"], check=True, timeout=60)


def captions(target: Path) -> None:
    """Three of scikit-learn's digits of 8 x 8 pixels side by side, in place of MNIST's."""
    digits = load_digits()
    for number in range(120):
        file = target.parent / "digits" / str(digits.target[number]) / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[number] * 15).astype(np.uint8)).save(file)
    runpy.run_path(str(EXAMPLES / "captions" / "compose.py"))["compose"](target.parent / "digits", 48, target.parent)


def translations(target: Path) -> None:
    """Some sentences and their words in reverse, in place of those of another language."""
    for part, first, last in (("train", 0, 150), ("test", 150, 180)):
        said = [f"A {'dog' if n % 2 else 'man'} sees {n} {'trees' if n % 3 else 'cars'}." for n in range(first, last)]
        with target.with_name(f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("en", "de"), *((one, " ".join(reversed(one.split()))) for one in said)])


def smaller_pictures(spec: dict[str, Any]) -> dict[str, Any]:
    return {**spec, "inputs": {"image": {"type": "image", "size": 64}}}


SMALL = {
    "captions": Small(folder=captions),
    "clicks": Small(spread(400)),
    "denoise": Small(folder=pairs),
    "digits": Small(folder=digits),
    "digits-drawn": Small(folder=digits),
    "heart": Small(spread(303)),
    "hotel-reviews": Small(spread(200)),
    "income": Small(spread(300)),
    "movies": Small(of_users(30)),
    "solar-cells": Small(folder=photos, changes=smaller_pictures),
    "spoken-digits": Small(folder=tones),
    "translate": Small(folder=translations),
    "tweets": Small(spread(120)),  # with a tiny encoder of random weights for the pretrained one
}
# To export an EfficientNet, or sounds, takes long; the others are of kinds that other tests launch.
SLOW = {
    "captions", "clicks", "denoise", "digits", "digits-drawn", "hotel-reviews", "income", "movies", "solar-cells",
    "spoken-digits", "translate", "tweets",
}  # fmt: skip
NOT_RUN_HERE = {"reviews"}  # tests/test_launch.py and others run it
SAMPLE = {"captions": "digits", "denoise": "digits", "digits-drawn": "digits"}  # not called like their sample


def read(name: str) -> tuple[str, dict[str, Any]]:
    """An example's spec, as it is written and as values."""
    text = (EXAMPLES / name / "trimtab.yaml").read_text(encoding="utf-8")
    return text, yaml.safe_load(text)


def launch(name: str, data: Path, base: Path, folder: Path) -> trimtab.Release:
    """Launch an example's spec, but for its gates, with one epoch on other data."""
    _, values = read(name)
    values = {key: value for key, value in SMALL[name].changes(values).items() if key != "gates"}
    values["train"] = {**values.get("train", {}), "epochs": 1}
    if name == "tweets":
        values["base"] = str(base)
    if "test" in values:
        values["test"] = str(data.parent / values["test"])
    folder.mkdir(exist_ok=True)
    (folder / "trimtab.yaml").write_text(yaml.safe_dump({**values, "data": str(data)}), encoding="utf-8")
    return trimtab.launch(folder / "trimtab.yaml", runs=folder / "runs")


def table(name: str, keep: Callable[[list[Row]], list[Row]], target: Path) -> None:
    """Write some rows of a sample as csv."""
    whole = target.with_name(f"whole-{target.name}")
    fetching.sample(name, whole)
    with whole.open(encoding="utf-8", newline="") as source, target.open("w", encoding="utf-8", newline="") as file:
        rows = keep(list(csv.DictReader(source)))
        sink = csv.DictWriter(file, list(rows[0]))
        sink.writeheader()
        sink.writerows(rows)


def prepared(name: str, folder: Path) -> Path:
    """The small data of an example."""
    small = SMALL[name]
    data = folder / str(read(name)[1]["data"])
    if small.keep:
        table(name, small.keep, data)
    elif small.folder:
        if SAMPLE.get(name, name) == "digits":
            fetching.archive("digits")
        small.folder(data)
    return data


def test_every_example_is_run_by_these_tests() -> None:
    found = {path.parent.name for path in EXAMPLES.glob("*/trimtab.yaml")}
    assert found == SMALL.keys() | NOT_RUN_HERE
    assert len(found) == 14


@pytest.mark.parametrize("name", SMALL)
def test_a_spec_is_short_and_its_page_shows_it(name: str) -> None:
    text, values = read(name)
    page = (EXAMPLES / name / "README.md").read_text(encoding="utf-8")
    asked = spec.parse(values, text)
    assert 5 <= len(text.splitlines()) <= 15
    assert re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL) == [text]
    assert len(page.splitlines()) <= 80  # a screen, the spec and the output included
    assert f"$ trimtab launch examples/{name}/trimtab.yaml" in page
    assert asked.gates
    for gate in asked.gates:  # each stands in the output that is shown, with what was measured
        assert re.search(rf"^ +{re.escape(gate)} +[<>]= \S+.* (not )?met *$", page, re.MULTILINE), gate


@pytest.mark.parametrize("name", [name for name in SMALL if name not in ("spoken-digits", "translate")])
def test_a_page_says_how_its_data_are_fetched(name: str) -> None:
    page = (EXAMPLES / name / "README.md").read_text(encoding="utf-8")
    sample = SAMPLE.get(name, name)
    data = sample if name in SAMPLE else read(name)[1]["data"]
    archive = samples.SAMPLES[sample].archive
    assert f"$ trimtab sample {sample} --to examples/{name}/{data}\n" in page
    assert archive is not None
    assert archive.requirement.replace("==", " ") in " ".join(page.split())  # the source is named
    ignored = (EXAMPLES.parent / ".gitignore").read_text(encoding="utf-8")
    assert f"/examples/{name}/{data}" in ignored  # and never becomes part of the repository


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in SMALL])
def test_a_spec_goes_all_the_way(name: str, tmp_path: Path, tiny_base: Path) -> None:
    """On a few rows, for one epoch.

    `solar-cells` and `spoken-digits` on stand-ins for the real files, see `photos` and `tones`.
    """
    release = launch(name, prepared(name, tmp_path), tiny_base, tmp_path / "launched")
    assert release.released
    assert release.manifest.evidence["differs"] <= 1e-4
    answers = [*release.manifest.measured]
    assert {"size", "latency"} < set(answers)
    assert (release.folder / "card.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spoken-digits"])
def test_what_is_not_on_pypi_is_tried_where_the_real_data_are(name: str, tmp_path: Path, tiny_base: Path) -> None:
    given = os.environ.get(REAL)
    if not given:
        pytest.skip(f"{REAL} names no folder with the real data")
    data = Path(shutil.copytree(Path(given) / name, tmp_path / name))
    assert launch(name, data, tiny_base, tmp_path / "launched").released
