"""Prints every number of the forward and the backward pass for one row: python examples/backprop/walk.py."""

from __future__ import annotations

import re

import numpy as np
from activations import ACTIVATIONS, FORGOTTEN, d_sigmoid
from losses import LOSSES
from network import START, Parameters, backward, finite_differences, forward, mean_loss
from optimizers import descent, update

X = np.array([[0.05, 0.10]])  # one row of two inputs
Y = np.array([1.0])
RATE = 0.01
SIGMOID = ACTIVATIONS["sigmoid"]
LOSS = LOSSES["cross_entropy"]

# What is computed, and from what; the numbers come from network.py.
FORWARD = {
    "z1[0]": "W1[0,0] * x[0] + W1[0,1] * x[1] + b1[0]",
    "z1[1]": "W1[1,0] * x[0] + W1[1,1] * x[1] + b1[1]",
    "a1[0]": "sigmoid(z1[0])",
    "a1[1]": "sigmoid(z1[1])",
    "z2": "W2[0] * a1[0] + W2[1] * a1[1] + b2",
    "a2": "sigmoid(z2)",
    "J": "-(y * log(a2) + (1 - y) * log(1 - a2))",
}
OUTPUT = {
    "da2": "(a2 - y) / (a2 * (1 - a2))",
    "sigmoid'(z2)": "a2 * (1 - a2)",
    "dz2": "da2 * sigmoid'(z2)",
    "dW2[0]": "dz2 * a1[0]",
    "dW2[1]": "dz2 * a1[1]",
    "db2": "dz2",
}
HIDDEN = {
    "da1[0]": "dz2 * W2[0]",
    "da1[1]": "dz2 * W2[1]",
    "sigmoid'(z1[0])": "a1[0] * (1 - a1[0])",
    "sigmoid'(z1[1])": "a1[1] * (1 - a1[1])",
    "dz1[0]": "da1[0] * sigmoid'(z1[0])",
    "dz1[1]": "da1[1] * sigmoid'(z1[1])",
    "dW1[0,0]": "dz1[0] * x[0]",
    "dW1[0,1]": "dz1[0] * x[1]",
    "dW1[1,0]": "dz1[1] * x[0]",
    "dW1[1,1]": "dz1[1] * x[1]",
    "db1[0]": "dz1[0]",
    "db1[1]": "dz1[1]",
}
CHAIN = {
    "dz1[0]": "da2 * sigmoid'(z2) * W2[0] * sigmoid'(z1[0])",
    "forgotten dz1[0]": "da2 * sigmoid'(z2) * W2[0]",
    "dW1[0,0]": "da2 * sigmoid'(z2) * W2[0] * sigmoid'(z1[0]) * x[0]",
    "forgotten dW1[0,0]": "da2 * sigmoid'(z2) * W2[0] * x[0]",
}
NAME = re.compile(r"sigmoid'\([^)]*\)|(?<!\w)(?!log|sigmoid)[A-Za-z]\w*(?:\[[\d,]+\])?")


def named(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Each number under its own name, such as "W1[0,1]"; the axis of the one row falls away."""
    numbers = {}
    for name, array in arrays.items():
        for index, number in np.ndenumerate(np.squeeze(array)):
            numbers[f"{name}[{','.join(map(str, index))}]" if index else name] = float(number)
    return numbers


def passes(parameters: Parameters) -> dict[str, float]:
    """All numbers of the forward and the backward pass, by name."""
    done = forward(parameters, X, SIGMOID)
    inputs = {"x": X, "y": Y, **parameters}
    ends = {"J": LOSS.value(done.z2, Y), "da2": (done.a2 - Y) / (done.a2 * (1 - done.a2))}
    right = named({**inputs, **vars(done), **ends, **vars(backward(parameters, X, Y, SIGMOID, LOSS))})
    wrong = named(vars(backward(parameters, X, Y, FORGOTTEN, LOSS)))
    z = named({"z1": done.z1, "z2": done.z2})
    slopes = {f"sigmoid'({name})": float(d_sigmoid(np.array(number))) for name, number in z.items()}
    return {**right, **slopes, **{f"forgotten {name}": number for name, number in wrong.items()}}


def short(number: float) -> str:
    """Eight decimals, without zeros at the end."""
    return f"{number:.8f}".rstrip("0").rstrip(".")


def lines(formulas: dict[str, str], numbers: dict[str, float]) -> list[str]:
    """Each line: name = formula = the formula with its numbers = value."""
    written = []
    for name, formula in formulas.items():
        filled = NAME.sub(lambda found: short(numbers[found[0]]), formula)
        parts = [name, formula, filled, f"{numbers[name]:.8f}"]
        written.append(" = ".join(parts if NAME.fullmatch(formula) is None else [name, formula, parts[-1]]))
    return written


def gradient_check() -> list[str]:
    """Each gradient three times: by finite differences, by the chain rule, and with the factor forgotten."""
    true = named(finite_differences(START, X, Y, SIGMOID, LOSS))
    right = named(backward(START, X, Y, SIGMOID, LOSS).gradients)
    wrong = named(backward(START, X, Y, FORGOTTEN, LOSS).gradients)
    rows = [f"{'':8}{'differences':>14}{'chain rule':>14}{'forgotten':>14}{'too large':>11}"]
    for name, slope in true.items():
        ratio = f"{wrong[name] / slope:.4f} x"
        rows.append(f"{name:8}{slope:14.8f}{right[name]:14.8f}{wrong[name]:14.8f}{ratio:>11}")
    return rows


def one_step() -> list[str]:
    """The new parameters, and what the step does to J."""
    gradients = backward(START, X, Y, SIGMOID, LOSS).gradients
    after, _ = update(descent, START, gradients, {}, RATE)
    old, slopes, new = named(START), named(gradients), named(after)
    rows = [f"{name} - {RATE} * d{name} = {old[name]} - {RATE} * {slopes[name]:.8f} = {new[name]:.8f}" for name in old]
    wrong, _ = update(descent, START, backward(START, X, Y, FORGOTTEN, LOSS).gradients, {}, RATE)
    before = mean_loss(START, X, Y, SIGMOID, LOSS)
    losses = {
        "J before": before,
        "J before - rate * |gradient|^2": before - RATE * sum(slope**2 for slope in slopes.values()),
        "J after": mean_loss(after, X, Y, SIGMOID, LOSS),
        "J after, factor forgotten": mean_loss(wrong, X, Y, SIGMOID, LOSS),
    }
    return rows + [f"{name:32}{loss:.8f}" for name, loss in losses.items()]


def other_convention() -> list[str]:
    """The same numbers in W1, read as [input, hidden unit]."""
    numbers = passes({**START, "W1": START["W1"].T})
    return [f"{name} = {numbers[name]:.8f}" for name in ("z1[0]", "z1[1]", "a2", "J")]


def sections() -> list[list[str]]:
    """The page, block by block, as README.md shows it."""
    numbers = passes(START)
    return [
        lines(FORWARD, numbers),
        lines(OUTPUT, numbers),
        lines(HIDDEN, numbers),
        lines(CHAIN, numbers),
        gradient_check(),
        one_step(),
        other_convention(),
    ]


if __name__ == "__main__":
    print("\n\n".join("\n".join(section) for section in sections()))
