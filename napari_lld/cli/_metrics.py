"""How measured numbers are written for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_lld.cli._console import say


def say_metrics(metrics: Mapping[str, Any]) -> None:
    """Write what a model scored, with how many cells each number stands on."""
    say(str(metrics))
