"""The numbers of the published LLD / LeukemiaAttri files, in the words of a project's schema.

Classes are 0 to 13, attribute values count from 0 in the order of the schema ``lld``. Missing is ``4`` in
the COCO files. In the text files it is ``2`` for the six binary attributes; cell size has three values, so
``2`` is *large* there, and what is missing is written ``4``.

The published training code reads both binary values and ``2``, drops a cell with any ``2`` among the last
five attributes, and fails on a ``2`` for the chromatin alone: `text_codes` never writes that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath

from annotation_store.errors import FormatError
from annotation_store.schema import Schema, load_schema
from annotation_store.schema.reserved import UNSURE

KEYS = (
    "cell_size",
    "nuclear_chromatio",
    "nuclear_shape",
    "nucleolus",
    "cytoplasm",
    "cytoplasmic_basophilia",
    "cytoplasmic_vacuoles",
)
"""The attributes as the published COCO files spell them, in the order of the text files' columns."""

MISSING = 4
_MISSING_BINARY = 2
_SIZE = 0  # the column of the cell size, the one attribute with three values
_CHROMATIN = 1

_NAME = re.compile(
    r"^(?P<patient>[^_/\\]+)_(?P<field>[^_/\\]+)_(?P<scale>\d+)_(?P<diagnosis>[A-Za-z]+)(_r\d+)?$"
)
_DOMAIN = re.compile(
    r"(?<![A-Za-z0-9])([HL])(?:CM)?[ _/-]*(10|40|100)x[ _/-]*(C[12])(?![A-Za-z0-9])", re.IGNORECASE
)


@cache
def lld() -> Schema:
    """Return the schema of the published files."""
    return load_schema("lld")


@dataclass(frozen=True)
class Codes:
    """Classes and values of a project's schema as the published numbers, and back.

    Attributes
    ----------
    classes
        Published class number to the project's class; numbers whose class the schema lacks are absent.
    attributes
        For each of the seven, the project's attribute and its value for each number, where it has them.
    """

    schema: Schema
    classes: Mapping[int, str] = field(init=False)
    attributes: Sequence[tuple[str, Mapping[int, str]] | None] = field(init=False)

    def __post_init__(self) -> None:
        classes = {}
        for published in lld().classes:
            spelled = (self.schema.find_class(s) for s in (published.name, *published.spellings))
            name = next((name for name in spelled if name and self.schema.is_class(name)), None)
            if name is not None:
                classes[published.id] = name
        attributes: list[tuple[str, Mapping[int, str]] | None] = []
        for attribute in lld().attributes:
            attribute_name = next(
                (n for s in (attribute.name, *attribute.spellings) if (n := self.schema.find_attribute(s))),
                None,
            )
            values = {
                number: pair[1]
                for number, value in enumerate(attribute.values)
                if attribute_name and (pair := self.schema.find_value(attribute_name, value.name))
            }
            attributes.append((attribute_name, values) if attribute_name and values else None)
        if not classes:
            raise FormatError(
                f"The schema {self.schema.name} has none of the 14 classes of LLD: use another format."
            )
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "attributes", attributes)

    def published(self, number: int, names: Mapping[int, str]) -> int:
        """Return the published number of a class that a data set numbers otherwise.

        Parameters
        ----------
        names
            The classes as the data set's YAML lists them; a name that LLD does not know changes nothing.
        """
        name = lld().find_class(names[number]) if number in names else None
        return lld().class_named(name).id if name is not None and lld().is_class(name) else number

    def class_number(self, cell_class: str | None) -> int | None:
        """Return the number of a class, or ``None``: missing, unsure, a group, or not one of the 14."""
        for number, name in self.classes.items():
            if name == cell_class:
                return number
        return None

    def numbers(self, attributes: Mapping[str, str]) -> list[int]:
        """Return the seven numbers of a cell, `MISSING` if not labelled or not certain."""
        numbers: list[int] = []
        for coded in self.attributes:
            value = attributes.get(coded[0]) if coded else None
            number_of = {v: n for n, v in coded[1].items()} if coded else {}
            numbers.append(number_of.get(value, MISSING) if value is not None else MISSING)
        return numbers

    def losses(self, attributes: Mapping[str, str]) -> list[str]:
        """List what the seven numbers cannot store of a cell's attributes."""
        coded = {pair[0]: set(pair[1].values()) for pair in self.attributes if pair}
        lost = []
        if UNSURE in attributes.values():
            lost.append("unsure")
        if any(v != UNSURE and v not in coded.get(name, set()) for name, v in attributes.items()):
            lost.append("other attributes")
        return lost

    def values(self, numbers: Sequence[int | None]) -> dict[str, str]:
        """Return attributes and values for seven numbers; missing is left out."""
        values = {}
        for coded, number in zip(self.attributes, numbers, strict=True):
            if coded is not None and number is not None and number in coded[1]:
                values[coded[0]] = coded[1][number]
        return values


def text_codes(numbers: Sequence[int]) -> tuple[list[int], bool]:
    """Return the seven columns of the text files, and whether a value had to go for the published code."""
    codes = [n if n != MISSING or i == _SIZE else _MISSING_BINARY for i, n in enumerate(numbers)]
    alone = codes[_CHROMATIN] == _MISSING_BINARY and _MISSING_BINARY not in codes[_CHROMATIN + 1 :]
    if alone:
        codes[_CHROMATIN + 1] = _MISSING_BINARY
    return codes, alone


def from_text(codes: Sequence[int], *, artefact: bool) -> list[int | None]:
    """Read the seven columns; ``None`` is missing."""
    values: list[int | None] = [
        code if 0 <= code < len(attribute.values) else None
        for code, attribute in zip(codes, lld().attributes, strict=True)
    ]
    # an artefact has no attributes: 2 in every column is "missing" seven times, not a large cell
    if artefact and set(codes) == {_MISSING_BINARY}:
        values[_SIZE] = None
    return values


@dataclass(frozen=True, slots=True)
class Origin:
    """The properties of a field in a file's name and folders."""

    patient: str | None = None
    diagnosis: str | None = None
    domain: str | None = None


def origin(path: str) -> Origin:
    """Read patient, diagnosis and domain from a path such as ``H_100x_C1/images/train/4_15_1000_ALL.png``."""
    pure = PurePosixPath(path.replace("\\", "/"))
    name = _NAME.match(pure.stem)
    where = _DOMAIN.search(pure.parent.as_posix())
    domain = f"{where[1].upper()}_{where[2]}x_{where[3].upper()}" if where else None
    if name is None:
        return Origin(domain=domain)
    return Origin(name["patient"], name["diagnosis"], domain)
