"""Rules that read the patient from the names of images, in words; how many fields have one; no Qt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from annotation_store.errors import LLDError
from annotation_store.file_names import name_pattern, read_name  # the very code that will read them
from annotation_store.images.read import IMAGE_SUFFIXES
from annotation_store.records import Field
from napari_lld.i18n.translate import later, tr, trn
from napari_lld.i18n.worker_texts import in_the_window

RULES = (
    ("", later("No patient is read from names")),
    (r"^([^_]+)_", later("Before the first _")),
    (r"^([^-]+)-", later("Before the first -")),
    (r"([^/]+)/[^/]+$", later("Folder name")),
)
"""Rules in words: a regular expression, and what it takes for the patient."""

_LOOKED_AT = 500
_SHOWN = 3


@dataclass(frozen=True)
class Coverage:
    """How many patients some fields are of, and how many fields have none."""

    patients: int
    without: int

    def __str__(self) -> str:
        text = trn("{count} patient", "{count} patients", self.patients)
        if self.without:
            text += ", " + trn("{count} field without", "{count} fields without", self.without)
        return text

    def change_since(self, before: Coverage) -> str:
        """Describe the counts now and before a change."""
        sentence = tr("Patients: {now} (before: {before}).", now=self, before=before)
        if self.without > before.without:
            sentence += " " + tr("☰ › Patients … reads them from the names.")
        return sentence


def coverage(fields: Iterable[Field]) -> Coverage:
    """Count the patients of fields."""
    patients = [field.patient for field in fields]
    return Coverage(len({patient for patient in patients if patient}), sum(not p for p in patients))


def in_words(expression: str | None) -> str:
    """Describe a rule in words; a custom rule is shown unchanged."""
    return tr(dict(RULES).get(expression or "", expression or ""))


def path_of(field: Field) -> Path:
    """Return the name of a field as the rules read it, in its folder if it is a slide: an image has none."""
    return Path(field.source_path).with_name(Path(field.name).name) if field.is_slide else Path(field.name)


def patients_by(expression: str, fields: Iterable[Field]) -> dict[int, dict[str, str]]:
    """Return what a rule reads from the names of fields (patient, slide, domain), by their ids.

    Raises
    ------
    LLDError
        The rule cannot be read.
    """
    pattern = name_pattern(expression)
    properties = {field.id: read_name(path_of(field), pattern) for field in fields}
    return {
        field_id: properties_of_field
        for field_id, properties_of_field in properties.items()
        if properties_of_field
    }


def preview(expression: str, paths: Sequence[Path]) -> tuple[str, bool]:
    """Describe what a rule reads from names, and whether the rule can be read at all.

    It is asked at every key stroke: give it a bounded number of names.
    """
    try:
        pattern = name_pattern(expression)
    except LLDError as error:
        return in_the_window(str(error)), False
    if pattern is None:
        return tr(
            "No patient is read: fields of one patient may then be split between training and test."
        ), True
    if not paths:
        return tr("Choose a folder of images to see what the rule reads."), True
    patient_of_name = [(path.name, read_name(path, pattern).get("patient")) for path in paths]
    patients = {patient for _name, patient in patient_of_name if patient}
    lines = [f"{name} → {patient or tr('no patient')}" for name, patient in _choose_examples(patient_of_name)]
    missed = sum(patient is None for _name, patient in patient_of_name)
    lines.append(
        trn(
            "{count} patient in {images}",
            "{count} patients in {images}",
            len(patients),
            images=trn("{count} image", "{count} images", len(patient_of_name)),
        )
        + (tr("; {missed} without one", missed=missed) if missed else "")
    )
    return "\n".join(lines), True


def _choose_examples(pairs: Sequence[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
    """Choose the names to show: of different patients first, and one without."""
    new: dict[str | None, tuple[str, str | None]] = {}
    for name, patient in pairs:
        new.setdefault(patient, (name, patient))
    missed = [new.pop(None)] if None in new else []
    shown = [*new.values(), *(pair for pair in pairs if pair not in new.values() and pair not in missed)]
    return [*shown[: _SHOWN - len(missed)], *missed]


def images_in(folder: Path | None) -> list[Path]:
    """List the first images of a folder; a bounded number of names is looked at."""
    if folder is None or not folder.is_dir():
        return []
    try:
        paths = [p for p in islice(folder.rglob("*"), _LOOKED_AT) if p.suffix.lower() in IMAGE_SUFFIXES]
    except OSError:
        return []
    return sorted(paths)
