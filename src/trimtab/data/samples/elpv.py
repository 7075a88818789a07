"""Photographs of solar cells, from the wheel of elpv-dataset (Buerhop-Lutz et al. 2018)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

from trimtab.data.samples._archive import Archive
from trimtab.data.samples._sample import Folder, Sample

ARCHIVE = Archive(
    "elpv-dataset==1.0.0.post1",
    "elpv_dataset-1.0.0.post1-py3-none-any.whl",
    "85e31c1126ee9b48e62d3a0232c58f58b2d189b0814a45c13642fa0415af4a4c",
)
_DATA = "elpv_dataset/data/"
_CLEAR = {"0.0": "sound", "1.0": "defective"}  # probability of a defect, as experts judged; the others were in doubt


def _cells() -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(ARCHIVE.fetched()) as wheel:
        for line in wheel.read(f"{_DATA}labels.csv").decode().splitlines():
            name, probability, _ = line.split()
            if probability in _CLEAR:
                yield f"{_CLEAR[probability]}/{name.rpartition('/')[2]}", wheel.read(_DATA + name)


SAMPLES = {
    "solar-cells": Sample(
        "2,223 photographs of solar cells, 300 x 300, that glow under current: sound or defective",
        "label",
        "PyPI: elpv-dataset 1.0.0.post1 (Buerhop-Lutz et al. 2018), 91 MB",
        "CC BY-NC-SA 4.0: not for commercial use",
        ARCHIVE,
        Folder(_cells),
    )
}
