"""The folder is the registry: `columns/text.py` exists, so the column type `text` exists.

This is the only place that imports a module by a name that a user wrote.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from trimtab.errors import missing_extra, nearest, problem

# Which extra brings the packages that a folder's modules import at their top.
EXTRA_OF = {
    "trimtab.rows": "train",
    "trimtab.nets.encoders": "train",
    "trimtab.nets.fusions": "train",
    "trimtab.nets.heads": "train",
    "trimtab.cli": "train",
}


def names(package: str) -> list[str]:
    """Public module names in a package folder, sorted; none of them is imported."""
    folder = importlib.import_module(package)
    return sorted(m.name for m in pkgutil.iter_modules(folder.__path__) if not m.name.startswith("_"))


def load(package: str, name: str, attribute: str, where: str) -> Any:
    """Import `package.name` and return its `attribute`.

    `where` is the place in the user's request that asked for it, for the message.
    Raises TrimtabError when there is no such module, or when a package that it needs is not installed.
    """
    if name not in names(package):
        raise problem(where, f"no {package.rpartition('.')[2]} named {name!r}", nearest(name, names(package)))
    try:
        module = importlib.import_module(f"{package}.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "trimtab":
            raise
        raise missing_extra(error.name.partition(".")[0], EXTRA_OF.get(package, "all"), where) from error
    return getattr(module, attribute)


def camel(name: str) -> str:
    """`feature_map` -> `FeatureMap`: how a class in a registry folder is called after its file."""
    return "".join(part.capitalize() for part in name.split("_"))
