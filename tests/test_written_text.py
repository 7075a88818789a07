"""Texts that are answered: learnt by being told the right ones, written step by step, the same from the files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import trimtab
from trimtab import columns, runtime, spec
from trimtab.audit.baselines import texts as baselines
from trimtab.bundle import store
from trimtab.columns import Named, Ragged, encode_rows, taken
from trimtab.columns.written_text import IDS, SCORES, WrittenTextColumn
from trimtab.data.table import Origin, Table
from trimtab.errors import TrimtabError
from trimtab.nets.batch import Batch, LossOptions, told
from trimtab.nets.heads.written_text import Cache, WrittenTextHead
from trimtab.nets.network import Architecture, EncoderEntry, Network
from trimtab.pipeline.recompress import compress
from trimtab.progress import Quiet
from trimtab.train import loop
from trimtab.train.batches import targets_of
from trimtab.train.method import TrainingData
from trimtab.train.methods.supervised import SupervisedMethod
from trimtab.train.settings import choose

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
CPU = torch.device("cpu")


def numbers(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Some digits, and the words for them: what a network of a few thousand weights can learn to write."""
    draw = np.random.default_rng(seed)
    rows = [draw.integers(0, 10, draw.integers(1, 5)).tolist() for _ in range(count)]
    return [" ".join(map(str, row)) for row in rows], [" ".join(DIGITS[one] for one in row) for row in rows]


def column(values: list[str], **options: Any) -> WrittenTextColumn:
    found = columns.fit("written_text", "said", "said", values, options)
    assert isinstance(found, WrittenTextColumn)
    return found


def outputs_of(ids: Ragged, **more: Any) -> Named:
    """As `programs.stepwise` gives them, each token equally likely."""
    scores = Ragged(np.full((len(ids.values), 1), -0.5, np.float32), ids.offsets)
    return Named({IDS: Ragged(ids.values[:, None], ids.offsets), SCORES: scores, **more})


# ---------------------------------------------------------------------------------------------------------- tokens


ODD = ["Zwei Mäuse, \N{SNOWMAN}!", "a  b\n\tc", "</s> <pad> is text", "\u4e24\u53ea\u8001\u9f20", "x" * 40]


def test_what_is_told_as_right_is_read_back_as_it_was() -> None:
    found = column(["Zwei Mäuse laufen.", *ODD])
    targets = found.targets(ODD)
    assert found.decode(outputs_of(found.ids_of(targets)))["said"] == ODD
    assert found.answered(targets, outputs_of(found.ids_of(targets))).given == ODD
    assert all(found.ids_of(targets)[row][-1] == found.end for row in range(len(ODD)))


def test_equal_rows_give_an_equal_vocabulary_whatever_it_is_made_of() -> None:
    rows = numbers(300)[1]
    for tokens in ("pieces", "characters"):
        assert column(rows, tokens=tokens) == column(rows, tokens=tokens)
    assert column(rows, tokens="characters").vocabulary == 4 + len(set("".join(rows)))
    assert column(ODD * 2, vocabulary=300).vocabulary == 300


def test_a_character_that_was_never_seen_stays_in_what_is_right_and_is_never_written() -> None:
    found = column(["abc", "cab"], tokens="characters")
    targets = found.targets(["abz"])
    answers = found.answered(targets, outputs_of(found.ids_of(targets)))
    assert answers.true == ["abz"]
    assert answers.given == ["ab"]


def test_an_answer_is_as_long_as_nearly_all_rows_need_and_what_is_longer_has_no_end() -> None:
    found = column([*["one two three"] * 2000, "one " * 400])
    assert found.max_tokens == 8
    cut = found.ids_of(found.targets(["one two three", "one " * 400]))
    assert cut.lengths.tolist()[1] == 8
    assert found.end not in cut[1]
    right = found.answered(found.targets(["one " * 400]), outputs_of(cut.take(np.array([1])))).true
    assert right == ["one " * 399 + "one"]
    assert column(["one two three"], max_tokens=5).max_tokens == 5


def test_a_text_of_the_input_is_read_in_the_tokens_that_are_written() -> None:
    asked, said = numbers(200)
    alone = column(said)
    joint = alone.joined_with(said, {"asked": asked})
    assert joint.beside == ("asked",)
    assert joint.shared_tokenizer == joint.definition
    assert alone.shared_tokenizer is None
    assert column(said, joint=False).joined_with(said, {"asked": asked}).shared_tokenizer is None
    assert joint.tokenizer.token_to_id("\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}7") is not None


def test_a_column_comes_back_from_its_files(tmp_path: Path) -> None:
    said = numbers(50)[1]
    found = column(said, beams=2, stop=["\n"]).joined_with(said, {"asked": said})
    found.save(tmp_path)
    state = json.loads((tmp_path / "said.json").read_text(encoding="utf-8"))
    assert columns.restore(tmp_path, state) == found


def test_an_answer_ends_before_a_text_that_stops_it() -> None:
    found = column(["one two", "three"])
    ids = found.ids_of(found.targets(["one two", "three"]))
    kept = np.array([[4], [-1]])  # characters, the space before the first word counted
    assert found.decode(outputs_of(ids, kept=kept))["said"] == ["one", "three"]


def test_what_is_no_answer_is_told() -> None:
    found = column(["one", "two"])
    assert found.usable("  ") == "no value"
    assert found.usable(None) == "no value"
    assert found.usable("NA") is None
    with pytest.raises(ValueError, match="said: no value"):
        found.targets(["one", ""])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tokens": "words"}, "pieces"),
        ({"vocabulary": 10}, "300 to 200,000"),
        ({"beams": 0}, "followed at once"),
        ({"bems": 2}, "beams"),
    ],
)
def test_an_option_that_cannot_be_is_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(TrimtabError, match=said):
        column(["one", "two"], **options)


# --------------------------------------------------------------------------------------------------------- network


class Made:
    """A tiny untrained network that writes, and some rows."""

    def __init__(self, rows: int = 60) -> None:
        asked, said = numbers(rows)
        self.output = column(said, max_tokens=12).joined_with(said, {"asked": asked})
        self.output = replace(self.output, max_tokens=12)
        definition = self.output.shared_tokenizer
        assert definition is not None
        text = columns.fit("text", "asked", "asked", asked, {"vocabulary": 300})
        self.inputs = [replace(text, definition=definition, pad_id=0, max_tokens=16)]
        self.rows = encode_rows(self.inputs, {"asked": asked})
        self.targets = self.output.targets(said)

    @property
    def architecture(self) -> Architecture:
        config, _ = WrittenTextHead.settled({"layers": 2, "width": 32, "heads": 2}, 60, "decoder")
        entry = EncoderEntry(name="transformer", reads=("asked",), config={"layers": 1, "heads": 2})
        return Architecture(
            width=32, encoders=(entry,), fusion="mean", dropout=0.1, head="written_text", head_config=config
        )

    def network(self, seed: int = 1) -> Network:
        torch.manual_seed(seed)
        return Network(self.architecture, self.inputs, self.output)

    @property
    def data(self) -> TrainingData:
        return TrainingData(self.rows, self.targets, self.rows, self.targets, self.output)


@pytest.fixture(scope="module")
def made() -> Made:
    return Made()


def given_by(network: Network, made: Made, rows: list[int]) -> list[np.ndarray]:
    picked = np.array(rows)
    found = loop.predict(network, made.rows.take(picked), 512, CPU, taken(made.targets, picked))
    assert isinstance(found, Ragged)
    return [found[row][:, 0] for row in range(len(rows))]


def test_the_table_of_tokens_is_one_for_what_is_read_and_written(made: Made) -> None:
    network = made.network()
    names = [name for name, weight in network.named_parameters() if weight.shape[0] == made.output.vocabulary]
    assert names == ["encoders.in_asked.embed.table.weight", "head.bias"]


def test_how_likely_an_answer_is_does_not_hang_on_the_rows_beside_it(made: Made) -> None:
    network = made.network()
    together = given_by(network, made, list(range(12)))
    assert len({len(one) for one in together}) > 2
    for row, found in enumerate(together):
        assert given_by(network, made, [row])[0] == pytest.approx(found, abs=2e-5)


def test_steps_with_kept_keys_and_values_say_what_the_whole_answer_says(made: Made) -> None:
    network = made.network().eval()
    head, row = network.head, 3
    expected = given_by(network, made, [row])[0]
    tensors = {name: torch.from_numpy(part) for name, part in made.rows.batch(np.array([row])).items()}
    ids = made.output.ids_of(made.targets)[row]
    past: list[Cache] = []
    with torch.no_grad():
        memory, before = head.memory(network.states(tensors)), head.start
        for place, token in enumerate(ids.tolist()):
            mask = torch.zeros(1, 1, 1, place + 1)
            decoded, past = head.decoded(torch.tensor([[before]]), torch.tensor([[place]]), mask, memory, past)
            found = torch.log_softmax(head.logits(decoded), -1)[0, 0, token]
            assert float(found) == pytest.approx(expected[place], abs=1e-5)
            before = token


def loss_of(network: Network, made: Made, rows: np.ndarray, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """The loss of rows, as it is learnt from, and the logits of their tokens."""
    tensors = {name: torch.from_numpy(part) for name, part in made.rows.batch(rows).items()}
    targets = targets_of(made.targets, rows, CPU)
    answers = network.train()(tensors | told(targets))
    loss = network.head.loss(answers, Batch(tensors, targets, LossOptions(smoothing)))
    return loss, answers["logits"].values


def test_the_loss_is_that_of_the_answer_alone_each_token_counting_the_same(made: Made) -> None:
    network = made.network()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    rows = np.arange(9)
    loss, logits = loss_of(network, made, rows)
    lengths = made.output.ids_of(made.targets).take(rows).lengths
    assert len(logits) == lengths.sum()  # none of padding
    expected = [-one.sum() / made.output.mean_tokens for one in given_by(network, made, rows.tolist())]
    assert loss.tolist() == pytest.approx(expected, rel=1e-4)
    smooth = loss_of(network, made, rows, 0.1)[0].tolist()
    assert smooth != pytest.approx(loss.tolist(), rel=1e-3)


def test_every_weight_learns(made: Made) -> None:
    network = made.network()
    loss_of(network, made, np.arange(30))[0].sum().backward()
    still = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert still == []


def settings_for(made: Made, **changes: Any) -> Any:
    asked = spec.parse({"data": "x.csv", "output": {"said": "text"}, "train": {"threads": 1, **changes}})
    return choose(asked, made.output, None, len(made.rows), made.data.steps, None, CPU, "sequences")[0]


def test_the_length_of_an_answer_counts_in_what_its_batch_costs(made: Made) -> None:
    data, chosen = made.data, settings_for(made, batch_tokens=64)
    lengths = made.output.ids_of(made.targets).lengths
    assert data.steps.tolist() == (made.rows.steps + lengths).tolist()
    batches = [batch for group in SupervisedMethod().batches(data.steps, chosen, 0, None) for batch in group]
    assert sorted(np.concatenate(batches).tolist()) == list(range(60))
    assert max(len(batch) * int(data.steps[batch].max()) for batch in batches) <= 64


class Stopped(Quiet):
    """Ends a run at a step, as a kill would."""

    def __init__(self, at: int) -> None:
        self.at, self.ticks = at, 0

    def tick(self, done: int, total: int, figures: Mapping[str, float | str]) -> None:
        self.ticks += 1
        if self.ticks == self.at:
            raise KeyboardInterrupt


def test_a_run_that_was_stopped_ends_with_the_same_weights(made: Made, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "_TELL_SECONDS", 0.0)
    chosen = settings_for(made, epochs=2, batch_tokens=256, checkpoint_seconds=0)
    whole, part = made.network(), made.network()
    trained = loop.train(whole, made.data, chosen, tmp_path / "whole", Quiet())
    assert trained.history[-1]["score"] < trained.history[0]["score"]  # perplexity
    with pytest.raises(KeyboardInterrupt):
        loop.train(part, made.data, chosen, tmp_path / "part", Stopped(5))
    again = made.network()
    loop.train(again, made.data, chosen, tmp_path / "part", Quiet())
    assert all(torch.equal(one, again.state_dict()[name]) for name, one in whole.state_dict().items())


def test_the_shape_of_a_decoder_is_chosen_by_the_rows_and_a_wrong_one_is_told() -> None:
    few, many = (WrittenTextHead.settled({}, rows, "output.said.decoder")[0] for rows in (100, 30_000))
    assert (few["layers"], few["width"]) < (many["layers"], many["width"])
    with pytest.raises(TrimtabError, match="3 heads do not divide a width of 32"):
        WrittenTextHead.settled({"heads": 3, "width": 32}, 100, "output.said.decoder")
    with pytest.raises(TrimtabError, match="no option named 'layer'"):
        WrittenTextHead.settled({"layer": 3}, 100, "output.said.decoder")


# ------------------------------------------------------------------------------------------------------- baselines


def test_the_nearest_training_pair_and_the_input_itself_are_answers() -> None:
    asked, said = ["a red dog", "a blue cat", "two birds"], ["ein roter Hund", "eine blaue Katze", "a blue cat"]
    found = column(said)
    inputs = [columns.fit("text", "asked", "asked", asked, {})]
    train = Table({"asked": asked, "said": said}, [Origin("train.csv", line) for line in range(2, 5)])
    test = Table({"asked": ["the blue cat"], "said": ["x"]}, [Origin("test.csv", 2)])
    given = baselines.answers(inputs, train, test, found, 0)
    assert {name: one.given for name, one in given.items()} == {
        "commonest answer": ["a blue cat"],
        "nearest training pair": ["eine blaue Katze"],
        "copy of the input": ["the blue cat"],
    }


# ---------------------------------------------------------------------------------------------------------- bundle


TINY = {
    "inputs": {"asked": {"type": "text", "encoder": {"name": "transformer", "layers": 1, "heads": 2}}},
    "output": {"said": {"type": "text", "beams": 2, "decoder": {"layers": 1, "width": 32, "heads": 2}}},
    "train": {"epochs": 3, "threads": 1},
    "gates": {"perplexity": "<= 1000", "bleu": ">= 0"},
}


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> trimtab.Release:
    """A bundle that was launched from 200 rows; some rows are asked twice and answered differently."""
    folder = tmp_path_factory.mktemp("written")
    asked, said = numbers(200)
    rows = [{"asked": one, "said": two} for one, two in zip(asked, said, strict=True)]
    rows += [{"asked": "1 2 3", "said": "one two three"}, {"asked": "1 2 3", "said": "first second third"}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "rows.jsonl").write_text(lines, encoding="utf-8")
    return trimtab.launch({"data": str(folder / "rows.jsonl"), "name": "written", **TINY}, runs=folder / "runs")


def test_a_launch_ends_with_files_that_write_as_the_trained_network_does(release: trimtab.Release) -> None:
    manifest = release.manifest
    assert manifest.released, manifest.why
    assert manifest.evidence["differs"] <= 1e-4
    assert sorted(manifest.serving.graphs) == ["encode", "step"]
    assert manifest.serving.program.name == "stepwise"
    assert manifest.serving.program.options["beams"] == 2
    assert {"chrf", "bleu", "perplexity", "exact_match", "bits_per_byte", "stopped"} <= manifest.measured.keys()
    assert manifest.measured["perplexity"].low < manifest.measured["perplexity"].high
    assert {"commonest answer", "nearest training pair", "copy of the input"} == manifest.evidence["baselines"].keys()
    assert manifest.data["conflicts"]["groups"] == 0


def test_a_bundle_answers_with_texts(release: trimtab.Release) -> None:
    model = runtime.load(release.folder)
    found = model.predict([{"asked": "1 2"}, {"asked": "3"}])
    assert all(isinstance(text, str) for text in found.answers["said"])
    assert all(0 <= one <= 1 for one in found.answers["confidence"])
    assert found.rows()[0].keys() == {"said", "confidence"}
    alone = model.predict([{"asked": "3"}])
    assert alone.answers["said"][0] == found.answers["said"][1]


def test_how_likely_right_answers_are_is_known_of_given_ones(release: trimtab.Release) -> None:
    model = runtime.load(release.folder)
    targets = model.output.targets(["one two", "three"])
    rows = {"asked": ["1 2", "3"]}
    found = model.judged(model.outputs(rows), rows, targets)
    answers = model.output.answered(targets, found)
    assert answers.tokens.tolist() == model.output.ids_of(targets).lengths.tolist()
    assert (answers.losses > 0).all()


def test_the_card_shows_examples_and_what_simple_answers_are_worth(release: trimtab.Release) -> None:
    card = (release.folder / "card.md").read_text(encoding="utf-8")
    assert "nearest training pair" in card
    assert "Answers said (text) from asked (text)." in card
    assert "| asked | true | predicted |" in card


@pytest.mark.slow  # a second launch
def test_the_same_spec_and_rows_give_the_same_bundle(release: trimtab.Release, tmp_path: Path) -> None:
    data = release.manifest.spec["data"]
    again = trimtab.launch({"data": list(data), "name": "written", **TINY}, runs=tmp_path)
    assert again.manifest.hash == release.manifest.hash


def test_golden_rows_hold_what_is_written_and_are_replayed(release: trimtab.Release) -> None:
    lines = list(runtime.read_golden(release.folder))
    assert lines[0]["outputs"].keys() >= {"ids", "scores"}
    model = runtime.load(release.folder)
    assert runtime.replay(model, lines).difference <= model.serving.tolerance
    lines[0]["outputs"]["ids"][0] = [lines[0]["outputs"]["ids"][0][0] + 1]
    with pytest.raises(TrimtabError, match="golden row 1 is answered differently here"):
        runtime.replay(model, lines)


def test_a_spec_that_cannot_be_is_told_before_anything_is_learnt(tmp_path: Path) -> None:
    asked, said = numbers(30)
    rows = [{"asked": a, "said": s, "many": len(a)} for a, s in zip(asked, said, strict=True)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(lines, encoding="utf-8")

    def launched(**changes: Any) -> None:
        trimtab.launch({"data": str(tmp_path / "rows.jsonl"), **TINY, **changes}, runs=tmp_path / "runs")

    with pytest.raises(TrimtabError, match="no option named 'layer'"):
        launched(output={"said": {"type": "text", "decoder": {"layer": 1}}})
    with pytest.raises(TrimtabError, match="no option named 'decoder'"):
        launched(output={"many": {"type": "number", "decoder": {"layers": 1}}}, inputs={"asked": "text"}, gates={})
    with pytest.raises(TrimtabError, match="a text output has no confidence to withhold"):
        launched(answers="confidence >= 0.9")
    with pytest.raises(TrimtabError, match=r"the types of outputs are .*label, labels, .*text"):
        launched(output={"said": "category"}, gates={})


@pytest.mark.slow  # the files once more, and in 8 bits
def test_a_bundle_that_writes_can_be_compressed_to_8_bits(release: trimtab.Release, tmp_path: Path) -> None:
    small = compress(release.folder, {}, ["compress.quantize=int8"], to=tmp_path)
    assert {entry.precision for entry in small.manifest.serving.graphs.values()} == {"int8"}
    before, after = (store.graph_bytes(one.folder, one.manifest.serving) for one in (release, small))
    assert after < before
    assert "drop" in small.manifest.measured
    assert runtime.load(small.folder).predict([{"asked": "1 2"}]).answers["said"]


@pytest.mark.slow  # a launch with a network of pictures
def test_a_picture_is_answered_in_words(tmp_path: Path) -> None:
    draw, rows = np.random.default_rng(4), []
    for number in range(80):
        bright = draw.integers(0, 2, 2)  # on the left, and on the right
        pixels = np.repeat(bright * 200, 14)[None].repeat(14, 0) + draw.integers(0, 40, (14, 28))
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{number}.png")
        rows.append({"picture": f"{number}.png", "said": " ".join("light" if one else "dark" for one in bright)})
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    asked = {"inputs": {"picture": {"type": "image", "encoder": {"name": "cnn", "channels": 16}}}}
    written = {"output": {"said": {"type": "text", "beams": 1, "decoder": {"layers": 1, "width": 32, "heads": 2}}}}
    spec_of = {"data": str(tmp_path / "rows.jsonl"), **asked, **written, "train": {"epochs": 2, "threads": 1}}
    made = trimtab.launch({**spec_of, "gates": {"exact_match": ">= 0"}}, runs=tmp_path / "runs").manifest
    assert made.released, made.why
    assert made.evidence["differs"] <= 1e-4
    assert made.evidence["baselines"].keys() == {"commonest answer", "nearest training pair"}
