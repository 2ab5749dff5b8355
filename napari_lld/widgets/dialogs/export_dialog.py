"""The export dialog: format, options and place, with the losses of the format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QFormLayout, QLineEdit, QVBoxLayout, QWidget

from annotation_store import formats
from napari_lld.i18n.translate import tr, trn
from napari_lld.options import ExportOptions
from napari_lld.widgets.base.form import OptionsForm
from napari_lld.widgets.base.parts import confirm_buttons, label, path_row, run_dialog, show_whole
from napari_lld.widgets.base.save_place import SavePlace, problem_of
from napari_lld.widgets.dialogs.format_options import FormatOptions

_SUFFIXES = {"coco": ".json", "csv": ".csv", "labelstudio": ".json"}
_NAMELESS = frozenset({"", ".."})
"""What the last part of a path is where it names no file: ``/``, ``.``, ``..``."""


@dataclass(frozen=True)
class Export:
    """What to export, how, and where to."""

    out: Path
    options: ExportOptions


class ExportDialog(QDialog):
    """Asks what to export; *Export* is there only where the format can hold it."""

    def __init__(self, survey: formats.Survey, folder: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Export"))
        self.setMinimumWidth(540)
        self._survey = survey
        self._save_place = SavePlace(self)
        self.place = QLineEdit(str(folder / "export.json"))
        self.holds = label(wrap=True)
        self.loses = label(role="notice", wrap=True)
        for target, lines in ((self.holds, 2), (self.loses, 5)):
            target.setMinimumHeight(lines * target.fontMetrics().lineSpacing())
            target.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.format_options = FormatOptions()
        form = QFormLayout()
        form.addRow(tr("To"), path_row(self.place, tr("To"), (tr("Browse …"), self._browse)))
        things = {
            "cells": trn(
                "{count} cell and the finished regions",
                "{count} cells and the finished regions",
                survey.cells,
            ),
            "suggestions": trn(
                "{count} pending suggestion", "{count} pending suggestions", survey.suggestions
            ),
        }
        names = {name: formats.FORMATS[name].title for name in formats.names(writing=True)}
        self.options = OptionsForm(
            ExportOptions,
            form,
            choices={"format": names, "what": things},
            custom={"options": self.format_options.control()},
        )
        form.addRow(tr("To export"), self.holds)
        form.addRow(tr("Lost"), self.loses)
        form.addRow(tr("Options"), self.format_options)
        buttons, self.ok = confirm_buttons(self, tr("Export"))
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(buttons)
        self.options.controls["format"].changed.connect(self._on_form)
        self.options.changed.connect(self._show_survey)
        self.place.textChanged.connect(lambda *_: self._show_survey())
        self._on_form()

    def answer(self) -> Export:
        """Return what was chosen."""
        return Export(self._out(), self.options.value())

    # ------------------------------------------------------------------ showing

    def _on_form(self) -> None:
        """Offer what the format asks, and a name that suits it."""
        name = self._format.name
        self.format_options.offer(self._format.write_options, none=True)
        self._offer_fields()
        out = Path(self.place.text().strip() or "export")
        bare = out.with_suffix("") if out.suffix.lower() in _SUFFIXES.values() else out
        self.place.setText(str(_suffixed(bare, _SUFFIXES.get(name, ""))))
        self._show_survey()

    def _offer_fields(self) -> None:
        """Ask what becomes of unmarked area where the format cannot say that it is unknown."""
        survey = self._survey
        if survey.annotated == survey.covered or self._format.name not in formats.NO_UNKNOWN_AREA:
            return  # nothing is unknown, or the export says what is
        titles = {
            "covered": tr(
                "Only completely annotated fields ({covered} of {annotated})",
                covered=survey.covered,
                annotated=survey.annotated,
            ),
            "annotated": tr(
                "All {annotated} annotated fields, the rest as background",
                annotated=survey.annotated,
            ),
        }
        self.format_options.retitle(
            "fields", titles.items(), chosen="covered" if survey.covered else "annotated"
        )

    def _unknown_area(self) -> str:
        """Describe what becomes of unmarked area with what is chosen; nothing if it stays unknown."""
        survey, name = self._survey, self._format.name
        partly = survey.annotated - survey.covered
        if not partly or self._suggestions:
            return ""
        if self._only_covered:
            return trn(
                "{count} field is left out: it has unmarked area.",
                "{count} fields are left out: they have unmarked area.",
                partly,
            )
        if name in formats.REGIONS_OF_OUR_OWN:
            return trn(
                "Other programs will treat the unmarked area of {count} field as background.",
                "Other programs will treat the unmarked area of {count} fields as background.",
                partly,
            )
        if name not in formats.NO_UNKNOWN_AREA:
            return ""
        return trn(
            "The unmarked area of {count} field will count as background: unlabelled cells in it too.",
            "The unmarked area of {count} fields will count as background: unlabelled cells in it too.",
            partly,
        )

    def _show_survey(self) -> None:
        name, suggestions, survey = self._format.name, self._suggestions, self._survey
        self.holds.setText(self._going_out(suggestions))
        lines: list[str] = []
        refused = suggestions and name in formats.NO_SUGGESTIONS
        if refused:
            lines.append(tr("This format cannot store suggestions: choose another."))
        else:
            lines += filter(None, [self._unknown_area()])
            lines += [
                describe_loss(kind, n) for kind, n in survey.lost(name, self.options.value().what).items()
            ]
        problem = self._problem()
        empty = not (survey.suggestions if suggestions else survey.cells + survey.regions)
        if empty:
            problem = problem or tr("There is nothing to export yet.")
        self.loses.setText("\n".join([*lines, *filter(None, [problem])]) or tr("nothing but the history"))
        show_whole(self.loses)
        self.ok.setEnabled(not refused and not problem)

    @property
    def _format(self) -> formats.Format:
        return formats.FORMATS[self.options.controls["format"].value]

    @property
    def _only_covered(self) -> bool:
        return self.format_options.values().get("fields") == "covered"

    @property
    def _suggestions(self) -> bool:
        return bool(self.options.controls["what"].value == "suggestions")

    def _going_out(self, suggestions: bool) -> str:
        survey = self._survey
        things = [
            trn("{count} suggestion", "{count} suggestions", survey.suggestions)
            if suggestions
            else trn("{count} cell", "{count} cells", survey.cells)
        ]
        if "regions" not in formats.LOST[self._format.name]:
            things.append(trn("{count} finished region", "{count} finished regions", survey.regions))
            if survey.ignore_areas:
                things.append(trn("{count} ignore area", "{count} ignore areas", survey.ignore_areas))
        return tr(
            "{things} of {fields}; draft regions are never exported.",
            things=", ".join(things),
            fields=trn("{count} field", "{count} fields", survey.fields),
        )

    # ------------------------------------------------------------------ where to

    def _out(self) -> Path:
        out = Path(self.place.text().strip()).expanduser()
        return _suffixed(out, _SUFFIXES.get(self._format.name, ""))

    def _problem(self) -> str:
        """Describe what is wrong with the place; what the store refuses is known before it is tried."""
        if not self.place.text().strip():
            return tr("Choose a location.")
        out = self._out()
        if out.name in _NAMELESS:
            return tr("Choose a location.")
        if not out.absolute().parent.is_dir():
            return tr("The folder {folder} does not exist.", folder=out.absolute().parent)
        single = self._format.target == "file"
        if out.is_dir() and (single or any(out.iterdir())):
            return tr("{name} is a folder that is not empty: give another name.", name=out.name)
        if not single and out.suffix != ".json" and out.is_file():
            return tr("{name} is a file: give another name.", name=out.name)
        survey = self._survey
        if self._only_covered and survey.annotated and not survey.covered:
            return tr("No field is annotated completely: choose all annotated fields.")
        return problem_of(out)

    def _browse(self) -> str:
        return self._save_place.browse(tr("Export to"), self.place.text())

    def accept(self) -> None:
        """Close the dialog, once it is agreed what is replaced."""
        if self._save_place.agreed(
            *formats.targets(self._format, self._out(), card=self.options.value().card)
        ):
            super().accept()


def _suffixed(out: Path, suffix: str) -> Path:
    """Return a path with the suffix of a format; any other suffix is part of the name."""
    named = out.name not in _NAMELESS and out.suffix != suffix
    return out.with_name(out.name + suffix) if suffix and named else out


def describe_loss(kind: str, count: int) -> str:
    """Describe the loss of a kind, with its count."""
    match kind:
        case "attributes":
            return trn("{count} cell loses its attributes.", "{count} cells lose their attributes.", count)
        case "unsure":
            return trn(
                "Unsure becomes missing in {count} cell.", "Unsure becomes missing in {count} cells.", count
            )
        case "nameless":
            return trn(
                "{count} cell is left out: its class is missing, unsure or a group.",
                "{count} cells are left out: their class is missing, unsure or a group.",
                count,
            )
        case "flags":
            return trn(
                "{count} cell loses kind, cut, bookmark or second opinion.",
                "{count} cells lose kind, cut, bookmark or second opinion.",
                count,
            )
        case "comments":
            return trn("{count} comment is lost.", "{count} comments are lost.", count)
        case "probabilities":
            return trn(
                "{count} suggestion keeps only its most probable class and values.",
                "{count} suggestions keep only their most probable class and values.",
                count,
            )
        case "novelty":
            return trn(
                "{count} suggestion loses its novelty.",
                "{count} suggestions lose their novelty.",
                count,
            )
        case "unchecked":
            return trn(
                "{count} suggestion loses the mark “not yet checked on this film”.",
                "{count} suggestions lose the mark “not yet checked on this film”.",
                count,
            )
        case "sets":
            return trn("{count} suggestion loses its sets.", "{count} suggestions lose their sets.", count)
        case "regions":
            return trn("{count} finished region is lost.", "{count} finished regions are lost.", count)
        case "ignore_areas":
            return trn("{count} ignore area is lost.", "{count} ignore areas are lost.", count)
        case "slides":
            return trn(
                "For {count} whole slide, pictures of the finished regions are written, without suggestions.",
                "For {count} whole slides, pictures of the finished regions are written, "
                "without suggestions.",
                count,
            )
        case "images":
            return tr("The images are not exported.")
    raise ValueError(kind)


def ask_export(survey: formats.Survey, folder: Path, parent: QWidget | None) -> Export | None:
    """Ask what to export, and where to."""
    dialog = ExportDialog(survey, folder, parent)
    return run_dialog(dialog, dialog.answer)
