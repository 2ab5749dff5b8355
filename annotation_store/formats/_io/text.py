"""Read untrusted text: bytes to lines, words to numbers; every fault becomes one plain sentence."""

from __future__ import annotations

import codecs
import math
from pathlib import Path

from annotation_store.errors import FormatError

MAX_BYTES = 200_000_000
MAX_LINES = 2_000_000
_SHOWN = 40


def read_file(path: Path, *, limit: int = MAX_BYTES) -> bytes:
    """Read a file's bytes.

    Raises
    ------
    FormatError
        It is missing, no file, unreadable, or absurdly large.
    """
    try:
        if not path.is_file():
            raise FormatError(f"There is no file {path}: check the path.")
        if path.stat().st_size > limit:
            raise FormatError(
                f"The file {path} is larger than {limit // 1_000_000} MB: split it into smaller files."
            )
        return path.read_bytes()
    except OSError as error:
        raise FormatError(
            f"The file {path} cannot be read ({error.strerror}): check its permissions."
        ) from error
    except ValueError as error:  # a name with a zero byte
        raise FormatError(f"{str(path)!r} is not a valid file name: check the path.") from error


def decoded(data: bytes, source: str) -> str:
    """Decode UTF-8 (with or without a byte order mark) or UTF-16 with one, as spreadsheets write it.

    Raises
    ------
    FormatError
        It is neither, or it has zero bytes.
    """
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"The file {source} is not UTF-8 text: save it as UTF-8.") from error
    if "\x00" in text:
        raise FormatError(f"The file {source} is not text: it contains null bytes.")
    return text


def decoded_western(data: bytes, source: str) -> tuple[str, bool]:
    """Decode as `decoded` does, else as Windows-1252, which spreadsheets write in western Europe.

    Returns
    -------
    The text, and whether it was Windows-1252.

    Raises
    ------
    FormatError
        It is neither, or it has zero bytes.
    """
    try:
        return decoded(data, source), False
    except FormatError:
        try:
            text = data.decode("cp1252")
        except UnicodeDecodeError:
            text = "\x00"
        if any(c < " " and c not in "\t\r\n" for c in text):
            raise
        return text, True


def lines(data: bytes, source: str) -> list[str]:
    """Return the lines of a text file, ends removed.

    Raises
    ------
    FormatError
        It is not text, or has too many lines.
    """
    result = decoded(data, source).splitlines()
    if len(result) > MAX_LINES:
        raise FormatError(f"The file {source} has more than {MAX_LINES:,} lines: split it.")
    return result


def number(text: str, at: str) -> float:
    """Read a finite number; `at` names the place for the sentence."""
    try:
        # float() also takes 1_000 and digits of other scripts, which no program writes
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FormatError(f"In {at}, {shown(text)} is not a valid number.")
    return value


def whole(text: str, at: str) -> int:
    """Read a whole number, written with a decimal point or without."""
    value = number(text, at)
    if value != int(value) or abs(value) > 1e9:
        raise FormatError(f"In {at}, {shown(text)} is not a valid whole number.")
    return int(value)


def shown(text: object) -> str:
    """Quote untrusted text for a sentence: short, on one line, without direction marks."""
    quoted = ascii(str(text)[:_SHOWN])
    return quoted if len(str(text)) <= _SHOWN else f"{quoted[:-1]}…'"
