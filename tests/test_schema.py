"""The JSON schema of the spec: what an editor marks as wrong is wrong, and what Trimtab takes is not marked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from trimtab import __main__, spec
from trimtab.cli import schema

ROOT = Path(__file__).resolve().parent.parent
SPECS = sorted(path for path in (ROOT / "examples").rglob("trimtab.yaml") if "grafana" not in path.parts)
OWN = ROOT / "examples" / "own-parts"  # types of its own: the schema knows them where TRIMTAB_PARTS names them
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")])
MINIMAL = {"data": "reviews.csv", "output": "sentiment"}

WRONG = {
    "an unknown key": {"outputs": "sentiment"},
    "an unknown key of train": {"train": {"epoch": 3}},
    "an unknown type": {"inputs": {"review": "txt"}},
    "an input as output": {"output": {"review": "category"}},
    "an unknown option of a type": {"inputs": {"review": {"type": "text", "max_token": 5}}},
    "an option of another type": {"inputs": {"age": {"type": "number", "max_tokens": 5}}},
    "an unknown encoder": {"inputs": {"review": {"type": "text", "encoder": "lstmm"}}},
    "an unknown fusion": {"fusion": "deep"},
    "an unknown metric": {"gates": {"acuracy": ">= 0.9"}},
    "recall of no class": {"gates": {"recall": ">= 0.9"}},
    "a gate on the worse side": {"gates": {"accuracy": "<= 0.9"}},
    "a gate without its unit": {"gates": {"size": "<= 15"}},
    "a gate without operator": {"gates": {"accuracy": "0.9"}},
    "no data": {"data": []},
    "two outputs": {"output": {"a": "label", "b": "label"}},
    "a number out of range": {"train": {"dropout": 1.5}},
    "an unknown word": {"compress": "maybe"},
}
RIGHT = {
    "several files": {"data": ["a.csv", "b.csv"]},
    "options and an encoder with options": {
        "inputs": {"photo": {"type": "image", "size": 32, "encoder": {"name": "cnn", "layers": 2}, "augment": "none"}}
    },
    "an ignored column": {"inputs": {"id": "ignore", "review": "text"}},
    "a fusion with options": {"fusion": {"name": "deepfm", "hidden": [64, 64]}},
    "gates of parts and in other units": {
        "gates": {"recall.a.b c": "> 60%", "r2.force_z": ">= .7", "latency": "<= 900 us", "throughput": ">= 1_000"}
    },
    "a search": {"compress": {"minutes": 5, "unlabelled": ["more.csv"]}},
    "a split column": {"split": "part"},
    "a ranking": {"output": {"item": {"type": "ranking", "user": "user", "time": "time"}}},
}  # fmt: skip


def shown(page: Path) -> list[str]:
    """The specs of a page."""
    return re.findall(r"^```yaml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def validator() -> Any:
    known = schema.known()
    jsonschema.Draft202012Validator.check_schema(known)
    return jsonschema.Draft202012Validator(known)


def test_every_spec_that_is_shown_fits_the_schema(validator: Any) -> None:
    texts = [path.read_text(encoding="utf-8") for path in SPECS]
    assert len(texts) >= 10
    texts += [
        block
        for page in PAGES
        if page.parent != OWN
        for block in shown(page)
        if isinstance(yaml.safe_load(block), dict)
    ]
    assert len(texts) >= 20
    assert [(text, error.message) for text in texts for error in validator.iter_errors(yaml.safe_load(text))] == []


@pytest.mark.parametrize("about", RIGHT)
def test_what_is_right_fits_the_schema(validator: Any, about: str) -> None:
    values = MINIMAL | RIGHT[about]
    spec.parse(values)
    assert [error.message for error in validator.iter_errors(values)] == []


@pytest.mark.parametrize("about", WRONG)
def test_what_is_wrong_does_not(validator: Any, about: str) -> None:
    assert list(validator.iter_errors(MINIMAL | WRONG[about])) != []


def test_every_key_is_explained(validator: Any) -> None:
    keys = validator.schema["properties"]
    assert set(keys) == set(spec.Spec.model_fields)
    parts = {"clean", "train"}  # explained by what they refer to
    assert [key for key, value in keys.items() if key not in parts and not value.get("description")] == []


def test_the_command_writes_it_and_init_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reviews.csv").write_text("review,sentiment\ngood,1\nbad,0\nfine,1\npoor,0\nnice,1\nsad,0\n")
    assert __main__.main(["init", "reviews.csv", "-o", "sentiment"]) == 0
    assert "yaml-language-server" not in Path("trimtab.yaml").read_text()
    assert __main__.main(["schema", "--to", "trimtab.schema.json"]) == 0
    assert json.loads(Path("trimtab.schema.json").read_text("utf-8")) == schema.known()
    assert __main__.main(["init", "reviews.csv", "-o", "sentiment", "--force"]) == 0
    first = Path("trimtab.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=trimtab.schema.json"
    assert __main__.main(["schema", "--to", "trimtab.schema.json"]) == 2  # it is there already


def test_it_goes_to_stdout_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema.known()


def test_parts_of_ones_own_are_in_it() -> None:
    environment = {**os.environ, "TRIMTAB_PARTS": str(OWN)}
    command = [sys.executable, "-m", "trimtab", "schema"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True).stdout
    validator = jsonschema.Draft202012Validator(json.loads(told))
    (text,) = shown(OWN / "README.md")
    assert [error.message for error in validator.iter_errors(yaml.safe_load(text))] == []
