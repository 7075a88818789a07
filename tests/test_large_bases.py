"""Large bases: read once, to where and as they are used; checkpoints of what learns; what is not there is told."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from trimtab import TrimtabError, pretrained, registry
from trimtab import spec as specs
from trimtab.columns import Prompt
from trimtab.columns.text import TextColumn
from trimtab.nets import fitted
from trimtab.nets.encoders.causal import CausalEncoder
from trimtab.nets.encoders.text import TextEncoder
from trimtab.nets.network import Network
from trimtab.nets.pretrained import without_weights
from trimtab.pipeline import training
from trimtab.pretrained import Base, Held, _causal, text
from trimtab.progress import Progress, Quiet
from trimtab.request import Request, check
from trimtab.train import autotune, checkpoint, loop
from trimtab.train import settings as choices

COLORS = {"red": ["rose", "cherry"], "blue": ["sky", "sea"], "green": ["grass", "leaf"]}
TEXTS = [f"The {thing} is {color}." for color, things in COLORS.items() for thing in things] * 10
BF16 = Held(dtype="bfloat16")
ROWS = {"s_ids": torch.tensor([[11, 12, 13], [14, 0, 0]]), "s_mask": torch.tensor([[1, 1, 1], [1, 0, 0]])}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama whose last layer is its table of tokens, in fp32."""
    return tiny_models.save_writing(tmp_path_factory.mktemp("models") / "llama", "llama", TEXTS)


@pytest.fixture(scope="module")
def shards(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in bf16, in several files, as the hub has models of some size."""
    home = tmp_path_factory.mktemp("shards") / "llama"
    shutil.copytree(folder, home, ignore=shutil.ignore_patterns("model.safetensors"))
    AutoModelForCausalLM.from_pretrained(folder, dtype="bfloat16").save_pretrained(home, max_shard_size="20KB")
    assert (home / "model.safetensors.index.json").is_file()
    assert len(list(home.glob("model-*.safetensors"))) > 2
    return home


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("rows") / "colors.csv"
    kinds = [(color, thing) for color, things in COLORS.items() for thing in things]
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sentence", "color"])
        writer.writerows([f"A {kinds[n % 6][1]} of number {n}", kinds[n % 6][0]] for n in range(90))
    return target


def found(folder: Path, workspace: Path) -> Base:
    return pretrained.find(str(folder), "text", folder, workspace)


def encoder(base: Base, held: Held | None = None) -> CausalEncoder:
    """As it is built where weights are put in place, or (`held` is None) as smaller bases are."""
    config = {**base.config, "prompt": Prompt(opening=(3,), pieces=("s",), longest=60).model_dump(mode="json")}
    if held is None:
        made = CausalEncoder([], base.width, config)
        pretrained.load_weights(base, made.model)
        return made.eval()
    with without_weights():
        made = CausalEncoder([], base.width, config)
    assert all(parameter.is_meta for parameter in made.model.parameters())
    assert pretrained.load_weights(base, made.model, held) == []
    made.rounded = held != Held()
    return made.eval()


@torch.no_grad()
def states(made: nn.Module) -> Tensor:
    values: Tensor = made(ROWS).values
    return values


# ------------------------------------------------------------------------------------------------- weights in place


def test_weights_are_put_in_place_without_a_copy(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, read = found(folder, tmp_path), []
    original = _causal._read
    monkeypatch.setattr(_causal, "_read", lambda *given, **how: read.append(original(*given, **how)) or read[-1])
    made = encoder(base, Held())
    (source,) = read
    places = {parameter.data_ptr() for parameter in source.parameters()}
    assert {parameter.data_ptr() for parameter in made.model.parameters()} == places
    assert made.model.lm_head.weight is made.model.model.embed_tokens.weight
    assert torch.equal(states(made), states(encoder(base)))
    assert made.state_dict().keys() == encoder(base).state_dict().keys()


def test_a_base_is_held_in_the_numbers_of_the_steps_and_its_updates_learn_in_fp32(folder: Path, tmp_path: Path) -> None:
    base = found(folder, tmp_path)
    made = encoder(base, BF16)
    assert {parameter.dtype for parameter in made.parameters()} == {torch.bfloat16}
    assert states(made).dtype == torch.float32
    assert torch.allclose(states(made), states(encoder(base)), atol=0.1)
    made.adapt(4, 8, 0.0)
    kinds = {(parameter.dtype, parameter.requires_grad) for parameter in made.parameters()}
    assert kinds == {(torch.bfloat16, False), (torch.float32, True)}
    with torch.autocast("cpu", torch.bfloat16):
        made.train()(ROWS).values.sum().backward()
    assert all((parameter.grad is not None) == parameter.requires_grad for parameter in made.parameters())


@pytest.mark.parametrize("dora", [False, True])
def test_updates_of_a_base_in_bf16_are_merged_in_fp32(folder: Path, tmp_path: Path, dora: bool) -> None:
    made = encoder(found(folder, tmp_path), BF16)
    names = set(made.state_dict())
    made.adapt(4, 8, 0.0, dora)
    torch.manual_seed(1)
    learns = {name: one for name, one in made.named_parameters() if one.requires_grad}
    assert any("magnitude" in name for name in learns) == dora
    for parameter in learns.values():
        parameter.data += 0.1 * torch.randn_like(parameter)
    made.model.float()
    apart = states(made)
    made.merge()
    assert torch.allclose(states(made), apart, atol=1e-5)
    assert set(made.state_dict()) == names
    assert {parameter.dtype for parameter in made.parameters()} == {torch.float32}


def test_shards_in_bf16_are_read_as_one_model(folder: Path, shards: Path, tmp_path: Path) -> None:
    whole, cut = found(folder, tmp_path / "a"), found(shards, tmp_path / "b")
    made = encoder(cut, Held())
    wanted = {name: value.bfloat16().float() for name, value in encoder(whole).state_dict().items()}
    kept = made.state_dict()
    assert kept.keys() == wanted.keys()
    assert all(torch.equal(kept[name], wanted[name]) for name in wanted)


def test_a_shard_that_is_not_there_is_told(shards: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(shards, broken)
    sorted(broken.glob("model-*.safetensors"))[1].unlink()
    with pytest.raises(TrimtabError, match=r"broken cannot be read as a model[\s\S]*save_pretrained"):
        encoder(found(broken, tmp_path / "work"), Held())


@pytest.mark.parametrize("cut", [False, True])
def test_an_encoder_of_some_size_is_put_in_place_too(tiny_base: Path, tmp_path: Path, cut: bool) -> None:
    base = pretrained.find(str(tiny_base), "text", tmp_path, tmp_path / "work")
    if cut:  # a table of many languages keeps the tokens that the rows use
        base = replace(base, tokens=tuple(range(0, 100)), config={**base.config, "vocab_size": 100})
    column = TextColumn("s", "s", 60, 0, Path(base.options["tokenizer"]).read_text(encoding="utf-8"))
    plain = TextEncoder([column], base.width, base.config)
    pretrained.load_weights(base, plain.model)
    with without_weights():
        made = TextEncoder([column], base.width, base.config)
    assert pretrained.load_weights(base, made.model, Held()) == []
    assert torch.equal(states(made.eval()), states(plain.eval()))


def test_what_is_large_is_told_by_the_weights() -> None:
    shape = {"vocab_size": 30522, "num_hidden_layers": 12, "intermediate_size": 3072}
    assert text._count(shape, 768) < text._LARGE < text._count({**shape, "vocab_size": 250_002}, 768)


def test_another_revision_of_a_hub_id_is_another_base() -> None:
    name = Path("owner/name")
    prints = {pretrained.text._source.fingerprint(name, {}, revision) for revision in (None, "a", "b")}
    assert len(prints) == 3


# ------------------------------------------------------------------------------------------------- what is refused


def spec(table: Path, base: Path, **train: Any) -> specs.Spec:
    train = {"precision": "bf16", "epochs": 2, "checkpoint_seconds": 0, "learning_rate": 0.01, **train}
    told = {"data": str(table), "base": str(base), "inputs": {"sentence": "text"}, "output": {"color": "label"}}
    return specs.parse({**told, "compress": "none", "gates": {}, "train": train})


def requested(table: Path, base: Path, home: Path, **train: Any) -> Request:
    return check(spec(table, base, **train), table.parent, home, Quiet())


def test_four_bits_without_a_gpu_are_told_before_anything_is_learnt(table: Path, folder: Path, tmp_path: Path) -> None:
    request = requested(table, folder, tmp_path, lora={"bits": 4})
    with pytest.raises(TrimtabError, match=r"train\.lora\.bits: 4, which needs a GPU[\s\S]*held in bf16"):
        training.build(request)


def test_four_bits_without_bitsandbytes_name_what_to_install(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "available", lambda package: package != "bitsandbytes")
    with pytest.raises(TrimtabError, match=r"'bitsandbytes' is not installed[\s\S]*trimtab\[bits\]"):
        pretrained.in_few_bits(found(folder, tmp_path), Held("cuda:0", "bfloat16", 4))


def test_four_bits_are_for_weights_that_do_not_learn(table: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TrimtabError, match=r"train\.lora\.bits: 4, but all weights that learn"):
        requested(table, folder, tmp_path, method="full", lora={"bits": 4})


def test_four_bits_are_for_language_models(tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(TrimtabError, match=r"train\.lora\.bits: 4, but the base .* is an encoder"):
        pretrained.in_few_bits(found(tiny_base, tmp_path), Held("cuda", "bfloat16", 4))


def test_checkpointing_without_a_pretrained_encoder_is_refused(table: Path, tmp_path: Path) -> None:
    told = {"data": str(table), "inputs": {"sentence": {"type": "text", "encoder": "textcnn"}}, "output": "color"}
    request = check(specs.parse({**told, "train": {"gradient_checkpointing": True}}), tmp_path, tmp_path, Quiet())
    with pytest.raises(TrimtabError, match=r"train\.gradient_checkpointing: true, but no encoder"):
        training.build(request)


@pytest.mark.parametrize(
    ("train", "held"),
    [
        ({}, Held("cpu", "bfloat16")),
        ({"precision": "fp32"}, Held("cpu", "float32")),
        ({"method": "full"}, Held("cpu", "float32")),
        ({"method": "frozen"}, Held("cpu", "float32")),
    ],
    ids=["lora", "fp32", "full", "frozen"],
)
def test_only_what_never_learns_is_held_in_fewer_bits(
    table: Path, folder: Path, tmp_path: Path, train: Mapping[str, Any], held: Held
) -> None:
    request = requested(table, folder, tmp_path, **train)
    assert request.chosen.base is not None
    assert choices.held(request.chosen.base, request.settings, torch.device("cpu")) == held


def test_a_small_base_stays_in_fp32_and_a_gpu_holds_a_large_one_itself(
    table: Path, folder: Path, tmp_path: Path
) -> None:
    request = requested(table, folder, tmp_path)
    base, gpu = request.chosen.base, torch.device("cuda", 1)
    assert base is not None
    assert choices.held(base, request.settings, gpu) == Held("cuda:1", "bfloat16")
    assert choices.held(replace(base, large=False), request.settings, gpu) == Held("cpu", "float32")
    four = replace(request.settings, lora=request.settings.lora.model_copy(update={"bits": 4}))
    assert choices.held(base, four, gpu) == Held("cuda:1", "bfloat16", 4)
    assert choices.held(base, replace(four, precision="fp16"), gpu) == Held("cuda:1", "float16", 4)


# ------------------------------------------------------------------------------------------- training, checkpoints


class Stopped(Quiet):
    """Nothing is told, and the run is stopped at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def tick(self, step: int, *rest: Any, **more: Any) -> None:
        if step >= self.step:
            raise KeyboardInterrupt


def taught(request: Request, folder: Path, progress: Progress) -> Network:
    return training.train(request, folder, progress)[0]


@pytest.fixture(scope="module")
def undisturbed(table: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Request, Path, Network]:
    """A language model that learnt to name colours by updates beside it, in bf16, its folder, and its network."""
    home = tmp_path_factory.mktemp("taught")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(autotune, "_LEAST_STEPS", 10**9)
        request = requested(table, folder, home, lora={"rank": 4, "dora": True})
        return request, home / "train", taught(request, home / "train", Quiet())


def test_a_checkpoint_holds_the_updates_and_the_head_alone(undisturbed: tuple[Request, Path, Network]) -> None:
    _, home, network = undisturbed
    assert sum(value.numel() for value in network.state_dict().values()) > 20_000
    for name in ("best", "last"):
        kept = load_file(home / name / "weights.safetensors")
        assert {part for key in kept for part in ("lora_", "head.") if part in key} == {"lora_", "head."}
        assert all("lora_" in key or key.startswith("head.") for key in kept)
        assert sum(value.numel() for value in kept.values()) < 12_000


def test_a_run_that_was_stopped_goes_on_from_the_updates_alone(
    undisturbed: tuple[Request, Path, Network], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, _, network = undisturbed
    monkeypatch.setattr(loop, "_TELL_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        taught(request, tmp_path, Stopped(6))
    assert (tmp_path / "last" / "states.pt").is_file()
    again = taught(request, tmp_path, Quiet()).state_dict()
    wanted = network.state_dict()
    assert again.keys() == wanted.keys()
    assert all(torch.equal(again[name], wanted[name]) for name in wanted)


def test_a_checkpoint_of_another_network_is_no_checkpoint_of_this_one(
    undisturbed: tuple[Request, Path, Network],
) -> None:
    request, home, _ = undisturbed
    kept = load_file(home / "best" / "weights.safetensors")
    fresh = training.build(request)
    checkpoint.put_back(fresh, kept)
    head = next(name for name in kept if name.startswith("head."))
    with pytest.raises(RuntimeError, match="another network"):
        checkpoint.put_back(fresh, {name: value for name, value in kept.items() if name != head})
    with pytest.raises(RuntimeError, match="another network"):
        checkpoint.put_back(fresh, {**kept, "head.more": kept[head]})


def test_steps_that_compute_blocks_again_learn_the_same(
    undisturbed: tuple[Request, Path, Network], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, _, network = undisturbed
    passes = {"forward": 0}
    original = training.build

    def counted(asked: Request) -> Network:
        made = original(asked)
        (block, *_) = [one for name, one in made.named_modules() if name.endswith("layers.0.mlp.down_proj")]
        block.register_forward_pre_hook(lambda *_: passes.update(forward=passes["forward"] + made.training))
        return made

    monkeypatch.setattr(training, "build", counted)
    steps = training.train(request, tmp_path / "plain", Quiet())[1].steps
    plain, passes["forward"] = passes["forward"], 0
    asked = replace(request, settings=replace(request.settings, gradient_checkpointing=True))
    again = taught(asked, tmp_path / "again", Quiet()).state_dict()
    assert plain < 2 * steps <= passes["forward"]  # once, and once more on each way back
    wanted = network.state_dict()
    assert all(torch.equal(again[name], wanted[name]) for name in wanted)


def test_a_bundles_network_is_read_without_a_copy_of_its_weights(
    undisturbed: tuple[Request, Path, Network],
) -> None:
    request, _, network = undisturbed
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    read = fitted._filled(request.architecture, request.inputs, request.output, weights).network
    places = {value.data_ptr() for value in weights.values()}
    assert {parameter.data_ptr() for parameter in read.parameters()} == places
    assert read.state_dict().keys() == weights.keys()
    tensors = {name: torch.from_numpy(value) for name, value in request.valid.batch(np.arange(3)).items()}
    with torch.no_grad():
        (one,), (other,) = (list(made.eval()(tensors).values()) for made in (read, network))
    assert torch.equal(one.values, other.values)


@pytest.mark.skipif(not registry.available("bitsandbytes"), reason="needs trimtab[bits]; it also runs on a CPU")
@pytest.mark.parametrize("dora", [False, True])
def test_updates_beside_four_bits_are_merged_into_what_they_learnt_beside(
    folder: Path, tmp_path: Path, dora: bool
) -> None:
    base = found(folder, tmp_path)
    made = encoder(base, BF16)
    names = set(made.state_dict())
    made.model = _causal.of_four_bits(base, Held("cpu", "bfloat16", 4))
    made.adapt(4, 8, 0.0, dora)
    assert {type(one).__name__ for one in made.modules()} >= {"Linear4bit"}
    made.train()(ROWS).values.sum().backward()
    learns = [parameter for parameter in made.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None for parameter in learns)
    torch.manual_seed(1)
    for parameter in learns:
        parameter.data += 0.05 * torch.randn_like(parameter)
    kept = checkpoint.learnt(made)
    assert all("lora_" in name for name in kept)
    checkpoint.put_back(made, kept)
    apart = states(made.eval())
    made.merge()
    assert set(made.state_dict()) == names
    assert {parameter.dtype for parameter in made.parameters()} == {torch.float32}
    assert torch.allclose(states(made), apart, atol=0.1)  # computed in bf16 before
