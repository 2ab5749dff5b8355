"""The texts of the window in the user's language: `tr` for all that is shown there; no Qt.

Python's own gettext does the work. The catalogues in ``locale/`` are texts (``de.po``), which Babel compiles
when the package is built or a checkout is installed (``hatch_build.py``).
English is the text in the code, and what stands in wherever a catalogue says nothing.
"""

from __future__ import annotations

import gettext
from importlib import resources
from string import Formatter
from typing import Any

_catalogue: gettext.NullTranslations = gettext.NullTranslations()
_language = "en"
_CATALOGUES = resources.files("napari_lld.i18n") / "locale"
_DECIMAL_SIGNS = {"de": ","}


def tr(text: str, /, **values: Any) -> str:
    """Return a text in the user's language.

    Parameters
    ----------
    text
        The English text: a literal, never an f-string, which no catalogue could know.
    values
        What stands for the names in braces: ``tr("{name} is open", name=…)``. They may carry a format
        (``"{share:.0%}"``). Without values, braces mean themselves.
    """
    translated = _catalogue.gettext(text) if text else ""
    return _fill(translated, **values) if values else translated


def trn(singular: str, plural: str, /, count: int, **values: Any) -> str:
    """Return the text for a number of things: ``trn("{count} cell", "{count} cells", 3)``."""
    return _fill(_catalogue.ngettext(singular, plural, count), count=count, **values)


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
    names = (file.name for file in _CATALOGUES.iterdir())
    return ["en", *sorted(name.removesuffix(".mo") for name in names if name.endswith(".mo"))]


def use_language(*preferred: str) -> str:
    """Choose the first language that has a catalogue, else English; return its code.

    Parameters
    ----------
    wanted
        Languages or locales, such as ``de``, ``de_AT`` or ``de-AT``, best first.
    """
    global _catalogue, _language
    available = languages()
    short = (name.replace("-", "_").split("_")[0].lower() for name in preferred)
    code = next((name for name in short if name in available), "en")
    _catalogue = gettext.NullTranslations() if code == "en" else _load(code)
    _language = code
    return code


def language() -> str:
    """Return the language that is shown, as ``de``."""
    return _language


def _load(language: str) -> gettext.NullTranslations:
    with (_CATALOGUES / f"{language}.mo").open("rb") as file:
        return gettext.GNUTranslations(file)
