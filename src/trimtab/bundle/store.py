"""Bundles on disk: written whole or not at all, read with every doubt named.

A bundle is a folder of plain data. `serving.json` says what answering needs, with the sha256 of each file of it;
`manifest.json` is written last and holds the sha256 of every other file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from trimtab import columns, files
from trimtab.bundle import format1
from trimtab.bundle.manifest import Manifest
from trimtab.bundle.serving import FORMAT_VERSION, ColumnEntry, Serving
from trimtab.columns import InputColumn, OutputColumn
from trimtab.errors import TrimtabError, problem
from trimtab.files import recover

MANIFEST = "manifest.json"
SERVING = "serving.json"
MODEL = "model.onnx"
COLUMNS = "columns"
GOLDEN = "golden.jsonl"
REFERENCE = "reference.npz"
WEIGHTS = "weights.safetensors"
ENTRIES = ".names.json"  # how the file of a column ends that says what the entries of its gallery are called
JUDGE, JUDGE_SAYS = "judge.onnx", "judge.json"  # a network that looks at drawn pictures; no answer needs it

QUOTING = (
    "hardest",
    "likest",
    "augmentation",
    "to_label",
    "likely_label_errors",
)  # parts of a manifest's evidence that quote rows
_Known = TypeVar("_Known", Manifest, Serving)
# Keys of the spec that say where things lie or what they are called, not what is computed.
_PLACES = ("data", "test", "base", "name", "track")
_LISTED = 10  # files that one message names


# ------------------------------------------------------------------------------------------------------- writing


def save(staging: Path, manifest: Manifest, final: Path) -> Manifest:
    """Turn the folder `staging`, on the disk of `final`, into the bundle `final`; returns the completed manifest.

    Killed at any moment, either the old or the new bundle is whole; the next `save`, or `files.recover`, ends what was
    begun. Raises TrimtabError when the disk is full or not writable.
    """
    with files.writing(str(final)):
        recover(final)
        known = any((final / name).is_file() for name in (MANIFEST, SERVING))
        if final.exists() and not known and (not final.is_dir() or any(final.iterdir())):  # an empty folder is replaced
            raise problem(str(final), "exists and is not a bundle", do="choose another place, or move it away")
        complete = write_manifest(staging, manifest)
        files.swap(staging, final)
    return complete


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Hash every file of the folder and write both `serving.json` and the completed manifest.

    Every file gets the mode that the umask gives.
    """
    paths = {name: path for name, path in _paths(folder).items() if name not in (MANIFEST, SERVING)}
    hashes = {name: files.sha256(path) for name, path in paths.items()}
    serving = _write_serving(folder, manifest, hashes)
    listed = dict(sorted({**hashes, SERVING: files.sha256(folder / SERVING)}.items()))
    filled = {"files": listed, "serving": serving, "format_version": FORMAT_VERSION}
    complete = manifest.model_copy(update=filled)
    values = json.loads(complete.model_dump_json(exclude={"serving"}))
    Manifest.model_validate({**values, "serving": serving})  # what cannot be read again (a NaN) is refused here
    complete = complete.model_copy(update={"checksum": _checksum(values)})
    files.write(folder / MANIFEST, complete.model_dump_json(indent=1, exclude={"serving"}) + "\n")
    mode = stat.S_IMODE((folder / MANIFEST).stat().st_mode)
    for path in paths.values():  # the libraries that write weights make files for their owner alone
        if stat.S_IMODE(path.stat().st_mode) != mode:
            path.chmod(mode)
    return complete


def _write_serving(folder: Path, manifest: Manifest, hashes: Mapping[str, str]) -> Serving:
    needed = {name: digest for name, digest in hashes.items() if _serves(name, manifest.serving)}
    serving = manifest.serving.model_copy(update={"format_version": FORMAT_VERSION, "files": needed})
    serving = serving.model_copy(update={"hash": content_hash(hashes, manifest.spec, serving)})
    values = json.loads(serving.model_dump_json())
    serving = Serving.model_validate({**values, "checksum": _checksum(values)})
    files.write(folder / SERVING, serving.model_dump_json(indent=1) + "\n")
    return serving


def content_hash(hashes: Mapping[str, str], spec: Mapping[str, Any], serving: Serving) -> str:
    """sha256 over what decides the answers: networks and how they are run, columns, golden rows, the spec's choices.

    The reference and the weights count too. Timings, sizes of batches, measured numbers, the card and the places of
    files are left out, so that two launches of one spec agree.
    """
    graphs = {name: entry.model_dump(exclude={"batch_cost", "batch_rows"}) for name, entry in serving.graphs.items()}
    said = serving.model_dump(include={"inputs", "output", "program"})
    return _digest({**_deciding(hashes, spec, serving), **said, "graphs": graphs})


def _deciding(hashes: Mapping[str, str], spec: Mapping[str, Any], serving: Serving) -> dict[str, Any]:
    return {
        "files": {n: digest for n, digest in hashes.items() if _serves(n, serving) or n in (REFERENCE, WEIGHTS)},
        "spec": {key: value for key, value in spec.items() if key not in _PLACES},
    }


def save_columns(folder: Path, inputs: Sequence[InputColumn], output: OutputColumn) -> None:
    """Write all columns into `folder`, the bundle's `columns`, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for column in (*inputs, output):
        column.save(folder)


# ------------------------------------------------------------------------------------------------------- reading


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a bundle, and what it says of serving.

    Raises TrimtabError for a folder that is missing, is no bundle, was damaged or was made by a newer Trimtab.
    """
    serving = read_serving(folder)
    if not is_whole(folder):
        raise problem(str(folder), f"is a copy for serving, without {MANIFEST}", do="use the bundle it was copied of")
    values = _checked(folder, MANIFEST)
    found = _validated(Manifest, {**values, "serving": serving}, folder, MANIFEST)
    deciding = _deciding(found.files, found.spec, serving)
    old = found.format_version == format1.VERSION
    decides = _digest(format1.decides(values, deciding)) if old else content_hash(found.files, found.spec, serving)
    if decides != serving.hash:
        raise _damaged(folder, [f"changed: {serving_file(serving)}"])
    return found


def is_whole(folder: Path) -> bool:
    """Whether a bundle has its manifest: a copy that only answers may do without."""
    return (folder / MANIFEST).is_file()


def read_serving(folder: Path) -> Serving:
    """What answering needs to know of a bundle. Raises TrimtabError as `read_manifest` does."""
    with files.reading(str(folder)):
        if not folder.is_dir():
            raise _no_folder(folder)
        if (folder / SERVING).is_file():
            return _validated(Serving, _checked(folder, SERVING), folder, SERVING)
        if not (folder / MANIFEST).is_file():
            raise _no_bundle(folder)
    values = _checked(folder, MANIFEST)
    if values.get("format_version") != format1.VERSION:
        raise _damaged(folder, [f"missing: {SERVING}"])
    found = _validated(Serving, format1.serving(values), folder, MANIFEST)
    listed = dict(values.get("files", {}))
    return found.model_copy(update={"files": {name: listed[name] for name in listed if _serves(name, found)}})


def serving_file(serving: Serving) -> str:
    """The file that says what answering needs: of format 1 it was the manifest."""
    return MANIFEST if serving.format_version == format1.VERSION else SERVING


def _checked(folder: Path, name: str) -> dict[str, Any]:
    """The values of a file that holds its own checksum."""
    values = _read_json(folder / name)
    version = values.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        said = f"bundle format {version}, made by a newer Trimtab ({values.get('trimtab', 'unknown version')})"
        raise problem(str(folder), said, f"formats up to {FORMAT_VERSION}", "pip install --upgrade trimtab")
    if values.get("checksum") != _checksum(values):
        raise _damaged(folder, [f"changed: {name}"])
    return values


def _validated(model: type[_Known], values: Mapping[str, Any], folder: Path, name: str) -> _Known:
    try:
        return model.model_validate(values)
    except ValidationError as invalid:
        wrong = [f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in invalid.errors()]
        raise _damaged(folder, [f"{name}: {text}" for text in wrong]) from None


def _read_json(path: Path) -> dict[str, Any]:
    with files.reading(str(path)):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise problem(str(path), f"is not JSON ({error})", do="make or copy the bundle again") from None
    if not isinstance(values, dict):
        raise problem(str(path), f"holds a {type(values).__name__}", "a JSON object, as a bundle has it")
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
    found = f"is not a bundle: no {SERVING} in it (it holds: {listed or 'nothing'})"
    below = folder / "bundle"
    there = any((below / name).is_file() for name in (SERVING, MANIFEST))
    return problem(str(folder), found, "a bundle's folder", f"use {below}" if there else "")


def check_files(folder: Path, known: Manifest | Serving, names: Iterable[str] | None = None) -> None:
    """Compare files with the sha256 that is known of them, all of them or only `names`.

    Raises TrimtabError that names each changed and missing file, and each that cannot be read; when all are checked,
    also files that are not listed.
    """
    with files.reading(str(folder)):
        paths = _paths(folder)
        looked_at = list(known.files if names is None else names)
        own = {MANIFEST, SERVING} - known.files.keys()  # each holds a checksum of its own
        wrong = [found for name in looked_at if name not in own for found in _doubt(paths, known, name)]
    if names is None:
        wrong += [f"not listed: {name}" for name in paths if name not in known.files and name not in own]
    if wrong:
        raise _damaged(folder, wrong)


class Copied(NamedTuple):
    """What a copy of a bundle holds: the files of the bundle, those left out, and what others put beside them."""

    files: list[str]
    left_out: list[str]
    passed_over: list[str]


def check_copy(folder: Path, known: Manifest | Serving) -> Copied:
    """Compare a copy of a bundle, as it may be served, with its manifest, or with what it knows of serving alone.

    Files that answering does not need may be left out, and what file managers and editors leave behind is passed over.
    Raises TrimtabError as `check_files` does for all else.
    """
    with files.reading(str(folder)):
        paths = _paths(folder)
        hidden = sorted(set(_walked(folder)) - set(paths))
    needed = serving_files(known.serving if isinstance(known, Manifest) else known)
    left_out = [name for name in known.files if name not in paths and name not in needed]
    strange = [name for name in paths if name not in known.files and name not in (MANIFEST, SERVING)]
    passed_over = [name for name in strange if _LEFT_BEHIND.search(name)]
    copied = Copied([name for name in known.files if name not in left_out], left_out, [*hidden, *passed_over])
    check_files(folder, known, [*copied.files, *(name for name in strange if name not in passed_over)])
    return copied


# By file managers and editors; hidden files are another matter: see `_paths`.
_LEFT_BEHIND = re.compile(
    r"(^|/)(Thumbs\.db|desktop\.ini|Icon\r|__MACOSX/.*|#[^/]*#|[^/]*(~|\.bak|\.orig|\.swp|\.tmp))$", re.IGNORECASE
)


def _doubt(paths: Mapping[str, Path], known: Manifest | Serving, name: str) -> Iterator[str]:
    if name not in paths:
        yield f"missing: {name}"
    elif name not in known.files:
        yield f"not listed: {name}"
    elif files.sha256(paths[name]) != known.files[name]:
        yield f"changed: {name}"


def _damaged(folder: Path, wrong: Sequence[str]) -> TrimtabError:
    more = [f"and {len(wrong) - _LISTED} more"] if len(wrong) > _LISTED else []
    found = "; ".join([*wrong[:_LISTED], *more])
    return problem(str(folder), f"the bundle is damaged: {found}", do="copy it again, or make it again: trimtab launch")


def load_columns(folder: Path, known: Manifest | Serving) -> tuple[tuple[InputColumn, ...], OutputColumn]:
    """Input columns, in order, and the output column, from the bundle's `columns`.

    Raises TrimtabError for a damaged state.
    """
    inputs = tuple(_load_column(folder, entry) for entry in known.inputs)
    return inputs, _load_column(folder, known.output)


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


def serving_files(serving: Serving) -> list[str]:
    """What a machine that only answers needs: what says so, the networks and their data, the columns, golden rows."""
    return [serving_file(serving), *sorted(serving.files)]


def quoted(manifest: Manifest) -> list[tuple[str, str]]:
    """What quotes the rows that a bundle was made of: its place, and what stands there. See privacy-of-bundles.md."""
    spec = manifest.spec
    made_up = spec.get("quotes") == "none" or spec.get("quote_rows") is False  # the key of earlier bundles
    whole = "rows that are made up" if made_up else "whole rows of the test data"
    found = [(GOLDEN, whole)] if GOLDEN in manifest.files else []
    found += [(f"{MANIFEST}: evidence.{part}", "rows") for part in QUOTING if manifest.evidence.get(part)]
    if manifest.data.get("suspicious") or manifest.data.get("notes") or manifest.data.get("rejected"):
        found.append((f"{MANIFEST}: data", "examples of what was told"))
    held = "classes, categories, vocabularies, ranges of numbers"
    found.append((f"{COLUMNS}/", held))
    galleries = [name for name in manifest.files if name.startswith(f"{COLUMNS}/") and name.endswith(ENTRIES)]
    found += [(name, "every entry of the gallery, by its text or path") for name in galleries]
    return found + ([(REFERENCE, "quantiles, counts of categories and tokens")] if REFERENCE in manifest.files else [])


def serving_bytes(folder: Path, known: Serving | None = None) -> int:
    """Bytes on disk of the serving files of a bundle, as far as they are there; `known` is what it says of serving."""
    paths = [folder / name for name in serving_files(known or read_serving(folder))]
    return sum(path.stat().st_size for path in paths if path.is_file())


def graph_bytes(folder: Path, serving: Serving) -> int:
    """Bytes on disk of the networks; `model.onnx.data` and the like hold weights that a network keeps outside."""
    return sum(p.stat().st_size for entry in serving.graphs.values() for p in folder.glob(f"{entry.file}*"))


def _serves(name: str, serving: Serving) -> bool:
    networks = tuple(entry.file for entry in serving.graphs.values())
    return name == GOLDEN or name.startswith((f"{COLUMNS}/", *networks))


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
