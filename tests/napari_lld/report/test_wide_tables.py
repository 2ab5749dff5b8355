"""No column of a table is cut, on a screen or on paper."""

from __future__ import annotations

import re
from importlib.resources import files

TEMPLATES = files("napari_lld.report") / "templates"


def test_every_table_of_the_report_can_scroll() -> None:
    for template in TEMPLATES.iterdir():
        text = template.read_text(encoding="utf-8")
        bare = re.findall(r'(?<!<div class="wide">)<table[^>]*>', text)
        assert not bare, template.name


def test_on_paper_tables_wrap_since_they_cannot_scroll() -> None:
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    screen, paper = style.split("@media print")
    assert re.search(r"\.wide \{ overflow-x: auto", screen)
    assert re.search(r"\.wide table \{ max-width: 100%", paper)
    numbers = re.search(r"\.n \{([^}]*)\}", screen)
    assert numbers is not None
    assert "nowrap" not in numbers[1], "numbers with their intervals are the widest cells"
    assert "anywhere" not in numbers[1], "a number is never broken within its digits"
