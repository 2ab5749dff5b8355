"""The basis of a number: the three marks of a measurement, and that of a plain count."""

from __future__ import annotations

from enum import Enum

from markupsafe import Markup, escape


class Mark(Enum):
    """A mark: its word, its style, and what it means in plain words."""

    HELD_OUT = (
        "held-out",
        "held",
        "Measured on cells that the model has never learned from, of patients (or fields if "
        "patients are unknown) that are kept out of every training. Judge a model by these "
        "numbers.",
    )
    RANDOM = (
        "random reserve",
        "random",
        "Measured on fields that were drawn at random, not selected by the ranking or a "
        "person. Fields selected because they are difficult or contain many cells do not "
        "represent the film; only these do. Even if they are few, they are the fairest.",
    )
    TRAINED_ON = (
        "trained-on",
        "trained",
        "Measured on cells that the model has learned from. These numbers are too optimistic "
        "and mean nothing for new films; compare them with the held-out numbers: if they are "
        "far better, the model is overfitted.",
    )
    COUNTED = (
        "counted",
        "counted",
        "Counted in the project. These numbers do not measure a model.",
    )

    @property
    def word(self) -> str:
        """The word that stands beside a number."""
        return str(self.value[0])

    @property
    def meaning(self) -> str:
        """What it means."""
        return str(self.value[2])

    def __html__(self) -> str:
        return Markup(f'<span class="mark {self.value[1]}">{escape(self.word)}</span>')
