"""Error logs in a project: a sentence for the user, and details for support."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from contextlib import closing, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

from annotation_store.errors import LLDError
from annotation_store.files.layout import LOGS, inside
from annotation_store.records import Field

NAME = "napari-lld.log"
_BYTES, _OLDER = 500_000, 3
"""How long the log grows, and how many that were full are kept."""
_FORMAT = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S%z")
_LEAST = 3
"""A shorter name stands in too many other words; it tells nobody by itself."""


def without_names(text: str, project: Path, fields: Iterable[Field]) -> str:
    """Replace names of patients in a text that users send when they ask for help.

    Patients, slides, domains and files become numbers; the paths of the project and of the home folder go.
    """
    replacements: dict[str, str] = {}
    for field in fields:
        names = {field.name, Path(field.name).name, Path(field.name).stem, field.source_path}
        replacements |= dict.fromkeys(names, f"<field {field.id}>")
        for kind, name in (("patient", field.patient), ("slide", field.slide), ("domain", field.domain)):
            if name:
                replacements.setdefault(name, f"<{kind}-{field.id}>")
    replacements |= {str(Path.home()): "~", str(project.absolute()): "<project>", project.name: "<project>"}
    # only those that occur: a pattern of all names took 0.6 s in a project of 10,000 fields
    names_in_text = sorted(
        (name for name in replacements if len(name) >= _LEAST and name in text), key=len, reverse=True
    )
    if not names_in_text:
        return text
    # an underscore ends a name too: Miller in Miller_07
    pattern = re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, names_in_text))})(?![^\W_])")
    return pattern.sub(lambda match: replacements[match[0]], text)


class _Handler(RotatingFileHandler):
    """Writes where it can: a full disk may be what went wrong in the first place."""

    failed = False

    def handleError(self, _record: logging.LogRecord) -> None:
        """Note that the message could not be written; print nothing."""
        self.failed = True


def log_error(project: Path, kind: str, sentence: str, details: str, fields: Iterable[Field]) -> Path | None:
    """Write what went wrong to the log of a project; ``None`` if it cannot be written.

    Parameters
    ----------
    kind
        What went wrong: ``training``, ``window``.
    fields
        Those of the project: whom they name is not named in the file.
    """
    with suppress(OSError, LLDError):
        file = inside(project, LOGS, NAME)
        if file.exists() and not file.is_file():  # a pipe, say, that nobody reads
            return None
        file.parent.mkdir(exist_ok=True)
        handler = _Handler(file, "a", _BYTES, _OLDER, encoding="utf-8", errors="replace", delay=True)
        with closing(handler):
            handler.setFormatter(_FORMAT)
            text = without_names(f"{sentence}\n{details}".strip(), project, fields)
            handler.handle(logging.LogRecord(kind, logging.ERROR, "", 0, text, None, None))
        return None if handler.failed else file
    return None
