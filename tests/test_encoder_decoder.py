"""Pretrained models with an encoder and a decoder: their files write what transformers' `generate` writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

import trimtab
from trimtab import export, pretrained, programs, request, runtime
from trimtab import spec as specs
from trimtab.columns import Ragged, encode_rows, named
from trimtab.errors import TrimtabError
from trimtab.nets import fitted
from trimtab.nets.fitted import FittedNetwork
from trimtab.progress import Quiet
from trimtab.request import Request
from trimtab.search.written import _Trained
from trimtab.train import loop

CPU = torch.device("cpu")
WORDS = ["red", "green", "blue", "rose", "sea", "frog", "old", "new", "the", "a"]
MOST = 14


def texts(count: int, seed: int = 0) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, draw.integers(1, 6))) for _ in range(count)]


def turned(text: str) -> str:
    """The words the other way round."""
    return " ".join(reversed(text.split()))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each shape, called like it, and rows to learn: texts, and their words the other way round."""
    home = tmp_path_factory.mktemp("halves")
    for shape in tiny_models.TRANSLATING:
        known = texts(60)
        tiny_models.save_translating(home / shape, shape, zip(known, map(turned, known), strict=True))
    asked = [*dict.fromkeys(texts(80, seed=1))]
    lines = [f"{one},{turned(one)},{len(one)}" for one in asked]
    (home / "rows.csv").write_text("\n".join(["asked,said,length", *lines]), encoding="utf-8")
    return home


def checked(folders: Path, shape: str, **changes: Any) -> Request:
    values = {"data": "rows.csv", "inputs": {"asked": "text"}, "output": {"said": "text"}, "base": f"./{shape}"}
    return request.check(specs.parse(values | changes), folders, folders / "runs" / shape, Quiet())


@dataclass(frozen=True)
class Made:
    """The network of a base, as it is, and the base itself."""

    request: Request
    trained: FittedNetwork
    whole: Any

    @property
    def graphs(self) -> list[Any]:
        example = self.request.train.batch(np.arange(3))
        return export.named_graphs(self.trained.network, self.trained.inputs, example)

    def program(self, **decoding: Any) -> Any:
        head = self.trained.network.head
        options = head.program_options | {"longest": MOST, "beams": 1} | decoding
        return programs.opened(head.program, options, ["encode", "step"], "network")


@pytest.fixture(scope="module", params=sorted(tiny_models.TRANSLATING))
def made(folders: Path, request: pytest.FixtureRequest) -> Made:
    asked = checked(folders, request.param)
    trained = fitted.built(asked.architecture, asked.inputs, asked.output)
    (encoder,) = trained.network.pretrained()
    assert asked.chosen.base is not None
    assert pretrained.load_weights(asked.chosen.base, encoder.model) == []
    whole = AutoModelForSeq2SeqLM.from_pretrained(folders / request.param, attn_implementation="eager").eval()
    return Made(asked, trained, whole)


WAYS: list[dict[str, Any]] = [
    {},
    {"num_beams": 4},
    {"num_beams": 3, "length_penalty": 2.0},
    {"num_beams": 3, "no_repeat_ngram_size": 2},
]
OURS = {"num_beams": "beams", "length_penalty": "length_penalty", "no_repeat_ngram_size": "no_repeat"}
ASKED = ["red rose", "the old sea the new frog a", "blue", "a green frog", "old old old", "new sea red", "the a"]


def generated(made: Made, options: dict[str, Any]) -> list[list[int]]:
    """What `generate` writes of each row, the token that ends it among it."""
    encoded = encode_rows(made.trained.inputs, {"asked": ASKED})
    tensors = {name: torch.from_numpy(one) for name, one in encoded.batch(np.arange(len(ASKED))).items()}
    found = made.whole.generate(
        tensors["asked_ids"], attention_mask=tensors["asked_mask"], max_new_tokens=MOST, do_sample=False, **options
    )
    rows = [row[1:].tolist() for row in found]
    ends = [row.index(3) + 1 if 3 in row else len(row) for row in rows]
    return [row[:end] for row, end in zip(rows, ends, strict=True)]


def written(graphs: dict[str, Any], made: Made, options: dict[str, Any]) -> list[list[int]]:
    program = made.program(**{OURS[name]: one for name, one in options.items()})
    found = named(program.run(graphs, encode_rows(made.trained.inputs, {"asked": ASKED})).outputs)["ids"]
    assert isinstance(found, Ragged)
    return [found[row].reshape(-1).tolist() for row in range(len(ASKED))]


def test_answers_are_those_of_generate_token_for_token(made: Made) -> None:
    graphs = {graph.name: _Trained(graph, made.trained.output) for graph in made.graphs}
    lengths: set[int] = set()
    for options in WAYS:
        expected = generated(made, options)
        assert written(graphs, made, options) == expected, options
        lengths |= set(map(len, expected))
    assert len(lengths) > 1  # some end by themselves


def test_rows_that_begin_at_any_time_are_written_as_alone(made: Made) -> None:
    graphs = {graph.name: _Trained(graph, made.trained.output) for graph in made.graphs}
    program = made.program()
    rows = encode_rows(made.trained.inputs, {"asked": ASKED})
    writer, said = program.writer(graphs), {}
    for row in range(len(ASKED)):  # one joins at each step
        writer.add(program.begun(graphs, rows, np.array([row])), [row], [program.options])
        for one in writer.step():
            said.setdefault(one.key, []).extend(one.ids)
    while len(writer):
        for one in writer.step():
            said.setdefault(one.key, []).extend(one.ids)
    assert [said[row] for row in range(len(ASKED))] == written(graphs, made, {})


def test_right_answers_are_as_likely_as_the_model_itself_says(made: Made) -> None:
    said = ["rose red", "frog", "a b c"]
    asked = ["red rose", "old frog", "c b a"]
    targets = made.trained.output.targets(said)
    found = loop.predict(made.trained.network, encode_rows(made.trained.inputs, {"asked": asked}), 512, CPU, targets)
    assert isinstance(found, Ragged)
    ids = made.trained.output.ids_of(targets)
    for row, text in enumerate(asked):
        read = encode_rows(made.trained.inputs, {"asked": [text]}).batch(np.array([0]))
        labels = torch.from_numpy(ids[row].copy())[None]
        with torch.no_grad():
            logits = made.whole(input_ids=torch.from_numpy(read["asked_ids"]), labels=labels).logits
        expected = logits.log_softmax(-1)[0].gather(-1, labels[0][:, None])[:, 0]
        assert found[row][:, 0] == pytest.approx(expected.numpy(), abs=1e-4)


def test_texts_are_read_as_the_tokenizer_of_the_base_reads_them(folders: Path) -> None:
    asked = checked(folders, "marian")
    tokenizer = AutoTokenizer.from_pretrained(folders / "marian")
    encoded = encode_rows(asked.inputs, {"asked": ["the old sea"]}).encoded[0]
    assert isinstance(encoded, Ragged)
    assert encoded[0].tolist() == tokenizer("the old sea").input_ids
    assert asked.architecture.head == "encoder_decoder"
    assert (asked.settings.method, asked.settings.learning_rate) == ("full", 5e-5)


@pytest.fixture(scope="module")
def release(folders: Path) -> trimtab.Release:
    """A launch from the folder of T5, whose relative places are hardest for the exporter."""
    spec = {
        "data": str(folders / "rows.csv"), "inputs": {"asked": "text"}, "base": str(folders / "t5"), "name": "t5",
        "output": {"said": {"type": "text", "beams": 2}}, "train": {"epochs": 1, "threads": 1},
        "gates": {"perplexity": "<= 100000"},
    }  # fmt: skip
    return trimtab.launch(spec, runs=folders / "runs")


def test_a_launch_ends_with_files_that_write_as_the_trained_network_does(release: trimtab.Release) -> None:
    manifest = release.manifest
    assert manifest.released, manifest.why
    assert manifest.evidence["differs"] <= 1e-4
    assert sorted(manifest.serving.graphs) == ["encode", "step"]
    assert {"chrf", "perplexity"} <= manifest.measured.keys()


def test_the_files_write_what_generate_writes_of_the_weights_beside_them(
    release: trimtab.Release, folders: Path
) -> None:
    trained, model = fitted.read(release.folder), runtime.load(release.folder)
    whole = AutoModelForSeq2SeqLM.from_pretrained(folders / "t5", attn_implementation="eager").eval()
    own = {name.removeprefix("encoders.in_asked.model."): one for name, one in trained.network.state_dict().items()}
    assert whole.load_state_dict(own, strict=False).unexpected_keys == []
    whole.tie_weights()
    made = Made(checked(folders, "t5"), trained, whole)
    for options in WAYS[:2]:
        asked = {OURS[name]: one for name, one in options.items()}
        rows = encode_rows(model.inputs, {"asked": ASKED})
        ids = named(model.writing(longest=MOST, **{"beams": 1, **asked}).outputs(rows))["ids"]
        assert isinstance(ids, Ragged)
        assert [ids[row].reshape(-1).tolist() for row in range(len(ASKED))] == generated(made, options)


@pytest.mark.slow  # an export of each
@pytest.mark.parametrize("shape", ["bart", "marian"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_other_shapes_are_taught_and_served(folders: Path, tmp_path: Path, shape: str, method: str) -> None:
    spec = {
        "data": str(folders / "rows.csv"), "inputs": {"asked": "text"}, "output": {"said": "text"},
        "base": str(folders / shape), "train": {"epochs": 1, "threads": 1, "method": method},
        "gates": {"perplexity": "<= 100000"},
    }  # fmt: skip
    manifest = trimtab.launch(spec, runs=tmp_path).manifest
    assert manifest.released, manifest.why
    assert manifest.evidence["differs"] <= 1e-4


def test_what_such_a_model_cannot_do_is_told(folders: Path) -> None:
    with pytest.raises(TrimtabError, match="a model that writes, but the output is number"):
        checked(folders, "marian", output={"length": "number"})
    with pytest.raises(TrimtabError, match="reads asked alone, and not length"):
        checked(folders, "marian", inputs={"asked": "text", "length": "number"})
    with pytest.raises(TrimtabError, match="'frozen', but the head that writes"):
        checked(folders, "marian", train={"method": "frozen"})
    unknown = folders / "fsmt"
    unknown.mkdir()
    for file in (folders / "marian").iterdir():
        (unknown / file.name).write_bytes(file.read_bytes())
    config = (unknown / "config.json").read_text(encoding="utf-8").replace('"marian"', '"fsmt"')
    (unknown / "config.json").write_text(config, encoding="utf-8")
    with pytest.raises(TrimtabError, match="an encoder with a decoder of type 'fsmt'"):
        checked(folders, "fsmt")
