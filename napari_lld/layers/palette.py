"""Colours and letters of marks: the schema's for classes, our own for what has none."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from annotation_store.records import Proposal
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from napari_lld.i18n.translate import tr
from training.evaluation.prediction_sets import LEVEL

Rgba = tuple[float, float, float, float]

MISSING = "#f2f2f2"
"""A cell without a class: near white, the colour of no class."""
UNSURE_COLOUR = "#b0b0b0"
UNKNOWN = "#ff4488"
"""A suggestion of a cell unlike anything taught: the colour of no class, to the colour-blind too."""
REGION = "#2ec4e6"
IGNORED = "#9a9a9a"
CURRENT = "#ffd60a"
DRAFT = "#ffd60a"

CASING = "#000000"
"""What lines on the field are edged with: dark on film, bright or dimmed, so that any colour shows on it."""
_CONTRAST = 3.05
"""Contrast of the colour of a mark with its casing; 3 is what WCAG asks of graphics."""
_GREY_CONTRAST = 4.7
"""The same of a grey, which has only its brightness to be told from dark colours by the colour-blind."""
_CANDIDATES = 2
_CONTENDS = 0.5
"""A second candidate is written where it is at least this share of the first: words hide the film."""
_EVEN = 0.179
"""The luminance on which black and white are read equally well."""


def rgba(colour: str, alpha: float = 1.0) -> Rgba:
    """Read ``#rrggbb``."""
    return (int(colour[1:3], 16) / 255, int(colour[3:5], 16) / 255, int(colour[5:7], 16) / 255, alpha)


def luminance(rgb: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the relative luminance (WCAG) of colours ``(…, 3)`` between 0 and 1."""
    c = np.asarray(rgb, dtype=np.float64)
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ (0.2126, 0.7152, 0.0722))


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio (WCAG) of two colours, 1 to 21."""
    dark, light = sorted(float(luminance(rgba(colour)[:3])) for colour in (first, second))
    return (light + 0.05) / (dark + 0.05)


@cache
def readable(colour: str, ground: str, least: float = 3.0) -> str:
    """Return a colour, mixed with black or white as little as it takes to show on a ground."""
    towards = 1.0 if float(luminance(rgba(ground)[:3])) < _EVEN else 0.0
    for share in np.linspace(0, 1, 65):
        mixed = "#" + "".join(f"{round(255 * (c + (towards - c) * share)):02x}" for c in rgba(colour)[:3])
        if contrast(mixed, ground) >= least:
            break
    return mixed


def display_colour(colour: str) -> str:
    """Return a schema's colour as it is shown on boxes and buttons: dark ones lightened until they show."""
    grey = len(set(rgba(colour)[:3])) == 1
    return readable(colour, CASING, _GREY_CONTRAST if grey else _CONTRAST)


def ink(behind: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return black or white ``(n, 4)`` for letters, whichever is read better on a luminance ``(n,)``."""
    white = (behind < _EVEN).astype(np.float64)[:, None]
    return np.concatenate((white, white, white, np.ones_like(white)), 1)


def class_colour(schema: Schema, name: str | None) -> str:
    """Return the colour in which a class, a group (its first class), unsure or missing is shown."""
    if name is None:
        return MISSING
    if name == UNSURE:
        return UNSURE_COLOUR
    members = schema.members(name)
    return display_colour(schema.class_named(members[0]).colour) if members else MISSING


def class_letter(schema: Schema, name: str | None) -> str:
    """Return the letter of a class that is drawn beside its box."""
    if name is None:
        return "–"
    if name == UNSURE:
        return "?"
    if name in schema.class_names:
        item = schema.class_named(name)
        return item.letter or item.title[:2]
    group = schema.group_named(name)
    return (group.key or group.title[:2]).upper()


def candidate_letters(schema: Schema, proposal: Proposal) -> str:
    """Return the letters of the classes that an unknown cell is most like, each with a question mark."""
    shares = {n: p for n, p in proposal.class_probabilities.items() if schema.is_class(n)}
    least = max(_CONTENDS * max(shares.values(), default=0.0), 1e-9)
    likely = sorted((n for n in shares if shares[n] >= least), key=lambda n: -shares[n])
    return " ".join(f"{class_letter(schema, name)}?" for name in likely[:_CANDIDATES])


def proposal_colour(schema: Schema, proposal: Proposal) -> str:
    """Return the colour in which a suggestion is shown: that of the class it states."""
    return UNKNOWN if proposal.is_unknown else class_colour(schema, proposal.stated_class)


def proposal_word(schema: Schema, proposal: Proposal) -> str:
    """Return what is drawn beside a suggestion: its letter and how probable that is.

    An unknown cell has no number, for none is that of a class.
    """
    if proposal.is_unknown:
        return f"{tr('unknown')} {candidate_letters(schema, proposal)}".rstrip()
    best = proposal.stated_class
    letter = class_letter(schema, best) if best else ""
    return f"{letter} {proposal.probability:.0%}".strip()


def set_word(schema: Schema, proposal: Proposal, name: str) -> str:
    """List the values among which the true one is at 95%: "M or L, 95%".

    Empty if there are not two, or where no set is claimed.

    Parameters
    ----------
    name
        ``"class"``, whose values are named by their letters, or an attribute.
    """
    values = proposal.sets.get(name, ())
    if name == "class":
        words = [class_letter(schema, value) for value in values if schema.is_class(value)]
    else:
        value_names = schema.attribute_named(name).value_names
        words = [schema.value_title(name, value) for value in values if value in value_names]
    if len(words) < 2:
        return ""
    listed = tr("{first} or {last}", first=", ".join(words[:-1]), last=words[-1])
    return tr("{values}, {level:.0%}", values=listed, level=LEVEL)


def set_words(schema: Schema, proposal: Proposal) -> list[str]:
    """List all sets of a suggestion that have several values, those of attributes with their titles."""
    words = [set_word(schema, proposal, "class")]
    for attribute in schema.attributes:
        word = set_word(schema, proposal, attribute.name)
        words.append(f"{attribute.title}: {word}" if word else "")
    return [word for word in words if word]
