"""The messages of this session, newest last; no Qt."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from psygnal import Signal

from annotation_store.files.layout import LOGS, is_link

_KEPT = 1000
_LARGEST = 200_000


@dataclass(frozen=True)
class Entry:
    """One sentence, with what is known beyond it."""

    at: datetime
    level: str
    sentence: str
    details: str = ""

    def text(self) -> str:
        """Write it as a line, details indented below."""
        line = f"{self.at:%H:%M:%S}  {self.level:<8} {self.sentence}"
        below = "".join(f"\n    {detail}" for detail in self.details.splitlines())
        return line + below


class Log:
    """The sentences of this sitting."""

    added = Signal(object)

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque(maxlen=_KEPT)

    def add(self, level: str, sentence: str, details: str = "") -> None:
        """Record a sentence."""
        entry = Entry(datetime.now().astimezone(), level, sentence, details)
        self.entries.append(entry)
        self.added.emit(entry)

    def text(self) -> str:
        """Write all of it."""
        return "\n".join(entry.text() for entry in self.entries)


def kept_logs(project: Path | None) -> list[Path]:
    """List the logs that a project keeps of what went wrong, newest first."""
    if project is None:
        return []
    try:
        paths = [path for path in (project / LOGS).iterdir() if {".txt", ".log"} & set(path.suffixes)]
        files = [path for path in paths if path.is_file() and not is_link(path)]
        return sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return []


def read_log(path: Path) -> str:
    """Read a kept log, the end of it where it is very long."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LARGEST))
            return file.read().decode("utf-8", "replace")
    except OSError as error:
        return f"{path.name}: {error.strerror}"
