"""Which encoding bytes are in: by a mark, by the user's word, by what earlier files were in, else by their look."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trimtab import registry
from trimtab.errors import nearest, problem

# Codec -> what messages call it. These are told apart by their look; any other that Python knows can be named.
ENCODINGS = {
    "cp932": "Shift-JIS (Japanese)",
    "euc_jp": "EUC-JP (Japanese)",
    "iso2022_jp": "ISO-2022-JP (Japanese)",
    "cp949": "Windows-949 (Korean)",
    "gb18030": "GB 18030 (Chinese)",
    "big5hkscs": "Big5 (Chinese)",
    "cp1251": "Windows-1251 (Cyrillic)",
    "koi8-r": "KOI8-R (Cyrillic)",
    "koi8-u": "KOI8-U (Cyrillic)",
    "cp866": "DOS 866 (Cyrillic)",
    "mac-cyrillic": "Mac Cyrillic",
    "cp1250": "Windows-1250 (Central European)",
    "iso8859-2": "ISO 8859-2 (Central European)",
    "cp852": "DOS 852 (Central European)",
    "cp1252": "Windows-1252 (Western European)",
    "iso8859-15": "ISO 8859-15 (Western European)",
    "mac-roman": "Mac Roman (Western European)",
    "cp850": "DOS 850 (Western European)",
    "cp1253": "Windows-1253 (Greek)",
    "iso8859-7": "ISO 8859-7 (Greek)",
    "cp1254": "Windows-1254 (Turkish)",
    "cp1255": "Windows-1255 (Hebrew)",
    "cp1256": "Windows-1256 (Arabic)",
    "cp1257": "Windows-1257 (Baltic)",
    "cp1258": "Windows-1258 (Vietnamese)",
    "cp874": "Windows-874 (Thai)",
}
# What programs call by a name and write by its successor, as browsers read it (the WHATWG encoding standard).
_SUCCESSORS = {
    "ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874",
    "shift_jis": "cp932", "shift_jis_2004": "cp932", "euc_jis_2004": "euc_jp", "iso2022_jp_2": "iso2022_jp",
    "euc_kr": "cp949", "gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs", "cp950": "big5hkscs",
}  # fmt: skip
_OTHERS = ("utf-8", "utf-16", "utf-32", "euc_jp", "windows-1250", "windows-1251", "windows-1252", "latin-1", "latin-2")
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]")
WESTERN = "cp1252"
_FEW = 4  # bytes that are no ASCII below which a look tells nothing
_ENOUGH = 60  # from which it is worth a remark that the look says something else than what was told before
_UNREADABLE = 0.1  # share of lines that cannot be decoded from which an encoding is called wrong
_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Reading:
    """How text without a mark is read.

    As `named` where the user said so; what is not UTF-8 as `known`, the encoding of the files that a bundle was made
    from, where the bytes allow it; else by its look. `told` is given the encoding of what is not UTF-8.
    """

    named: str | None
    known: str | None
    told: Callable[[str], None]


@dataclass(frozen=True)
class Choice:
    """The encoding of lines that are not UTF-8, and the remark that says so; `mixed`: other lines are UTF-8."""

    encoding: str
    remark: str
    mixed: bool = False


def codec(name: str | None, where: str) -> str | None:
    """Python's codec for the name that a user gave to an encoding. Raises TrimtabError where there is none."""
    if name is None:
        return None
    try:
        found = codecs.lookup(name.strip().replace(" ", "_"))
        "a".encode(found.name)  # a codec that is none of text, such as base64, refuses
    except (LookupError, ValueError, TypeError):
        raise problem(
            where, f"no encoding named {name!r}", nearest(name, {*ENCODINGS, *_SUCCESSORS, *_OTHERS})
        ) from None
    return _SUCCESSORS.get(found.name, found.name)


def label(encoding: str) -> str:
    """What messages call an encoding."""
    return ENCODINGS.get(encoding, encoding)


# ------------------------------------------------------------------------------------------------- marks and zeros


def wide(head: bytes) -> str | None:
    """The encoding of text with a mark, and of UTF-16 and UTF-32 without one; None for any other."""
    marked = [encoding for mark, encoding in _MARKS if head.startswith(mark)]
    if marked or b"\0" not in head:
        return marked[0] if marked else None
    start = head[:8192]
    others = start.replace(b"\0", b"")
    if len(others) > 0.7 * len(start) and decodes(others, "utf-8") and not _CONTROL.search(others):
        return None  # text with a NUL here and there
    return next((name for name in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be") if _is_text(start, name)), None)


def _is_text(start: bytes, encoding: str) -> bool:
    """Whether bytes are lines of letters in this encoding: what is none decodes to characters that nobody uses."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(start)
    except UnicodeDecodeError:
        return False
    odd = sum(unicodedata.category(letter) in ("Cn", "Co", "Cc") and letter not in "\t\r\n" for letter in text)
    return ("\n" in text or "\r" in text) and odd <= 0.01 * len(text)


# ----------------------------------------------------------------------------------------------------------- look


def choose(name: str, lines: Sequence[bytes], reading: Reading) -> Choice | None:
    """The encoding of lines of which some are not UTF-8; None where all are.

    Raises TrimtabError for an encoding that the user named and that the lines are not in.
    """
    if reading.named is None and any(b"\x1b$" in line for line in lines) and all(line.isascii() for line in lines):
        return Choice("iso2022_jp", f"{name}: read as {label('iso2022_jp')}")
    written = [line for line in lines if not line.isascii()]
    if reading.named is not None:
        _check(name, written, reading.named)
        other = reading.named != "utf-8" and written and all(decodes(line, "utf-8") for line in written)
        remark = f"{name}: looks like UTF-8; read as {label(reading.named)}, as was asked" if other else ""
        return Choice(reading.named, remark)
    bad = [line for line in written if not decodes(line, "utf-8")]
    if not bad:
        return None
    mixed = 2 * len(bad) <= len(written)
    sample = b"".join(bad if mixed else written)
    which = "some lines are not UTF-8" if mixed else "not UTF-8"
    if reading.known and decodes(sample, reading.known):
        why = f"like the files of training{_doubt(sample, reading.known)}"
        return Choice(reading.known, f"{name}: {which}; read as {label(reading.known)}, {why}", mixed)
    few = sum(byte >= 0x80 for byte in sample) < _FEW
    guess = WESTERN if few else looks_like(sample)
    why = (
        f"{'too few letters to tell' if few else 'by its look'}. If letters look wrong, name the encoding (`encoding`)"
    )
    return Choice(guess, f"{name}: {which}; read as {label(guess)}, {why}", mixed)


def _check(name: str, written: Sequence[bytes], encoding: str) -> None:
    bad = [line for line in written if not decodes(line, encoding)]
    if len(bad) > _UNREADABLE * len(written):
        shown = ascii(bad[0][:40])[1:]
        found = (
            f"is not in the encoding {encoding} that was named: {len(bad):,} of {len(written):,} lines such as {shown}"
        )
        raise problem(name, found, do="leave the encoding out, and it is told from the file")


def _doubt(sample: bytes, known: str) -> str:
    """A remark where much text looks like something else than what the bundle's files were in."""
    if sum(byte >= 0x80 for byte in sample) < _ENOUGH:
        return ""
    guess = looks_like(sample)
    if guess == known or (decodes(sample, guess) and sample.decode(guess) == sample.decode(known)):
        return ""
    return f"; but it looks like {label(guess)}: if letters look wrong, name the encoding (`--encoding {guess}`)"


def looks_like(sample: bytes) -> str:
    """The most likely encoding of text that is not UTF-8."""
    # The detector is loaded by name, because hardly any file needs it and it takes a fifth of a second.
    found = registry.attribute("trimtab.rows._detecting", "detect")(sample)
    found = _SUCCESSORS.get(found, found)
    return found if decodes(sample, found) else WESTERN


def decodes(sample: bytes, encoding: str) -> bool:
    """Whether bytes are text in this encoding; a last character may be cut off."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return False
    return True
