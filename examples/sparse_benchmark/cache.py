"""Runs of a benchmark, kept so that it can be stopped and goes on where it was."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def digest(config: dict[str, Any]) -> str:
    """Hash a configuration."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


class Cache:
    """Runs that are done, one JSON object a line."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.rows: dict[str, dict[str, Any]] = {}
        if file.is_file():
            for line in file.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                self.rows[digest(row["config"])] = row

    def add(self, config: dict[str, Any], result: dict[str, Any]) -> None:
        """Keep a result at once."""
        row = {"config": config, "result": result}
        self.rows[digest(config)] = row
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")

    def get(self, config: dict[str, Any]) -> dict[str, Any] | None:
        """Give the result of a configuration, if there is one."""
        row = self.rows.get(digest(config))
        return row["result"] if row else None
