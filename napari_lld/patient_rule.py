"""What a patient rule reads from the names of a folder, shown before any field is added; no Qt."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from annotation_store.errors import LLDError
from annotation_store.file_names import name_pattern, read_name  # the very code that will read them
from napari_lld.translate import later, tr

RULES = (
    ("", later("No patient is known")),
    (r"^([^_]+)_", later("All before the first underscore (LLD: patient_field_1000_DIAGNOSIS.png)")),
    (r"^([^-]+)-", later("All before the first hyphen")),
    (r"([^/]+)/[^/]+$", later("The folder that the image lies in")),
)
"""Rules to begin with: a regular expression, and what it takes for the patient."""

_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".svs"}
_LOOKED_AT = 500
_SHOWN = 3


def preview(expression: str, folder: Path | None) -> tuple[str, bool]:
    """Say what a rule reads from the first names of a folder, and whether the rule can be read at all.

    A bounded number of names is looked at: it is asked at every key stroke.
    """
    try:
        pattern = name_pattern(expression or None)
    except LLDError as error:
        return str(error), False
    if pattern is None:
        return tr(
            "No patient is read: fields of one patient may then be split between training and test."
        ), True
    names = _first_images(folder)
    if not names:
        return tr("Choose a folder of images to see what the rule reads."), True
    found = [(path.name, read_name(path, pattern).get("patient")) for path in names]
    patients = {patient for _name, patient in found if patient}
    lines = [f"{name} → {patient or tr('no patient')}" for name, patient in found[:_SHOWN]]
    missed = sum(patient is None for _name, patient in found)
    lines.append(
        tr("{patients} patients in the first {found} images", patients=len(patients), found=len(found))
        + (tr("; {missed} without one", missed=missed) if missed else "")
    )
    return "\n".join(lines), True


def _first_images(folder: Path | None) -> list[Path]:
    if folder is None or not folder.is_dir():
        return []
    try:
        paths = [p for p in islice(folder.rglob("*"), _LOOKED_AT) if p.suffix.lower() in _SUFFIXES]
    except OSError:
        return []
    return sorted(paths)
