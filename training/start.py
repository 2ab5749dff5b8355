"""Check that training can start from the requested model; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.models.card import ModelError
from training.models.folder import read_card
from training.models.ultralytics_checkpoints import is_checkpoint, read_checkpoint
from training.networks.architectures import ARCHITECTURES, SIZES, STARTER_ARCHITECTURE, Size

if TYPE_CHECKING:
    from annotation_store.project import Project


def check_start(project: Project, init: str | int, detector: Size | None) -> None:
    """Reject an initial model that cannot be read, or has another detector than the requested one.

    Parameters
    ----------
    init, detector
        See `training.protocol.TrainRequest`.

    Raises
    ------
    ModelError
        With the cure.
    """
    if isinstance(init, str) and init.isdecimal():
        init = int(init)
    if init == "scratch":
        return
    if init == "active":
        active = project.models.active()
        init = "starter" if active is None else active.id
    if init == "starter":
        what, has = "The starter", _detector_of({})
    elif isinstance(init, int):
        cards = {model.id: model.card for model in project.models.all()}
        if init not in cards:
            raise ModelError(f"The project has no model {init}.")
        what, has = f"Model {init}", _detector_of(cards[init])
    elif is_checkpoint(init):
        what, has = init, read_checkpoint(Path(init)).architecture.name
    else:
        what, has = init, _detector_of(read_card(Path(init)))
    if detector is not None and has != SIZES[detector]:
        title = ARCHITECTURES[SIZES[detector]].title
        raise ModelError(
            f"{what} holds a {ARCHITECTURES[has].title}, not a {title}: leave out --detector, or start a "
            f"{title} from Ultralytics' file (--init {title.lower()}.pt) or from random weights "
            "(--init scratch)."
        )


def _detector_of(card: Mapping[str, Any]) -> str:
    name = card.get("detector")
    return name if isinstance(name, str) and name in ARCHITECTURES else STARTER_ARCHITECTURE
