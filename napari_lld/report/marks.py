"""The basis of a number: the three marks of a measurement, and that of a plain count."""

from __future__ import annotations

from enum import Enum

from markupsafe import Markup, escape


class Mark(Enum):
    """A mark: its word, its style, and what it means in plain words."""

    HELD_OUT = (
        "held-out",
        "held",
        "Measured on cells that the model has never learned from, of patients (or fields, where no patient "
        "is known) that are kept out of every training. This is what to judge a model by.",
    )
    RANDOM = (
        "random reserve",
        "random",
        "On fields that chance drew, not the ranking and not a person. Fields chosen because they are hard "
        "or rich show a model in another light than the film as a whole: only these do not. Few as they may "
        "be, they are the fairest.",
    )
    TRAINED_ON = (
        "trained-on",
        "trained",
        "Measured on cells that the model has learned from. It flatters the model and says nothing of new "
        "films; it stands here only to be compared with the held-out numbers: far better means that the "
        "model has learned by heart.",
    )
    COUNTED = (
        "counted",
        "counted",
        "Simply counted in the project: what is there and what was done. It measures no model.",
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
