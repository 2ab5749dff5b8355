"""Reasons to look at a cell or field: English sentences that keep their template, for translation."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_TEMPLATE = re.compile(r"(?:[^{}]|\{\w+(?::\.0%)?\})*")
"""Placeholders for names and percentages, the only ones allowed in files."""

_UNKNOWN_ORIGIN = (
    "It could not be compared with the previous model: one of them started from a file, or from a model "
    "that was deleted, and may have been trained on the held-out cells"
)

_REWORDED = {
    "Labelled {label}, the model says {other} at {share:.0%}": (
        "Labelled {label}, predicted {other} at {share:.0%}"
    ),
    "{attribute}: labelled {label}, the model says {other} at {share:.0%}": (
        "{attribute}: labelled {label}, predicted {other} at {share:.0%}"
    ),
    "Not looked at by the model yet": "Not yet predicted by the model",
    "The model is fairly sure of it": "The model predicts it with fair confidence",
    "It could not be compared with the model before: one of them began at a file, or at a model that "
    "is no longer here, and nobody knows whether that had learnt from the held-out cells": _UNKNOWN_ORIGIN,
    "It could not be compared with the model before: one of them started from a file, or from a model "
    "that was deleted, and may have been trained on the held-out cells": _UNKNOWN_ORIGIN,
    "It could not be compared with the model before: the measured held-out cells are {units}, and "
    "{needed} are needed": (
        "It could not be compared with the previous model: the measured held-out cells are {units}, and "
        "{needed} are needed"
    ),
    "It could not be compared with the model before, which has learnt from cells that are held out now "
    "({units})": (
        "It could not be compared with the previous model, which has learned from cells that are now "
        "held out ({units})"
    ),
    "It could not be compared with the model before, whose files are missing or damaged": (
        "It could not be compared with the previous model, whose files are missing or damaged"
    ),
    "Cells {units} are too few to show whether it is worse than the model before: {difference}, with "
    "{level:.0%} certainty between {low} and {high}": (
        "Cells {units} are too few to show whether it is worse than the previous model: {difference}, with "
        "{level:.0%} certainty between {low} and {high}"
    ),
    "Sets narrow hardly anything down for {names}: they hold nearly all values": (
        "Sets narrow down hardly anything for {names}: they contain nearly all values"
    ),
    "The probabilities are not yet checked on your films: that begins at {needed} held-out cells": (
        "The probabilities are not yet checked on your films: this needs {needed} held-out cells"
    ),
    "of {count} patient (a field counts as one where no patient is known)": (
        "of {count} patient (a field counts as one if the patient is unknown)"
    ),
    "of {count} patients (a field counts as one where no patient is known)": (
        "of {count} patients (a field counts as one if the patient is unknown)"
    ),
    "of {count} field whose patient is not known": "of {count} field whose patient is unknown",
    "of {count} fields whose patients are not known": "of {count} fields whose patients are unknown",
    "Unlike the cells it was taught": "Unlike its training cells",
    "{count} is unlike the cells it was taught": "{count} is unlike its training cells",
    "{count} are unlike the cells it was taught": "{count} are unlike its training cells",
    "No cell is suggested here: looking it over shows whether one was missed": (
        "No cell is suggested here: check whether one was missed"
    ),
    "the start was tried on {done} of {of} fields": "the initial model was tested on {done} of {of} fields",
    "{done} of {of} labelled cells were checked for mistakes": (
        "{done} of {of} labelled cells were checked for label errors"
    ),
    "The order of the fields could not be worked out: {error}": (
        "The order of the fields could not be computed: {error}"
    ),
}
"""Templates that projects and models of earlier versions have stored, and their wording today.

The catalogues translate today's only.
"""


class Reason(str):
    """A sentence in English, without a full stop, that can be shown in another language.

    ``Reason("{count} likely cell", "{count} likely cells", count=3)`` is ``"3 likely cells"``.

    Parameters
    ----------
    texts
        A template, or two: for a `count` of one and for any other count.
    values
        Values of the names in braces; reasons too.
    """

    __slots__ = ("texts", "values")
    texts: tuple[str, ...]
    values: dict[str, Any]

    def __new__(cls, *texts: str, **values: Any) -> Reason:
        """Compose the sentence."""
        text = texts[0] if values.get("count") == 1 else texts[-1]
        self = super().__new__(cls, text.format(**values) if values else text)
        self.texts, self.values = texts, values
        return self

    def stored(self) -> str | list[Any]:
        """Return the form for JSON: the sentence, or its templates and, last, its values."""
        if not self.values:
            return str(self)
        values = {k: v.stored() if isinstance(v, Reason) else v for k, v in self.values.items()}
        return [*self.texts, values]

    @classmethod
    def read(cls, content: object) -> Reason:
        """Read what was stored, by this version or an earlier one.

        Raises
        ------
        ValueError, KeyError
            It is not a reason.
        """
        if isinstance(content, str):
            return cls(_REWORDED.get(content, content))
        if not isinstance(content, list) or not 2 <= len(content) <= 3 or not isinstance(content[-1], dict):
            raise ValueError(f"{content!r} is not a reason")
        texts = [_REWORDED.get(text, text) for text in map(str, content[:-1])]
        values = content[-1]
        if not all(map(_is_template, texts)):
            raise ValueError(f"{texts!r} contain more than names")
        if len(texts) == 2 and not isinstance(values["count"], int):
            raise ValueError(f"{values['count']!r} is not a count")
        return cls(*texts, **{k: cls.read(v) if isinstance(v, list) else v for k, v in values.items()})


@lru_cache(256)
def _is_template(text: str) -> bool:
    """Return whether a template has allowed placeholders only; cached, as there are only a dozen of them."""
    return _TEMPLATE.fullmatch(text) is not None
