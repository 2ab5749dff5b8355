"""The commands of training and models; no Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from napari_lld.commands.registry import Command, has_project
from napari_lld.session.model_facts import rollback
from napari_lld.session.session import Session


def model_commands(
    session: Session, options: Callable[[], dict[str, Any]], show_curves: Callable[[], None]
) -> Iterator[Command]:
    """Make them.

    Parameters
    ----------
    options
        Gives what the training panel is set to.
    show_curves
        Opens the window of curves and models.
    """

    def idle(session: Session) -> bool:
        return session.project is not None and not session.training.state.busy

    def has_before(session: Session) -> bool:
        return session.project is not None and rollback(session.project.models.all()) is not None

    yield Command(
        "training.start",
        "Train",
        lambda: session.training.rounds.train(**options()),
        ("Ctrl+Shift+L",),
        "Model",
        has_project,
        "Train on the finished regions, then suggest cells everywhere else. You can continue "
        "working. If a training is already running, this one is queued.",
    )
    yield Command(
        "training.suggest",
        "Suggest",
        lambda: session.training.suggest(),
        (),
        "Model",
        idle,
        "Run the active model on all fields, without training.",
    )
    yield Command(
        "slides.search",
        "Search slides",
        session.training.search_slides,
        (),
        "Model",
        lambda session: idle(session) and bool(session.training.slides_left),
        "Search the whole slides that the active model has not searched completely; a "
        "training does not, because each takes minutes. An interrupted search continues "
        "where it stopped. Suggestions of other models are replaced tile by tile.",
    )
    yield Command(
        "training.cancel",
        "Stop",
        session.training.cancel,
        (),
        "Model",
        lambda session: session.training.state.busy,
        "Stop the current task; the next one in the queue then starts.",
    )
    yield Command(
        "training.curves",
        "Curves …",
        show_curves,
        (),
        "Model",
        has_project,
        "Losses while it trains, and all models with their numbers on held-out cells.",
    )
    yield Command(
        "model.back",
        "Roll back",
        session.models.roll_back,
        (),
        "Model",
        has_before,
        "Return to the model before the active one.",
    )
