"""Sentences of the packages below in the user's language: why something failed, what was left out; no Qt.

The store, the formats and the trainer speak English, with names and numbers in their sentences. A catalogue
beside those of the window (``locale/de.sentences.json``) translates them as templates: ``{0}`` is what an
f-string puts in first, ``{{n}}`` the number of a counted note. A sentence is known by the words around these.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import NamedTuple

from napari_lld.i18n.translate import language

_PLACE = re.compile(r"\{\{n\}\}|\{(\d+)\}")
_BETWEEN = re.compile(r"(?<=[.!?])\s+")
_NUMBER = r"\d+"
_WORD_OF_SCHEMA = re.compile("(?:class|kind|group|attribute|value) ")
_BEFORE_WORD = re.compile(f", (?={_WORD_OF_SCHEMA.pattern})")


class _Template(NamedTuple):
    """A sentence with places, in English and translated."""

    begins: str
    ends: str
    english: str
    translation: str

    def translated(self, sentence: str) -> str | None:
        """Translate a sentence if it is this one."""
        if not (sentence.startswith(self.begins) and sentence.endswith(self.ends)):
            return None
        match = _pattern(self.english).fullmatch(sentence)
        if match is None:
            return None
        # what stands in a place may be a sentence too: the reason within a reason
        values = {name: _in_place(value) for name, value in match.groupdict().items()}
        return "".join(values[word] if is_place else word for word, is_place in _words(self.translation))


def in_language(sentence: str) -> str:
    """Translate a sentence of the store or the trainer, or several one after the other.

    What no catalogue knows stays as it is.
    """
    templates = _templates(language())
    if not templates:
        return sentence
    result, begin = "", 0
    while begin < len(sentence):
        ends = [gap.start() for gap in _BETWEEN.finditer(sentence, begin)] + [len(sentence)]
        for end in reversed(ends):  # one template may be several sentences
            translation = _translated(sentence[begin:end], templates)
            if translation is not None:
                break
        space = _BETWEEN.match(sentence, end)
        result += (sentence[begin:end] if translation is None else translation) + (space[0] if space else "")
        begin = space.end() if space else end
    return result


def _in_place(value: str) -> str:
    """Translate what stands in a place: words of a schema one by one, all else as a sentence."""
    words = _BEFORE_WORD.split(value) if _WORD_OF_SCHEMA.match(value) else [value]
    return ", ".join(in_language(word) for word in words)


def _translated(sentence: str, templates: tuple[_Template, ...]) -> str | None:
    for template in templates:
        translated = template.translated(sentence)
        if translated is not None:
            return translated
    return None


@cache
def _templates(code: str) -> tuple[_Template, ...]:
    """Read the catalogue of a language; those that say most come first, as more may fit a sentence."""
    file = resources.files("napari_lld.i18n") / "locale" / f"{code}.sentences.json"
    if not file.is_file():
        return ()
    catalogue: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    templates = []
    for english, translation in catalogue.items():
        words = ["" if is_place else word for word, is_place in _words(english)]
        templates.append(_Template(words[0], words[-1], english, translation))
    return tuple(sorted(templates, key=lambda template: -len(_PLACE.sub("", template.english))))


@cache
def _pattern(english: str) -> re.Pattern[str]:
    names: set[str] = set()
    pattern = ""
    for word, is_place in _words(english):
        if not is_place:
            pattern += re.escape(word)
        elif word in names:
            pattern += f"(?P={word})"
        else:
            pattern += f"(?P<{word}>{_NUMBER if word == 'n' else '.*?'})"
            names.add(word)
    return re.compile(pattern, re.DOTALL)


def _words(template: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a template, and of each whether it is the name of a place."""
    end = 0
    for place in _PLACE.finditer(template):
        yield template[end : place.start()].replace("{{", "{").replace("}}", "}"), False
        yield f"v{place[1]}" if place[1] else "n", True
        end = place.end()
    yield template[end:].replace("{{", "{").replace("}}", "}"), False
