"""examples/backprop: what is done by hand there is what PyTorch does, and its page shows what its code computes."""

from __future__ import annotations

import importlib
import inspect
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice, product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "backprop"
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(FOLDER)
    activations, losses, network, optimizers, walk, compare = (
        importlib.import_module(name) for name in ("activations", "losses", "network", "optimizers", "walk", "compare")
    )

README = (FOLDER / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```text\n(.*?)\n```$", README, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
WALK, COMPARE = BLOCKS[:7], BLOCKS[7:]

TORCH_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "leaky_relu": functional.leaky_relu,
    "tanh": torch.tanh,
}
TORCH_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": functional.binary_cross_entropy_with_logits,
    "mean_squared_error": lambda z2, y: functional.mse_loss(torch.sigmoid(z2), y),
}
TORCH_OPTIMIZERS: dict[str, Callable[[list[Tensor], float], torch.optim.Optimizer]] = {
    "gradient descent": lambda tensors, rate: torch.optim.SGD(tensors, lr=rate),
    "SGD": lambda tensors, rate: torch.optim.SGD(tensors, lr=rate),
    "momentum": lambda tensors, rate: torch.optim.SGD(tensors, lr=rate, momentum=0.9),
    "Adam": lambda tensors, rate: torch.optim.Adam(tensors, lr=rate),
}
COMBINATIONS = list(product(TORCH_ACTIVATIONS, TORCH_LOSSES))
EXTREMES = np.array([-1000.0, -40.0, -1.0, -1e-9, 0.0, 1e-9, 1.0, 40.0, 1000.0])

Arrays = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def warnings_of_numpy_are_errors() -> Iterator[None]:
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        yield


def leaves(parameters: Arrays) -> dict[str, Tensor]:
    """The same numbers as tensors that gather gradients."""
    return {name: torch.tensor(array, dtype=torch.float64, requires_grad=True) for name, array in parameters.items()}


def torch_loss(tensors: dict[str, Tensor], x: np.ndarray, y: np.ndarray, activation: str, loss: str) -> Tensor:
    """J of the network, computed by PyTorch alone."""
    a1 = TORCH_ACTIVATIONS[activation](functional.linear(torch.from_numpy(x), tensors["W1"], tensors["b1"]))
    return TORCH_LOSSES[loss](a1 @ tensors["W2"] + tensors["b2"], torch.from_numpy(y))


def distance(ours: Arrays, theirs: dict[str, Tensor]) -> float:
    """The largest difference of any number; the shapes must be the same."""
    assert list(ours) == list(theirs) == ["W1", "b1", "W2", "b2"]
    assert all(ours[name].shape == tuple(theirs[name].shape) for name in ours)
    return max(float(np.abs(ours[name] - theirs[name].detach().numpy()).max()) for name in ours)


def mixed() -> Arrays:
    """Parameters for which hidden units of the real rows are above 0 and below, so that a ReLU shows both sides."""
    return {
        "W1": np.array([[0.9, -0.4], [-0.3, 1.1], [0.5, 0.6]]),
        "b1": np.array([0.1, -0.2, 0.3]),
        "W2": np.array([0.7, -0.8, 0.2]),
        "b2": np.array(-0.1),
    }


def test_the_network_is_the_one_that_is_promised() -> None:
    written = {name: array.tolist() for name, array in network.START.items()}
    assert written == {"W1": [[0.1, 0.2], [0.3, 0.4]], "b1": [0.5, 0.6], "W2": [0.7, 0.8], "b2": 0.9}
    assert walk.RATE == 0.01


def test_no_activation_loss_or_optimizer_goes_untested() -> None:
    assert list(activations.ACTIVATIONS) == list(TORCH_ACTIVATIONS)
    assert list(losses.LOSSES) == list(TORCH_LOSSES)
    assert list(compare.OPTIMIZERS) == list(TORCH_OPTIMIZERS)
    assert len(COMBINATIONS) == 8


@pytest.mark.parametrize(("activation", "loss"), COMBINATIONS)
@pytest.mark.parametrize("start", [network.START, mixed()], ids=["start", "mixed"])
def test_every_gradient_is_that_of_autograd(start: Arrays, activation: str, loss: str) -> None:
    x, y = compare.data()
    tensors = leaves(start)
    J = torch_loss(tensors, x, y, activation, loss)
    J.backward()
    arguments = (start, x, y, activations.ACTIVATIONS[activation], losses.LOSSES[loss])
    assert network.mean_loss(*arguments) == pytest.approx(J.item(), abs=1e-12)
    gradients = network.backward(*arguments).gradients
    autograd = {name: tensor.grad for name, tensor in tensors.items() if tensor.grad is not None}
    assert distance(gradients, autograd) < 1e-10
    assert min(float(np.abs(gradient).min()) for gradient in gradients.values()) > 1e-5  # none is 0 by chance


@pytest.mark.parametrize(("activation", "loss"), COMBINATIONS)
def test_every_gradient_is_that_of_finite_differences(activation: str, loss: str) -> None:
    x, y = compare.data()
    arguments = (mixed(), x, y, activations.ACTIVATIONS[activation], losses.LOSSES[loss])
    z1 = network.forward(*arguments[:2], arguments[3]).z1
    assert (z1 > 0).any()
    assert (z1 < 0).any()
    assert np.abs(z1).min() > 1e-4  # h stays on one side of a ReLU's kink
    measured, gradients = network.finite_differences(*arguments), network.backward(*arguments).gradients
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, measured[name], rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("activation", TORCH_ACTIVATIONS)
def test_activations_and_their_derivatives_hold_at_extremes(activation: str) -> None:
    z = torch.tensor(EXTREMES, requires_grad=True)
    a = TORCH_ACTIVATIONS[activation](z)
    a.sum().backward()
    ours = activations.ACTIVATIONS[activation]
    np.testing.assert_allclose(ours.value(EXTREMES), a.detach(), rtol=1e-13, atol=1e-300)
    assert z.grad is not None
    np.testing.assert_allclose(ours.derivative(EXTREMES), z.grad, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("loss", TORCH_LOSSES)
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_losses_and_their_derivatives_hold_at_extremes(loss: str, target: float) -> None:
    y = np.full_like(EXTREMES, target)
    z = torch.tensor(EXTREMES, requires_grad=True)
    J = TORCH_LOSSES[loss](z, torch.from_numpy(y))
    J.backward()
    ours = losses.LOSSES[loss]
    assert ours.value(EXTREMES, y).mean() == pytest.approx(J.item(), rel=1e-13)
    assert z.grad is not None
    np.testing.assert_allclose(ours.derivative(EXTREMES, y) / len(y), z.grad, rtol=1e-12, atol=1e-15)


def test_cross_entropy_is_that_of_a_softmax_over_two_logits() -> None:
    y = np.array([0.0, 1.0] * 4 + [0.0])
    logits = torch.tensor(np.stack([np.zeros_like(EXTREMES), EXTREMES], axis=1))
    softmax = functional.cross_entropy(logits, torch.tensor(y).long(), reduction="none")
    np.testing.assert_allclose(losses.cross_entropy(EXTREMES, y), softmax, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", TORCH_OPTIMIZERS)
def test_every_optimizer_takes_the_path_of_torch(name: str) -> None:
    x, y = compare.data()
    optimizer = compare.OPTIMIZERS[name]
    parameters, memories, tensors = network.START, {}, leaves(network.START)
    theirs = TORCH_OPTIMIZERS[name](list(tensors.values()), 0.1)
    for rows in islice(optimizers.batches(len(x), optimizer.batch, seed=1), 40):
        gradients = network.backward(parameters, x[rows], y[rows], walk.SIGMOID, walk.LOSS).gradients
        parameters, memories = optimizers.update(optimizer.rule, parameters, gradients, memories, 0.1)
        theirs.zero_grad()
        torch_loss(tensors, x[rows], y[rows], "sigmoid", "cross_entropy").backward()
        theirs.step()
        assert distance(parameters, tensors) < 1e-10
    assert distance(network.START, tensors) > 0.1  # it went somewhere


def test_momentum_that_averages_takes_the_same_path_at_ten_times_the_rate() -> None:
    gradients = [np.array([1.0, -2.0]), np.array([0.5, 3.0]), np.array([-1.0, 0.1])]
    w, memory, averaged, v = np.zeros(2), {}, np.zeros(2), np.zeros(2)
    for dw in gradients:
        w, memory = optimizers.momentum(w, dw, memory, 0.1)
        v = 0.9 * v + (1 - 0.9) * dw
        averaged = averaged - 0.1 / (1 - 0.9) * v
    np.testing.assert_allclose(w, averaged, rtol=1e-12)


def test_sure_and_wrong_only_cross_entropy_still_learns() -> None:
    z2, y = np.array([-20.0, 20.0]), np.array([1.0, 0.0])
    np.testing.assert_allclose(losses.d_cross_entropy(z2, y), [-1, 1], atol=1e-8)
    assert (np.abs(losses.d_squared_error(z2, y)) < 1e-8).all()


def test_an_epoch_of_mini_batches_uses_every_row_once() -> None:
    epochs = list(islice(optimizers.batches(569, 32, seed=0), 36))  # 18 batches are an epoch
    first, second = np.concatenate(epochs[:18]), np.concatenate(epochs[18:])
    assert sorted(first) == sorted(second) == list(range(569))
    assert list(first) != list(second)


def test_without_the_factor_the_first_layer_is_wrong_and_finite_differences_say_so() -> None:
    arguments = (network.START, walk.X, walk.Y)
    measured = network.finite_differences(*arguments, walk.SIGMOID, walk.LOSS)
    right = network.backward(*arguments, walk.SIGMOID, walk.LOSS)
    wrong = network.backward(*arguments, activations.FORGOTTEN, walk.LOSS)
    for name in ("W1", "b1"):
        np.testing.assert_allclose(right.gradients[name], measured[name], rtol=0, atol=1e-10)
        assert (np.abs(wrong.gradients[name] / measured[name]) > 4).all()
    np.testing.assert_allclose(right.dz1, [[-0.02190017, -0.02411328]], rtol=0, atol=5e-9)
    np.testing.assert_allclose(wrong.dz1, [[-0.09377683, -0.10717352]], rtol=0, atol=5e-9)
    np.testing.assert_array_equal(wrong.dW2, right.dW2)


def test_read_the_other_way_w1_gives_the_transposed_network() -> None:
    W1, b1, W2, b2 = (network.START[name] for name in ("W1", "b1", "W2", "b2"))
    z1 = walk.X[0] @ W1 + b1
    a2 = activations.sigmoid(activations.sigmoid(z1) @ W2 + b2)
    shown = [float(line.rpartition("= ")[2]) for line in WALK[6].splitlines()]
    assert shown == pytest.approx([*z1, a2, -math.log(a2)], abs=1e-8)


@pytest.mark.parametrize(
    ("script", "blocks"),
    [
        pytest.param("walk.py", WALK, id="walk"),
        pytest.param("compare.py", COMPARE, id="compare", marks=pytest.mark.slow),
    ],
)
def test_the_page_shows_what_the_scripts_print(script: str, blocks: list[str], tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout == "\n\n".join(blocks) + "\n"


def test_every_line_of_the_walk_is_true_arithmetic() -> None:
    known = {"sigmoid": lambda z: 1 / (1 + math.exp(-z)), "log": math.log, "__builtins__": {}}
    lines = [line.split(" = ") for block in [*WALK[:4], WALK[5]] for line in block.splitlines() if " = " in line]
    sums = [line for line in lines if re.search(r"[*(]", line[-2])]
    for *_, formula, value in sums:
        assert eval(formula, known) == pytest.approx(float(value), abs=2e-8), formula
    assert len(sums) == 35  # of 38 lines; db1 and db2 are copies of dz1 and dz2


def test_numbers_in_the_text_of_the_page_are_in_its_output() -> None:
    numbers = re.findall(r"\d+\.\d{4,}", PROSE)
    h = inspect.signature(network.finite_differences).parameters["h"].default
    assert f"h = {h:.5f} " in PROSE
    assert [number for number in numbers if number not in "\n".join(BLOCKS) and float(number) != h] == []


def test_what_the_page_says_of_the_optimizers_is_in_its_tables() -> None:
    right, forgotten = (
        {
            (found[1], float(found[2])): [float(number) for number in found[3].split()]
            for found in re.finditer(r"^([A-Za-z ]+?) +\d+ +([\d.]+) +([\d. ]+)$", block, re.MULTILINE)
        }
        for block in COMPARE[1:]
    )
    assert len(right) == len(forgotten) == 12
    rival = float(COMPARE[0].split()[-1])
    for rate in compare.RATES:
        assert right["SGD", rate] == pytest.approx(right["gradient descent", rate], rel=0.01)
    assert right["momentum", 0.01][1:] == pytest.approx(right["SGD", 0.1][1:], rel=0.01)
    for step in range(3):
        assert min(right[name, 0.01][step] for name in TORCH_OPTIMIZERS) == right["Adam", 0.01][step]
    assert min(line[2] for line in right.values()) == right["gradient descent", 1.0][2] < rival
    assert min(line[2] for line in forgotten.values()) > rival
    assert sum(forgotten[line][0] < right[line][0] for line in right) >= 6  # "at first it is often quicker"
    assert sum(line[2] > line[1] for line in forgotten.values()) >= 3  # "some lines get worse"
