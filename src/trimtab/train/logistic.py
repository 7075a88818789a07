"""A head of one linear map, fitted at once: logistic regression on the vectors that it reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from trimtab.nets.network import Network

_ITERATIONS = 1000
_NEVER = -10.0  # the logit of a class that no row has


@dataclass(frozen=True)
class Regression:
    """A logit for each class, `vectors @ weights.T + biases`; `loss` the mean log loss of its own rows."""

    weights: np.ndarray  # (classes, width)
    biases: np.ndarray  # (classes,)
    loss: float

    def logits(self, vectors: np.ndarray) -> np.ndarray:
        """(rows, width) -> (rows, classes)."""
        return np.asarray(vectors @ self.weights.T + self.biases)


def fit(
    vectors: np.ndarray,
    targets: np.ndarray,
    classes: int,
    strength: float = 1.0,
    balanced: bool = False,
    weights: np.ndarray | None = None,
) -> Regression:
    """Logistic regression on vectors whose mean length is made 1; `strength` is the inverse of its L2 penalty.

    `vectors` is (rows, width), `targets` (rows,), `weights` (rows,) how much each row counts. Rows of two classes at
    least are needed.
    """
    scale = 1 / max(float(np.linalg.norm(vectors, axis=1).mean()), 1e-9)
    model = LogisticRegression(C=strength, max_iter=_ITERATIONS, class_weight="balanced" if balanced else None)
    model.fit(vectors * scale, targets, sample_weight=weights)
    known = model.classes_.astype(int)
    slopes, offsets = model.coef_ * scale, model.intercept_
    if len(known) == 2:  # one logit, of the second class
        slopes, offsets = np.stack([-slopes[0], slopes[0]]) / 2, np.stack([-offsets[0], offsets[0]]) / 2
    found = Regression(np.zeros((classes, vectors.shape[1])), np.full(classes, _NEVER), 0.0)
    found.weights[known], found.biases[known] = slopes, offsets
    chances = model.predict_proba(vectors * scale)[np.arange(len(targets)), np.searchsorted(model.classes_, targets)]
    return Regression(found.weights, found.biases, float(-np.log(np.maximum(chances, 1e-12)).mean()))


def linear(network: Network) -> nn.Linear:
    """The head's linear map: what `fit` found becomes its weights."""
    layers = network.head.layers
    assert isinstance(layers, nn.Sequential)
    found = layers[-1]
    assert isinstance(found, nn.Linear)
    return found


@torch.no_grad()
def put_in(network: Network, found: Regression) -> None:
    """Make what was fitted the head of the network."""
    layer = linear(network)
    layer.weight.copy_(torch.from_numpy(found.weights))
    layer.bias.copy_(torch.from_numpy(found.biases))
