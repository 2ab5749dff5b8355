"""Details of what went wrong, kept in the project: the sentence is for the user, these for whoever helps."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from annotation_store.records import Field

_LEAST = 3
"""A shorter name stands in too many other words; it tells nobody by itself."""


def without_names(text: str, project: Path, fields: Iterable[Field]) -> str:
    """Replace what names a patient in a text that people hand on when they ask for help.

    Patients, slides, domains and files become numbers; the paths of the project and of the home folder go.
    """
    stands: dict[str, str] = {}
    for field in fields:
        names = {field.name, Path(field.name).name, Path(field.name).stem, field.source_path}
        stands |= dict.fromkeys(names, f"<field {field.id}>")
        for kind, name in (("patient", field.patient), ("slide", field.slide), ("domain", field.domain)):
            if name:
                stands.setdefault(name, f"<{kind}-{field.id}>")
    stands |= {str(Path.home()): "~", str(project.absolute()): "<project>", project.name: "<project>"}
    known = sorted((name for name in stands if len(name) >= _LEAST), key=len, reverse=True)
    # an underscore ends a name too: Miller in Miller_07
    pattern = re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, known))})(?![^\W_])")
    return pattern.sub(lambda found: stands[found[0]], text)


def write_error_report(
    project: Path,
    sentence: str,
    details: str,
    fields: Iterable[Field],
    *,
    now: datetime | None = None,
    kind: str = "training",
) -> Path | None:
    """Write what happened to ``logs/`` under the date; ``None`` where it cannot be written.

    A full disk may be what went wrong in the first place, so failing here is no error.

    Parameters
    ----------
    fields
        Those of the project: whom they name is not named in the file.
    """
    told = without_names(f"{sentence}\n\n{details}\n", project, fields)
    now = now or datetime.now().astimezone()
    with suppress(OSError):
        folder = project / "logs"
        folder.mkdir(exist_ok=True)
        file = folder / f"{kind}-{now:%Y-%m-%d-%H%M%S}.txt"
        number = 1
        while file.exists():
            number += 1
            file = folder / f"{kind}-{now:%Y-%m-%d-%H%M%S}-{number}.txt"
        file.write_text(f"{now.isoformat(timespec='seconds')}\n{told}", encoding="utf-8")
        return file
    return None
