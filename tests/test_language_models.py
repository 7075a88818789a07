"""Language models as bases: asked by a prompt, taught, exported as one step; what is served is what was trained."""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny_models
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from trimtab import TrimtabError, export, launch, load, pretrained, programs, runtime
from trimtab.columns import EncodedRows, Example, Prompt, Ragged, encode_rows, named
from trimtab.columns.text import TextColumn
from trimtab.compress import quantize, rewrite
from trimtab.nets import fitted
from trimtab.nets.encoders.causal import CausalEncoder
from trimtab.nets.states import only
from trimtab.pretrained import Base
from trimtab.request import prompting
from trimtab.spec import Prompting

COLORS = {"red": ["rose", "cherry", "blood"], "blue": ["sky", "sea", "sapphire"], "green": ["grass", "leaf", "frog"]}
TEXTS = [f"The {thing} is {color}." for color, things in COLORS.items() for thing in things] * 20


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each shape, called like it, and `chat`."""
    home = tmp_path_factory.mktemp("models")
    for shape in tiny_models.WRITING:
        tiny_models.save_writing(home / shape, shape, TEXTS)
    tiny_models.save_writing(home / "chat", "llama", TEXTS, chat=True)
    return home


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences, what they are about, and its colour."""
    random.seed(3)
    kinds = [(color, thing) for color, things in COLORS.items() for thing in things]
    target = tmp_path_factory.mktemp("rows") / "colors.csv"
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sentence", "color"])
        for number in range(120):
            color, thing = kinds[number % len(kinds)]
            writer.writerow([f"{random.choice(['A', 'One', 'That'])} {thing} of number {number}", color])
    return target


def found(folders: Path, shape: str, workspace: Path) -> Base:
    return pretrained.find(shape, "text", folders, workspace)


def asked(base: Base, asking: Prompting, names: Sequence[str]) -> tuple[Prompt, prompting.Template]:
    assert base.writing is not None
    made = prompting.template(asking, base.writing, names, "color", ())
    return prompting.prompt(made, base.writing, {name: name for name in names}, 200), made


def encoder(base: Base, prompt: Prompt) -> CausalEncoder:
    made = CausalEncoder([], base.width, {**base.config, "prompt": prompt.model_dump(mode="json")})
    pretrained.load_weights(base, made.model)
    return made.eval()


def tensors(rows: Sequence[Sequence[int]], key: str = "sentence") -> dict[str, torch.Tensor]:
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return {f"{key}_ids": ids, f"{key}_mask": mask}


# ----------------------------------------------------------------------------------------------------------- bases


@pytest.mark.parametrize("shape", sorted(tiny_models.WRITING))
def test_a_language_model_of_any_shape_is_known_for_what_it_is(folders: Path, shape: str, tmp_path: Path) -> None:
    base = found(folders, shape, tmp_path)
    assert (base.encoder, base.width) == ("causal", 32)
    assert base.writing is not None
    assert (base.writing.end, base.writing.longest, base.writing.chat) == (0, 256, None)


def test_an_encoder_is_still_an_encoder(tiny_base: Path, tmp_path: Path) -> None:
    base = pretrained.find(str(tiny_base), "text", tmp_path, tmp_path)
    assert (base.encoder, base.writing) == ("text", None)


def test_a_cell_cannot_speak_as_the_template_does(folders: Path, tmp_path: Path) -> None:
    base = found(folders, "chat", tmp_path)
    assert base.writing is not None
    whole, plain = (Tokenizer.from_file(path) for path in (base.writing.whole, base.writing.plain))
    assert base.writing.end in whole.encode("red<|im_end|>").ids
    assert base.writing.end not in plain.encode("red<|im_end|>").ids
    assert plain.decode(plain.encode("red<|im_end|>").ids) == "red<|im_end|>"


def test_weights_that_lack_the_last_layer_are_refused(folders: Path, tmp_path: Path) -> None:
    base = found(folders, "qwen2", tmp_path / "base")
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in (folders / "qwen2").iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    model = AutoModelForCausalLM.from_pretrained(folders / "qwen2")
    kept = {key: value.contiguous() for key, value in model.state_dict().items() if "lm_head" not in key}
    save_file(kept, broken / "model.safetensors", metadata={"format": "pt"})
    made = CausalEncoder([], 32, dict(base.config))
    with pytest.raises(TrimtabError, match="it has no lm_head"):
        pretrained.load_weights(pretrained.find(str(broken), "text", tmp_path, tmp_path / "other"), made.model)


# --------------------------------------------------------------------------------------------------------- prompts


def test_a_prompt_reads_like_its_template(folders: Path, tmp_path: Path) -> None:
    base = found(folders, "llama", tmp_path)
    assert base.writing is not None
    prompt, made = asked(base, Prompting(template="Sentence: {sentence}\nColor:"), ["sentence"])
    whole = Tokenizer.from_file(base.writing.whole)
    columns, answers = (Tokenizer.from_file(made.columns_tokenizer(base.writing)), made.answers_tokenizer(base.writing))
    ids = prompt.of({"sentence": columns.encode("The sky").ids})
    (answer,) = prompting.answers(["blue"], answers, base.writing.end)
    assert whole.decode([*ids, *answer], skip_special_tokens=False) == "Sentence: The sky\nColor: blue<|endoftext|>"
    assert ids == whole.encode("Sentence: The sky\nColor:").ids


def test_a_conversation_is_asked_in_the_words_of_its_template(folders: Path, tmp_path: Path) -> None:
    base = found(folders, "chat", tmp_path)
    assert base.writing is not None
    prompt, made = asked(base, Prompting(), ["sentence"])
    columns = Tokenizer.from_file(made.columns_tokenizer(base.writing))
    shown = Example(
        asked=tuple(prompt.asked({"sentence": columns.encode("The sea").ids})),
        answer=prompting.answers(["blue"], made.answers_tokenizer(base.writing), base.writing.end)[0][:-1],
    )
    prompt = prompt.model_copy(update={"examples": (shown,), "most": 1})
    ids = prompt.of({"sentence": columns.encode("The sky").ids})
    whole = Tokenizer.from_file(base.writing.whole)
    assert whole.decode(ids, skip_special_tokens=False) == (
        "<|im_start|>user\nSentence: The sea<|im_end|>\n<|im_start|>assistant\nblue<|im_end|>\n"
        "<|im_start|>user\nSentence: The sky<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_most_alike_rows_stand_before_a_row_and_never_the_row_itself() -> None:
    rows = [(1, 2, 3), (1, 7, 8), (1, 2, 9), (1, 5, 6)]
    examples = tuple(Example(asked=row, answer=(100 + number,)) for number, row in enumerate(rows))
    prompt = Prompt(opening=(50,), pieces=((1,), "text"), between=(60,), longest=40, examples=examples, most=2)
    assert prompt.of({"text": [2, 3, 4]}) == [50, 1, 2, 9, 102, 60, 1, 2, 3, 100, 60, 1, 2, 3, 4]
    assert 100 not in prompt.of({"text": [2, 3]})


def test_examples_that_do_not_fit_are_left_out_and_then_a_row_loses_its_beginning() -> None:
    examples = (Example(asked=(1, 2, 3), answer=(100,)), Example(asked=(1, 2), answer=(101,)))
    prompt = Prompt(pieces=((1,), "text"), between=(60,), longest=8, examples=examples, most=2)
    assert prompt.of({"text": [2, 3, 4]}) == [1, 2, 101, 60, 1, 2, 3, 4]
    assert prompt.of({"text": list(range(10, 20))}) == list(range(12, 20))


WRONG = {
    "a name": ("{sentense}", "no input is called 'sentense'.*\n.*'sentence'"),
    "a column that is left out": ("Color:", "the column 'sentence' does not stand in it"),
    "a brace": ("{sentence} {", "names in braces"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_template_that_cannot_be_meant_is_refused(folders: Path, tmp_path: Path, case: str) -> None:
    base = found(folders, "llama", tmp_path)
    template, said = WRONG[case]
    with pytest.raises(TrimtabError, match=said):
        asked(base, Prompting(template=template), ["sentence"])


def test_a_conversation_needs_a_template_of_conversations(folders: Path, tmp_path: Path) -> None:
    base = found(folders, "llama", tmp_path)
    with pytest.raises(TrimtabError, match="no template of conversations"):
        asked(base, Prompting(chat=True), ["sentence"])


# ------------------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize("most", [0, 1])
def test_answers_are_as_likely_as_the_model_itself_finds_them(folders: Path, tmp_path: Path, most: int) -> None:
    base = found(folders, "llama", tmp_path)
    examples = (Example(asked=(5, 6), answer=(9,)), Example(asked=(7, 8, 9), answer=(10,)))
    prompt = Prompt(
        opening=(3,), pieces=((5,), "sentence", (6,)), between=(4,), longest=60, examples=examples, most=most
    )
    made = encoder(base, prompt)
    given, answers = [[11, 12, 13], [14]], [[20, 21, 0], [22, 0]]
    with torch.no_grad():
        scores = made.likelihoods(tensors(given), answers)
        wanted = torch.tensor([[20, 21, 0], [22, 0, 0]])
        known = torch.tensor([[True, True, True], [True, True, False]])
        logits = made.following(tensors(given), wanted, known).log_softmax(-1)
        for row, own in enumerate(given):
            start = prompt.of({"sentence": own})
            for place, answer in enumerate(answers):
                plain = made.model(input_ids=torch.tensor([[*start, *answer]])).logits[0].log_softmax(-1)
                each = [plain[len(start) - 1 + step, token] for step, token in enumerate(answer)]
                assert scores[row, place].item() == pytest.approx(float(sum(each)), abs=1e-4)
            own_answer = answers[row]
            plain = made.model(input_ids=torch.tensor([[*start, *own_answer]])).logits[0].log_softmax(-1)
            each = [plain[len(start) - 1 + step, token].item() for step, token in enumerate(own_answer)]
            assert [logits[row, step, token].item() for step, token in enumerate(own_answer)] == pytest.approx(
                each, abs=1e-4
            )


def test_weights_that_are_one_are_kept_once_and_read_as_one(folders: Path, tmp_path: Path) -> None:
    base = found(folders, "llama", tmp_path)
    prompt = Prompt(pieces=("sentence",), longest=60)
    first, second = encoder(base, prompt), CausalEncoder([], 32, {**base.config, "prompt": prompt.model_dump()})
    kept = first.state_dict()
    assert sum("lm_head" in name for name in kept) == 0
    save_file(kept, tmp_path / "weights.safetensors")
    second.load_state_dict(kept)
    with torch.no_grad():
        given = tensors([[11, 12]])
        assert torch.equal(first(given).values, second.eval()(given).values)
        assert torch.equal(first.likelihoods(given, [[3]]), second.likelihoods(given, [[3]]))


# ---------------------------------------------------------------------------------------------------------- graphs


def spec(rows: Path, base: Path, **more: Any) -> dict[str, Any]:
    told = {"data": str(rows), "base": str(base), "inputs": {"sentence": "text"}, "compress": "none", "gates": {}}
    return {**told, "output": {"color": "label"}, **more}


@pytest.fixture(scope="module")
def asked_bundle(folders: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing is learnt: three examples before each row, the likelihood of the names."""
    home = tmp_path_factory.mktemp("asked")
    train = {"method": {"name": "prompt", "examples": 3}}
    return launch(spec(rows, folders / "llama", train=train), runs=home).folder


@pytest.fixture(scope="module")
def step(folders: Path, asked_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[CausalEncoder, Path]:
    """The step of a model with grouped heads and a tied last layer, as a bundle has it, and the model itself."""
    prompt = Prompt(opening=(3,), pieces=("sentence",), longest=60)
    return encoder(found(folders, "llama", tmp_path_factory.mktemp("base")), prompt), asked_bundle / "step.onnx"


def exported(folders: Path, shape: str, home: Path) -> tuple[CausalEncoder, Path]:
    one = encoder(found(folders, shape, home), Prompt(opening=(3,), pieces=("sentence",), longest=60))
    graph = one.step()
    assert export.export_graph(graph, home / "step.onnx") == list(graph.example)
    return one, home / "step.onnx"


class File:
    """A graph as a program runs it; ids say themselves."""

    def __init__(self, path: Path) -> None:
        self.session = runtime.open_session(path, 1)

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = [one.name for one in self.session.get_outputs()]
        given = {one.name: tensors[one.name] for one in self.session.get_inputs()}
        return dict(zip(outputs, self.session.run(outputs, given), strict=True))

    def batches(self, costs: np.ndarray) -> list[np.ndarray]:
        return [np.arange(len(costs))]

    def text(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))

    def outputs(self, rows: Any, picked: np.ndarray) -> Any:
        raise NotImplementedError


def written(path: Path, made: CausalEncoder, prompts: Sequence[Sequence[int]], tokens: int) -> list[list[int]]:
    """What the program writes greedily behind prompts of one column."""
    ends = {"bos": 0, "eos": [0], "pad": 0}
    program = programs.opened("stepwise", {**made.program_options, **ends, "longest": tokens}, ["step"], "test")
    lengths = np.array(list(map(len, prompts)))
    ids = Ragged(np.concatenate(list(map(np.array, prompts))), np.concatenate([[0], np.cumsum(lengths)]))
    rows = EncodedRows((TextColumn("sentence", "sentence", 100, 0, ""),), (ids,), lengths)
    found = named(program.run({"step": File(path)}, rows).outputs)["ids"]
    return [np.asarray(found[row]).reshape(-1).astype(int).tolist() for row in range(len(prompts))]


def check_alike(made: CausalEncoder, path: Path) -> None:
    """The program writes the tokens of `generate`, of rows of different lengths side by side."""
    prompts = [[11, 12, 13, 14, 15], [20], [30, 31, 32]]
    wrote = written(path, made, prompts, 12)
    assert len({tuple(ids) for ids in wrote}) > 1
    for own, ids in zip(prompts, wrote, strict=True):
        asked = torch.tensor([made.prompt.of({"sentence": own})])
        whole = made.model.generate(asked, max_new_tokens=12, do_sample=False, pad_token_id=0)
        assert ids == whole[0, 1 + len(own) :].tolist()


def test_the_program_writes_token_for_token_what_generate_writes(step: tuple[CausalEncoder, Path]) -> None:
    check_alike(*step)


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["gemma", "gpt2", "qwen2"])
def test_so_it_does_of_models_of_other_shapes(folders: Path, shape: str, tmp_path: Path) -> None:
    check_alike(*exported(folders, shape, tmp_path))


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_fewer_bits_reach_the_table_as_it_is_looked_up_and_as_the_last_layer(
    step: tuple[CausalEncoder, Path], precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, path = step
    monkeypatch.setattr(rewrite, "TURNED", 1000)
    target = tmp_path / "step.onnx"
    quantize.quantize(precision, path, target)
    graph = onnx.load(target).graph
    constants = {part.name for part in graph.initializer}
    assert rewrite.large_weights(graph) == []
    assert [node.name for node in graph.node if node.op_type == "Transpose" and node.input[0] in constants] == []
    small, large = (
        sum(file.stat().st_size for file in place.glob("step.onnx.data")) for place in (tmp_path, path.parent)
    )
    assert small < 0.5 * large
    (ids,) = written(target, made, [[11, 12, 13]], 8)
    assert len(ids) >= 1


# --------------------------------------------------------------------------------------------------------- launches


def test_a_class_is_answered_by_the_likelihood_of_its_name(asked_bundle: Path) -> None:
    model = load(asked_bundle)
    found = model.predict([{"sentence": "A sky of number 9"}, {"sentence": "One frog of number 10"}], top=3)
    assert {one["color"] for one in found.rows()} <= set(COLORS)
    assert [sum(part["confidence"] for part in one["color_top"]) for one in found.rows()] == pytest.approx(
        [1, 1], abs=1e-3
    )
    prompt = model.serving.program.options["prompt"]
    assert (prompt["most"], len(prompt["examples"])) == (3, model.manifest.data["rows"]["train"])
    assert model.manifest.stages[2].detail["differs"] < 1e-4


def test_a_bundle_that_is_asked_answers_alone_as_beside_others(asked_bundle: Path) -> None:
    model = load(asked_bundle)
    given = [{"sentence": text} for text in ("A sky", "One frog of number 10 and a leaf", "blood")]
    together = np.asarray(model.predict(given).outputs)
    alone = np.concatenate([np.asarray(model.predict([row]).outputs) for row in given])
    assert np.abs(together - alone).max() < 1e-4


def test_the_network_of_a_bundle_is_read_again_and_answers_as_its_files_do(asked_bundle: Path) -> None:
    model, whole = load(asked_bundle), fitted.read(asked_bundle)
    rows = encode_rows(model.inputs, {"sentence": ["A sky of number 9", "blood"]})
    with torch.no_grad():
        batch = {name: torch.from_numpy(part) for name, part in rows.batch(np.arange(2)).items()}
        own = only(whole.network(batch)).numpy()
    assert np.abs(own - np.asarray(model.outputs(rows))).max() < 1e-4


def test_examples_may_not_be_quoted_where_no_row_may(folders: Path, rows: Path, tmp_path: Path) -> None:
    asked = spec(rows, folders / "llama", quotes="none", train={"method": {"name": "prompt", "examples": 3}})
    with pytest.raises(TrimtabError, match="quotes: none"):
        launch(asked, runs=tmp_path)


def test_a_prompt_needs_a_language_model(tiny_base: Path, rows: Path, tmp_path: Path) -> None:
    with pytest.raises(TrimtabError, match="no input is read by a language model"):
        launch(spec(rows, tiny_base, train={"method": "prompt"}), runs=tmp_path)


def test_a_prompt_that_nothing_reads_is_refused(tiny_base: Path, rows: Path, tmp_path: Path) -> None:
    with pytest.raises(TrimtabError, match="prompt: no input is read by a language model"):
        launch(spec(rows, tiny_base, prompt="Sentence: {sentence}"), runs=tmp_path)


def test_a_language_model_that_writes_learns_by_low_rank_updates(folders: Path, rows: Path, tmp_path: Path) -> None:
    train = {"epochs": 6, "learning_rate": 0.01, "lora": {"rank": 4, "alpha": 8}}
    asked = spec(rows, folders / "chat", output={"color": "text"}, train=train, compress={"quantize": "int8"})
    release = launch(asked, runs=tmp_path)
    manifest = release.manifest
    assert manifest.spec["train"]["method"] == "lora"
    assert {graph.precision for graph in manifest.serving.graphs.values()} == {"int8"}
    model = load(release.folder)
    (answer,) = model.predict([{"sentence": "A sky of number 9"}])
    assert isinstance(answer["color"], str)
    assert manifest.measured["perplexity"].value < 150  # of 500 tokens


@pytest.mark.slow
def test_states_of_a_language_model_are_read_as_those_of_any_encoder(folders: Path, rows: Path, tmp_path: Path) -> None:
    train = {"method": "full", "epochs": 8, "learning_rate": 0.01}
    release = launch(spec(rows, folders / "gpt2", train=train), runs=tmp_path)
    assert list(release.manifest.serving.graphs) == ["model"]
    assert release.manifest.spec["fusion"] == "last"
    assert release.manifest.measured["accuracy"].value > 0.6


@pytest.mark.slow
def test_the_bundled_language_model_knows_the_capital_of_france(tmp_path: Path) -> None:
    base = pretrained.find("smollm2", "text", tmp_path, tmp_path)
    assert (base.license, base.width) == ("Apache-2.0", 576)
    assert base.writing is not None
    prompt, made = asked(base, Prompting(template="{sentence}"), ["sentence"])
    one = encoder(base, prompt)
    columns = Tokenizer.from_file(made.columns_tokenizer(base.writing))
    ids = prompt.of({"sentence": columns.encode("What is the capital of France?").ids})
    wrote = one.model.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False)[0, len(ids) :].tolist()
    assert Tokenizer.from_file(base.writing.plain).decode(wrote).startswith("The capital of France is Paris.")
