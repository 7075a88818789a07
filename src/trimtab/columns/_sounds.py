"""What the bytes of a sound hold: libsndfile reads them, soxr changes the rate, and what comes out is mono.

Read, by content and not by ending, is what libsndfile reads: WAV, FLAC, Ogg, MP3, AIFF and others. Channels are
averaged, and of a clip that is too long the start is kept, so that only as much is read as is used. All of that is done
block by block: what is held is never more than the samples that are kept.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import soundfile
import soxr

from trimtab.columns import InputPolicy, _arrays, _files
from trimtab.columns._files import ANYTHING, Impossible, Unreadable

LEAST_RATE, _HIGHEST_RATE = 1_000, 768_000  # Hz, of a file
_MOST_CHANNELS = 32
_LOUDEST = 32_768.0  # samples beyond it are cut: full scale is 1, and some programs write 16-bit numbers as floats
LONGEST = 600.0  # seconds of a file that are ever read
_MOST_SAMPLES = 1 << 29  # of all channels that are ever decoded of a file: ten minutes of 8 channels at 96,000 Hz
_BLOCK = 1 << 18  # samples of all channels that are decoded at a time
_UNKNOWN = 1 << 48  # samples or more, of a file written to a pipe


@dataclass(frozen=True)
class Clip:
    """A clip by its header."""

    rate: int  # 0 for samples from Python, which have that of the column
    samples: int


def clip_or_reason(value: Any) -> Clip | str:
    """The clip by its header alone; else why it cannot be opened."""
    try:
        if held := in_memory(value):
            return Clip(held.rate, len(held.samples))
        with _files.opened(value) as stream, _open(stream, ANYTHING) as sound:
            return Clip(sound.samplerate, _promised(sound, LONGEST))
    except Unreadable as reason:
        return str(reason)


class _Held(NamedTuple):
    """Mono samples, (samples,) float32, and their rate: 0 where they have that of the column."""

    samples: np.ndarray
    rate: int


def in_memory(value: Any) -> _Held | None:
    """Sound that is decoded already; None for what has to be opened. Raises Unreadable.

    An array or tensor, with its rate as datasets of Hugging Face, soundfile and Gradio have it: `{"array": ...,
    "sampling_rate": ...}`, `(samples, rate)` and `(rate, samples)`.
    """
    found = _arrays.array(value)
    if found is not None:
        return _Held(_mono(found), 0)
    if is_decoded(value):
        return _taken_apart(value["array"], value["sampling_rate"])
    if isinstance(value, tuple) and len(value) == 2:
        samples, rate = value if isinstance(value[1], (int, np.integer)) else value[::-1]
        return _taken_apart(samples, rate)
    return None


def is_decoded(value: Any) -> bool:
    """Whether it is samples with their rate, as datasets of Hugging Face have them."""
    return isinstance(value, Mapping) and "array" in value and "sampling_rate" in value


def _taken_apart(samples: Any, rate: Any) -> _Held:
    """Mono samples and rate. Raises Unreadable."""
    found = _arrays.array(samples)
    try:
        return _Held(_mono(np.asarray(samples) if found is None else found), _plausible(int(rate)))
    except (TypeError, OverflowError):
        raise Unreadable(f"a sampling rate of {rate!r:.80}") from None
    except ValueError as error:
        raise Unreadable(str(error)) from None


def decoded(value: Any, rate: int | None, seconds: float, policy: InputPolicy) -> np.ndarray:
    """The first seconds, mono, at `rate` (None: the file's own): (samples,) float32. Raises Unreadable."""
    try:
        if held := in_memory(value):
            found = _heard([held.samples], held.rate, rate)
        else:
            with _files.opened(value, policy) as stream, _open(stream, policy) as sound:
                found = _heard(_blocks(sound, seconds, policy), sound.samplerate, rate)
    except Unreadable:
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise Unreadable(f"damaged or not supported ({error})") from None
    if not len(found):
        raise Unreadable("no samples")
    return found


def _heard(blocks: Iterable[np.ndarray], own: int, rate: int | None) -> np.ndarray:
    """Mono samples of a clip at its own rate (0: that of the column), put together at `rate`, (samples,) float32."""
    plain = (np.clip(np.nan_to_num(block, posinf=0, neginf=0), -_LOUDEST, _LOUDEST) for block in blocks)
    if not own or not rate or own == rate:
        return np.concatenate([np.empty(0, np.float32), *plain])
    stream = soxr.ResampleStream(own, rate, 1, "float32", "HQ")
    parts = [stream.resample_chunk(block) for block in plain]
    return np.concatenate([*parts, stream.resample_chunk(np.empty(0, np.float32), last=True)])


def _blocks(sound: soundfile.SoundFile, seconds: float, policy: InputPolicy) -> Iterator[np.ndarray]:
    """The first seconds of a file, mono: blocks of (samples,) float32. Raises Unreadable, also for too many samples."""
    most = math.ceil(seconds * sound.samplerate)
    promised = min(most, sound.frames) * sound.channels
    allowed = int(min(_MOST_SAMPLES, policy.megasamples * 1e6))
    if promised > allowed:
        said = f"{promised:,} samples in {sound.channels} channels at {sound.samplerate:,} Hz"
        raise Unreadable(f"{said}: more than {allowed:,} (a decompression bomb?)")
    found = 0
    for block in sound.blocks(max(1, _BLOCK // sound.channels), frames=most, dtype="float32", always_2d=True):
        found += len(block)
        yield _mono(block)
    _check_length(found, sound, seconds)


def _mono(samples: np.ndarray) -> np.ndarray:
    """(samples,) or (samples, channels), float or integers of any width -> (samples,) float32. Raises Unreadable."""
    if samples.ndim == 2 and len(samples) <= _MOST_CHANNELS < samples.shape[1]:  # channels first
        samples = samples.T
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "iuf" or samples.shape[1:] > (_MOST_CHANNELS,):
        allowed = "(samples,) or (samples, channels), float or int16"
        raise Impossible(f"an array of shape {samples.shape} and type {samples.dtype}; allowed: {allowed}")
    if not samples.size:
        raise Unreadable("no samples")
    if samples.dtype.kind in "iu":
        info = np.iinfo(samples.dtype)
        middle = 0.0 if samples.dtype.kind == "i" else (info.max + 1) / 2
        samples = (samples - middle) / (info.max + 1 - middle)
    mono = samples if samples.ndim == 1 else samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    return mono.astype(np.float32)


def _open(stream: BinaryIO, policy: InputPolicy) -> soundfile.SoundFile:
    """The sound with its header read. Raises Unreadable."""
    if reason := _files.cut_off(stream):
        raise Unreadable(reason)
    try:
        sound = soundfile.SoundFile(stream)
    except Exception as error:  # LibsndfileError; TypeError for a format that does not say its rate
        raise Unreadable(f"not a sound, or a damaged one ({str(error).rpartition(': ')[2]})") from None
    _plausible(sound.samplerate)
    if sound.channels > _MOST_CHANNELS:
        raise Unreadable(f"{sound.channels} channels: more than {_MOST_CHANNELS}")
    lasts = sound.frames / sound.samplerate
    if sound.frames < _UNKNOWN and lasts > policy.seconds:
        raise Unreadable(f"{lasts:,.1f} seconds: more than {policy.seconds:g}")
    return sound


def _plausible(rate: int) -> int:
    if not LEAST_RATE <= rate <= _HIGHEST_RATE:
        raise Unreadable(f"{rate:,} samples per second; allowed: {LEAST_RATE:,} to {_HIGHEST_RATE:,}")
    return rate


def check_whole(value: Any) -> None:
    """Decode a file to its end, or for ten minutes. Raises Unreadable."""
    try:
        with _files.opened(value) as stream, _open(stream, ANYTHING) as sound:
            seconds = min(LONGEST, _MOST_SAMPLES / (sound.channels * sound.samplerate))
            for _ in _blocks(sound, seconds, ANYTHING):
                pass
    except Unreadable:
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise Unreadable(f"damaged ({error})") from None


def _check_length(found: int, sound: soundfile.SoundFile, seconds: float) -> None:
    """Whether so many samples are all that there should be in the first seconds. Raises Unreadable."""
    if not found:
        raise Unreadable("no samples")
    if sound.frames < _UNKNOWN and found < _promised(sound, seconds):
        raise Unreadable(f"truncated: {found:,} of {sound.frames:,} samples")


def _promised(sound: soundfile.SoundFile, seconds: float) -> int:
    """How many samples the first seconds hold by the header, which may leave open where the sound ends."""
    return int(min(sound.frames, math.ceil(seconds * sound.samplerate)))


# https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html; written here, for libsndfile puts the time into
# files of floats, and equal rows must give equal bytes.
_PCM, _FLOAT = 1, 3


def wav(samples: np.ndarray, rate: int) -> bytes:
    """A mono WAV that holds exactly these float32 samples: 16-bit integers when they all are such, else floats."""
    scaled = samples * np.float32(32_768)
    whole = bool((scaled == np.rint(scaled)).all() and (scaled >= -32_768).all() and (scaled <= 32_767).all())
    body = scaled.astype("<i2").tobytes() if whole else samples.astype("<f4").tobytes()
    size = 2 if whole else 4
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, _PCM if whole else _FLOAT, 1, rate, rate * size, size, 8 * size)
    fact = b"" if whole else struct.pack("<4sII", b"fact", 4, len(samples))
    content = b"WAVE" + layout + fact + struct.pack("<4sI", b"data", len(body)) + body
    return struct.pack("<4sI", b"RIFF", len(content)) + content
