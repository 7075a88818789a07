"""Bundles on disk: written whole or not at all, read with every doubt named.

A bundle is a folder of plain data; `manifest.json` is written last and holds the sha256 of every other file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from trimtab import columns, files
from trimtab.bundle.manifest import FORMAT_VERSION, Cascade, ColumnEntry, Manifest
from trimtab.columns import InputColumn, OutputColumn
from trimtab.errors import TrimtabError, problem
from trimtab.files import recover

MANIFEST = "manifest.json"
MODEL = "model.onnx"
FIRST = "first.onnx"  # the small network of a cascade
COLUMNS = "columns"
GOLDEN = "golden.jsonl"
REFERENCE = "reference.npz"
WEIGHTS = "weights.safetensors"

QUOTING = ("hardest", "augmentation")  # parts of a manifest's evidence that quote rows
# Keys of the spec that say where things lie or what they are called, not what is computed.
_PLACES = ("data", "test", "base", "name")
_LISTED = 10  # files that one message names


# ------------------------------------------------------------------------------------------------------- writing


def save(staging: Path, manifest: Manifest, final: Path) -> Manifest:
    """Turn the folder `staging`, on the disk of `final`, into the bundle `final`; returns the completed manifest.

    Killed at any moment, either the old or the new bundle is whole; the next `save`, or `files.recover`, ends what was
    begun. Raises TrimtabError when the disk is full or not writable.
    """
    with files.writing(str(final)):
        recover(final)
        _check_replaceable(final)
        complete = write_manifest(staging, manifest)
        files.swap(staging, final)
    return complete


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Hash every file of the folder and write the completed manifest; every file gets the mode that the umask gives."""
    paths = {name: path for name, path in _paths(folder).items() if name != MANIFEST}
    hashes = {name: files.sha256(path) for name, path in paths.items()}
    decides = content_hash(hashes, manifest.spec, manifest.cascade)
    filled = manifest.model_copy(update={"files": hashes, "hash": decides})
    values = json.loads(filled.model_dump_json())
    Manifest.model_validate(values)  # what cannot be read again (a NaN) is refused here
    complete = filled.model_copy(update={"checksum": _checksum(values)})
    files.write(folder / MANIFEST, complete.model_dump_json(indent=1) + "\n")
    mode = stat.S_IMODE((folder / MANIFEST).stat().st_mode)
    for path in paths.values():  # the libraries that write weights make files for their owner alone
        if stat.S_IMODE(path.stat().st_mode) != mode:
            path.chmod(mode)
    return complete


def _check_replaceable(final: Path) -> None:
    """Nothing but a bundle or an empty folder is ever replaced."""
    if final.exists() and not (final / MANIFEST).is_file() and (not final.is_dir() or any(final.iterdir())):
        raise problem(str(final), "exists and is not a bundle", do="choose another place, or move it away")


def content_hash(hashes: Mapping[str, str], spec: Mapping[str, Any], cascade: Cascade | None = None) -> str:
    """sha256 over what decides the answers: models, columns, golden rows, reference, weights and the spec's choices.

    Timings, measured numbers, the card and the places of files are left out, so that two launches of one spec agree.
    """
    deciding = {name: digest for name, digest in hashes.items() if _serves(name) or name in (REFERENCE, WEIGHTS)}
    choices = {key: value for key, value in spec.items() if key not in _PLACES}
    return _digest({"files": deciding, "spec": choices} | ({"cascade": cascade.model_dump()} if cascade else {}))


def save_columns(folder: Path, inputs: Sequence[InputColumn], output: OutputColumn) -> None:
    """Write all columns into `folder`, the bundle's `columns`, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for column in (*inputs, output):
        column.save(folder)


# ------------------------------------------------------------------------------------------------------- reading


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a bundle.

    Raises TrimtabError for a folder that is missing, is no bundle, was damaged or was made by a newer Trimtab.
    """
    values = _read_json(folder)
    version = values.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        said = f"bundle format {version}, made by a newer Trimtab ({values.get('trimtab', 'unknown version')})"
        raise problem(str(folder), said, f"formats up to {FORMAT_VERSION}", "pip install --upgrade trimtab")
    if values.get("checksum") != _checksum(values):
        raise _damaged(folder, [f"changed: {MANIFEST}"])
    try:
        return Manifest.model_validate(values)
    except ValidationError as invalid:
        wrong = [f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in invalid.errors()]
        raise _damaged(folder, [f"{MANIFEST}: {text}" for text in wrong]) from None


def _read_json(folder: Path) -> dict[str, Any]:
    with files.reading(str(folder)):
        if not folder.is_dir():
            raise _no_folder(folder)
        try:
            values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise _no_bundle(folder) from None
        except ValueError as error:
            do = "make or copy the bundle again"
            raise problem(f"{folder / MANIFEST}", f"is not JSON ({error})", do=do) from None
    if not isinstance(values, dict):
        raise problem(f"{folder / MANIFEST}", f"holds a {type(values).__name__}", "the manifest of a bundle")
    return values


def _no_folder(folder: Path) -> TrimtabError:
    if folder.exists():
        return problem(str(folder), "is a file", "a bundle's folder")
    if (aside := files.old(folder)).is_dir():
        do = f"mv {aside} {folder}"
        return problem(str(folder), "was being replaced when the program stopped; the old bundle is safe", do=do)
    return problem(str(folder), "no such folder", "a bundle's folder", "trimtab launch makes one")


def _no_bundle(folder: Path) -> TrimtabError:
    held = sorted(path.name for path in folder.iterdir())
    listed = ", ".join(held[:_LISTED]) + (", ..." if len(held) > _LISTED else "")
    found = f"is not a bundle: no {MANIFEST} in it (it holds: {listed or 'nothing'})"
    below = folder / "bundle"
    return problem(str(folder), found, "a bundle's folder", f"use {below}" if (below / MANIFEST).is_file() else "")


def check_files(folder: Path, manifest: Manifest, names: Iterable[str] | None = None) -> None:
    """Compare files with the manifest's sha256, all of them or only `names`.

    Raises TrimtabError that names each changed and missing file, and each that cannot be read; when all are checked,
    also files that are not listed.
    """
    with files.reading(str(folder)):
        paths = _paths(folder)
        looked_at = list(manifest.files if names is None else names)
        wrong = [found for name in looked_at if name != MANIFEST for found in _doubt(paths, manifest, name)]
    if names is None:
        wrong += [f"not listed: {name}" for name in paths if name not in manifest.files and name != MANIFEST]
        if manifest.hash != content_hash(manifest.files, manifest.spec, manifest.cascade):
            wrong.append(f"changed: {MANIFEST}")
    if wrong:
        raise _damaged(folder, wrong)


class Copied(NamedTuple):
    """What a copy of a bundle holds: the files of the bundle, those left out, and what others put beside them."""

    files: list[str]
    left_out: list[str]
    passed_over: list[str]


def check_copy(folder: Path, manifest: Manifest) -> Copied:
    """Compare a copy of a bundle, as it may be served, with its manifest.

    Files that answering does not need may be left out, and what file managers and editors leave behind is passed over.
    Raises TrimtabError as `check_files` does for all else.
    """
    with files.reading(str(folder)):
        paths = _paths(folder)
        hidden = sorted(set(_walked(folder)) - set(paths))
    needed = serving_files(manifest)
    left_out = [name for name in manifest.files if name not in paths and name not in needed]
    strange = [name for name in paths if name not in manifest.files and name != MANIFEST]
    passed_over = [name for name in strange if _LEFT_BEHIND.search(name)]
    copied = Copied([name for name in manifest.files if name not in left_out], left_out, [*hidden, *passed_over])
    check_files(folder, manifest, [*copied.files, *(name for name in strange if name not in passed_over)])
    if manifest.hash != content_hash(manifest.files, manifest.spec, manifest.cascade):
        raise _damaged(folder, [f"changed: {MANIFEST}"])
    return copied


# By file managers and editors; hidden files are another matter: see `_paths`.
_LEFT_BEHIND = re.compile(
    r"(^|/)(Thumbs\.db|desktop\.ini|Icon\r|__MACOSX/.*|#[^/]*#|[^/]*(~|\.bak|\.orig|\.swp|\.tmp))$", re.IGNORECASE
)


def _doubt(paths: Mapping[str, Path], manifest: Manifest, name: str) -> Iterator[str]:
    if name not in paths:
        yield f"missing: {name}"
    elif name not in manifest.files:
        yield f"not listed: {name}"
    elif files.sha256(paths[name]) != manifest.files[name]:
        yield f"changed: {name}"


def _damaged(folder: Path, wrong: Sequence[str]) -> TrimtabError:
    more = [f"and {len(wrong) - _LISTED} more"] if len(wrong) > _LISTED else []
    found = "; ".join([*wrong[:_LISTED], *more])
    return problem(str(folder), f"the bundle is damaged: {found}", do="copy it again, or make it again: trimtab launch")


def load_columns(folder: Path, manifest: Manifest) -> tuple[tuple[InputColumn, ...], OutputColumn]:
    """Input columns, in order, and the output column, from the bundle's `columns`.

    Raises TrimtabError for a damaged state.
    """
    inputs = tuple(_load_column(folder, entry) for entry in manifest.inputs)
    return inputs, _load_column(folder, manifest.output)


def _load_column(folder: Path, entry: ColumnEntry) -> Any:
    path = folder / f"{entry.key}.json"
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if state["key"] != entry.key:  # it names files too
            raise ValueError(f"it is of the column {state['key']!r}")
        return columns.restore(folder, state)
    except PermissionError as error:
        raise files.unreadable(str(path), error) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder.parent, [f"{COLUMNS}/{path.name}: {type(error).__name__}: {error}"]) from error


# ------------------------------------------------------------------------------------------------------- serving


def serving_files(manifest: Manifest) -> list[str]:
    """What a machine that only answers needs: the manifest, the models and their data, the columns, the golden rows."""
    return [MANIFEST, *sorted(name for name in manifest.files if _serves(name))]


def quoted(manifest: Manifest) -> list[tuple[str, str]]:
    """What quotes the rows that a bundle was made of: its place, and what stands there. See privacy-of-bundles.md."""
    spec = manifest.spec
    whole = "rows that are made up" if spec.get("quote_rows") is False else "whole rows of the test data"
    found = [(GOLDEN, whole)] if GOLDEN in manifest.files else []
    found += [(f"{MANIFEST}: evidence.{part}", "rows") for part in QUOTING if manifest.evidence.get(part)]
    if manifest.data.get("suspicious") or manifest.data.get("notes") or manifest.data.get("rejected"):
        found.append((f"{MANIFEST}: data", "examples of what was told"))
    held = "classes, categories, vocabularies, ranges of numbers"
    found.append((f"{COLUMNS}/", held))
    return found + ([(REFERENCE, "quantiles, counts of categories and tokens")] if REFERENCE in manifest.files else [])


def serving_bytes(folder: Path) -> int:
    """Bytes on disk of the serving files; the manifest counts only once it is written."""
    return sum(path.stat().st_size for name, path in _paths(folder).items() if name == MANIFEST or _serves(name))


def _serves(name: str) -> bool:
    """`model.onnx.data` and the like hold weights that a model keeps outside."""
    return name == GOLDEN or name.startswith((f"{COLUMNS}/", MODEL, FIRST))


# ------------------------------------------------------------------------------------------------------- details


def _paths(folder: Path) -> dict[str, Path]:
    """Every file below a folder by its path inside, sorted, but for hidden ones and those in hidden folders.

    Those are half-written files of a kill, or what file managers, version control and caches keep there.
    """
    return {name: path for name, path in _walked(folder).items() if not f"/{name}".count("/.")}


def _walked(folder: Path) -> dict[str, Path]:
    """Every file below a folder, links followed, by its path inside; raises OSError for what cannot be looked into."""
    found: dict[str, Path] = {}
    seen: set[str] = set()

    def fail(error: OSError) -> None:
        raise error

    for place, below, names in os.walk(folder, onerror=fail, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # links that go round in a circle
            below.clear()
            continue
        seen.add(real)
        for name in names:
            path = Path(place, name)
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = path
    return dict(sorted(found.items()))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _checksum(manifest: Mapping[str, Any]) -> str:
    """sha256 over every key of a manifest but the checksum itself."""
    return _digest({key: value for key, value in manifest.items() if key != "checksum"})
