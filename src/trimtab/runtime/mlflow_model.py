"""A bundle as an MLflow model of the flavour `python_function`: a folder of data that needs no PyTorch to answer.

`mlflow models serve` and `mlflow.pyfunc.load_model` find this module by the name that the folder's `MLmodel` gives.
"""

from __future__ import annotations

import json
import math
import platform
import shutil
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from trimtab import __version__, runtime
from trimtab.bundle import store
from trimtab.errors import problem

_BUNDLE = "bundle"
_TOP = {"name": "top", "type": "long", "default": 1, "shape": None}  # classes of an answer


def write(bundle: Path | str, target: Path | str) -> Path:
    """Write the model of a bundle into a new folder. Raises TrimtabError for what is no bundle, and where one is."""
    source, folder = Path(bundle), Path(target)
    serving = store.read_serving(source)
    if folder.exists():
        raise problem(str(folder), "exists", do="choose another place")
    shutil.copytree(source, folder / _BUNDLE)
    flavour = {
        "loader_module": __name__,
        "data": _BUNDLE,
        "python_version": platform.python_version(),
        "env": {"virtualenv": "python_env.yaml"},
    }
    said = {
        "flavors": {
            "python_function": flavour,
            "trimtab": {"bundle": _BUNDLE, "hash": serving.hash, "trimtab_version": __version__},
        },
        # Inputs are left open: Trimtab reads what is written in a cell, whatever its type.
        "signature": {"inputs": None, "outputs": None, "params": json.dumps([_TOP])},
        "metadata": {
            "inputs": json.dumps({column.name: column.type for column in serving.inputs}, ensure_ascii=False),
            "output": serving.output.name,
        },
        "model_uuid": uuid.uuid4().hex,
        "utc_time_created": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}",
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(said, allow_unicode=True, sort_keys=False), encoding="utf-8")
    (folder / "requirements.txt").write_text(f"mlflow\ntrimtab[image,audio]=={__version__}\n", encoding="utf-8")
    env = {"python": platform.python_version(), "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
    (folder / "python_env.yaml").write_text(yaml.safe_dump(env, sort_keys=False), encoding="utf-8")
    return folder


class Answers:
    """What MLflow calls with rows: those of a data frame, a list of rows, or lists of values by column."""

    def __init__(self, model: runtime.Model) -> None:
        self.model = model

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """A mapping for each row, as `trimtab predict` writes it; `top` of the params asks for more than one class."""
        rows = _rows(model_input)
        return self.model.predict(rows, top=int((params or {}).get("top", 1))).rows()


def _rows(given: Any) -> Sequence[Mapping[str, Any]]:
    records = getattr(given, "to_dict", None)  # a data frame of pandas, which is not loaded for it
    if records is not None:
        given = records(orient="records")
    if isinstance(given, Mapping):
        columns = {name: list(values) for name, values in given.items()}
        given = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [{name: _plain(value) for name, value in row.items()} for row in given]


def _plain(value: Any) -> Any:
    """A cell as JSON would hold it: MLflow makes single values arrays without a dimension, pandas no value NaN."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return None if isinstance(value, float) and math.isnan(value) else value


def _load_pyfunc(data_path: str) -> Answers:
    """What MLflow calls to open a model's `data`."""
    return Answers(runtime.load(data_path))
