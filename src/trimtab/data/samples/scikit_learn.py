"""Tables that come with scikit-learn; nothing is fetched."""

from __future__ import annotations

from typing import Any

from sklearn import datasets

from trimtab.data.samples._sample import Cells, Sample, Table


def _breast_cancer() -> Cells:
    return _named(datasets.load_breast_cancer(), "diagnosis")


def _wine() -> Cells:
    return _named(datasets.load_wine(), "cultivar")


def _diabetes() -> Cells:
    found = datasets.load_diabetes(scaled=False)
    return [
        _row(found, cells) | {"progression": float(answer)}
        for cells, answer in zip(found.data, found.target, strict=True)
    ]


def _named(found: Any, output: str) -> Cells:
    """Rows whose answer is the name of a class."""
    answers = [str(found.target_names[answer]) for answer in found.target]
    return [_row(found, cells) | {output: answer} for cells, answer in zip(found.data, answers, strict=True)]


def _row(found: Any, cells: Any) -> dict[str, Any]:
    return {str(name): float(cell) for name, cell in zip(found.feature_names, cells, strict=True)}


SAMPLES = {
    "breast-cancer": Sample(
        "30 measurements of cell nuclei: malignant or benign",
        "diagnosis",
        "scikit-learn (UCI, Wolberg 1995)",
        "CC BY 4.0",
        None,
        Table(_breast_cancer),
    ),
    "wine": Sample(
        "13 chemical measurements: which of three cultivars",
        "cultivar",
        "scikit-learn (UCI, Aeberhard and Forina 1991)",
        "CC BY 4.0",
        None,
        Table(_wine),
    ),
    "diabetes": Sample(
        "10 measurements of patients: progression after a year",
        "progression",
        "scikit-learn (Efron et al. 2004)",
        "not stated",
        None,
        Table(_diabetes),
    ),
}
