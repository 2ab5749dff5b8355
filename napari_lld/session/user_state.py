"""What the window remembers of its user between two sittings: recent projects, last field, window size.

It is a convenience, never the truth: a missing or damaged file means an empty memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

from annotation_store.errors import OutputError
from annotation_store.files import strict_json
from annotation_store.files.outputs import write_file

_RECENT = 8
_MOST_BYTES = 10_000_000


def state_file() -> Path:
    """Return the file the memory is kept in (it need not exist)."""
    return Path(platformdirs.user_state_dir("napari-lld")) / "desk.json"


def sample_project_folder() -> Path:
    """Return the folder of the sample project that the start page opens."""
    return Path(platformdirs.user_data_dir("napari-lld")) / "sample-project.lld"


def _load() -> dict[str, Any]:
    with suppress(OSError, ValueError):
        file = state_file()
        state = strict_json.loads(file.read_text("utf-8")) if file.stat().st_size <= _MOST_BYTES else None
        if isinstance(state, dict):
            return state
    return {}


def _save(state: Mapping[str, Any]) -> None:
    # A read-only home must not stop anybody from annotating.
    with suppress(OutputError):
        write_file(state_file(), json.dumps(state, indent=1), durable=False)


def _projects(state: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    projects = state.get("projects")
    return projects if isinstance(projects, dict) else {}


def recent_projects() -> list[Path]:
    """List the projects opened last, newest first, of those that still exist."""
    return [Path(name) for name in reversed(_projects(_load())) if _exists(Path(name) / "project.db")]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a path longer than the system takes
        return False


def remember_project(path: Path, **facts: Any) -> None:
    """Put a project on top of the recent ones, with facts such as ``field`` and ``threshold``."""
    state = _load()
    projects = _projects(state)
    key = str(path.resolve())
    entry = {**projects.pop(key, {}), **facts}
    projects[key] = entry
    state["projects"] = dict(list(projects.items())[-_RECENT:])
    _save(state)


def recall_project(path: Path) -> dict[str, Any]:
    """Return the facts remembered of a project."""
    entry = _projects(_load()).get(str(path.resolve()), {})
    return dict(entry) if isinstance(entry, dict) else {}


def within(value: object, least: float, most: float) -> float | None:
    """Return a remembered number, ``None`` if it is none or out of range: a file may hold anything."""
    if isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most:
        return float(value)
    return None


def remember(key: str, value: Any) -> None:
    """Keep one fact that belongs to no project, such as the window's size."""
    state = _load()
    state[key] = value
    _save(state)


def recall(key: str, default: Any = None) -> Any:
    """Return a fact kept with `remember`."""
    return _load().get(key, default)
