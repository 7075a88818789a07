"""Files of strangers: what unpacks to gigabytes is refused or read in little room, and no name opens a file unasked."""

from __future__ import annotations

import base64
import csv
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tiny_bundle import build, make_manifest

from trimtab import InputPolicy, columns, runtime, spec
from trimtab.__main__ import main
from trimtab.bundle import store
from trimtab.columns import _files, _pictures, _sounds
from trimtab.columns.audio import AudioColumn
from trimtab.columns.image import ImageColumn
from trimtab.errors import TrimtabError

INLINE = InputPolicy(files=False)


def silence(channels: int, rate: int, seconds: float) -> bytes:
    content = io.BytesIO()
    block = np.zeros((rate // 10, channels), np.int16)
    with soundfile.SoundFile(content, "w", rate, channels, "PCM_16", format="FLAC") as sound:
        for _ in range(round(seconds * 10)):
            sound.write(block)
    return content.getvalue()


def flat_png(side: int) -> bytes:
    """A picture of one bit for each pixel, partly transparent: decoded, it takes 16 bytes for each."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", side, side, 1, 3, 0, 0, 0)
    rows = zlib.compress(bytes(side * (1 + side // 8)))
    parts = [(b"IHDR", head), (b"PLTE", bytes(6)), (b"tRNS", b"\x7f\xff"), (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiled_tiff(side: int) -> bytes:
    """One pixel, in a tile of side x side."""
    body = zlib.compress(bytes(1024))
    tags = {256: 1, 257: 1, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 8, 325: len(body)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = struct.pack("<2sHI", b"II", 42, 8 + len(body))
    return head + body + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)


def grown(folder: Path, program: str, content: bytes) -> int:
    """MB that a fresh process grows by while it runs `program`, in which `content` is the bytes of a file."""
    (folder / "hostile").write_bytes(content)
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from trimtab import columns\n"
        "from trimtab.columns import _files\n"
        "content = Path(sys.argv[1]).read_bytes()\n"
        "_files._THREADS = 8\n"
        "def held(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000\n"
        f"{program}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder / "hostile")], capture_output=True, text=True, timeout=120, check=False
    )
    assert not done.returncode, done.stderr
    return int(done.stdout)


def test_a_small_file_of_long_silence_is_decoded_in_little_room(tmp_path: Path) -> None:
    program = (
        "column = columns.fit('audio', 'clip', 'clip', [content], {'seconds': 5, 'rate': 8000})\n"
        "before = held()\n"
        "assert len(column.encode([content] * 4)) == 4 and column.refuses(content) is None\n"
        "print(held() - before)"
    )
    bomb = silence(8, 655_350, 3)
    assert len(bomb) < 40_000
    assert grown(tmp_path, program, bomb) < 40  # 63 MB for each of four at a time, if they were read whole


def test_pictures_share_the_room_that_they_are_decoded_in(tmp_path: Path) -> None:
    program = (
        "from trimtab.columns import _pictures\n"
        "_pictures._DECODING = _files.Room(4_000_000)\n"
        "column = columns.fit('image', 'shot', 'shot', [content], {'size': 32, 'channels': 3})\n"
        "before = held()\n"
        "assert column.encode([content] * 16).shape == (16, 3, 32, 32)\n"
        "print(held() - before)"
    )
    assert grown(tmp_path, program, flat_png(2000)) < 150  # 64 MB for each of eight at a time, if none waited


def test_a_room_is_given_back_also_by_who_fails() -> None:
    room = _files.Room(10)
    for size in (3, 1000):
        with pytest.raises(ValueError, match="broken"), room.taken(size):
            raise ValueError("broken")
    with room.taken(10):
        pass


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (flat_png(8_000), "64 megapixels: more than 50"),
        (tiled_tiff(30_000), "900 megapixels: more than 50"),
    ],
)
def test_a_picture_that_unpacks_to_too_much_is_refused_by_its_header(content: bytes, said: str) -> None:
    assert said in (ImageColumn.refuses(content) or "")


def test_a_sound_that_unpacks_to_too_much_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sounds, "_MOST_SAMPLES", 50_000)
    clip = silence(8, 8_000, 1)
    with pytest.raises(_files.Unreadable, match="64,000 samples in 8 channels at 8,000 Hz: more than 50,000"):
        _sounds.decoded(clip, 8_000, 10, InputPolicy())
    assert AudioColumn.refuses(clip) is None  # to see whether it is whole, the first samples are enough


def test_texts_in_a_picture_are_not_unpacked_without_bounds() -> None:
    from_text = zlib.compress(bytes(50_000_000))
    body = b"note\0\0" + from_text
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    picture = flat_png(8)
    assert "damaged" in (ImageColumn.refuses(picture[:33] + chunk + picture[33:]) or "")


# ------------------------------------------------------------------------------------------------------------ texts


def test_aliases_of_a_spec_are_not_written_out_without_bounds(tmp_path: Path) -> None:
    doubled = "\n".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))
    specs = {
        f"a0: &a0 [x]\n{doubled}\ndata: *a39\n": r"stand for [\d,]+ values",
        "data: &own [*own]\n": "an alias stands inside of what it names",
        f"data: {'[' * 3_000}\n": "values inside of values without end",
    }
    for text, said in specs.items():
        (tmp_path / "trimtab.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(TrimtabError, match=said):
            spec.read(tmp_path / "trimtab.yaml")


def test_aliases_of_a_spec_are_of_use(tmp_path: Path) -> None:
    (tmp_path / "trimtab.yaml").write_text("data: a.csv\noutput: c\ninputs: {a: &same {type: text}, b: *same}\n")
    assert set(spec.read(tmp_path / "trimtab.yaml").inputs) == {"a", "b"}


def test_no_cell_runs_in_a_spreadsheet_where_that_is_asked_for(tmp_path: Path) -> None:
    header = "review,stars,=1+1\n"
    (tmp_path / "rows.csv").write_text(header + '"=HYPERLINK(""http://x"")",-5,@a\nfine film,4,+b\n', encoding="utf-8")
    bundle = str(build(tmp_path))
    written = {}
    for name, more in {"safe": ["--spreadsheet"], "plain": []}.items():
        target = tmp_path / f"{name}.csv"
        words = ["predict", bundle, str(tmp_path / "rows.csv"), "-o", str(target), *more]
        assert main(words) == 0
        with target.open(newline="", encoding="utf-8") as file:
            written[name] = [row[:3] for row in csv.reader(file)]
    plain = [["review", "stars", "=1+1"], ['=HYPERLINK("http://x")', "-5", "@a"], ["fine film", "4", "+b"]]
    safe = [["review", "stars", "'=1+1"], ['\'=HYPERLINK("http://x")', "-5", "'@a"], ["fine film", "4", "'+b"]]
    assert written == {"plain": plain, "safe": safe}


# ----------------------------------------------------------------------------------------------------- input policy


@pytest.fixture(scope="module")
def picture() -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(content, "PNG")
    return content.getvalue()


def test_without_files_no_string_tells_what_files_there_are(tmp_path: Path, picture: bytes) -> None:
    there, long = tmp_path / "there.png", tmp_path / ("x" * 80)
    for path in (there, long):
        path.write_bytes(picture)
    (tmp_path / "link.png").symlink_to(there)
    names = [there, str(there), str(long), str(tmp_path / "link.png"), str(tmp_path / "nothing.png"), "/etc/passwd"]
    names += [{"path": str(there), "bytes": None}, f"{there}" + "=" * 4]
    said = set()
    for name in names:
        with pytest.raises(_files.Unreadable) as refused:
            _files.opened(name, INLINE)
        said.add(str(refused.value))
    assert said == {"found no content, and no files are read here: give base64 or a data: URI"}


def test_without_files_content_is_read_in_all_its_forms(picture: bytes) -> None:
    text = base64.b64encode(picture).decode()
    for value in (picture, text, f"data:image/png;base64,{text}", {"bytes": picture, "path": "/etc/passwd"}):
        assert _files.opened(value, INLINE).read() == picture


def test_what_is_larger_than_a_policy_lets_in_is_not_unpacked(tmp_path: Path, picture: bytes) -> None:
    (tmp_path / "some.png").write_bytes(picture)
    small = InputPolicy(megabytes=len(picture) / 2e6)
    for value in (picture, base64.b64encode(picture).decode(), str(tmp_path / "some.png")):
        with pytest.raises(_files.Unreadable, match="MB: more than"):
            _files.opened(value, small)
    with pytest.raises(_files.Unreadable, match="megapixels: more than 1e-05"):
        _pictures.decoded(picture, 1, InputPolicy(megapixels=1e-5))
    with pytest.raises(_files.Unreadable, match=r"2\.0 seconds: more than 1"):
        _sounds.decoded(silence(1, 8_000, 2), 8_000, 1, InputPolicy(seconds=1))


def test_a_loaded_model_holds_its_rows_to_the_policy(tmp_path: Path, picture: bytes) -> None:
    (tmp_path / "some.png").write_bytes(picture)
    folder = picture_bundle(tmp_path, picture)
    rows = [{"shot": str(tmp_path / "some.png")}, {"shot": picture}, {"shot": None}]
    with_files = runtime.load(folder).outputs({"shot": [row["shot"] for row in rows]})
    without = runtime.load(folder, policy=INLINE).outputs({"shot": [row["shot"] for row in rows]})
    assert np.array_equal(with_files[0], with_files[1])
    assert np.array_equal(with_files[1], without[1])
    assert np.array_equal(without[0], without[2])
    assert not np.array_equal(without[0], without[1])


def test_a_request_for_many_is_answered_whatever_one_of_them_is(tmp_path: Path, picture: bytes) -> None:
    there = tmp_path / "some.png"
    there.write_bytes(picture)
    model = runtime.load(picture_bundle(tmp_path, picture), policy=INLINE)
    found = model.answer([{"shot": picture}, {"shot": str(there)}, {"shot": 3.5}, {}])
    assert [[one.kind for one in found.problems_of(row)] for row in range(4)] == [
        [],
        ["unreadable"],
        ["unreadable"],
        [],
    ]
    outputs = np.asarray(found.outputs)
    assert [np.array_equal(outputs[row], outputs[3]) for row in range(3)] == [False, True, True]
    with pytest.raises(TrimtabError, match="row 2: shot"):
        model.predict([{"shot": picture}, {"shot": None}, {"shot": 3.5}])


@pytest.mark.parametrize("words", [False, True])
def test_a_text_that_is_longer_than_a_policy_lets_in_is_not_read(words: bool) -> None:
    texts = ["red green blue", "red " * 50, None, 7]
    values = [text.split() if isinstance(text, str) else text for text in texts] if words else texts
    column = columns.fit("text", "note", "note", values, {"words": words})
    held = column.accepting(InputPolicy(characters=20))
    assert column.accepting(InputPolicy()) is column
    reading = held.read(values)
    told = [one for one in reading.problems if one.kind == "unreadable"]
    assert [one.row for one in told] == [1]
    assert "characters: more than 20" in told[0].reason
    whole = column.encode(values)
    for row, value in enumerate([values[0], None, values[2], values[3]]):
        assert held.encode(values)[row].tolist() == column.encode([value])[0].tolist() == reading.encoded[row].tolist()
    assert len(whole[1]) > len(reading.encoded[1])


def test_a_type_of_ones_own_that_reads_files_must_know_of_policies(picture: bytes) -> None:
    column = columns.fit("image", "shot", "shot", [picture], {})
    with pytest.raises(TrimtabError, match="know of no policy"):
        columns.InputColumn.accepting(column, INLINE)
    assert columns.InputColumn.accepting(column, InputPolicy()) is column


def picture_bundle(folder: Path, picture: bytes) -> Path:
    """A network of one product over the pixels."""
    shot = columns.fit("image", "shot", "shot", [picture], {"channels": 1})
    label = columns.fit("label", "mood", "mood", ["good", "bad"], {})
    staging = folder / "staging"
    staging.mkdir()
    nodes = [
        helper.make_node("Cast", ["shot_pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["outputs"]),
    ]
    head = np.random.default_rng(1).normal(size=(64, 2)).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("shot_pixels", TensorProto.UINT8, ["rows", 1, 8, 8])],
        [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["rows", 2])],
        [numpy_helper.from_array(head, "head")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), staging / store.MODEL
    )
    manifest = make_manifest((shot,), label, ["shot_pixels"])
    store.save_columns(staging / store.COLUMNS, (shot,), label)
    store.save(staging, manifest, folder / "bundle")
    return folder / "bundle"
