"""Search whole slides that are not in a project, each in a temporary project.

So a slide is searched as in a project, with each cell found once, and results are on disk, not in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annotation_store.errors import ImageError
from annotation_store.files.temporary import temporary_folder
from annotation_store.images import find_slide
from annotation_store.project import Project
from annotation_store.records import Proposal, Shape
from annotation_store.schema import Schema
from training.inference.predictor import Predictor
from training.models.model import LearnedModel
from training.networks.scale import domain_of
from training.worker.channel import Channel
from training.worker.films import Films
from training.worker.search import Outcome, Searcher, search_notice

_AT_ONCE = 2000


@dataclass(frozen=True)
class Found:
    """The proposals on a slide, read from disk on each iteration.

    Attributes
    ----------
    sets
        Whether to include prediction sets (`Proposal.sets`).
    """

    project: Project
    field_id: int
    sets: bool = True

    def __iter__(self) -> Iterator[Proposal]:
        for batch in self.project.suggestions.batches(self.field_id, _AT_ONCE):
            for suggestion in batch:
                yield suggestion.proposal if self.sets else replace(suggestion.proposal, sets={})


@dataclass(frozen=True)
class SearchedSlide:
    """The result of the search of a slide."""

    path: Path
    width: int
    height: int
    film: str
    found: Found


class SlideFiles:
    """Searches slides one after the other; the results exist until it is closed.

    Attributes
    ----------
    predictor
        Runs the model; ``None`` = this process.
    """

    def __init__(
        self, schema: Schema, model: LearnedModel, films: Films, channel: Channel, least: float
    ) -> None:
        self._held = ExitStack()
        self._schema, self._model, self._films = schema, model, films
        self._channel, self._least = channel, least
        self._outcome = Outcome()
        self._searched = 0
        self.predictor: Predictor | None = None

    def __enter__(self) -> SlideFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def search(self, path: Path, area: Shape | None) -> SearchedSlide:
        """Search a slide, or an area of it.

        Raises
        ------
        ImageError
            The slide cannot be read.
        """
        folder = self._held.enter_context(temporary_folder("slide"))
        project = self._held.enter_context(Project.create(folder / "project", self._schema))
        report = project.fields.add([path])
        if not report.added:
            raise ImageError(next((why for _, why in report.skipped), f"{path.name} is not a whole slide."))
        field = project.fields.get(report.added[0])
        film = self._films.of_size(field.width, field.height)
        if film != domain_of(field):
            project.fields.update(field.id, domain=film)
            field = project.fields.get(field.id)
        searcher = Searcher(project, self._model, None, self._films, self._channel, self._least)
        searcher.found, searcher.predictor = self._outcome, self.predictor
        damaged = len(self._outcome.damaged)
        searcher.search(field, area)
        self._searched += 1
        if new := self._outcome.damaged[damaged:]:
            self._channel.send(search_notice(field, new))
        return SearchedSlide(path, field.width, field.height, film, Found(project, field.id))

    def result(self) -> dict[str, Any]:
        """Return the same totals as a search of slides in a project."""
        return {"slides": self._searched, **self._outcome.counts()}


def is_slide(path: Path) -> bool:
    """Return whether a file is a whole slide of a supported format."""
    try:
        opened = find_slide(path)
    except ImageError:
        return False
    if opened is not None:
        opened.close()
    return opened is not None
