"""Cache of the runs of a benchmark, so that it can be interrupted and resumed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


@cache
def sources() -> str:
    """Return the hash of what determines training results: the code of store and trainer, and the starter."""
    content = hashlib.sha256()
    for package in ("annotation_store", "training"):
        for file in sorted((ROOT / package).rglob("*")):
            if file.suffix in (".py", ".yaml", ".safetensors"):
                content.update(file.relative_to(ROOT).as_posix().encode())
                content.update(file.read_bytes())
    return content.hexdigest()[:12]


@cache
def stock() -> str:
    """Return what determines the results of stock Ultralytics: its version."""
    return "ultralytics " + importlib.metadata.version("ultralytics-opencv-headless")


def file_digest(file: Path) -> str:
    """Return the hash of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


def digest(config: dict[str, Any]) -> str:
    """Return the hash of a configuration."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


class Cache:
    """Completed runs, one JSON object per line: configuration, hash of the sources, and result."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._rows: dict[tuple[str, str], dict[str, Any]] = {}
        if file.is_file():
            for line in file.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                self._rows[digest(row["config"]), row.get("sources", "")] = row

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows, oldest first."""
        return list(self._rows.values())

    def latest(self, config: dict[str, Any]) -> dict[str, Any] | None:
        """Return the newest row of a configuration, for any sources."""
        key = digest(config)
        return next((row for (item, _), row in reversed(self._rows.items()) if item == key), None)

    def kept(
        self, config: dict[str, Any], work: Callable[[], dict[str, Any]], made_by: str | None = None
    ) -> dict[str, Any]:
        """Return the cached result of a configuration for these sources, or compute and store it.

        Parameters
        ----------
        made_by
            What determines the result besides the configuration; ``None`` = `sources`.
        """
        made_by = made_by or sources()
        key = digest(config), made_by
        if key not in self._rows:
            begun = time.monotonic()
            result = work()
            row = {
                "config": config,
                "sources": made_by,
                "seconds": round(time.monotonic() - begun, 1),
                "result": result,
            }
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")
            self._rows[key] = row
            shown = {name: item for name, item in result.items() if not isinstance(item, list | dict)}
            print(json.dumps(config), json.dumps(shown), flush=True)
        return dict(self._rows[key]["result"])
