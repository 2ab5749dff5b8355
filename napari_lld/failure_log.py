"""Details of what went wrong, kept in the project: the sentence is for the user, these for whoever helps."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path


def keep_failure(
    project: Path, sentence: str, details: str, *, now: datetime | None = None, kind: str = "training"
) -> Path | None:
    """Write what happened to ``logs/`` under the date; ``None`` where it cannot be written.

    A full disk may be what went wrong in the first place, so failing here is no error.
    """
    now = now or datetime.now().astimezone()
    with suppress(OSError):
        folder = project / "logs"
        folder.mkdir(exist_ok=True)
        file = folder / f"{kind}-{now:%Y-%m-%d-%H%M%S}.txt"
        number = 1
        while file.exists():
            number += 1
            file = folder / f"{kind}-{now:%Y-%m-%d-%H%M%S}-{number}.txt"
        file.write_text(f"{now.isoformat(timespec='seconds')}\n{sentence}\n\n{details}\n", encoding="utf-8")
        return file
    return None
