"""`trimtab compress`: a bundle that is there, made smaller or faster until it meets gates; nothing is trained anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import spec as specs
from trimtab.bundle import reference, store
from trimtab.bundle.manifest import Manifest
from trimtab.columns import encode_rows
from trimtab.data import dedup
from trimtab.data.table import Table
from trimtab.errors import problem
from trimtab.nets import fitted
from trimtab.nets.fitted import FittedNetwork
from trimtab.pipeline import run_folder
from trimtab.pipeline.release import Release, audit
from trimtab.progress import Progress, Quiet
from trimtab.request import Request, check, read_to_learn
from trimtab.search import compression, written
from trimtab.search.assembly import assemble


def compress(
    bundle: str | Path,
    gates: Mapping[str, str],
    overrides: Sequence[str] = (),
    folder: str | Path = ".",
    to: str | Path | None = None,
    progress: Progress | None = None,
) -> Release:
    """Search for the cheapest network that meets `gates` (and the bundle's own), as `compress` of a spec does.

    The rows are those of the bundle's spec, whose paths are relative to `folder`; `overrides` change it, such as
    `data=more.csv` or `compress.minutes=5`. The new bundle is `to`/bundle; default: `compressed` beside the old one.
    Raises TrimtabError for what is no bundle with its weights, and for rows that are not there.
    """
    progress = progress or Quiet()
    source = Path(bundle)
    network, manifest = fitted.read(source), store.read_manifest(source)
    if len(manifest.serving.graphs) > 1 and not written.has_program(network.network):
        said = f"holds {len(manifest.serving.graphs)} networks, a {manifest.serving.program.name}"
        raise problem(str(source), said, do="compress the bundle that it was made of")
    home = Path(to) if to else source.resolve().parent / "compressed"
    spec = specs.parse(specs.override(_asked(manifest, gates, network), overrides))
    with run_folder.held(home, source, progress):
        request = _unseen(check(spec, Path(folder), home, progress), reference.seen(source / store.REFERENCE), progress)
        return _searched(_with_columns(request, network), network, manifest, home, progress)


def _searched(request: Request, network: FittedNetwork, manifest: Manifest, home: Path, progress: Progress) -> Release:
    uncompressed, stage = assemble(request, network, home / "work" / "bundle", progress)
    found = compression.compress(request, network, uncompressed, home, progress, origin=manifest.hash)
    stages = [*manifest.stages, stage, *([found.stage] if found.stage else [])]
    return audit(request, uncompressed, found, list(manifest.evidence.get("history", [])), stages, home, progress)


def _asked(manifest: Manifest, gates: Mapping[str, str], network: FittedNetwork) -> dict[str, Any]:
    """The bundle's spec with these gates beside its own; it is searched, unless it says how."""
    said = dict(manifest.spec)
    wish = said.get("compress")
    said["compress"] = wish if isinstance(wish, dict) else {}
    said["gates"] = {**said.get("gates", {}), **gates}
    if network.network.fusion is None:  # written out like every default, and refused where the head reads states
        said["fusion"] = None
    return said


def _unseen(request: Request, seen: Mapping[str, np.ndarray], progress: Progress) -> Request:
    """The request without rows to measure on that the bundle was trained on, or chosen by.

    Other shares cut the splits anew, and so do rows that are added where the cut is exact or by time.
    """
    splits, kinds = request.prepared.splits, dedup.told_apart(request.inputs, request.output)
    if not seen or not request.seen:  # of an older bundle, or one that reads histories
        return request
    every = np.concatenate(list(seen.values()))
    valid = _without(splits.valid, kinds, seen["train"])
    test = _without(splits.test, kinds, every)
    left_out = {"valid": len(splits.valid) - len(valid), "test": len(splits.test) - len(test)}
    known = {part: np.union1d(seen[part], found) for part, found in request.seen.items()}
    if not any(left_out.values()):
        return replace(request, seen=known)
    if not (len(valid) and len(test)):
        found = "the bundle was trained on every row that could be measured on"
        raise problem("data", found, do="add rows that it has not seen, or use the rows it was made of")
    progress.note(f"not measured on, for the bundle was made by them: {left_out['test']:,} test rows, "
                  f"{left_out['valid']:,} validation rows")  # fmt: skip
    report = {**request.prepared.report, "seen_by_the_bundle": left_out}
    prepared = replace(request.prepared, splits=replace(splits, valid=valid, test=test), report=report)
    return replace(request, prepared=prepared, seen=known)


def _without(table: Table, kinds: Mapping[str, str], seen: np.ndarray) -> Table:
    return table.take(np.flatnonzero(~np.isin(dedup.fingerprint(dedup.keys(table, kinds)), seen)))


def _with_columns(request: Request, network: FittedNetwork) -> Request:
    """The request with the bundle's own columns in place of those fitted anew."""
    splits = request.prepared.splits
    inputs = network.inputs
    if [column.name for column in inputs] != [column.name for column in request.inputs]:
        found = f"the bundle reads {', '.join(column.name for column in inputs)}"
        raise problem(
            "inputs", found, ", ".join(column.name for column in request.inputs), "use the rows it was made of"
        )
    learnt = read_to_learn(inputs, network.output)
    train, valid = (encode_rows(learnt, table.values) for table in (splits.train, splits.valid))
    return replace(
        request, inputs=inputs, output=network.output, architecture=network.architecture, train=train, valid=valid
    )
