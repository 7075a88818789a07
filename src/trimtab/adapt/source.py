"""What a bundle is adapted from: its network, its spec, and the rows that it was made of where they can be found."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trimtab import files
from trimtab import spec as specs
from trimtab.bundle import format1, reference, store
from trimtab.bundle.manifest import Manifest
from trimtab.compress.frontier import Frontier
from trimtab.data import dedup, read
from trimtab.data.table import Table
from trimtab.errors import TrimtabError, problem
from trimtab.nets import fitted
from trimtab.nets.fitted import FittedNetwork
from trimtab.progress import Progress
from trimtab.rows import RUN_NOTE
from trimtab.search.candidates import UNCOMPRESSED
from trimtab.spec import Spec

MADE_OF = 0.9  # share of the rows that a bundle knows which a file must hold to be the one that it was made of


@dataclass(frozen=True)
class Source:
    """A bundle that is to learn more."""

    folder: Path
    manifest: Manifest
    network: FittedNetwork  # before compression, where that is still there
    seen: dict[str, np.ndarray]  # fingerprints of the rows that it learnt from, and was chosen by

    @property
    def every(self) -> np.ndarray:
        """Fingerprints of all rows that it knows."""
        return np.concatenate([np.zeros(0, np.uint32), *self.seen.values()])


def opened(bundle: Path, progress: Progress) -> Source:
    """A bundle with its network. Raises TrimtabError for what cannot go on learning."""
    manifest = store.read_manifest(bundle)
    if manifest.format_version == format1.VERSION:
        said = f"is a bundle of format {format1.VERSION}, which does not know the rows that it was made of"
        raise problem(str(bundle), said, "a bundle of format 2", "make it again with this version: trimtab launch")
    if len(manifest.serving.graphs) > 1:
        said = f"holds {len(manifest.serving.graphs)} networks, a {manifest.serving.program.name}"
        raise problem(str(bundle), said, do="adapt the bundle of one network that it was made of")
    return Source(bundle, manifest, _network(bundle, manifest, progress), reference.seen(bundle / store.REFERENCE))


def _network(bundle: Path, manifest: Manifest, progress: Progress) -> FittedNetwork:
    """The network before compression: of the run's own folder where a search took another; else that of the bundle."""
    frontier = manifest.evidence.get("frontier")
    chosen = Frontier.model_validate(frontier).chosen if frontier else UNCOMPRESSED
    if chosen == UNCOMPRESSED:
        return fitted.read(bundle)
    whole = bundle.resolve().parent / "work" / "bundle"
    try:
        if store.read_manifest(whole).spec.get("output") == manifest.spec.get("output"):
            progress.note(f"goes on from the network before compression: {os.path.relpath(whole)}")
            return fitted.read(whole)
    except TrimtabError:
        pass
    progress.note(f"goes on from the compressed network ({chosen}): the one before compression is no longer there")
    return fitted.read(bundle)


# ----------------------------------------------------------------------------------------------------- its old rows


@dataclass(frozen=True)
class OldRows:
    """Where the old rows lie: files as a spec names them, relative to `folder`; none where they are not to be had."""

    files: tuple[str, ...]
    folder: Path


def home_of(bundle: Path) -> Path | None:
    """The folder of the spec that a bundle was made by, as the folders of its runs say; None where they do not."""
    place = bundle.resolve()
    for _ in range(100):  # bundles that were adapted from each other
        made_by = (files.read_json(place.parent / RUN_NOTE) or {}).get("made_by")
        if not made_by:
            return None
        maker = (place.parent / str(made_by)).resolve()
        if maker.is_file():
            return maker.parent
        if not maker.is_dir():
            return None
        place = maker
    return None


def old_rows(source: Source, old: str | None, folder: Path | None, progress: Progress) -> OldRows:
    """The rows that the bundle was made of: those of `old`, else of its spec where they are still the same.

    Raises TrimtabError for a file `old` that is not there.
    """
    home = folder or home_of(source.folder) or Path()
    if old is not None:
        here = str(Path(old).absolute())
        read.load((here,), home, source.manifest.spec.get("encoding"))
        return OldRows((here,), home)
    spec = specs.parse(source.manifest.spec)
    names = (*spec.data, *((spec.test,) if spec.test else ()))
    try:
        table = read.load(names, home, spec.encoding).table
    except TrimtabError:
        progress.note(f"the old rows ({', '.join(spec.data)}) are not in {home}: name them with --old, or --folder")
        return OldRows((), home)
    known = _known(spec, table, home, source)
    if known < MADE_OF:
        said = f"holds {known:.0%} of the rows that the bundle was made of"
        progress.note(f"{', '.join(spec.data)} {said}: it has changed, and is not used; name another with --old")
        return OldRows((), home)
    return OldRows(names, home)


def _known(spec: Spec, table: Table, folder: Path, source: Source) -> float:
    """The share of the bundle's rows that a table holds; 1 where the bundle does not tell its rows."""
    kinds = {column.name: column.type for column in source.network.inputs}
    if not len(source.every):
        return 1.0
    if any(name not in table.values for name in kinds):
        return 0.0
    located = dedup.located(Table({name: table.values[name] for name in kinds}, table.origins), kinds, folder)
    return float(np.isin(source.every, dedup.fingerprint(dedup.keys(located, kinds))).mean())
