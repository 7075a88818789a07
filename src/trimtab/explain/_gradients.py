"""Integrated gradients of the trained network, where PyTorch and the bundle's weights are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from trimtab import registry
from trimtab.columns import OutputColumn, encode_rows
from trimtab.errors import problem
from trimtab.explain._attribution import Attribution
from trimtab.explain._question import ROOM, Path, Question

_POINTS = 64  # of the path
_STEP = 1e-3  # of an output, to find how a score follows it
_MOST_OUTPUTS = 1000  # whose slopes are looked for one by one


def gradients(question: Question) -> Attribution:
    """What the units add along the path from nothing to the row, by the network before it was made smaller.

    Raises TrimtabError where the train extra is not installed, and for a bundle without its weights.
    """
    model = question.model
    if model.folder is None:
        raise problem("method gradients", "the model is in memory alone", do="save it as a bundle, and load that")
    fitted = registry.attribute("trimtab.nets.fitted", "read", "method gradients")(model.folder)
    integrated = registry.attribute("trimtab.nets.gradients", "integrated", "method gradients")
    rows = encode_rows(model.inputs, {column.name: [question.row.get(column.name)] for column in model.inputs})
    tensors = rows.batch(np.array([0]))
    paths = _paths(question)
    baseline = {
        name: np.asarray(path.start, tensors[name].dtype if path.part == "ids" else np.float32)[None]
        for name, path in paths.items()
    }
    found = integrated(fitted, tensors, baseline, _slope(model.output, question.place), _POINTS)
    base = float(model.output.additive_scores(found.start[None])[0, question.place])
    return Attribution(_by_unit(question, paths, found.added), np.zeros(len(question.units)), base)


def _paths(question: Question) -> dict[str, Path]:
    """By tensor, of the columns whose type says how its units lie in it."""
    paths = {}
    for column, parts in zip(question.model.inputs, question.parts, strict=True):
        if not parts.units or column.type not in registry.names(ROOM):
            continue
        path = getattr(registry.module(ROOM, column.type, f"explain/{column.type}.py"), "path", None)
        if path is not None:
            one: Path = path(column, question.row.get(column.name), parts)
            paths[f"{column.key}_{one.part}"] = one
    return paths


def _by_unit(question: Question, paths: Mapping[str, Path], added: Mapping[str, np.ndarray]) -> np.ndarray:
    found = []
    for column, parts in zip(question.model.inputs, question.parts, strict=True):
        total = np.zeros(len(parts.units))
        for name, path in paths.items():
            if name == f"{column.key}_{path.part}":
                own = path.units >= 0
                total += np.bincount(path.units[own], weights=added[name][own], minlength=len(total))
        found.append(total)
    return np.concatenate(found)


def _slope(output: OutputColumn, place: int) -> Callable[[np.ndarray], np.ndarray]:
    """How the score follows each output of the network, (rows, width) -> (rows, width), by central differences."""

    def slope(outputs: np.ndarray) -> np.ndarray:
        rows, width = outputs.shape
        if width > _MOST_OUTPUTS:  # a ranking, whose scores are the outputs
            return np.eye(1, width, place).repeat(rows, axis=0)
        steps = _STEP * np.eye(width)
        ends = (outputs[:, None] + sign * steps for sign in (1.0, -1.0))
        up, down = (output.additive_scores(end.reshape(-1, width))[:, place].reshape(rows, width) for end in ends)
        return np.asarray((up - down) / (2 * _STEP))

    return slope
