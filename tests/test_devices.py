"""Where things are computed: every stage on the card where there is one, answers on the device that was asked for."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import fake_card
import numpy as np
import onnxruntime
import pytest
import tiny_bundle
import torch
import typer
from test_train import text_network, weights
from typer.testing import CliRunner

from trimtab import TrimtabError, runtime
from trimtab.cli import evaluate, predict
from trimtab.columns import dense
from trimtab.compress import Skip, prune, teacher
from trimtab.nets.fitted import built
from trimtab.nets.network import Architecture, EncoderEntry
from trimtab.progress import Quiet
from trimtab.runtime import _device
from trimtab.train import devices, frozen, loop

CUDA = ["CUDAExecutionProvider", "CPUExecutionProvider"]


def test_the_stand_in_refuses_what_a_gpu_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_card.card(monkeypatch):
        there, here = torch.ones(2).to(fake_card.CARD), torch.ones(2)
        assert (there + there).device == fake_card.CARD
        assert (there + there).cpu().tolist() == [2, 2]
        with pytest.raises(RuntimeError, match="same device"):
            there + here
        with pytest.raises(TypeError, match="cuda"):
            there.numpy()
        module = torch.nn.Linear(2, 2).to(fake_card.CARD)
        with pytest.raises(RuntimeError, match="same device"):
            module(here)
        module(there).sum().backward()
        assert module.weight.grad.device == fake_card.CARD
        assert module.cpu()(here).device == torch.device("cpu")


@pytest.mark.parametrize("method", ["full", "lora", "frozen"])
def test_a_network_learns_and_answers_on_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    network, data, chosen = text_network(tmp_path, method)
    with fake_card.card(monkeypatch) as card:
        before = weights(network)
        trained = loop.train(network, data, chosen, tmp_path / "run", Quiet())
        assert all(card.here(parameter) for parameter in network.parameters())
        assert {name for name, value in weights(network).items() if not torch.equal(value.cpu(), before[name])}
        outputs = loop.predict(network, data.valid, 512, devices.device())
        vectors = frozen.vectors(network, data.valid, 512, devices.device()).values
        assert card.seen > 100
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
    assert np.array_equal(outputs, loop.predict(network, data.valid, 512, torch.device("cpu")))
    assert np.array_equal(vectors, frozen.vectors(network, data.valid, 512, torch.device("cpu")).values)


def test_importance_and_the_teachers_answers_are_computed_on_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, data, _ = text_network(tmp_path, "full")
    column = data.train.columns[0]
    encoder = EncoderEntry(name="transformer", reads=(column.key,))
    shape = Architecture(width=32, encoders=(encoder,), fusion="mean", dropout=0.0, head="label")
    network = built(shape, [column], data.output)
    loss = prune.own_loss(network, data.train_targets)
    here, answers = prune.importance(network, data.train, loss), teacher.outputs_of(network, data.train, "fp32")
    with fake_card.card(monkeypatch) as card:
        there = prune.importance(network, data.train, loss)
        after_importance = card.seen
        told = teacher.outputs_of(network, data.train, "fp32")
        assert 0 < after_importance < card.seen
        assert not any(card.here(parameter) for parameter in network.network.parameters())
    assert not isinstance(here, Skip)
    assert not isinstance(there, Skip)
    assert len(here) > 1
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one.importance, other.importance)
        assert torch.equal(one.moments, other.moments)
    assert np.array_equal(dense(answers[0]), dense(told[0]))
    assert np.array_equal(answers[1], told[1])


# ------------------------------------------------------------------------------------------------------- answering


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.build(tmp_path_factory.mktemp("bundle"))


class Session:
    """A session of ONNX Runtime as it is on a machine with a GPU: it computes on the CPU, and says otherwise."""

    asked: list[tuple[Any, int]]
    starts = True
    real = onnxruntime.InferenceSession

    def __init__(self, network: Any, options: Any, providers: Any) -> None:
        self.asked.append((providers, options.intra_op_num_threads))
        self.session = self.real(network, options, providers=["CPUExecutionProvider"])

    def get_providers(self) -> list[str]:
        return CUDA if self.starts else CUDA[1:]

    def run(self, outputs: list[str], given: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        found: list[np.ndarray] = self.session.run(outputs, given)
        return found


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> type[Session]:
    """ONNX Runtime with CUDA built in."""
    monkeypatch.setattr(Session, "asked", [], raising=False)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: CUDA)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    return Session


def test_a_bundle_answers_on_the_gpu_that_was_asked_for(bundle: Path, gpu: type[Session]) -> None:
    model = runtime.load(bundle, threads=2, device="cuda:1")
    ((providers, threads),) = gpu.asked  # once: its weights are on the card once
    assert providers == [("CUDAExecutionProvider", {"device_id": 1, "use_tf32": 0}), "CPUExecutionProvider"]
    assert (threads, model.device) == (2, "cuda:1")
    assert all(graph.beside is None for graph in model.graphs.values())
    row = next(iter(runtime.read_golden(bundle)))["row"]
    assert model.predict([row])[0] == runtime.load(bundle).predict([row])[0]
    assert pickle.loads(pickle.dumps(model)).device == "cuda:1"


def test_a_gpu_that_does_not_start_is_an_error_and_no_quiet_cpu(
    bundle: Path, gpu: type[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "starts", False)
    with pytest.raises(TrimtabError, match=r"device: cuda, but CUDA does not start[\s\S]*nvidia-smi"):
        runtime.load(bundle, device="cuda")


def test_an_onnx_runtime_without_cuda_names_what_to_install(bundle: Path) -> None:
    with pytest.raises(TrimtabError, match=r"device: cuda, but ONNX Runtime .* alone[\s\S]*onnxruntime-gpu"):
        runtime.load(bundle, device="cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU"])
def test_a_device_of_another_name_is_refused(name: str) -> None:
    with pytest.raises(TrimtabError, match=rf"device: found '{name}'[\s\S]*cuda:N"):
        _device.providers(name)


@pytest.mark.parametrize("command", [predict.command, evaluate.command], ids=["predict", "evaluate"])
def test_commands_tell_of_a_missing_gpu_before_they_read_rows(bundle: Path, command: Callable[..., None]) -> None:
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, [str(bundle), "nothing.csv", "--device", "cuda"])
    assert isinstance(done.exception, TrimtabError)
    assert "onnxruntime-gpu" in str(done.exception)
