"""The folder is the registry: `columns/text.py` exists, so the column type `text` exists.

This is the only place that imports a module by a name that a user wrote. Parts of one's own need not lie here: the
environment variable TRIMTAB_PARTS names folders (separated like those of PATH) that hold folders called `columns`,
`encoders`, `fusions`, `heads`, `metrics`, `methods`, `baselines`, `checks`, `perturb`,
`foreign`, `explain`, `programs`, `logs` or `track`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
from collections.abc import MutableSequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from trimtab.errors import missing_extra, nearest, problem

# The extra that brings a package which the core does without; any other is in EXTRA.
EXTRAS = {
    "PIL": "image",
    "soundfile": "audio",
    "soxr": "audio",
    "psycopg": "postgresql",
    "optuna": "search",
    **dict.fromkeys(("tensorboard", "mlflow", "wandb"), "track"),
    "bitsandbytes": "bits",
    "datasets": "hf",
    "ray": "ray",
    **dict.fromkeys(("starlette", "uvicorn", "prometheus_client", "python_multipart"), "serve"),
}
EXTRA = "train"


OWN_PARTS = "TRIMTAB_PARTS"


def names(package: str) -> list[str]:
    """Public module names in a package folder, sorted; none of them is imported."""
    folder = importlib.import_module(package)
    _add_own(folder.__path__, package.rpartition(".")[2])
    return sorted(m.name for m in pkgutil.iter_modules(folder.__path__) if not m.name.startswith("_"))


def _add_own(places: MutableSequence[str], room: str) -> None:
    """Let a package find the user's own modules too, behind those of Trimtab."""
    for own in filter(None, os.environ.get(OWN_PARTS, "").split(os.pathsep)):
        folder = str(Path(own).resolve() / room)
        if folder not in places and Path(folder).is_dir():
            places.append(folder)


def load(package: str, name: str, attribute_name: str, where: str) -> Any:
    """Import `package.name` and return what it calls `attribute_name`.

    `where` is the place in the user's request that asked for it, for the message.
    Raises TrimtabError when there is no such module, or when a package that it needs is not installed.
    """
    if name not in names(package):
        raise problem(where, f"no {package.rpartition('.')[2]} named {name!r}", nearest(name, names(package)))
    return attribute(f"{package}.{name}", attribute_name, where)


def module(package: str, name: str, where: str) -> ModuleType:
    """Import `package.name`. Raises TrimtabError as `load` does."""
    if name not in names(package):
        raise problem(where, f"no {package.rpartition('.')[2]} named {name!r}", nearest(name, names(package)))
    return _imported(f"{package}.{name}")


def attribute(module: str, name: str, where: str = "") -> Any:
    """Import a module of ours and return one of its names.

    Raises TrimtabError when a package that it needs is not installed.
    """
    try:
        return getattr(_imported(module), name)
    except ModuleNotFoundError as error:
        package = (error.name or "trimtab").partition(".")[0]
        if package == "trimtab":
            raise
        raise missing_extra(package, EXTRAS.get(package, EXTRA), where or f"{module}.{name}") from error


def _imported(module: str) -> ModuleType:
    """The module; a function of its package keeps its name where a part of one's own is called like it."""
    room, _, last = module.rpartition(".")
    package = importlib.import_module(room)
    before = vars(package).get(last)
    found = importlib.import_module(module)
    if before is not None and not isinstance(before, ModuleType):
        setattr(package, last, before)
    return found


@cache
def available(package: str) -> bool:
    """Whether a package that the core does without is installed; it is not loaded."""
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False


def camel(name: str) -> str:
    """`feature_map` -> `FeatureMap`: how a class in a registry folder is called after its file."""
    return "".join(part.capitalize() for part in name.split("_"))
