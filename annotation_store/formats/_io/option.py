"""The options of formats: what each is and may be, read from text; faults as plain sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from annotation_store.errors import FormatError
from annotation_store.formats._io.text import number, shown, whole

Value = TypeVar("Value", str, int, float)


@dataclass(frozen=True, slots=True)
class Option(Generic[Value]):
    """An option of a format; the type of its default is that of its value.

    A float is a share from 0 to 1, an int a whole number.

    Attributes
    ----------
    title
        Its name in a form.
    help
        What it does.
    values
        What it may be, each with what that does; empty: any value of its kind.
    """

    name: str
    default: Value
    title: str
    help: str
    values: Mapping[str, str] = field(default_factory=dict)

    def read(self, options: Mapping[str, str]) -> Value:
        """Return its value among the options that were given as text.

        Raises
        ------
        FormatError
            It cannot have that value.
        """
        return cast(Value, self._read(options[self.name])) if self.name in options else self.default

    def _read(self, text: str) -> str | int | float:
        if isinstance(self.default, int):
            return whole(text, f"the option {self.name}")
        if isinstance(self.default, float):
            share = number(text, f"the option {self.name}")
            if not 0 <= share <= 1:
                raise FormatError(f"The option {self.name} must lie between 0 and 1, not {share:g}.")
            return share
        if self.values and text not in self.values:
            choice = " or ".join(filter(None, self.values))
            raise FormatError(f"The option {self.name} cannot be {shown(text)}: give {choice}.")
        return text

    @property
    def usage(self) -> str:
        """How it is given: its values, or else its default."""
        return f"{self.name}={'|'.join(filter(None, self.values)) or self.default}"

    def texts(self) -> Iterator[str]:
        """Yield the texts that a form shows."""
        yield from (self.title, self.help, *self.values.values())


VALIDATION = Option(
    "val",
    0.2,
    title="Share for validation",
    help="Share of the fields for validation, 0 to 1; patients are kept whole.",
)
SEED = Option("seed", 0, title="Seed of the split", help="Another seed makes another split.")


def share_for_test(default: float) -> Option[float]:
    """Return the option of how much goes into a test."""
    return Option(
        "test",
        default,
        title="Share for a test",
        help="Share of the fields for a test, 0 to 1; patients are kept whole.",
    )
