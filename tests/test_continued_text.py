"""Texts that are learnt by themselves: rows, or blocks of a long text, written on by whoever asks."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
import typer
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

import trimtab
from trimtab import columns, request, rows, runtime
from trimtab import spec as specs
from trimtab.audit.baselines import ngrams
from trimtab.cli import evaluate
from trimtab.columns import Ragged, encode_rows
from trimtab.columns.continued_text import ContinuedTextColumn
from trimtab.data.prepare import prepare
from trimtab.data.table import Origin, Table
from trimtab.errors import TrimtabError
from trimtab.metrics import Continued
from trimtab.nets import fitted
from trimtab.nets.batch import Batch, told
from trimtab.nets.network import Network
from trimtab.progress import Quiet
from trimtab.request import Request
from trimtab.serve import completions
from trimtab.train import loop
from trimtab.train.batches import targets_of

CPU = torch.device("cpu")
BLOCK = 48
SHAPE = {"type": "text", "tokens": "characters", "decoder": {"layers": 1, "width": 32, "heads": 2}}
SPEC = {
    "blocks": BLOCK,
    "output": {"text": SHAPE},
    "train": {"epochs": 3, "threads": 1},
    "gates": {"nats_per_character": "<= 10"},
}


def verses(count: int) -> str:
    """Lines of a few words, drawn: what letters follow which can be learnt in no time."""
    draw = np.random.default_rng(0)
    words = ["moon", "sea", "the", "old", "sings", "and", "sleeps", "no", "more"]
    return "".join(" ".join(draw.choice(words, 5)) + "\n" for _ in range(count))


@pytest.fixture(scope="module")
def poem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("poem") / "poem.txt"
    target.write_text(verses(300), encoding="utf-8")
    return target


def prepared(folder: Path, **values: Any) -> Any:
    return prepare(specs.parse(values), folder, Quiet())


def parts_of(found: Any) -> tuple[Table, Table, Table]:
    return found.splits.train, found.splits.valid, found.splits.test


def checked(folder: Path, **values: Any) -> Request:
    return request.check(specs.parse(values), folder, folder / "run", Quiet())


def column(values: list[str], **options: Any) -> ContinuedTextColumn:
    found = columns.fit("continued_text", "text", "text", values, options)
    assert isinstance(found, ContinuedTextColumn)
    return found


# ------------------------------------------------------------------------------------------------------------ rows


def test_a_long_text_is_cut_into_blocks_that_follow_each_other(poem: Path) -> None:
    found = rows.read(poem, pytest.fail, blocks=BLOCK)
    assert (found.format, found.names) == ("blocks", ("text",))
    blocks = list(found)
    assert "".join(row.values["text"] for row in blocks) == poem.read_text(encoding="utf-8")
    assert {len(row.values["text"]) for row in blocks[:-1]} == {BLOCK}
    assert blocks[7].line == 1 + "".join(row.values["text"] for row in blocks[:7]).count("\n")


def test_ends_of_lines_are_one_character_whoever_wrote_them(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"One line\r\nand another\r\n\r\nthe last")
    (found,) = rows.read(tmp_path / "a.txt", pytest.fail, blocks=100)
    assert found.values == {"text": "One line\nand another\n\nthe last"}


def test_the_last_blocks_are_tested_on(poem: Path) -> None:
    found = prepared(poem.parent, data="poem.txt", **{key: SPEC[key] for key in ("blocks", "output")})
    train, valid, test = (table.values["text"] for table in parts_of(found))
    whole = poem.read_text(encoding="utf-8")
    assert "".join([*train, *valid, *test]) == whole
    assert len(test) == pytest.approx(len(whole) / BLOCK / 10, abs=1)
    assert {name: kind.type for name, kind in found.inputs.items()} == {"beginning": "beginning"}
    assert found.output.options["ends"] is False
    assert {entry.key: entry.value for entry in found.automatic}["split.by"] == "position"


@pytest.mark.parametrize(
    "inputs", [None, {}, {"id": "ignore"}], ids=["nothing else", "no inputs", "others are left out"]
)
def test_a_column_is_learnt_by_itself_where_nothing_is_read(tmp_path: Path, inputs: dict[str, str] | None) -> None:
    lines = verses(60).splitlines()
    header, cells = ("line", lines) if inputs is None else ("id,line", [f"{n},{line}" for n, line in enumerate(lines)])
    (tmp_path / "a.csv").write_text("\n".join([header, *cells, cells[0]]) + "\n", encoding="utf-8")
    found = prepared(
        tmp_path, data="a.csv", inputs=inputs, output={"line": "text"}, keep=["id"] if inputs == {} else []
    )
    assert found.task == "continued_text"
    kept = [line for table in parts_of(found) for line in table.values["line"]]
    assert sorted(kept) == sorted(set(lines))  # the line that stands there twice is in one split, once
    assert found.report["duplicates"]["dropped"] == len(lines) + 1 - len(set(lines))


def test_what_is_read_is_read_and_an_answer_of_another_type_needs_it(tmp_path: Path) -> None:
    lines = "\n".join(["asked,line", *(f"a{n},{line}" for n, line in enumerate(verses(30).splitlines()))])
    (tmp_path / "a.csv").write_text(lines, encoding="utf-8")
    assert prepared(tmp_path, data="a.csv", inputs={"asked": "text"}, output={"line": "text"}).task == "written_text"
    (tmp_path / "b.csv").write_text("\n".join(["kind", *["a", "b"] * 20]), encoding="utf-8")
    with pytest.raises(TrimtabError, match="no column is left to learn from"):
        prepared(tmp_path, data="b.csv", output={"kind": "label"})


# --------------------------------------------------------------------------------------------------------- columns


def test_white_space_is_text_and_an_end_is_learnt_where_there_is_one() -> None:
    texts = ["  two\nlines \n", "x"]
    for tokens in ("characters", "pieces"):
        whole, block = column(texts, tokens=tokens), column(texts, tokens=tokens, ends=False)
        ids = whole.ids_of(whole.targets(texts))
        assert [whole.text(ids[row][:-1].tolist()) for row in range(2)] == texts
        assert all(ids[row][-1] == whole.end for row in range(2))
        assert whole.end not in block.ids_of(block.targets(texts)).values
    assert column(["a"]).usable(" \n") == "no value"


def test_a_text_that_is_too_long_counts_as_far_as_it_is_read() -> None:
    found = column(["abcdefgh"] * 3, tokens="characters", max_tokens=4)
    targets = found.targets(["abcdefgh"])
    assert found.answered_simply(targets, np.zeros(1)).true == ["abcd"]


def test_a_beginning_is_read_in_the_same_tokens_and_comes_back_from_its_files(tmp_path: Path) -> None:
    texts = ["abc\n", "cab "]
    made = column(texts, tokens="characters", max_tokens=8).joined_with(texts, {"beginning": [None, None]})
    assert made.shared_tokenizer is not None
    (tmp_path / "tokenizer.json").write_text(made.shared_tokenizer, encoding="utf-8")
    options = {"tokenizer": str(tmp_path / "tokenizer.json"), **made.shared_options}
    begun = columns.fit("beginning", "beginning", "beginning", [None], options)
    ids = begun.encode(["abc\n", "", None, "aaaab cab", "</s>"])
    assert made.text(ids[0].tolist()) == "abc\n"
    assert ids.lengths.tolist() == [4, 0, 0, 4, 4]
    assert made.text(ids[3].tolist()) == " cab"
    assert made.end not in ids[4]
    for one in (made, begun):
        one.save(tmp_path)
        state = json.loads((tmp_path / f"{one.key}.json").read_text(encoding="utf-8"))
        assert columns.restore(tmp_path, state) == one


def test_letters_before_tell_more_than_letters_alone() -> None:
    texts = [verses(3) for _ in range(20)]
    found = column(texts, tokens="characters")
    train, test = (Table({"text": part}, [Origin("a", n) for n in range(len(part))]) for part in (texts, [verses(2)]))
    alone, runs = ngrams.answers([], train, test, found, 0).values()
    assert isinstance(alone, Continued)
    assert isinstance(runs, Continued)
    assert alone.losses is not None
    assert runs.losses is not None
    assert runs.losses[0] < alone.losses[0] / 2


# --------------------------------------------------------------------------------------------------------- network


@pytest.fixture(scope="module")
def asked(poem: Path) -> Request:
    return checked(poem.parent, data="poem.txt", **SPEC)


@pytest.fixture(scope="module")
def network(asked: Request) -> Network:
    return fitted.built(asked.architecture, asked.inputs, asked.output, seed=3).network


def given_by(network: Network, asked: Request, begun: list[str], texts: list[str]) -> list[np.ndarray]:
    encoded = encode_rows(asked.inputs, {"beginning": begun})
    found = loop.predict(network, encoded, 512, CPU, asked.output.targets(texts))
    assert isinstance(found, Ragged)
    return [found[row][:, 0] for row in range(len(texts))]


def test_a_text_behind_its_beginning_is_as_likely_as_within_the_whole(network: Network, asked: Request) -> None:
    whole = ["the old moon sings", "no more sea", "and"]
    begun = ["the old", "", "an"]
    rest = [text.removeprefix(one) for text, one in zip(whole, begun, strict=True)]
    together = given_by(network, asked, begun, rest)
    for one, known, found in zip(begun, given_by(network, asked, [""] * 3, whole), together, strict=True):
        assert found == pytest.approx(known[len(one) :], abs=1e-5)


def test_tokens_that_no_text_holds_are_never_written(network: Network, asked: Request) -> None:
    head: Any = network.head
    logits = head.logits(torch.randn(5, 32))
    assert (logits[:, [asked.output.start, asked.output.end, asked.output.pad]] < -1000).all()


def test_every_weight_learns_and_the_loss_is_that_of_the_text(network: Network, asked: Request) -> None:
    texts = ["the old moon sings", "no more sea"]
    rows, targets = encode_rows(asked.inputs, {"beginning": ["", "sea and "]}), asked.output.targets(texts)
    known = given_by(network, asked, ["", "sea and "], texts)
    tensors = {name: torch.from_numpy(part) for name, part in rows.batch(np.arange(2)).items()}
    right = targets_of(targets, np.arange(2), CPU)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    loss = network.head.loss(network.train()(tensors | told(right)), Batch(tensors, right))
    network.eval()
    expected = [-float(one.sum()) / asked.output.mean_tokens for one in known]  # type: ignore[attr-defined]
    assert loss.tolist() == pytest.approx(expected, rel=1e-4)
    loss.sum().backward()
    assert [name for name, one in network.named_parameters() if one.grad is None or not one.grad.any()] == []


# ---------------------------------------------------------------------------------------------------------- bundle


@pytest.fixture(scope="module")
def release(poem: Path) -> trimtab.Release:
    return trimtab.launch({"data": str(poem), "name": "poem", **SPEC}, runs=poem.parent / "runs")


@pytest.fixture(scope="module")
def model(release: trimtab.Release) -> runtime.Model:
    return runtime.load(release.folder)


def test_a_launch_ends_with_one_graph_and_says_how_likely_the_last_blocks_are(release: trimtab.Release) -> None:
    manifest = release.manifest
    assert manifest.released, manifest.why
    assert manifest.evidence["differs"] <= 1e-4
    assert sorted(manifest.serving.graphs) == ["step"]
    found = {name: one.value for name, one in manifest.measured.items()}
    assert {"perplexity", "repeated", "privacy.copied"} <= found.keys()
    assert not {"bleu", "chrf", "exact_match", "stopped"} & found.keys()
    assert found["nats_per_character"] / math.log(2) == pytest.approx(found["bits_per_byte"])  # of ASCII
    assert found["perplexity"] == pytest.approx(math.exp(found["nats_per_character"]))  # a token is a letter
    baselines = manifest.evidence["baselines"]
    alone = baselines["letters by how often they occur"]["nats_per_character"]["value"]
    assert baselines["runs of 6 letters"]["nats_per_character"]["value"] < alone
    assert len(manifest.evidence["continued"]) > 2


def test_the_files_say_what_the_trained_network_says_behind_any_beginning(
    release: trimtab.Release, model: runtime.Model
) -> None:
    trained = fitted.read(release.folder)
    begun, texts = ["the old", "", "and no more sea "], [" moon sings", "sea", "sleeps\nthe"]
    encoded, targets = encode_rows(trained.inputs, {"beginning": begun}), trained.output.targets(texts)
    here = loop.predict(trained.network, encoded, 512, CPU, targets)
    there = model.judged(model.outputs({"beginning": begun}), {"beginning": begun}, targets)
    assert isinstance(here, Ragged)
    assert here.values == pytest.approx(columns.named(there)["given"].values, abs=1e-4)  # type: ignore[union-attr]


def test_a_text_is_written_on_alike_alone_beside_others_and_piece_by_piece(model: runtime.Model) -> None:
    asked = [{"beginning": "the old"}, {}, {"beginning": "moon\n"}, {"beginning": None}]
    model = model.writing(longest=30, seed=4)
    found = model.predict(asked).answers["text"]
    assert [len(text) for text in found] == [30] * 4
    assert found[1] == found[3]
    assert found[0] != found[1]
    assert [model.predict([row]).answers["text"][0] for row in asked] == found
    assert ["".join(model.stream(row)) for row in asked] == found
    assert model.writing(seed=5).predict(asked).answers["text"] != found


def test_a_text_goes_on_beyond_what_the_network_sees(model: runtime.Model) -> None:
    longest = 4 * BLOCK
    found = model.writing(longest=longest, temperature=0)
    texts = found.predict([{"beginning": "the old"}, {}, {"beginning": "sea"}]).answers["text"]
    assert [len(text) for text in texts] == [longest] * 3
    context, kept = found.program.options.context, found.program.options.context // 3
    # Where it is full, it goes on from what is kept, as if that had been its beginning.
    within = context - 1 + 1  # tokens behind the one that opens it
    head, rest = texts[1][:within], texts[1][within:]
    anew = found.writing(longest=len(rest)).predict([{"beginning": head[-kept:]}]).answers["text"][0]
    assert rest[: context - kept] == anew[: context - kept]


def test_of_a_beginning_that_is_too_long_the_end_is_read_and_that_is_told(model: runtime.Model) -> None:
    (column,) = model.inputs
    long = "the old moon sings and sleeps no more " * 4
    end = long[-column.max_tokens :]  # type: ignore[attr-defined]
    model = model.writing(longest=12)
    found = model.predict([{"beginning": long}])
    assert found.answers["text"] == model.predict([{"beginning": end}]).answers["text"]
    assert [(one.kind, "the last" in one.reason) for one in found.problems] == [("cut", True)]
    with pytest.raises(TrimtabError, match="is no text"):
        model.predict([{"beginning": ["a"]}])


def test_clients_of_openai_write_on(model: runtime.Model) -> None:
    asked = completions.read(completions.Completion, {"model": "poem", "prompt": "the old"})
    assert completions.rows(asked, model) == [{"beginning": "the old"}]
    nothing = completions.read(completions.Completion, {"model": "poem"})
    assert completions.rows(nothing, model) == [{}]


def test_other_texts_are_measured_as_the_test_rows_were(release: trimtab.Release, tmp_path: Path) -> None:
    lines = [json.dumps({"text": text}) for text in ("the old moon sings no more\n", "sea and sea")]
    (tmp_path / "other.jsonl").write_text("\n".join(lines), encoding="utf-8")
    app = typer.Typer(add_completion=False)
    app.command()(evaluate.command)
    told = CliRunner().invoke(
        app, [str(release.folder), str(tmp_path / "other.jsonl"), "--json"], catch_exceptions=False
    )
    found = json.loads(told.stdout[told.stdout.index("{") :])["metrics"]
    assert set(found) == {"perplexity", "bits_per_byte", "nats_per_character"}
    assert found["perplexity"]["value"] < 30  # letters and spaces, of which not all follow each other


def test_golden_rows_are_begun_and_hold_what_is_likeliest(release: trimtab.Release, model: runtime.Model) -> None:
    lines = list(runtime.read_golden(release.folder))
    assert len({line["row"]["beginning"] for line in lines}) > 1
    assert runtime.replay(model, lines).rows == len(lines)


# ------------------------------------------------------------------------------------------------- language models


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_writing(tmp_path_factory.mktemp("base") / "gpt2", "gpt2", verses(100).splitlines())


def test_a_language_model_learns_rows_by_itself(base: Path, tmp_path: Path) -> None:
    lines = verses(40).splitlines()
    (tmp_path / "a.csv").write_text("\n".join(["line", *lines]), encoding="utf-8")
    asked = checked(tmp_path, data="a.csv", output={"line": "text"}, base=str(base))
    assert (asked.architecture.head, asked.settings.method) == ("causal", "lora")
    whole = AutoModelForCausalLM.from_pretrained(base).eval()
    tokenizer = AutoTokenizer.from_pretrained(base)
    made = fitted.built(asked.architecture, asked.inputs, asked.output)
    made.network.encoders["in_beginning"].model.load_state_dict(whole.state_dict(), strict=False)
    text, begun = "the old moon sings", "the old"
    found = loop.predict(
        made.network, encode_rows(asked.inputs, {"beginning": [begun, ""]}), 512, CPU,
        asked.output.targets([text.removeprefix(begun), text]),
    )  # fmt: skip
    assert isinstance(found, Ragged)
    end = tokenizer.eos_token_id
    for row, (known, said) in enumerate([(begun, text.removeprefix(begun)), ("", text)]):
        before, behind = (tokenizer(part, add_special_tokens=False).input_ids for part in (known, said))
        ids = torch.tensor([[end, *before, *behind, end]])
        with torch.no_grad():
            expected = whole(ids[:, :-1]).logits.log_softmax(-1)[0].gather(-1, ids[0, 1:, None])[:, 0]
        assert found[row][:, 0] == pytest.approx(expected[len(before) :].numpy(), abs=1e-4)


def test_what_cannot_be_begun_is_told(base: Path, tiny_base: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n".join(["line", *verses(40).splitlines()]), encoding="utf-8")
    (tmp_path / "b.csv").write_text("\n".join(["n,kind", *(f"{n},{'ab'[n % 2]}" for n in range(40))]), encoding="utf-8")
    common = {"data": "a.csv", "output": {"line": "text"}}
    with pytest.raises(TrimtabError, match="reads texts and writes none"):
        checked(tmp_path, **common, base=str(tiny_base))
    with pytest.raises(TrimtabError, match="nothing is asked where the rows themselves are learnt"):
        checked(tmp_path, **common, base=str(base), prompt="Go on:")
    with pytest.raises(TrimtabError, match="nothing is asked where the rows are learnt"):
        checked(tmp_path, **common, base=str(base), train={"method": "prompt"})
    with pytest.raises(TrimtabError, match="into even parts"):
        checked(tmp_path, **{**common, "output": {"line": {"type": "text", "decoder": {"width": 30, "heads": 2}}}})
    with pytest.raises(TrimtabError, match="no text that is learnt by itself"):
        checked(tmp_path, data="b.csv", inputs={"n": "number", "x": "beginning"}, output={"kind": "label"})
