"""Searching for cells: a line of words becomes a query that each cell passes or not; no Qt.

``class:neutrophil vacuoles:present flag:second comment:"twin" certainty<60 unknown``: all terms must hold,
words with commas between them are alternatives, and a minus excludes. Text without a prefix is searched for
in comments, names of fields and titles of classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from annotation_store import Entry
from annotation_store.records import Field, Origin
from annotation_store.schema import Attribute, CellClass, ClassGroup, Schema
from annotation_store.schema.model import normalise
from annotation_store.schema.reserved import UNSURE
from napari_lld.i18n.schema_texts import kind_title
from napari_lld.i18n.translate import later, tr

_LONGEST = 1000
_LISTED = 30
"""How many words an error names."""
_NAMED = 60
"""How much of a word an error repeats."""

_TERM = re.compile(
    r'(?P<minus>-?)(?:(?P<key>"[^"]+"|[^\s:<>="]+)(?P<op><=|>=|[:<>=])(?P<value>(?:"[^"]*"?|[^\s"])*)'
    r'|(?P<text>"[^"]*"?|[^\s"]+))'
)
_PART = re.compile(r'"([^"]*)"?|([^,"]+)')
_NUMBER = r"(\d{1,3}(?:[.,]\d{1,6})?)\s*%?"
_RANGE = re.compile(rf"{_NUMBER}(?:\.\.{_NUMBER})?", re.ASCII)

CLASS, READER, FLAG, COMMENT = later("class"), later("reader"), later("flag"), later("comment")
FIELD, PATIENT, CERTAINTY = later("field"), later("patient"), later("certainty")
ORIGIN, KIND = later("origin"), later("kind")
UNKNOWN, UNCHECKED = later("unknown"), later("unchecked")
_KEYS = (CLASS, READER, FLAG, COMMENT, FIELD, PATIENT, CERTAINTY, ORIGIN, KIND)
_FLAGS = (later("bookmark"), later("second opinion"), later("cut"), later("comment"))
_ORIGINS = {
    Origin.BY_HAND: later("by hand"),
    Origin.SUGGESTED: later("suggested"),
    Origin.IMPORTED: later("imported"),
}
_KINDS = (later("cell"), later("suggestion"))
_MISSING = ""
_MISSING_WORD, _UNSURE_WORD = later("missing"), later("unsure")


class QueryError(ValueError):
    """A query that cannot be read; the message names the word, and the words there are."""


class Searched(Protocol):
    """What is searched: a crop of the gallery (`gallery.Item`)."""

    @property
    def entry(self) -> Entry:
        """The cell or suggestion."""

    @property
    def word(self) -> str | None:
        """Its class, or the one that a suggestion states."""

    @property
    def probability(self) -> float | None:
        """The probability of what it states."""

    @property
    def unknown(self) -> bool:
        """Whether it is unlike anything taught."""

    def value(self, attribute: str) -> str | None:
        """Return the value of an attribute."""


Passes = Callable[[Searched, Field | None], bool]


@dataclass(frozen=True)
class Query:
    """What is searched for; the empty one lets everything through."""

    text: str = ""
    terms: tuple[Passes, ...] = ()

    def matches(self, item: Searched, field: Field | None) -> bool:
        """Return whether an item passes.

        Parameters
        ----------
        field
            The field that it lies on, if known.
        """
        return all(passes(item, field) for passes in self.terms)


EVERYTHING = Query()


def parse(text: str, schema: Schema) -> Query:
    """Read a query in the words of a schema.

    Raises
    ------
    QueryError
        A word is unknown; the message names it and the words there are.
    """
    if len(text) > _LONGEST:
        problem = tr("The search is too long: write at most {most} characters.", most=_LONGEST)
        raise QueryError(problem)
    if text.count('"') % 2:
        problem = tr(
            "A quotation mark is not closed: put another one behind the words that belong together, as in "
            '{key}:"a twin".',
            key=tr(COMMENT),
        )
        raise QueryError(problem)
    return Query(text.strip(), tuple(_term(match, schema) for match in _terms(text)))


def _terms(text: str) -> Iterator[re.Match[str]]:
    return _TERM.finditer(text)


def _term(match: re.Match[str], schema: Schema) -> Passes:
    passes = _text_term(match["text"], schema) if match["text"] else _key_term(match, schema)
    if not match["minus"]:
        return passes
    return lambda item, field: not passes(item, field)


def _text_term(text: str, schema: Schema) -> Passes:
    word = "" if text.startswith('"') else normalise(text)
    if word in _spellings(UNKNOWN):
        return lambda item, _field: item.unknown
    if word in _spellings(UNCHECKED):
        return lambda item, _field: item.entry.kind == "suggestion" and item.entry.unchecked
    sought = text.strip('"').casefold()
    titles = {
        name: schema.class_title(name).casefold()
        for name in (*schema.class_names, *(group.name for group in schema.groups))
    }

    def passes(item: Searched, field: Field | None) -> bool:
        return (
            sought in item.entry.comment.casefold()
            or (field is not None and sought in field.name.casefold())
            or sought in titles.get(item.word or "", "")
        )

    return passes


def _key_term(match: re.Match[str], schema: Schema) -> Passes:
    key, op, value = match["key"].strip('"'), match["op"], match["value"]
    known_key = next((name for name in _KEYS if normalise(key) in _spellings(name)), None)
    attribute = _attribute(key, schema) if known_key is None else None
    if known_key is None and attribute is None:
        problem = tr(
            "The search does not know “{word}”. It knows: {words}. Put quotes around text to find.",
            word=key[:_NAMED],
            words=", ".join([*map(tr, _KEYS), *(a.title or a.name for a in schema.attributes)]),
        )
        raise QueryError(problem)
    if op not in (":", "=") and known_key != CERTAINTY:
        problem = tr("Only “{key}” can be compared with < and >.", key=tr(CERTAINTY))
        raise QueryError(problem)
    parts = [quoted or plain for quoted, plain in _PART.findall(value) if (quoted or plain).strip()]
    if not parts:
        problem = tr("Write what to look for after “{key}”.", key=f"{key[:_NAMED]}{op}")
        raise QueryError(problem)
    if known_key == CERTAINTY:
        return _certainty(op, value)
    if attribute is not None:
        values = _match_words(parts, value_words(attribute), attribute.title or attribute.name)
        name = attribute.name
        return lambda item, _field: (item.value(name) or _MISSING) in values
    return _known_term(known_key or "", parts, schema)


def _known_term(key: str, parts: list[str], schema: Schema) -> Passes:
    texts = [part.casefold() for part in parts]

    def within(text: str | None) -> bool:
        return text is not None and any(part in text.casefold() for part in texts)

    match key:
        case "class":
            words = _match_classes(parts, schema)
            for name in [name for name in words if schema.is_group(name)]:
                words |= set(schema.members(name))
            return lambda item, _field: (item.word or _MISSING) in words
        case "flag":
            flags = _match_words(parts, {name: _translated(name) for name in _FLAGS}, tr(FLAG))
            return lambda item, _field: bool(flags & _flags_of(item.entry))
        case "origin":
            origins = _match_words(
                parts, {origin: _translated(word) for origin, word in _ORIGINS.items()}, tr(ORIGIN)
            )
            return lambda item, _field: item.entry.origin in origins
        case "kind":
            kinds = _match_words(parts, kind_words(schema), tr(KIND))
            return lambda item, _field: item.entry.kind in kinds or item.entry.artefact_kind in kinds
        case "comment":
            return lambda item, _field: within(item.entry.comment)
        case "reader":
            return lambda item, _field: within(item.entry.annotator)
        case "field":
            return lambda _item, field: field is not None and within(field.name)
    return lambda _item, field: field is not None and within(field.patient)


def _match_classes(parts: list[str], schema: Schema) -> set[str]:
    """Return the classes and groups that are named; *unknown* is none, unless one is spelled just so."""
    words = class_words(schema)
    spelled = {normalise(spelling) for about in words.values() for spelling in about.spellings}
    for part in parts:
        if normalise(part) in _spellings(UNKNOWN) - spelled:
            problem = tr(
                "“{word}” is not a class. To find cells unlike all training cells, write {word} alone, "
                "without “{key}:”.",
                word=part[:_NAMED],
                key=tr(CLASS),
            )
            raise QueryError(problem)
    return _match_words(parts, words, tr(CLASS))


def _attribute(key: str, schema: Schema) -> Attribute | None:
    """Return the attribute that a prefix names: by a spelling of it, or a part of just one."""
    name = schema.find_attribute(key)
    if name is not None:
        return schema.attribute_named(name)
    query = normalise(key)
    matches = [a for a in schema.attributes if query and query in normalise(f"{a.name}\n{a.title}")]
    if len(matches) > 1:
        problem = tr(
            "“{word}” is ambiguous: {words}.",
            word=key[:_NAMED],
            words=", ".join(attribute.title or attribute.name for attribute in matches),
        )
        raise QueryError(problem)
    return matches[0] if matches else None


def _certainty(op: str, value: str) -> Passes:
    match = _RANGE.fullmatch(value)
    numbers = [float(n.replace(",", ".")) for n in match.groups() if n] if match else []
    if not numbers or max(numbers) > 100 or (len(numbers) == 2 and op not in (":", "=")):
        problem = tr(
            "“{word}” is not a certainty. Write a percentage from 0 to 100, such as {key}<60 or "
            "{key}:60..80.",
            word=value[:_NAMED],
            key=tr(CERTAINTY),
        )
        raise QueryError(problem)
    if len(numbers) == 2 and numbers[0] > numbers[1]:
        problem = tr(
            "“{word}” ends before it begins: write the smaller number first, {key}:{least}..{most}.",
            word=value[:_NAMED],
            key=tr(CERTAINTY),
            least=f"{numbers[1]:g}",
            most=f"{numbers[0]:g}",
        )
        raise QueryError(problem)
    if 0 < max(numbers) < 1:
        problem = tr(
            "“{word}” is less than one percent: certainties are percentages, such as {key}{op}{percent}.",
            word=value[:_NAMED],
            key=tr(CERTAINTY),
            op=op,
            percent="..".join(f"{100 * number:g}" for number in numbers),
        )
        raise QueryError(problem)
    least, most = numbers[0], numbers[-1]
    compare: Callable[[float], bool] = {
        "<": lambda p: p < most,
        "<=": lambda p: p <= most,
        ">": lambda p: p > least,
        ">=": lambda p: p >= least,
    }.get(op, lambda p: least <= p <= most if len(numbers) == 2 else round(p) == round(least))
    return lambda item, _field: item.probability is not None and compare(100 * item.probability)


# ---------------------------------------------------------------------- words


class Word(NamedTuple):
    """A word of a query: what is proposed, and all that is understood."""

    proposed: str
    spellings: tuple[str, ...]


def _translated(word: str) -> Word:
    """Return a word of ours, in the user's language and in English."""
    return Word(tr(word), (word, tr(word)))


def _spellings(word: str) -> set[str]:
    return {normalise(spelling) for spelling in _translated(word).spellings}


def class_words(schema: Schema) -> dict[str, Word]:
    """Return the classes and groups by name, and what is not given."""
    items: list[CellClass | ClassGroup] = [*schema.classes, *schema.groups]
    named = {
        item.name: Word(item.title or item.name, (item.name, item.title, *item.spellings)) for item in items
    }
    return named | {UNSURE: _translated(_UNSURE_WORD), _MISSING: _translated(_MISSING_WORD)}


def value_words(attribute: Attribute) -> dict[str, Word]:
    """Return the values of an attribute by name, and what is not given."""
    named = {
        value.name: Word(value.title or value.name, (value.name, value.title, *value.spellings))
        for value in attribute.values
    }
    return named | {UNSURE: _translated(_UNSURE_WORD), _MISSING: _translated(_MISSING_WORD)}


def kind_words(schema: Schema) -> dict[str, Word]:
    """Return cell and suggestion, and the kinds of artefacts."""
    kinds = {
        kind: Word(kind_title(kind), (kind, kind_title(kind)))
        for item in schema.classes
        for kind in item.kinds
    }
    return kinds | {name: _translated(name) for name in _KINDS}


def _match_words(parts: Iterable[str], words: Mapping[str, Word], title: str) -> set[str]:
    """Return the matching words: those spelled so, else those that contain the text."""
    result: set[str] = set()
    for part in parts:
        query = normalise(part)
        spellings_of = {word: [normalise(s) for s in about.spellings if s] for word, about in words.items()}
        matches = {word for word, spellings in spellings_of.items() if query in spellings}
        if not matches and query:
            matches = {word for word, spellings in spellings_of.items() if any(query in s for s in spellings)}
        if not matches:
            listed = [about.proposed for about in words.values()]
            more = ", …" if len(listed) > _LISTED else ""
            problem = tr(
                "“{word}” is not known for “{key}”. Known are: {words}.",
                word=part[:_NAMED],
                key=title,
                words=", ".join(listed[:_LISTED]) + more,
            )
            raise QueryError(problem)
        result |= matches
    return result


def _flags_of(entry: Entry) -> set[str]:
    flag_values = (entry.bookmark, entry.second_opinion, entry.cut, bool(entry.comment))
    return {name for name, is_given in zip(_FLAGS, flag_values, strict=True) if is_given}


# ---------------------------------------------------------------------- completions


def last_term(text: str) -> str:
    """Return the term that is being written at the end of a text; empty behind a space."""
    terms = list(_terms(text))
    return terms[-1].group() if terms and terms[-1].end() == len(text) else ""


def completions(text: str, schema: Schema, fields: Iterable[Field] = ()) -> list[str]:
    """Return the completions of the last term of a text: prefixes, or the words after one.

    Parameters
    ----------
    fields
        Those whose patients are proposed.
    """
    term = last_term(text)
    match = _TERM.fullmatch(term)
    minus = "-" if term.startswith("-") else ""
    if match is None or match["key"] is None:
        query = normalise(term)
        keys = {f"{tr(key)}:": key for key in _KEYS if key != CERTAINTY}
        keys |= {f"{tr(CERTAINTY)}<60": CERTAINTY, f"{tr(CERTAINTY)}>90": CERTAINTY}
        keys |= {tr(word): word for word in (UNKNOWN, UNCHECKED)}
        keys |= {f"{_bare(a.title or a.name)}:": a.name for a in schema.attributes}
        return [minus + word for word, name in keys.items() if query in normalise(f"{word}\n{name}")]
    key, op, value = match["key"], match["op"], match["value"]
    known_key = next((name for name in _KEYS if normalise(key.strip('"')) in _spellings(name)), None)
    finished, _, last = value.rpartition(",")
    proposed = [word for word in _words_after(known_key, key.strip('"'), schema, fields) if word]
    query = normalise(last)
    head = f"{minus}{key}{op}{finished}{',' if finished else ''}"
    return [head + _quote(word) for word in proposed if query in normalise(word)]


def _words_after(known_key: str | None, key: str, schema: Schema, fields: Iterable[Field]) -> list[str]:
    words: Mapping[str, Word] = {}
    if known_key == CLASS:
        words = class_words(schema)
    elif known_key == KIND:
        words = kind_words(schema)
    elif known_key == FLAG:
        words = {name: _translated(name) for name in _FLAGS}
    elif known_key == ORIGIN:
        words = {origin: _translated(word) for origin, word in _ORIGINS.items()}
    elif known_key == PATIENT:
        return sorted({field.patient for field in fields if field.patient})
    elif known_key is None:
        try:
            attribute = _attribute(key, schema)
        except QueryError:
            attribute = None
        words = value_words(attribute) if attribute is not None else {}
    return [about.proposed for about in words.values()]


def _quote(word: str) -> str:
    return f'"{word}"' if re.search(r"[\s,<>=:]", word) else word


def _bare(title: str) -> str:
    """Write a title as a prefix, without spaces."""
    bare = "-".join(title.split())
    return f'"{title}"' if re.search(r"[:<>=]", bare) else bare
