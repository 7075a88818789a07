"""Promises of how steps are computed: quicker ways compute the same, and the way that is taken is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from test_train import Notes, same, text_network, weights
from torch import nn

from trimtab.bundle.manifest import Automatic
from trimtab.nets.network import Network
from trimtab.pipeline.training import told
from trimtab.progress import Quiet
from trimtab.spec import Choice
from trimtab.train import autotune, execution, loop, methods, optimizer
from trimtab.train.dropout import CheapDropout, kept, make_cheap
from trimtab.train.execution import Bf16Weights, Execution, applied
from trimtab.train.method import Run

FUSED, PLAIN = Execution("fused", "fp32", 2), Execution("plain", "fp32", 2)
ROUNDED, COPIES = Execution("plain", "bf16", 2), Execution("plain", "bf16_weights", 2)


@pytest.fixture(autouse=True)
def nothing_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees what another, or the user's own launches, measured on this machine."""
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # so that a busy machine takes no threads away
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def run_of(folder: Path, **changes: object) -> tuple[Run, list[list[list]]]:
    network, data, chosen = text_network(folder, "full")
    plain = {"precision": "fp32", "precisions": ("fp32",)}  # whatever this processor multiplies natively
    chosen = replace(chosen, **{"batch_tokens": 32, **plain, **changes})
    found = loop.devices.prepare(chosen.precision)
    run = loop.prepared(network, data, chosen, found, folder / "run", Quiet(), methods.kind("supervised")())
    return run, loop.groups_of(run)


def gradients(run: Run, way: Execution, group: list) -> dict[str, torch.Tensor]:
    trial = autotune.computing(run, way)
    run.network.train()
    with applied(way, trial.bf16_weights):
        torch.manual_seed(1)
        trial.method.gradients(trial, group, autotune.Position(), 8.0)
        if trial.bf16_weights:
            trial.bf16_weights.gather()
    found = {name: p.grad.to_dense().clone() for name, p in run.network.named_parameters() if p.grad is not None}
    for each in run.optimizers.all:
        each.zero_grad()
    return found


@pytest.mark.parametrize(("way", "apart"), [(PLAIN, 1e-4), (ROUNDED, 0.1), (COPIES, 0.1)])
def test_every_way_gives_the_gradients_of_fused_attention_in_fp32_up_to_rounding(tmp_path, way, apart) -> None:
    run, epochs = run_of(tmp_path)
    sure, found = gradients(run, FUSED, epochs[0][0]), gradients(run, way, epochs[0][0])
    assert set(found) == set(sure)
    whole = torch.cat([one.flatten() for one in sure.values()])
    differs = torch.cat([(found[name] - one).flatten() for name, one in sure.items()]).norm() / whole.norm()
    assert differs < apart
    assert (differs > 0) >= (way != PLAIN)  # another way rounds otherwise; plain products may not


def timed(rates: dict[Execution, float], losses: dict[Execution, float] | None = None, alone: float = 1.0):
    """A clock that says of each way what it is told to; of other numbers of threads, half of the rate of two."""

    def step(run: Run, way: Execution, group: list) -> tuple[float, float, float]:
        rows = sum(len(batch) for batch in group)
        rate = rates.get(way) or rates[replace(way, threads=2)] / 2
        return (losses or {}).get(way, 0.7), rows / rate, alone * rows / rate

    return step


def chosen_by(monkeypatch, tmp_path: Path, clock, **changes: object) -> tuple[autotune.Tuned, Run]:
    monkeypatch.setattr(autotune, "_LEAST_STEPS", 1)
    monkeypatch.setattr(autotune, "_step", clock)
    run, epochs = run_of(tmp_path, **changes)
    return autotune.choose(run, epochs), run


def test_the_quickest_way_that_agrees_is_taken_and_the_figures_are_the_reason(tmp_path, monkeypatch) -> None:
    rates = {FUSED: 67.0, PLAIN: 75.0, ROUNDED: 129.0, COPIES: 150.0}
    rates |= {replace(way, attention="fused"): rate / 2 for way, rate in rates.items() if way.precision != "fp32"}
    opens = {"precisions": ("bf16", "bf16_weights", "fp32")}
    tuned, _ = chosen_by(monkeypatch, tmp_path, timed(rates), **opens)
    assert tuned.execution == COPIES
    assert tuned.choices["train.precision"] == Choice(
        "bf16_weights", "rows/s of the first steps: bf16_weights 150, bf16 129, fp32 75"
    )
    assert tuned.choices["train.attention"].value == "plain"
    assert tuned.choices["train.threads"] == Choice(2, "rows/s of the first steps: 2 150, 1 75")


def test_a_way_whose_loss_is_another_is_not_taken_however_quick(tmp_path, monkeypatch) -> None:
    tuned, _ = chosen_by(monkeypatch, tmp_path, timed({FUSED: 10.0, PLAIN: 100.0}, {PLAIN: 0.72}))
    assert tuned.execution == FUSED
    assert "train.attention" not in tuned.choices


def test_what_is_hardly_quicker_is_not_taken_so_that_noise_decides_nothing(tmp_path, monkeypatch) -> None:
    tuned, _ = chosen_by(monkeypatch, tmp_path, timed({FUSED: 100.0, PLAIN: 108.0}))
    assert tuned.execution == FUSED


def test_fewer_threads_are_taken_where_they_are_quicker_but_not_on_a_busy_machine(tmp_path, monkeypatch) -> None:
    rates = {FUSED: 100.0, PLAIN: 90.0, replace(FUSED, threads=1): 180.0}
    tuned, _ = chosen_by(monkeypatch, tmp_path / "alone", timed(rates))
    assert tuned.execution.threads == 1
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "other"))
    tuned, _ = chosen_by(monkeypatch, tmp_path / "busy", timed(rates, alone=0.5))
    assert tuned.execution.threads == 2
    assert "train.threads" not in tuned.choices


def test_a_second_launch_and_one_that_goes_on_take_the_same_without_measuring(tmp_path, monkeypatch) -> None:
    first, run = chosen_by(monkeypatch, tmp_path / "one", timed({FUSED: 10.0, PLAIN: 100.0}))
    backwards = timed({FUSED: 100.0, PLAIN: 10.0})
    assert first.execution.attention == "plain"
    assert chosen_by(monkeypatch, tmp_path / "two", backwards)[0] == first  # of the same rows and network
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "other"))
    assert autotune.choose(run, loop.groups_of(run)) == first  # in the folder of the first
    assert chosen_by(monkeypatch, tmp_path / "three", backwards)[0].execution.attention == "fused"


def test_what_the_spec_says_is_not_measured_and_neither_is_a_short_run(tmp_path, monkeypatch) -> None:
    clock = timed({FUSED: 10.0, PLAIN: 100.0})
    tuned, _ = chosen_by(monkeypatch, tmp_path / "said", clock, attention="fused", threads=1)
    assert tuned.execution == Execution("fused", "fp32", 1)
    assert not tuned.choices
    run, epochs = run_of(tmp_path / "short")
    monkeypatch.setattr(autotune, "_LEAST_STEPS", 1000)
    assert autotune.choose(run, epochs) == autotune.Tuned(FUSED, {})


def test_measuring_leaves_weights_gradients_and_random_numbers_as_they_were(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(autotune, "_LEAST_STEPS", 1)
    run, epochs = run_of(tmp_path, precisions=("bf16", "bf16_weights", "fp32"))
    before, random = weights(run.network), torch.get_rng_state()
    autotune.choose(run, epochs)
    assert same(before, weights(run.network))
    assert torch.equal(random, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in run.network.parameters())
    assert torch.get_num_threads() == 2


@pytest.mark.slow
def test_copies_in_bf16_are_read_by_steps_and_what_learns_stays_in_fp32(tmp_path) -> None:
    ends = {}
    for precision in ("fp32", "bf16_weights"):
        network, data, chosen = text_network(tmp_path / precision, "full")
        before = weights(network)
        trained = loop.train(network, data, replace(chosen, precision=precision), tmp_path / precision / "run", Quiet())
        assert {value.dtype for value in weights(network).values()} == {torch.float32}
        assert not same(before, weights(network))
        assert all("forward" not in vars(module) for module in network.modules())
        ends[precision] = trained.history[-1]["loss"]
    assert ends["bf16_weights"] == pytest.approx(ends["fp32"], abs=0.05)
    assert ends["bf16_weights"] != ends["fp32"]


@pytest.mark.slow
def test_a_run_with_copies_that_was_stopped_ends_with_the_same_weights(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "_TELL_SECONDS", 0.0)
    whole, data, chosen = text_network(tmp_path, "full")
    chosen = replace(chosen, checkpoint_seconds=0, precision="bf16_weights")
    begun = weights(whole)

    def again() -> Network:
        network = text_network(tmp_path, "full")[0]
        network.load_state_dict(begun)
        return network

    loop.train(whole, data, chosen, tmp_path / "whole", Quiet())
    with pytest.raises(KeyboardInterrupt):
        loop.train(again(), data, chosen, tmp_path / "part", Notes(4))
    resumed = again()
    loop.train(resumed, data, chosen, tmp_path / "part", Quiet())
    assert same(weights(whole), weights(resumed))


def test_two_maps_of_the_same_weights_both_add_to_its_gradient() -> None:
    network = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    network[1].weight = network[0].weight
    copies, values = Bf16Weights(network), torch.randn(3, 4)
    network(values).sum().backward()
    sure, network[0].weight.grad = network[0].weight.grad, None
    with copies.read(), torch.autocast("cpu", torch.bfloat16):
        network(values).sum().backward()
    copies.gather()
    assert torch.allclose(network[0].weight.grad, sure, rtol=0.1, atol=0.1)


def test_cheap_dropout_drops_the_share_that_was_asked_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    for dropped in (0.1, 0.4):
        stays = kept(torch.Size((1000, 301)), dropped)
        assert float(stays.float().mean()) == pytest.approx(1 - dropped, abs=0.003)
        assert float((stays[:, 1:] == stays[:, :-1]).float().mean()) == pytest.approx(
            (1 - dropped) ** 2 + dropped**2, abs=0.003
        )  # neighbours, which one draw gives, are as independent as others
        found = CheapDropout(dropped)(torch.ones(1000, 301))
        assert sorted(found.unique().tolist()) == pytest.approx([0.0, 1 / (1 - dropped)])
        assert float(found.mean()) == pytest.approx(1.0, abs=0.005)


def test_cheap_dropout_is_off_in_evaluations_and_repeats_with_the_generator() -> None:
    network = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5))
    make_cheap(network)
    values, random = torch.randn(4, 8), torch.get_rng_state()
    first = network(values)
    torch.set_rng_state(random)
    assert torch.equal(network(values), first)
    assert not torch.equal(network(values), first)
    assert torch.equal(network.eval()(values), network[0](values))


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("most", [0.01, 1e6])
def test_gradients_that_the_optimizer_scales_as_it_reads_them_are_clipped_as_any(tmp_path, kind, most) -> None:
    run, epochs = run_of(tmp_path, optimizer=kind)
    run.network.train()
    begun = weights(run.network)
    run.method.gradients(run, epochs[0][0], autotune.Position(), 8.0)
    held = {id(p): p.grad.clone() for p in run.network.parameters() if p.grad is not None}
    ends = []
    for fused in (True, False):
        run.network.load_state_dict(begun)
        made = optimizer.make(run.network, run.settings)
        for parameter in run.network.parameters():
            parameter.grad = held[id(parameter)].clone() if id(parameter) in held else None
        if not fused:
            made.dense.defaults["fused"] = False  # scaled before
        optimizer.clip(run.network, made, most, run.devices)
        assert hasattr(made.dense, "grad_scale") == fused
        for each in made.all:
            each.step()
        ends.append(weights(run.network))
    assert not same(begun, ends[0])
    assert all(torch.allclose(ends[0][name], one, rtol=1e-4, atol=1e-7) for name, one in ends[1].items())


def test_attention_in_bf16_is_plain_on_a_cpu_where_nothing_is_measured() -> None:
    alone = loop.devices.alone(torch.device("cpu"))
    assert execution.usual_attention(alone) == "fused"
    assert execution.usual_attention(replace(alone, precision="bf16")) == "plain"
    assert execution.usual_attention(replace(alone, device=torch.device("cuda"), precision="bf16")) == "fused"


@dataclass(frozen=True)
class Asked:
    """As much of a request as is told of it."""

    automatic: list[Automatic]


def test_what_the_first_steps_chose_stands_among_the_automatic_choices_in_place_of_what_was_expected() -> None:
    values = {"precision": "bf16", "x": 1}
    expected = [Automatic(key=f"train.{key}", value=value, reason="") for key, value in values.items()]
    choices = {"train.precision": Choice("fp32", "fp32 75, bf16 67"), "train.threads": Choice(1, "1 75, 2 67")}
    found = told(Asked(expected), choices).automatic
    assert [(entry.key, entry.value) for entry in found] == [
        ("train.precision", "fp32"),
        ("train.x", 1),
        ("train.threads", 1),
    ]
    assert found[0].reason == "fp32 75, bf16 67"
