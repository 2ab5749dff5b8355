"""Whose reading is worked in: what the window asks, and what an answer means; no Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from annotation_store import Project


@dataclass(frozen=True)
class NewReading:
    """A reading to begin, and whose it is."""

    name: str
    annotator: str
    blind: bool


ReadingChoice = int | NewReading
"""The number of a reading, or one to begin."""


class Questions(Protocol):
    """What a session asks of the person at the window before it opens a project."""

    def choose_reading(self, project: Project) -> ReadingChoice | None:
        """Ask an annotator without a reading where to work; ``None`` = do not open the project."""

    def open_for_reading(self, why: str) -> bool:
        """Ask whether to open a project for reading only, which cannot be written."""


def take_up(project: Project, choice: ReadingChoice) -> None:
    """Work in the reading that was chosen, now and when the project is opened next."""
    if isinstance(choice, NewReading):
        choice = project.readings.add(choice.name, blind=choice.blind, annotator=choice.annotator).id
    project.readings.use(choice, remember=True)
