"""Tables as spreadsheets and statistics programs write and read them: delimiters, numbers, words for nothing.

A spreadsheet takes a text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line end for a formula;
pandas, R and others take ``NA`` or ``None`` for no value, ``TRUE`` for a boolean, ``1e5`` for a number
and ``3/4`` for a date. `escaped` puts an apostrophe before such a text, `unescaped` takes it off.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from annotation_store.errors import FormatError
from annotation_store.formats._io.text import MAX_LINES, number, shown

MARK = "\ufeff"
"""The byte order mark that spreadsheets need to see that a table is UTF-8."""

_FORMULA = tuple("=+-@＝＋－＠")
_NOTHING = frozenset(
    [
        "#n/a",
        "#n/a n/a",
        "#na",
        "-1.#ind",
        "-1.#qnan",
        "1.#ind",
        "1.#qnan",
        "-nan",
        "<na>",
        "n/a",
        "na",
        "null",
        "nan",
        "none",
    ]
)
_BOOLEAN = frozenset(
    ["true", "false", "t", "f", "yes", "no", "wahr", "falsch", "vrai", "faux", "verdadero", "falso", "vero"]
)
_MONTHS = "jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez"
_DATE = re.compile(
    rf"\d{{1,4}}([-/.:]\d{{1,4}}){{1,2}}([ t]\d.*)?|({_MONTHS})[a-zä]*[-. /]*\d{{1,4}}"
    rf"|\d{{1,4}}[-. /]*({_MONTHS})[a-zä]*[-. /]*\d*",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[+-]?(\d+[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?%?|[+-]?(inf|infinity)", re.IGNORECASE)
_DIGITS = re.compile(r"[+-]?\d*([.,]\d+)+([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(,\d{3})+")
_SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_DELIMITERS = ",;\t|"


# -- words ---------------------------------------------------------------------------------------


def is_nothing(text: str) -> bool:
    """Return whether a program that reads tables takes a word for no value."""
    return text.strip().casefold() in _NOTHING


def is_plain_word(text: str) -> bool:
    """Return whether every program that reads tables takes a text for a text, and for this one."""
    plain = text.strip()
    return not (
        is_nothing(plain)
        or _is_formula(text)
        or plain.casefold() in _BOOLEAN
        or _NUMBER.fullmatch(plain)
        or _DATE.fullmatch(plain)
    )


def escaped(text: str, *, typed: bool = False) -> str:
    """Put an apostrophe before a text that would be taken for a formula or for nothing.

    Parameters
    ----------
    typed
        Also before one that would be taken for a boolean, a number or a date: for words, not for names.
    """
    if not text:
        return text
    return (
        f"'{text}" if _is_formula(text) or is_nothing(text) or (typed and not is_plain_word(text)) else text
    )


def unescaped(text: str) -> str:
    """Remove the apostrophe that `escaped` put before a text."""
    return text[1:] if text.startswith("'") and text[1:] and not is_plain_word(text[1:]) else text


def _is_formula(text: str) -> bool:
    return text[:1] in ("\t", "\r", "\n", "'") or text.lstrip()[:1] in _FORMULA


# -- rows and numbers ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Table:
    """The text of a table, and how its cells are kept apart."""

    text: str
    source: str
    delimiter: str
    first_line: int = 1

    @classmethod
    def parse(cls, text: str, source: str, known: Iterable[str]) -> Table:
        """Find the delimiter: a first line ``sep=;`` gives it, else it finds most column names.

        Parameters
        ----------
        known
            Names of columns, lower case.
        """
        first, _, rest = text.partition("\n")
        first = first.rstrip("\r")
        # a spreadsheet that saves the line again may add a delimiter for each further column
        if declared := (_SEPARATOR.fullmatch(first) or _SEPARATOR.fullmatch(first.rstrip(_DELIMITERS))):
            return cls(rest, source, declared[1], 2)
        return cls(text, source, _delimiter(first, frozenset(known)))

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Iterate over the rows, with the number of the line that each ends on.

        Raises
        ------
        FormatError
            It is no table, or has too many rows.
        """
        reader = csv.reader(io.StringIO(self.text, newline=""), delimiter=self.delimiter, strict=True)
        try:
            for count, row in enumerate(reader):
                if count > MAX_LINES:
                    raise FormatError(f"The file {self.source} has more than {MAX_LINES:,} rows: split it.")
                yield reader.line_num + self.first_line - 1, row
        except csv.Error as error:
            line = reader.line_num + self.first_line - 1
            raise FormatError(
                f"In line {line} of {self.source}, the CSV is broken ({error}): "
                "correct the line, or save the table again."
            ) from error

    def decimal_comma(self, columns: Iterable[int]) -> bool:
        """Return whether numbers are written with a decimal comma, judged by all numbers of some columns.

        Raises
        ------
        FormatError
            The commas could be decimal signs or thousands separators: nothing is guessed.
        """
        places = tuple(columns)
        examples: dict[str, str] = {}
        for _, row in self.rows():
            for place in places:
                text = row[place].strip() if place < len(row) else ""
                if ("," in text or "." in text) and _DIGITS.fullmatch(text):
                    examples.setdefault(self._sign(text), text)
        if "comma" in examples and not examples.keys() & {"point", "both"}:
            return True
        if examples.keys() & {"comma", "either", "both"}:
            texts = " and ".join(shown(text) for text in examples.values())
            raise FormatError(
                f"The numbers in {self.source} are ambiguous ({texts}): a comma may be a decimal "
                "or a thousands separator. Write all numbers with one decimal separator and no thousands "
                "separators."
            )
        return False

    def _sign(self, text: str) -> str:
        if "," not in text:
            return "point"
        if "." in text:
            return "both"
        # where semicolons keep cells apart, the comma is the decimal sign
        return "either" if self.delimiter != ";" and _THOUSANDS.fullmatch(text) else "comma"


def read_number(text: str, at: str, *, comma: bool) -> float:
    """Read a number of a table; `at` names the place for the sentence."""
    plain = text.strip()
    return number(plain.replace(",", ".") if comma else plain, at)


def _delimiter(header: str, known: frozenset[str]) -> str:
    def score(delimiter: str) -> tuple[int, int]:
        try:
            names = next(csv.reader([header], delimiter=delimiter), [])
        except csv.Error:
            return 0, 0
        return len({name.strip().lower() for name in names} & known), len(names)

    return max(_DELIMITERS, key=score)
