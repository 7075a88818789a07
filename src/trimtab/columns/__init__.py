"""How one column becomes numbers and comes back. One file per type: `columns/text.py` makes the type `text` exist."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import errors, registry
from trimtab.columns._assurance import DECIMALS, NO_ASSURANCE, Assurance
from trimtab.columns._column import Column
from trimtab.columns._containers import (
    OUTPUTS,
    Encoded,
    Named,
    Outputs,
    OutputTensor,
    Ragged,
    Targets,
    Values,
    Worded,
    as_arrays,
    dense,
    flat,
    from_arrays,
    in_order,
    joined,
    length_batches,
    named,
    no_outputs,
    placed,
    ragged,
    taken,
)
from trimtab.columns._input import InputColumn, InputPolicy, Reading
from trimtab.columns._output import OutputColumn, gathered
from trimtab.columns._prompt import Example, Prompt
from trimtab.columns._rows import EncodedRows, as_asked, encode_rows, read_rows
from trimtab.columns._sketches import bucket
from trimtab.errors import TrimtabError, problem

__all__ = [
    "DECIMALS",
    "IGNORED",
    "NOT_TYPES",
    "NO_ASSURANCE",
    "OUTPUTS",
    "Assurance",
    "Column",
    "Encoded",
    "EncodedRows",
    "Example",
    "InputColumn",
    "InputPolicy",
    "Named",
    "OutputColumn",
    "OutputTensor",
    "Outputs",
    "Prompt",
    "Ragged",
    "Reading",
    "Targets",
    "Values",
    "Worded",
    "answered",
    "as_arrays",
    "as_asked",
    "bucket",
    "certain",
    "dense",
    "encode_rows",
    "fit",
    "flat",
    "from_arrays",
    "gathered",
    "in_order",
    "joined",
    "keys",
    "kind",
    "length_batches",
    "log_odds",
    "named",
    "no_outputs",
    "options",
    "placed",
    "ragged",
    "read_rows",
    "restore",
    "taken",
    "types",
    "types_of",
    "word",
]  # fmt: skip

# Modules of this folder that are rules for the types, not types.
NOT_TYPES = frozenset({"parse"})


def certain(outputs: np.ndarray) -> np.ndarray:
    """Outputs to answer with where a network gave NaN or infinities (an input far beyond what it was trained on).

    NaN counts least: of a row that is all NaN no class is likelier than another. Metrics see outputs as they are.
    """
    if np.isfinite(outputs).all():
        return outputs
    return np.nan_to_num(np.asarray(outputs, np.float64), nan=-_LARGEST, posinf=_LARGEST, neginf=-_LARGEST)


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """`log(p / (1 - p))`, float64; probabilities of 0 and 1 count as a trillionth away from these."""
    inside = np.clip(np.asarray(probabilities, np.float64), _LEAST, 1 - _LEAST)
    return np.asarray(np.log(inside) - np.log1p(-inside))


_LEAST = 1e-12
_LARGEST = 1e30  # beyond any output, and far from overflow

IGNORED = -100  # the target of a padded place

_LONGEST_KEY = 60  # letters: names of files have an end, headers that are whole questions have none
_NO_KEYS = frozenset({OUTPUTS})  # what the network answers is called so, in `reference.npz` too


def fit(type_name: str, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Fit a column of the named type; the options are checked by the type itself."""
    return kind(type_name, f"column {name!r}").fit(name, key, values, options)


def options(type_name: str, where: str) -> type[Any]:
    """What may be set on a column of a type: `Options` of its file. Raises TrimtabError where there is no such type."""
    found: type[Any] = registry.attribute(kind(type_name, where).__module__, "Options", where)
    return found


def types() -> list[str]:
    """The names of all column types, sorted."""
    return [name for name in registry.names(__name__) if name not in NOT_TYPES]


def types_of(wanted: type) -> list[str]:
    """The types of inputs, or of outputs; those whose packages are not installed are left out."""
    found = []
    for name in types():
        try:
            if issubclass(kind(name, "column"), wanted):
                found.append(name)
        except TrimtabError:  # a package is missing
            continue
    return found


def kind(type_name: str, where: str) -> type[Any]:
    """The class of a column type; raises TrimtabError with the nearest name when there is none."""
    if type_name not in types():
        raise problem(where, f"no column type named {type_name!r}", errors.nearest(type_name, types()))
    found: type[Any] = registry.load(__name__, type_name, f"{registry.camel(type_name)}Column", where)
    return found


def answered(type_name: str, where: str) -> str:
    """The type of the answers that a spec calls so: `text` is another one as an output than as an input.

    Raises TrimtabError where no type is called so.
    """
    return str(kind(type_name, where).answered_as or type_name)


def word(type_name: str) -> str:
    """What a spec calls answers of a type: see `answered`."""
    called = (name for name in types_of(Column) if kind(name, "column").answered_as == type_name)
    return kind(type_name, "column").called or next(called, type_name)


def restore(folder: Path, state: Mapping[str, Any]) -> Any:
    """The column whose `<key>.json` holds `state`."""
    column = kind(str(state["type"]), str(folder)).restore(folder, state)
    promised = state.get("assurance")
    return column.assured(Assurance(**promised)) if promised else column


def keys(names: Sequence[str]) -> dict[str, str]:
    """A safe and distinct key for each column name: at most 60 lower-case ASCII letters, digits and underscores.

    Distinct are also the tensors, `<key>_<part>`, and the files, `<key>.json`, that are called by them.
    """
    found: dict[str, str] = {}
    for position, name in enumerate(names):
        plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in name.lower()).strip("_")
        plain = plain if plain and not plain[0].isdigit() else f"column_{plain or position}"
        plain = plain[:_LONGEST_KEY].rstrip("_")
        others = (f"{plain}_{position}_{number}" for number in itertools.count(2))
        tries = itertools.chain([plain, f"{plain}_{position}"], others)
        found[name] = next(key for key in tries if not _is_taken(key, set(found.values())))
    return found


def _is_taken(key: str, others: Set[str]) -> bool:
    """Whether a key would name the same as one of the others, or as what is no column."""
    # Texts have the parts `mask` and `word_mask`: the latter of `a` is called like the former of `a_word`.
    return key in others or key in _NO_KEYS or f"{key}_word" in others or key.removesuffix("_word") in others
