"""The question before closing the window while tasks run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QMessageBox, QWidget

from napari_lld.i18n.translate import tr, trn

if TYPE_CHECKING:
    from napari_lld.widgets.base.context import DeskContext


def what_would_end(desk: DeskContext) -> list[str]:
    """Describe what is at work, how far it is, and what is lost by closing; empty if nothing is at work."""
    losses = []
    training, rounds = desk.session.training.state, desk.session.training.rounds
    if training.busy:
        progress = training.progress
        losses.append(
            tr(
                "{stage}: {share:.0%} done.",
                stage=progress.title or training.message,
                share=progress.fraction,
            )
            if progress.fraction is not None
            else tr("{stage}: just started.", stage=progress.title or tr("Training"))
        )
        losses.append(
            tr("Closing stops it: what this training has learnt so far is lost. Earlier models stay.")
            if training.task == "train"
            else tr("Closing stops it: the fields it has not reached get no suggestions yet.")
        )
    if rounds.queue:
        losses.append(
            trn(
                "{count} queued training will not start.",
                "{count} queued trainings will not start.",
                len(rounds.queue),
            )
        )
    if desk.session.unsaved.count:
        losses.append(
            trn(
                "The last change is not saved because the project's folder is missing: if "
                "you close, it is lost.",
                "The last {count} changes are not saved because the project's folder is "
                "missing: if you close, they are lost.",
                desk.session.unsaved.count,
            )
        )
    if desk.unclosed:
        losses.append(tr("The area that you are drawing is not closed yet: if you close, it is lost."))
    if desk.jobs.busy:
        left = desk.jobs.left or tr("Earlier results are kept.")
        losses.append(tr("{title} will be stopped. {left}", title=desk.jobs.title, left=left))
    return losses


def may_close(desk: DeskContext, window: QWidget | None) -> bool:
    """Ask whether to close although something is at work; True if nothing is."""
    losses = what_would_end(desk)
    if not losses:
        return True
    box = QMessageBox(
        QMessageBox.Icon.Question, "napari-lld", tr("Stop the running tasks, and close?"), parent=window
    )
    if desk.session.unsaved.count or desk.unclosed:
        box.setText(tr("Close without saving?"))
    if not desk.session.unsaved.count:
        losses.append(
            tr("All your other annotations are saved.")
            if desk.unclosed
            else tr("All your annotations are saved.")
        )
    box.setInformativeText("\n".join(losses))
    close = box.addButton(tr("Stop and close"), QMessageBox.ButtonRole.DestructiveRole)
    stay = box.addButton(tr("Keep working"), QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(stay)
    box.setEscapeButton(stay)
    box.exec()
    return box.clickedButton() is close
