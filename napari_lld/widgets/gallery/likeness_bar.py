"""The bar above the crops while they are sorted by likeness: reference, progress, and the way back."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QLabel, QToolButton, QWidget

from napari_lld.i18n.translate import later, tr, trn
from napari_lld.session.gallery import Gallery
from napari_lld.session.gallery_order import GalleryOrder
from napari_lld.widgets.base.parts import label, restyle, row
from napari_lld.widgets.gallery.gallery_model import GalleryModel

_SIDE = 34
"""Side of the crop that others are compared with, in logical pixels."""
_WORDS = {
    GalleryOrder.OUTLIERS: later("The cells least similar to the others of their class come first."),
    GalleryOrder.DUPLICATES: later(
        "Pairs that may show the same cell twice: select one; [suggestion.duplicate] rejects "
        "it, [gallery.go] shows it in its field."
    ),
    GalleryOrder.CLUSTERS: later(
        "[gallery.next_cluster] or a click selects the unlabelled crops of a group; a class key labels them."
    ),
}


class LikenessBar(QWidget):
    """A line that is there only while an order by likeness is shown, computed, or could not be.

    Parameters
    ----------
    spelled
        Inserts the keys into a sentence (`Commands.spelled`).
    back
        The button that returns to the order before.
    """

    def __init__(
        self, gallery: Gallery, model: GalleryModel, spelled: Callable[[str], str], back: QToolButton
    ) -> None:
        super().__init__()
        self._gallery, self._model, self._spelled = gallery, model, spelled
        self._crop = QLabel()
        self._crop.setFixedSize(_SIDE, _SIDE)
        self.sentence = label(gives_way=True)
        self.sentence.setObjectName("lld_gallery_likeness")
        line = row(self._crop, self.sentence, back)
        line.setStretch(1, 1)
        self.setLayout(line)
        self.hide()

    def refresh(self) -> None:
        """Show the reference, and the state of the comparison."""
        gallery = self._gallery
        self.setVisible(gallery.in_likeness)
        if not gallery.in_likeness:
            return
        reference = None
        if gallery.ranking is not None and gallery.ranking.of is not None:
            reference = gallery.find(gallery.ranking.of)
        crop = self._model.crop(reference) if reference is not None else None
        self._crop.setVisible(reference is not None)
        if crop is not None:
            scaled = crop.scaled(
                _SIDE,
                _SIDE,
                Qt.AspectRatioMode.KeepAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
            self._crop.setPixmap(scaled)
        else:
            self._crop.setPixmap(QPixmap())
        sentence = self._spelled(self._words())
        self.sentence.setText(sentence)
        self.sentence.setToolTip(sentence)
        role = "notice" if gallery.likeness.trouble else ""
        if self.sentence.property("role") != role:
            self.sentence.setProperty("role", role)
            restyle(self.sentence)

    def _words(self) -> str:
        gallery, ranking = self._gallery, self._gallery.ranking
        if gallery.likeness.trouble:
            return gallery.likeness.trouble
        if gallery.likeness.waiting is not None or ranking is None:
            if gallery.likeness.seen is not None:
                done, total = gallery.likeness.seen
                return tr(
                    "Computing embeddings: {done} of {total} … you can continue working.",
                    done=done,
                    total=total,
                )
            return tr("Comparing cells … you can continue working.")
        if ranking.order is GalleryOrder.SIMILAR:
            reference = gallery.find(ranking.of) if ranking.of is not None else None
            project = gallery.session.project
            if reference is None or project is None:
                return tr("The most similar cells come first.")
            return tr(
                "The cells most similar to this one ({title}, {field}) come first.",
                title=self._model.title(reference),
                field=project.fields.get(reference.entry.field_id).name,
            )
        if ranking.order is GalleryOrder.CLUSTERS:
            groups = trn("{count} group.", "{count} groups.", len(gallery.clusters))
            return f"{groups} {tr(_WORDS[ranking.order])}"
        return tr(_WORDS[ranking.order])
