"""What was measured is told, not judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def tell(record_property: Any, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Record a number and print it beside its budget."""

    def say(what: str, value: float, unit: str, budget: str) -> None:
        record_property(what.replace(" ", "_"), round(value, 2))
        with capsys.disabled():
            print(f"\n  {what}: {value:.1f} {unit} (budget {budget})", end="")  # noqa: T201

    return say
