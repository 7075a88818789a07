"""Promises of encoders, fusions, heads and the network that is made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch

from trimtab import pretrained, registry
from trimtab.columns import OUTPUTS, InputColumn, encode_rows, fit
from trimtab.nets.fusions.attention import AttentionFusion
from trimtab.nets.fusions.cls import ClsFusion
from trimtab.nets.fusions.mean import MeanFusion
from trimtab.nets.network import Architecture, Network, one_each
from trimtab.nets.states import States, lay_end_to_end

TEXTS = ["good", "a long and winding road that leads to your door", "bad, really bad!", "房间很大", ""] * 3
FUSIONS = ["last", "mean", "cls", "attention", "concat", "wide_deep", "deepfm", "dcn", "ft_transformer"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> pretrained.Base:
    folder = tmp_path_factory.mktemp("base")
    return pretrained.find(str(tiny_models.save(folder / "bert", "bert", TEXTS)), "text", folder, folder / "work")


def columns(base: pretrained.Base) -> list[InputColumn]:
    numbers = [str(i) for i in range(len(TEXTS))]
    return [
        fit("text", "review", "review", TEXTS, base.options),
        fit("number", "stars", "stars", numbers, {}),
        fit("category", "shop", "shop", ["a", "b", "b"] * 5, {}),
    ]


def network(base: pretrained.Base, inputs: list[InputColumn], fusion: str = "mean") -> Network:
    torch.manual_seed(0)
    output = fit("label", "answer", "answer", ["yes", "no", "maybe"] * 5, {})
    entries = one_each(inputs, base.config)
    architecture = Architecture(width=base.width, encoders=entries, fusion=fusion, dropout=0.1, head="label")
    return Network(architecture, inputs, output).eval()


def run(net: Network, inputs: list[InputColumn], rows: np.ndarray) -> torch.Tensor:
    values = {"review": TEXTS, "stars": [str(i) for i in range(len(TEXTS))], "shop": ["a", "b", "b"] * 5}
    batch = encode_rows(inputs, values).batch(rows)
    with torch.no_grad():
        return net({key: torch.from_numpy(value) for key, value in batch.items()})[OUTPUTS].values


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_row_gets_the_same_outputs_alone_and_in_any_batch(base: pretrained.Base, fusion: str) -> None:
    inputs = columns(base)
    net = network(base, inputs, fusion)
    together = run(net, inputs, np.arange(len(TEXTS)))
    assert together.shape == (len(TEXTS), 3)
    for row in range(5):
        assert torch.allclose(run(net, inputs, np.array([row]))[0], together[row], atol=1e-5)


def test_every_fusion_in_the_folder_is_tested_here() -> None:
    assert sorted(FUSIONS) == registry.names("trimtab.nets.fusions")


@pytest.mark.parametrize("shape", list(tiny_models.SHAPES))
def test_an_encoder_of_any_shape_starts_with_the_weights_of_its_base(tmp_path: Path, shape: str) -> None:
    saved = tiny_models.save(tmp_path / shape, shape, TEXTS, seed=1)
    base = pretrained.find(str(saved), "text", tmp_path, tmp_path / "work")
    inputs = columns(base)[:1]
    net = network(base, inputs)
    before = run(net, inputs, np.arange(4))
    (encoder,) = net.pretrained()
    assert pretrained.load_weights(base, encoder.model) == []
    assert not torch.allclose(before, run(net, inputs, np.arange(4)))
    depths = {encoder.depth(name) for name, _ in encoder.named_parameters()}
    assert depths == {0, 1, 2}


def test_low_rank_updates_start_at_nothing_and_merge_into_the_weights(base: pretrained.Base) -> None:
    inputs = columns(base)[:1]
    net = network(base, inputs)
    before = run(net, inputs, np.arange(4))
    names = set(net.state_dict())
    (encoder,) = net.pretrained()
    encoder.adapt(rank=4, alpha=8, dropout=0.0)
    assert torch.allclose(run(net.eval(), inputs, np.arange(4)), before, atol=1e-6)
    learns = [name for name, p in encoder.model.named_parameters() if p.requires_grad]
    assert learns
    assert all("lora_" in name for name in learns)
    for name, parameter in encoder.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    adapted = run(net.eval(), inputs, np.arange(4))
    assert not torch.allclose(adapted, before, atol=1e-3)
    encoder.merge()
    assert set(net.state_dict()) == names
    assert torch.allclose(run(net.eval(), inputs, np.arange(4)), adapted, atol=1e-5)


def states() -> States:
    values = torch.arange(24, dtype=torch.float32).reshape(2, 4, 3)
    mask = torch.tensor([[True, True, True, True], [True, False, True, False]])
    return States(values, mask, torch.tensor([0, 0, 1, 1]))


def test_the_mean_leaves_masked_steps_out_and_keeps_inputs_apart() -> None:
    fused = MeanFusion(3, 2, {})(states())
    assert fused.shape == (2, 6)
    assert fused[0].tolist() == [1.5, 2.5, 3.5, 7.5, 8.5, 9.5]
    assert fused[1].tolist() == [12.0, 13.0, 14.0, 18.0, 19.0, 20.0]


def test_cls_takes_the_first_step_of_each_input() -> None:
    assert ClsFusion(3, 2, {})(states())[0].tolist() == [0.0, 1.0, 2.0, 6.0, 7.0, 8.0]


def test_attention_gives_no_weight_to_masked_steps() -> None:
    torch.manual_seed(0)
    fusion, given = AttentionFusion(3, 2, {}), states()
    changed = States(given.values.clone(), given.mask, given.source)
    changed.values[1, 1] = 1e4
    assert torch.equal(fusion(given), fusion(changed))
    assert fusion(given).shape == (2, 3)


def test_states_laid_end_to_end_know_their_source() -> None:
    one = States(torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.bool), torch.zeros(3, dtype=torch.long))
    joined = lay_end_to_end([one, one])
    assert joined.values.shape == (2, 6, 4)
    assert joined.source.tolist() == [0, 0, 0, 1, 1, 1]
