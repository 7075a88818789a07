"""Prints how fast four optimizers learn real data: python examples/backprop/compare.py."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from activations import ACTIVATIONS, FORGOTTEN, Activation, Array
from losses import LOSSES
from network import START, backward, mean_loss
from optimizers import Memory, Rule, adam, batches, descent, momentum, update
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

FEATURES = ("mean radius", "mean texture")
RATES = (0.01, 0.1, 1.0)
SHOWN = (10, 100, 1000)  # steps
SIGMOID, LOSS = ACTIVATIONS["sigmoid"], LOSSES["cross_entropy"]


@dataclass(frozen=True)
class Optimizer:
    """A rule and the number of rows that it looks at in one step."""

    rule: Rule
    batch: int


OPTIMIZERS = {
    "gradient descent": Optimizer(descent, 569),  # all rows
    "SGD": Optimizer(descent, 32),
    "momentum": Optimizer(momentum, 32),
    "Adam": Optimizer(adam, 32),
}


def data() -> tuple[Array, Array]:
    """569 tumours: x (rows, 2), each feature with mean 0 and deviation 1; y (rows,), 1 for benign."""
    cancer = load_breast_cancer()
    x = cancer.data[:, [list(cancer.feature_names).index(name) for name in FEATURES]]
    return (x - x.mean(axis=0)) / x.std(axis=0), cancer.target.astype(float)


def losses(optimizer: Optimizer, rate: float, activation: Activation, x: Array, y: Array) -> list[float]:
    """The mean loss over all rows after each of SHOWN's steps."""
    parameters, memories = START, dict[str, Memory]()
    after = []
    for step, rows in enumerate(islice(batches(len(x), optimizer.batch, seed=0), max(SHOWN)), 1):
        gradients = backward(parameters, x[rows], y[rows], activation, LOSS).gradients
        parameters, memories = update(optimizer.rule, parameters, gradients, memories, rate)
        if step in SHOWN:
            after.append(mean_loss(parameters, x, y, activation, LOSS))
    return after


def without_hidden_layer(x: Array, y: Array) -> float:
    """The mean loss of scikit-learn's logistic regression: what the hidden layer has to beat."""
    model = LogisticRegression(C=1e9).fit(x, y)  # C: as good as no penalty on large weights
    return float(LOSS.value(model.decision_function(x), y).mean())


def table(activation: Activation) -> list[str]:
    """One line for each optimizer and learning rate."""
    x, y = data()
    lines = [f"{'':18}{'rows a step':>11}{'rate':>7}" + "".join(f"{f'{step} steps':>13}" for step in SHOWN)]
    for name, optimizer in OPTIMIZERS.items():
        for rate in RATES:
            after = "".join(f"{loss:13.4f}" for loss in losses(optimizer, rate, activation, x, y))
            lines.append(f"{name:18}{optimizer.batch:11}{rate:7}{after}")
    return lines


def ends() -> list[str]:
    """The loss of two rivals: the network before the first step, and no hidden layer at all."""
    x, y = data()
    start = mean_loss(START, x, y, SIGMOID, LOSS)
    return [
        f"before the first step            {start:.4f}",
        f"logistic regression, all trained {without_hidden_layer(x, y):.4f}",
    ]


def sections() -> list[list[str]]:
    """The page, block by block, as README.md shows it."""
    return [ends(), table(SIGMOID), table(FORGOTTEN)]


if __name__ == "__main__":
    print("\n\n".join("\n".join(section) for section in sections()))
