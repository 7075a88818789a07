"""Sound becomes log-mel frames; `_sounds` opens and decodes it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from trimtab import part_options
from trimtab.columns import Encoded, InputColumn, InputPolicy, Ragged, Reading, _files, _schemas, ragged
from trimtab.columns._files import ANYTHING, Unreadable
from trimtab.columns._sounds import (
    LEAST_RATE,
    LONGEST,
    Clip,
    check_whole,
    clip_or_reason,
    decoded,
    in_memory,
    is_decoded,
    wav,
)
from trimtab.errors import problem
from trimtab.values import parse

WINDOW = 0.025  # seconds
HOP = 0.010  # seconds between the starts of two frames
LOWEST = 20.0  # Hz: the lower edge of the first mel band
FLOOR = 1e-6  # of a band's power: about 50 dB below a quiet voice, above the noise of 16-bit samples

_MOST_RATE = 16_000  # Hz, by default
_MOST_SECONDS = 30.0  # by default
_MARGIN = 0.1  # seconds read beyond what is kept, which the resampling filter looks at
_SILENCE = 0.01  # of a clip's loudest sample (-40 dB)
_FIT_ROWS = 2_000
_LEAST_STD = 0.1  # a band without any sound in training is not blown up


class Options(part_options.Options):
    """What may be set on an audio column."""

    rate: int | None = Field(
        None,
        ge=LEAST_RATE,
        le=48_000,
        description="Samples per second, 1,000 to 48,000. Default: the training clips' commonest rate, at most 16,000.",
    )
    seconds: float | None = Field(
        None,
        gt=0,
        le=LONGEST,
        description="Seconds kept of each clip, from its start, up to 600. Default: 99.5% of the training clips are "
        "kept whole, at most 30 seconds.",
    )
    mels: int | None = Field(None, ge=8, le=256, description="Mel bands, 8 to 256. Default: 64, or 40 below 16,000 Hz.")
    trim: bool = Field(False, description="Whether silence (below -40 dB of the clip's peak) is cut from both ends.")


@dataclass(frozen=True)
class AudioColumn(InputColumn):
    """Log-mel frames; tensors `<key>_frames`, (rows, frames, mels) float32, and `<key>_mask`, (rows, frames) int64.

    A frame every 10 ms, of 25 ms under a Hann window; padded frames are zeros, which is what a mean frame is.
    """

    type: ClassVar[str] = "audio"
    copied: ClassVar[bool] = True
    allowed: ClassVar[str] = (
        "a file's name, its bytes, base64, a data: URI, an open file, or samples: an array, alone or with its rate"
    )
    imputes: ClassVar[bool] = False
    from_files: ClassVar[bool] = True
    sequence: ClassVar[Literal["ids", "frames"] | None] = "frames"
    padded: ClassVar[tuple[tuple[str, ...], ...]] = (("frames", "mask"),)
    name: str
    key: str
    rate: int  # Hz
    seconds: float  # of a clip that are kept
    mels: int
    trim: bool
    mean: tuple[float, ...]  # (mels,), of the logarithms in training
    std: tuple[float, ...]
    policy: InputPolicy = ANYTHING

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`; looks at a spread sample of at most 2,000 clips.

        Raises TrimtabError when none of them can be read.
        """
        chosen = part_options.check(Options, f"column {name!r} ({cls.type})", options)
        sample = _files.spread(values, _FIT_ROWS)
        clips = _clips(name, sample)
        rates = Counter(clip.rate for clip in clips if clip.rate)
        commonest = min(rates, key=lambda rate: (-rates[rate], rate), default=_MOST_RATE)  # the lower one of equals
        rate = chosen.rate or min(_MOST_RATE, commonest)
        mels = chosen.mels or (64 if rate >= 16_000 else 40)
        seconds = chosen.seconds or _covering([clip.samples / (clip.rate or rate) for clip in clips])
        plain = cls(name, key, rate, seconds, mels, chosen.trim, (0.0,) * mels, (1.0,) * mels)
        frames = plain.encode(sample).values.astype(np.float64)
        std = np.maximum(frames.std(axis=0), _LEAST_STD)
        return replace(plain, mean=tuple(frames.mean(axis=0).tolist()), std=tuple(std.tolist()))

    @property
    def step_size(self) -> int:
        """Mel bands of a frame."""
        return self.mels

    @property
    def longest(self) -> int:
        """Frames of a clip of `seconds`."""
        return 1 + max(0, math.ceil((round(self.seconds * self.rate) - self.window) / self.hop))

    @classmethod
    def encoder_for(cls, values: Sequence[Any]) -> tuple[str, str]:
        """Convolutions, which learn from fewer clips than attention needs."""
        return "audio_cnn", "convolutions over frames and mel bands, from scratch"

    @classmethod
    def refuses(cls, value: Any) -> str | None:
        """Why the sound cannot be decoded to its end; None when it can, or when there is no value."""
        if parse.is_missing(value):
            return None
        try:
            if in_memory(value):
                decoded(value, None, LONGEST, ANYTHING)
            else:
                check_whole(value)
        except Unreadable as reason:
            return str(reason)
        return None

    @classmethod
    def digest(cls, value: Any) -> str:
        """See `_files.digest`."""
        return _files.digest(value["array"] if is_decoded(value) else value)

    @classmethod
    def located(cls, value: Any, folder: Path) -> Any:
        """See `_files.located`."""
        return _files.located(value, folder)

    def accepting(self, policy: InputPolicy) -> Self:
        """The column, reading only what a policy lets in."""
        return replace(self, policy=policy)

    def portable(self, value: Any) -> str | None:
        """The samples that the frames are made of, as a data: URI of a mono WAV; None for what cannot be read."""
        try:
            return _files.uri("audio/wav", wav(self._waveform(value), self.rate))
        except Unreadable:
            return None

    @property
    def window(self) -> int:
        """Samples of a frame."""
        return round(WINDOW * self.rate)

    @property
    def hop(self) -> int:
        """Samples between the starts of two frames."""
        return round(HOP * self.rate)

    @cached_property
    def _shape(self) -> np.ndarray:
        """The periodic Hann window, (window,) float32."""
        return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window), np.float32)

    @cached_property
    def _filters(self) -> np.ndarray:
        """(bins, mels) float32; the Fourier transform is as long as it must be for no band to be empty."""
        return mel_filters(self.rate, fourier_length(self.rate, self.mels), self.mels).astype(np.float32)

    def waveform(self, value: Any) -> np.ndarray:
        """The samples of a value, (samples,) float32 at `rate`, full scale 1: mono, trimmed and cut.

        What cannot be read is silence, of the length of one frame.
        """
        try:
            return self._waveform(value)
        except Unreadable:
            return np.zeros(self.window, np.float32)

    def _waveform(self, value: Any) -> np.ndarray:
        if parse.is_missing(value):
            raise Unreadable("no value")
        needed = LONGEST if self.trim else self.seconds + _MARGIN
        samples = decoded(value, self.rate, needed, self.policy)
        most = max(1, round(self.seconds * self.rate))
        return _trimmed(_trimmed(samples)[:most]) if self.trim else samples[:most]

    def features(self, waveform: np.ndarray) -> np.ndarray:
        """Samples at `rate`, full scale 1, (samples,) -> normalised log-mel frames, (frames, mels) float32.

        The last frame is filled up with zeros; there is at least one.
        """
        count = 1 + max(0, -(-(len(waveform) - self.window) // self.hop))
        padded = np.zeros((count - 1) * self.hop + self.window, np.float32)
        padded[: len(waveform)] = waveform
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop]
        spectrum = np.fft.rfft(frames * self._shape, 2 * (len(self._filters) - 1), axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        logarithms = np.log(np.maximum(power.astype(np.float32) @ self._filters, np.float32(FLOOR)))
        return np.asarray((logarithms - np.array(self.mean, np.float32)) / np.array(self.std, np.float32), np.float32)

    def invented(self, random: np.random.Generator) -> np.ndarray:
        """A tenth of a second of noise."""
        return random.normal(0, 0.1, self.rate // 10).astype(np.float32)

    def value_schema(self) -> dict[str, Any]:
        """See `InputColumn.value_schema`."""
        rate = {"array": {"type": "array"}, "sampling_rate": {"type": "integer"}}
        samples = {"type": "object", "properties": rate, "required": ["array", "sampling_rate"]}
        schema = _schemas.content("audio", more="; or samples with their rate")
        return {**schema, "anyOf": [*schema["anyOf"], samples]}

    def encode(self, values: Sequence[Any]) -> Ragged:
        """The frames of each row, at least one: values (all frames, mels) float32."""
        return _ragged(self.read(values).encoded)

    def read(self, values: Sequence[Any]) -> Reading:
        """See `InputColumn.read`; each sound is decoded once."""
        found = _files.each(self._frames_or_reason, values)
        nothing = self.features(np.zeros(self.window, np.float32))
        rows = [frames if isinstance(frames, np.ndarray) else nothing for frames in found]
        reasons = [(row, reason) for row, reason in enumerate(found) if isinstance(reason, Unreadable)]
        problems = tuple(_files.problem_of(self.name, row, reason) for row, reason in reasons)
        return Reading(ragged(rows, np.empty((0, self.mels), np.float32)), problems)

    def _frames_or_reason(self, value: Any) -> np.ndarray | Unreadable | None:
        """The frames of a sound, or why it cannot be read; None when there is no value."""
        if parse.is_missing(value):
            return None
        try:
            return self.features(self._waveform(value))
        except Unreadable as reason:
            return reason

    def steps(self, encoded: Encoded) -> np.ndarray:
        """Frames of each row, (rows,)."""
        return _ragged(encoded).lengths

    def batch(self, encoded: Encoded, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Frames and mask of the given rows, padded with zeros to the longest of them."""
        found = _ragged(encoded)
        lengths = found.lengths[rows]
        mask = np.arange(int(lengths.max(initial=1))) < lengths[:, None]
        frames = np.zeros((*mask.shape, self.mels), np.float32)
        for position, row in enumerate(rows):
            frames[position, : lengths[position]] = found[row]
        return {f"{self.key}_frames": frames, f"{self.key}_mask": mask.astype(np.int64)}

    def save(self, folder: Path) -> None:
        """Write `<key>.json`."""
        fields = {"rate": self.rate, "seconds": self.seconds, "mels": self.mels, "trim": self.trim}
        self.write(folder, {**fields, "mean": self.mean, "std": self.std})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        mean, std = tuple(state["mean"]), tuple(state["std"])
        kept = (state["rate"], state["seconds"], state["mels"], state["trim"])
        return cls(state["name"], state["key"], *kept, mean, std)


# ----------------------------------------------------------------------------------------------------- mel bands


def mel(frequency: float | np.ndarray) -> np.ndarray:
    """Hz -> mel, by the formula of O'Shaughnessy 1987 that HTK uses: 2595 log10(1 + f / 700)."""
    return np.asarray(2595.0 * np.log10(1.0 + np.asarray(frequency, np.float64) / 700.0))


def hertz(mels: float | np.ndarray) -> np.ndarray:
    """Mel -> Hz."""
    return np.asarray(700.0 * (10.0 ** (np.asarray(mels, np.float64) / 2595.0) - 1.0))


def mel_filters(rate: int, length: int, mels: int) -> np.ndarray:
    """Triangles of height 1, evenly spread on the mel scale from 20 Hz to half the rate: (length / 2 + 1, mels).

    Each rises from the middle of the one before and falls to the middle of the next (Davis and Mermelstein 1980,
    doi:10.1109/TASSP.1980.1163420).
    """
    bins = np.arange(length // 2 + 1) * rate / length
    corners = hertz(np.linspace(mel(LOWEST), mel(rate / 2), mels + 2))
    low, middle, high = corners[:-2], corners[1:-1], corners[2:]
    rising = (bins[:, None] - low) / (middle - low)
    falling = (high - bins[:, None]) / (high - middle)
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)))


def fourier_length(rate: int, mels: int) -> int:
    """The power of two that holds a window and is long enough for every mel band to hold a frequency."""
    length = 1 << (round(WINDOW * rate) - 1).bit_length()
    while not mel_filters(rate, length, mels).any(axis=0).all():
        length *= 2
    return length


# ----------------------------------------------------------------------------------------------- what fit looks at


def _clips(name: str, sample: Sequence[Any]) -> list[Clip]:
    found = _files.each(clip_or_reason, sample)
    clips = [clip for clip in found if isinstance(clip, Clip)]
    if not clips:
        said = f"none of {len(sample):,} clips can be read; the first: {found[0]}" if sample else "no value"
        raise problem(f"column {name!r} (audio)", f"training rows: {said}", "sounds: WAV, FLAC, Ogg, MP3, AIFF")
    return clips


def _covering(seconds: Sequence[float]) -> float:
    """The 99.5% quantile, rounded up to 10 ms, at most 30 seconds."""
    covering = float(np.quantile(seconds, 0.995, method="higher"))
    return min(_MOST_SECONDS, max(WINDOW, math.ceil(covering * 100 - 1e-9) / 100))


# ------------------------------------------------------------------------------------------------ what is kept of it


def _trimmed(samples: np.ndarray) -> np.ndarray:
    """Without what is quieter than -40 dB of the peak, at both ends; all of it when there is only silence.

    Trimming twice changes nothing, so that what `portable` wrote is the same again.
    """
    loudness = np.abs(samples)
    loud = np.flatnonzero(loudness > _SILENCE * loudness.max(initial=0.0))
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples


def _ragged(encoded: Encoded) -> Ragged:
    assert isinstance(encoded, Ragged)
    return encoded
