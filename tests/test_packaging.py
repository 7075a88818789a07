"""What a user installs: the wheel, its metadata and its extras."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NEVER_IN_CORE = {"torch", "transformers", "pandas", "scikit-learn", "scipy", "polars", "matplotlib", "onnx"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built without the network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return next(folder.glob("*.whl"))


def metadata(wheel: Path) -> Message:
    """The wheel's METADATA."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def requirements(wheel: Path, extra: str = "") -> set[str]:
    """Names of the packages that the core, or an extra, asks for."""
    asked = [str(line) for line in metadata(wheel).get_all("Requires-Dist") or []]
    wanted = [line for line in asked if (f"extra == '{extra}'" in line if extra else "extra ==" not in line)]
    return {re.split(r"[\s<>=!;\[(]", line)[0].lower() for line in wanted}


def pins() -> dict[str, str]:
    """constraints.txt: each package's version."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!]+", line) for line in pinned), (
        "a plain name==version a line"
    )
    return {canonical(name): version for name, version in (line.split("==") for line in pinned)}


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_wheel_holds_every_module_and_nothing_else(wheel: Path) -> None:
    source = ROOT / "src"
    files = {
        str(path.relative_to(source))
        for path in (source / "trimtab").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == files
    assert "trimtab/py.typed" in held


def test_the_wheel_carries_its_licence_and_its_program(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name.partition(".dist-info/")[2]: name for name in archive.namelist() if ".dist-info/" in name}
        program = archive.read(names["entry_points.txt"]).decode()
        assert archive.read(names["licenses/LICENSE"]) == (ROOT / "LICENSE").read_bytes()
    assert "trimtab = trimtab.__main__:main" in program
    assert metadata(wheel)["License-Expression"] == "Apache-2.0"


def test_the_core_asks_for_nothing_heavy(wheel: Path) -> None:
    core = requirements(wheel)
    assert core == {"chardet", "numpy", "onnxruntime", "pydantic", "pyyaml", "rich", "tokenizers", "typer"}
    assert not core & NEVER_IN_CORE


def test_every_package_that_is_asked_for_is_pinned(wheel: Path) -> None:
    asked = requirements(wheel) | requirements(wheel, "train") | requirements(wheel, "dev")
    assert len(asked) > 20
    assert {canonical(name) for name in asked} <= set(pins())


def test_torch_is_pinned_by_number_alone() -> None:
    # a range, or the local label of one build, would bring another build with gigabytes of CUDA packages
    assert pins()["torch"] == "2.13.0"


def test_the_core_program_starts_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    words = {"where": ["-c", "import trimtab; print(trimtab.__file__)"], "help": ["-m", "trimtab", "--help"]}
    done = {
        name: subprocess.run(
            [sys.executable, *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        for name, arguments in words.items()
    }
    assert done["where"].stdout.startswith(str(tmp_path))
    assert done["help"].returncode == 0, done["help"].stderr
    assert "predict" in done["help"].stdout


def test_the_python_that_is_asked_for_is_the_one_that_is_checked() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert config["project"]["requires-python"] == ">=3.11"
    assert config["tool"]["ruff"]["target-version"] == "py311"


@pytest.mark.slow
def test_the_core_install_is_small_and_answers_help(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "core")], check=True, timeout=120)
    python = tmp_path / "core" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel]
    subprocess.run([str(word) for word in install], check=True, timeout=600)
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"], check=True, capture_output=True, text=True
    )
    installed = {canonical(line.split("==")[0]) for line in listed.stdout.splitlines()}
    files = [path for path in (tmp_path / "core").rglob("*") if path.is_file() and not path.is_symlink()]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    helped = subprocess.run([python, "-m", "trimtab", "--help"], capture_output=True, text=True, timeout=60)
    assert not installed & NEVER_IN_CORE
    assert megabytes <= 260
    assert helped.returncode == 0, helped.stderr
