"""The texts of the window in the user's language: `tr` for all that is shown there; no Qt.

Python's own gettext does the work. Its compiled catalogues can be neither reviewed nor merged, so the
catalogues in ``locale/`` are the texts themselves (``de.po``), compiled in memory when one is chosen.
English is the text in the code, and what stands in wherever a catalogue says nothing.
"""

from __future__ import annotations

import ast
import gettext
import io
import struct
from collections.abc import Iterator
from importlib import resources
from string import Formatter
from typing import Any

_catalogue: gettext.NullTranslations = gettext.NullTranslations()
_language = "en"
_DECIMAL_SIGNS = {"de": ","}


def tr(text: str, /, **values: Any) -> str:
    """Give a text in the user's language.

    Parameters
    ----------
    text
        The English text: a literal, never an f-string, which no catalogue could know.
    values
        What stands for the names in braces: ``tr("{name} is open", name=…)``. They may carry a format
        (``"{share:.0%}"``). Without values, braces mean themselves.
    """
    told = _catalogue.gettext(text) if text else ""
    return _fill(told, **values) if values else told


def trn(one: str, many: str, /, count: int, **values: Any) -> str:
    """Give the text for a number of things: ``trn("{count} cell", "{count} cells", 3)``."""
    return _fill(_catalogue.ngettext(one, many, count), count=count, **values)


def decimal(value: float, form: str) -> str:
    """Write a number with the decimal sign of the language: ``decimal(0.125, ".1%")``."""
    return format(value, form).replace(".", _DECIMAL_SIGNS.get(_language, "."))


class _Formatter(Formatter):
    """Fills in values; numbers with a fraction get the decimal sign of the language."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """Write one value."""
        return decimal(value, format_spec) if isinstance(value, float) else format(value, format_spec)


_fill = _Formatter().format


def later(text: str) -> str:
    """Mark a text of a table at the head of a module, for the catalogue: `tr` translates it when it is shown.

    What is read at import would stay in the language that was chosen then.
    """
    return text


def languages() -> list[str]:
    """List the languages there is a catalogue of, English first, as ``en``, ``de``."""
    files = (resources.files("napari_lld.i18n") / "locale").iterdir()
    return ["en", *sorted(file.name.removesuffix(".po") for file in files if file.name.endswith(".po"))]


def use_language(*wanted: str) -> str:
    """Choose the first language of which there is a catalogue, else English; give which one it is.

    Parameters
    ----------
    wanted
        Languages or locales, such as ``de``, ``de_AT`` or ``de-AT``, best first.
    """
    global _catalogue, _language
    known = languages()
    short = (name.replace("-", "_").split("_")[0].lower() for name in wanted)
    chosen = next((name for name in short if name in known), "en")
    _catalogue = gettext.NullTranslations() if chosen == "en" else _load(chosen)
    _language = chosen
    return chosen


def language() -> str:
    """Return the language that is shown, as ``de``."""
    return _language


def _load(language: str) -> gettext.NullTranslations:
    text = (resources.files("napari_lld.i18n") / "locale" / f"{language}.po").read_text(encoding="utf-8")
    return gettext.GNUTranslations(io.BytesIO(_compiled(dict(entries(text)))))


def entries(text: str) -> Iterator[tuple[str, str]]:
    """Read a catalogue: pairs of English text and translation, plural forms joined by NUL as gettext does.

    The part of the format that we write: ``msgid``, ``msgid_plural``, ``msgstr``, ``msgstr[n]``, strings
    that go on over lines, comments. What is not translated yet is left out.
    """
    for block in text.split("\n\n"):
        parts: dict[str, str] = {}
        keyword = ""
        for line in block.splitlines():
            if line.startswith('"'):
                parts[keyword] += ast.literal_eval(line)
            elif line and not line.startswith("#"):
                keyword, _space, quoted = line.partition(" ")
                parts[keyword] = ast.literal_eval(quoted)
        if "msgid" not in parts:
            continue
        plural = parts.get("msgid_plural")
        source = parts["msgid"] if plural is None else f"{parts['msgid']}\0{plural}"
        forms = [value for name, value in parts.items() if name.startswith("msgstr")]
        if all(forms):
            yield source, "\0".join(forms)


def _compiled(pairs: dict[str, str]) -> bytes:
    """Write what gettext reads: two tables of lengths and offsets, then the strings, sorted."""
    sources = sorted(pairs, key=str.encode)
    strings = [s.encode() for s in (*sources, *(pairs[source] for source in sources))]
    count, head = len(sources), 28
    offset = head + 16 * count
    table = bytearray()
    for string in strings:
        table += struct.pack("<II", len(string), offset)
        offset += len(string) + 1
    header = struct.pack("<7I", 0x950412DE, 0, count, head, head + 8 * count, 0, 0)
    return header + bytes(table) + b"".join(string + b"\0" for string in strings)
