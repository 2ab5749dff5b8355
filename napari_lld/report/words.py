"""Names in a report: titles of the schema, and names or their pseudonyms."""

from __future__ import annotations

from dataclasses import dataclass

from annotation_store.records import Field
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE


@dataclass(frozen=True)
class Words:
    """Names for people.

    Attributes
    ----------
    names
        Whether patients, domains, files and the project are called by their own names; else by a number.
    """

    schema: Schema
    patients: dict[str, int]
    domains: dict[str, str]
    names: bool = False

    def cell_class(self, name: str | None) -> str:
        """Return the name of a class or class group."""
        if name is None:
            return "no class"
        if name == UNSURE:
            return "unsure"
        return self.schema.class_title(name)

    def attribute(self, name: str) -> str:
        """Return the title of an attribute; one that the schema no longer has keeps its name."""
        return self.schema.attribute_title(name)

    def value(self, attribute: str, name: str) -> str:
        """Return the name of a value of an attribute."""
        return self.schema.value_title(attribute, name)

    def patient(self, name: str | None) -> str:
        """Return the name of a patient: a number in order of appearance, unless names are requested."""
        if name is None:
            return "Patient not known"
        return name if self.names else f"Patient {self.patients.get(name, 0)}"

    def domain(self, name: str) -> str:
        """Return the name of a domain, given by name or by its hash in cards."""
        return self.domains.get(name, "Another domain") if name else "not known"

    def field(self, field: Field) -> str:
        """Return the name of a field."""
        return field.name if self.names else f"Field {field.id}"


def counted(n: int, singular: str, plural: str = "") -> str:
    """Format a count with its noun."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def listed(items: list[str], most: int = 12) -> str:
    """Join items as in a sentence."""
    if len(items) > most:
        items = [*items[: most - 1], f"{len(items) - most + 1} more"]
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else "none"
