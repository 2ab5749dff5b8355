"""The options of actions: one frozen dataclass per action, of which its faces are made; no Qt, no typer.

`napari_lld.cli._faces` makes the options of a command from it, `napari_lld.widgets.base.form` the rows of a
dialog, and the Python function takes the dataclass itself (`docs/adr/0014-options.md`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, get_args, get_type_hints

from napari_lld.i18n.translate import later


@dataclass(frozen=True, slots=True)
class About:
    """What the faces say about an option.

    Attributes
    ----------
    title
        Its name in a form.
    help
        What it does: in the command's help, and as the tooltip in a form.
    empty
        What a form shows in place of an empty text.
    """

    title: str
    help: str
    empty: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """One option of an action, as its dataclass declares it."""

    name: str
    type: Any
    default: Any
    about: About


def options_of(action: type) -> Iterator[Option]:
    """Yield the options of an action, in the order of its dataclass.

    Raises
    ------
    TypeError
        A field lacks its default or its `About`.
    """
    hints = get_type_hints(action, include_extras=True)
    for field in fields(action):
        kind, *notes = get_args(hints[field.name]) or (hints[field.name],)
        about = next((note for note in notes if isinstance(note, About)), None)
        if about is None or field.default is MISSING:
            raise TypeError(f"{action.__name__}.{field.name}: give it a default and Annotated[…, About(…)]")
        yield Option(field.name, kind, field.default, about)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """How a report is made.

    Without `names`, no name of a patient, a file or the project shows anywhere: a file's name often holds a
    patient's.
    """

    title: Annotated[
        str, About(later("Title"), later("What stands at its head."), empty=later("Annotation project"))
    ] = ""
    names: Annotated[
        bool,
        About(
            later("With the names of patients, files and the project"),
            later("Call patients, files and the project by name; else they have numbers."),
        ),
    ] = False
