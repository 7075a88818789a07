"""Sounds of every kind: the same log-mel frames wherever they are encoded, or refused with the reason."""

from __future__ import annotations

import base64
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from trimtab import columns
from trimtab.columns import audio
from trimtab.columns.audio import AudioColumn, fourier_length, hertz, mel, mel_filters
from trimtab.errors import TrimtabError


def tone(frequency: float, seconds: float = 0.5, rate: int = 16_000, loudness: float = 0.3) -> np.ndarray:
    return (loudness * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def speech(seed: int, seconds: float = 0.4, rate: int = 8_000) -> np.ndarray:
    """Something with the bands, the onset and the noise of a spoken vowel, different for each seed."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = rng.uniform(90, 240)
    voice = sum(np.sin(2 * np.pi * pitch * n * time + rng.uniform(0, 6)) / n for n in range(1, 12))
    noise = rng.normal(scale=0.02, size=len(time))
    return (0.1 * voice * np.hanning(len(time)) + noise).astype(np.float32)


def saved(samples: np.ndarray, rate: int = 16_000, format: str = "WAV", subtype: str | None = None) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format=format, subtype=subtype)
    return content.getvalue()


def fitted(*values: Any, **options: Any) -> AudioColumn:
    return AudioColumn.fit("clip", "clip", values or [saved(speech(seed), 8_000) for seed in range(8)], options)


# ------------------------------------------------------------------------------------------------------ mel bands


def test_mels_agree_with_the_published_formula() -> None:
    assert mel(1000.0) == pytest.approx(1000.0, abs=0.02)  # what the scale was made for
    assert mel(np.array([0.0, 440.0, 4000.0])) == pytest.approx([0.0, 549.64, 2146.06], abs=0.01)
    assert hertz(mel(np.array([20.0, 7_999.0]))) == pytest.approx([20.0, 7_999.0])


def test_filters_agree_with_triangles_drawn_one_by_one() -> None:
    rate, length, mels = 16_000, 512, 20
    edges = [700 * (10 ** (m / 2595) - 1) for m in np.linspace(2595 * np.log10(1 + 20 / 700), 2840.023, mels + 2)]
    for band, (low, middle, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        for place in range(length // 2 + 1):
            frequency = place * rate / length
            drawn = np.interp(frequency, [low, middle, high], [0.0, 1.0, 0.0])
            assert mel_filters(rate, length, mels)[place, band] == pytest.approx(drawn, abs=1e-4)


@pytest.mark.parametrize(("rate", "mels"), [(8_000, 40), (8_000, 64), (16_000, 64), (16_000, 128), (44_100, 256)])
def test_no_band_is_without_a_frequency(rate: int, mels: int) -> None:
    filters = mel_filters(rate, fourier_length(rate, mels), mels)
    assert filters.shape[1] == mels
    assert (filters.max(axis=0) > 0).all()


def plain(rate: int = 16_000, mels: int = 64, **options: Any) -> AudioColumn:
    """A column that does not normalise."""
    given = {"seconds": 1.0, "trim": False, **options}
    return AudioColumn("clip", "clip", rate, given["seconds"], mels, given["trim"], (0.0,) * mels, (1.0,) * mels)


@pytest.mark.parametrize("frequency", [100, 440, 1_000, 3_000, 7_000])
def test_a_tone_peaks_in_the_band_of_its_frequency(frequency: int) -> None:
    middles = hertz(np.linspace(mel(20.0), mel(8_000.0), 66))[1:-1]
    loudest = plain().features(tone(frequency)).argmax(axis=1)
    assert set(loudest) <= set(np.argsort(np.abs(middles - frequency))[:2].tolist())


def test_the_power_of_a_tone_is_that_of_its_amplitude() -> None:
    column = plain(mels=40)
    power = np.exp(column.features(tone(1_000, loudness=0.25))[10]).sum()
    # Parseval: half of the 512 frequencies, a sine's mean square, the squares of a Hann window of 400; a frequency's
    # shares of all bands add up to 1
    assert power == pytest.approx(512 / 2 * 0.25**2 / 2 * 400 * 3 / 8, rel=1e-3)
    quiet, loud = (column.features(tone(440, loudness=level))[10].max() for level in (0.01, 0.1))
    assert loud - quiet == pytest.approx(np.log(100), abs=0.01)


def test_a_frame_starts_every_ten_milliseconds() -> None:
    lengths = {400: 1, 1: 1, 0: 1, 401: 2, 560: 2, 561: 3, 16_000: 1 + -(-15_600 // 160)}
    assert {samples: len(plain().features(np.ones(samples, np.float32))) for samples in lengths} == lengths
    assert plain().features(tone(440)).dtype == np.float32


# --------------------------------------------------------------------------------------------------------- sounds

STEREO = np.stack([speech(1), speech(2)], axis=1)
AVERAGE = STEREO.mean(axis=1)

# What a clip may be written as -> how far its samples may lie from the average of both channels.
KINDS: dict[str, tuple[bytes, float]] = {
    "wav 16": (saved(STEREO, 8_000), 2e-4),
    "wav 24": (saved(STEREO, 8_000, subtype="PCM_24"), 1e-6),
    "wav 8": (saved(STEREO, 8_000, subtype="PCM_U8"), 1e-2),
    "wav float": (saved(STEREO, 8_000, subtype="FLOAT"), 1e-7),
    "wav double": (saved(STEREO.astype(np.float64), 8_000, subtype="DOUBLE"), 1e-7),
    "wav mu-law": (saved(STEREO, 8_000, subtype="ULAW"), 2e-2),
    "flac": (saved(STEREO, 8_000, "FLAC"), 2e-4),
    "aiff": (saved(STEREO, 8_000, "AIFF"), 2e-4),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_of_two_channels_is_read_as_their_average(kind: str) -> None:
    content, most = KINDS[kind]
    assert AudioColumn.refuses(content) is None
    assert np.abs(plain(8_000, 40).waveform(content) - AVERAGE).max() <= most


def test_lossy_sound_is_read() -> None:
    for format in ("OGG", "MP3"):
        content = saved(tone(440), 16_000, format)
        assert AudioColumn.refuses(content) is None
        assert plain().features(plain().waveform(content))[20].argmax() == plain().features(tone(440))[20].argmax()


def test_another_rate_changes_the_samples_not_the_sound() -> None:
    at_44 = saved(tone(440, rate=44_100), 44_100, subtype="FLOAT")
    middle = slice(1_000, 7_000)
    assert np.abs(plain().waveform(at_44)[middle] - tone(440)[middle]).max() < 1e-3
    too_high = saved(tone(6_000, rate=44_100), 44_100, subtype="FLOAT")
    assert np.abs(plain(8_000, 40).waveform(too_high)[500:-500]).max() < 1e-3  # not folded to 2,000 Hz


def test_the_start_of_a_long_clip_is_kept_whatever_follows() -> None:
    column = plain(8_000, 40, seconds=0.3)
    for rate in (8_000, 44_100):
        start, rest = speech(3, seconds=1.0, rate=rate), speech(4, seconds=9.0, rate=rate)
        files = [saved(samples, rate, subtype="FLOAT") for samples in (start, np.concatenate([start, rest]))]
        assert len(column.waveform(files[0])) == 2_400
        assert np.array_equal(column.waveform(files[0]), column.waveform(files[1]))


def test_silence_is_cut_from_both_ends_when_asked() -> None:
    silent = np.full(4_000, 1e-4, np.float32)
    around = np.concatenate([silent, tone(440), silent])
    assert len(plain().waveform(around)) == 16_000
    trimmed = plain(trim=True).waveform(around)
    assert len(trimmed) == pytest.approx(8_000, abs=20)
    assert np.abs(trimmed[[0, -1]]).min() > 1e-3
    assert len(plain(trim=True).waveform(np.zeros(500, np.float32))) == 500


def test_python_may_give_samples(tmp_path: Path) -> None:
    samples = np.rint(speech(5) * 32_768).astype(np.int16)
    (tmp_path / "a.wav").write_bytes(saved(samples, 8_000))
    plainly = base64.b64encode((tmp_path / "a.wav").read_bytes()).decode()
    column = fitted()
    same = [
        samples,
        samples / 32_768,
        {"array": samples, "sampling_rate": 8_000},
        str(tmp_path / "a.wav"),
        plainly,
        f"data:audio/wav;base64,{plainly}",
        {"bytes": (tmp_path / "a.wav").read_bytes(), "path": None},
    ]
    first, *others = (column.encode([value]).values for value in same)
    assert all(np.array_equal(first, other) for other in others)
    assert len({AudioColumn.digest(value) for value in same[3:]}) == 1
    resampled = column.encode([{"array": speech(5, rate=16_000), "sampling_rate": 16_000}])
    assert resampled.lengths == len(first)


# --------------------------------------------------------------------------------------------------------- refused


def wav_header(rate: int, channels: int) -> bytes:
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * channels * 2, channels * 2, 16)
    body = layout + struct.pack("<4sI", b"data", 2_000) + bytes(2_000)
    return struct.pack("<4sI4s", b"RIFF", 4 + len(body), b"WAVE") + body


REFUSED: list[tuple[Any, str]] = [
    ("none.wav", "no such file: none.wav"),
    (b"", "an empty file"),
    (b"RIFF no sound at all", "truncated: 20 of"),
    (b"a text that somebody called .wav", "not a sound, or a damaged one"),
    (saved(speech(0), 8_000)[:5_000], "truncated: 5,000 of 6,444 bytes"),
    (saved(speech(0), 8_000, "FLAC")[:3_000], "damaged ("),
    (saved(np.zeros(0, np.float32)), "no samples"),
    (wav_header(50, 1), "50 samples per second; allowed: 1,000 to 768,000"),
    (wav_header(8_000, 200), "200 channels: more than 32"),
    (np.zeros((40, 40)), "an array of shape (40, 40)"),
    (np.array(["a"]), "an array of shape (1,) and type <U1"),
    (np.zeros(0), "no samples"),
    ({"array": [0.0], "sampling_rate": None}, "a sampling rate of None"),
    ({"array": ["x"], "sampling_rate": 8_000}, "an array of"),
    ({"array": [0.0], "sampling_rate": "fast"}, "invalid literal"),
    (3, "found a value of type int"),
    ("\ud800", "no such file"),
]


@pytest.mark.parametrize(("value", "reason"), REFUSED, ids=[str(place) for place in range(len(REFUSED))])
def test_what_cannot_be_read_is_refused_with_the_reason(value: Any, reason: str) -> None:
    found = AudioColumn.refuses(value)
    assert found is not None
    assert found.startswith(reason)


def test_what_is_refused_is_encoded_as_one_frame_of_silence() -> None:
    column, values = fitted(), [value for value, _ in REFUSED]
    encoded = column.encode([None, "", *values])
    assert (encoded.lengths == 1).all()
    assert (encoded.values == column.features(np.zeros(column.window, np.float32))).all()
    assert {column.portable(value) for value in values} == {None}


def test_a_missing_value_is_not_refused() -> None:
    assert [AudioColumn.refuses(value) for value in (None, "", float("nan"))] == [None] * 3


def test_samples_that_are_no_numbers_do_no_harm() -> None:
    broken = speech(0)
    broken[10:20], broken[30], broken[40], broken[50] = np.nan, np.inf, -np.inf, 1e30
    assert np.isfinite(fitted().encode([broken, saved(broken, 8_000, subtype="FLOAT")]).values).all()


def test_a_stream_whose_length_was_never_filled_in_is_read() -> None:
    content = bytearray(saved(speech(0), 8_000))
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    assert AudioColumn.refuses(bytes(content)) is None
    assert len(plain(8_000, 40).waveform(bytes(content))) == len(speech(0))


# ------------------------------------------------------------------------------------------------------------- fit


def test_the_column_is_made_for_its_clips() -> None:
    column = fitted()
    assert (column.rate, column.mels, column.seconds, column.trim) == (8_000, 40, 0.4, False)
    two = [saved(speech(seed, rate=rate), rate) for seed, rate in enumerate([44_100, 44_100, 8_000])]
    assert (fitted(*two).rate, fitted(*two).mels) == (16_000, 64)
    assert fitted(saved(speech(0, seconds=45), 8_000)).seconds == 30
    assert fitted(*[saved(speech(0), 8_000)] * 999, saved(speech(0, seconds=9), 8_000)).seconds == 0.4
    assert fitted(speech(0)).rate == 16_000  # samples from Python say no rate


def test_training_frames_are_of_mean_zero_and_unit_spread() -> None:
    clips = [saved(speech(seed), 8_000) for seed in range(20)]
    values = fitted(*clips).encode(clips).values
    assert np.abs(values.mean(axis=0)).max() < 1e-3
    assert values.std(axis=0) == pytest.approx(np.ones(40), abs=1e-3)


@pytest.mark.parametrize(
    "options", [{}, {"rate": 16_000}, {"rate": 11_025, "trim": True}, {"trim": True, "seconds": 0.123}, {"mels": 64}]
)
def test_a_portable_clip_is_encoded_to_the_same_frames(options: dict[str, Any]) -> None:
    values = [content for content, _ in KINDS.values()] + [speech(7), saved(speech(8, rate=44_100), 44_100)]
    column = fitted(*values, **options)
    portable = [column.portable(value) for value in values]
    assert json.loads(json.dumps(portable)) == portable
    assert np.array_equal(column.encode(portable).values, column.encode(values).values)
    assert [column.portable(value) for value in portable] == portable


def test_a_portable_clip_of_floats_holds_no_time() -> None:
    content = base64.b64decode(fitted().portable(speech(0)).partition(",")[2])
    assert soundfile.info(io.BytesIO(content)).subtype == "FLOAT"
    assert b"PEAK" in saved(speech(0), subtype="FLOAT")  # the chunk in which libsndfile says when a file was written
    assert b"PEAK" not in content


def test_sixteen_bits_stay_sixteen_bits_when_portable() -> None:
    content = saved(speech(0), 8_000)
    kept = fitted(content).portable(content)
    assert soundfile.info(io.BytesIO(base64.b64decode(kept.partition(",")[2]))).subtype == "PCM_16"
    assert len(base64.b64decode(kept.partition(",")[2])) == len(content)


def test_a_saved_column_comes_back_equal(tmp_path: Path) -> None:
    column = fitted(seconds=0.2, trim=True)
    column.save(tmp_path)
    assert columns.restore(tmp_path, json.loads((tmp_path / "clip.json").read_text())) == column
    assert [path.name for path in tmp_path.iterdir()] == ["clip.json"]


def test_a_clip_is_the_same_alone_and_among_longer_ones() -> None:
    clips = [saved(speech(seed, seconds=0.05 * (1 + seed % 7)), 8_000) for seed in range(30)]
    column = fitted(*clips)
    encoded = column.encode(clips)
    batch = column.batch(encoded, np.array([3, 0, 6]))
    assert {name: tensor.dtype for name, tensor in batch.items()} == {"clip_frames": np.float32, "clip_mask": np.int64}
    assert batch["clip_mask"].sum(axis=1).tolist() == encoded.lengths[[3, 0, 6]].tolist()
    for place, row in enumerate([3, 0, 6]):
        alone = column.encode([clips[row]]).values
        assert np.array_equal(batch["clip_frames"][place, : len(alone)], alone)
        assert not batch["clip_frames"][place, len(alone) :].any()
    empty = column.batch(column.encode([]), np.arange(0))
    assert (empty["clip_frames"].shape, empty["clip_mask"].shape) == ((0, 1, 40), (0, 1))


def test_the_filters_of_many_clips_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in range(48):
        (tmp_path / f"{place}.wav").write_bytes(saved(speech(place), 8_000))
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    made: list[int] = []
    make = audio.mel_filters
    monkeypatch.setattr(audio, "mel_filters", lambda rate, *of: made.append(rate) or make(rate, *of))
    column = fitted(*paths)
    assert len(column.encode(paths)) == 48
    assert 0 < len(made) <= 16  # a few tries for their length, and perhaps once in each thread


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rate": 10}, "rate: found 10"),
        ({"seconds": 0}, "seconds: found 0"),
        ({"mel": 40}, "no option named 'mel'.*did you mean 'mels'"),
        ({"mels": 2}, "mels: found 2.*8 to 256"),
        ({"trim": "loud"}, "trim: found 'loud'"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(TrimtabError, match=f"(?s)column 'clip' \\(audio\\).*{said}"):
        fitted(speech(0), **options)


def test_without_any_sound_there_is_no_column() -> None:
    with pytest.raises(TrimtabError, match=r"none of 1 clips can be read; the first: no such file: none\.wav"):
        fitted("none.wav", None)
    with pytest.raises(TrimtabError, match="column 'clip' \\(audio\\): training rows: no value"):
        fitted(None, "")
