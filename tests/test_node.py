"""A bundle from another language: JavaScript reads its files, and answers as Python does."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.places import place

import trimtab

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "node"
STRANGE = [
    "", "   ", "a", "NO!!", "naïve café, Straße, İstanbul", "好用，物超所值。", "مرحبا بالعالم", "👍🏽 great 😀😀",
    "tab\tand\nnew line\r\n", "zero\x00byte and \ufffd", "\u200bzero\u200dwidth", "e\u0301 and \u00e9", "x" * 500,
    "[CLS] [MASK] [SEP] [PAD]", "1,234.56 $ 50% -- ... ``quotes''", "ﬁne ①②③ ＦＵＬＬ", "𝒻𝒶𝓃𝒸𝓎", "so " * 400,
]  # fmt: skip
ASK = """
import { readFileSync } from "node:fs";
import { load } from "./predict.mjs";
const predict = await load(process.argv[2]);
const answers = [];
for (const text of JSON.parse(readFileSync(0, "utf8"))) answers.push(await predict(text));
console.log(JSON.stringify(answers));
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its two packages."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("no Node.js and npm on this machine")
    folder = tmp_path_factory.mktemp("node") / "example"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]  # the script would fetch CUDA
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"npm cannot install: {done.stderr[-200:]}")
    (folder / "ask.mjs").write_text(ASK)
    return folder


def by_node(example: Path, bundle: Path, texts: list[str]) -> list[dict[str, Any]]:
    """What the example answers."""
    command = ["node", "ask.mjs", str(bundle)]
    done = subprocess.run(command, cwd=example, input=json.dumps(texts), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("inputs", ["text", {"type": "text", "encoder": "textcnn"}], ids=["pretrained", "from scratch"])
def test_javascript_answers_every_text_as_python_does(
    installed: Path, tmp_path: Path, reviews: list[dict[str, object]], tiny_base: Path, inputs: Any
) -> None:
    spec = {"inputs": {"review": inputs}, "output": "sentiment", "train": {"epochs": 1}}
    base = {"base": str(tiny_base)} if inputs == "text" else {}
    bundle = place(tmp_path, reviews, **spec, **base).folder
    bundle = trimtab.launch(bundle / "trimtab.yaml", runs=tmp_path / "runs").folder
    texts = [str(row["review"]) for row in reviews] + STRANGE + mixed(reviews)
    found = by_node(installed, bundle, texts)
    model = trimtab.load(bundle)
    wanted = model.predict([{"review": text} for text in texts])
    wrong = [
        text for text, one, other in zip(texts, found, wanted, strict=True) if one["sentiment"] != other["sentiment"]
    ]
    assert wrong == []
    for one, logits in zip(found, wanted.outputs, strict=True):
        assert one["logits"] == pytest.approx(logits.tolist(), abs=1e-4)


def mixed(reviews: list[dict[str, object]]) -> list[str]:
    """Pieces of real reviews between strange letters, the same in every run."""
    draw = random.Random(7)
    pieces = [str(row["review"]) for row in reviews] + STRANGE
    return [" ".join(draw.sample(pieces, 3))[: draw.randrange(400)] for _ in range(200)]
