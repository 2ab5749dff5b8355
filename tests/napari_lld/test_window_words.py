"""No option of the command line is named in the window."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import annotation_store
import training
from napari_lld.i18n.worker_texts import in_the_window

ELSEWHERE = {"--detector", "--from", "--map", "--readers", "--resources", "--stay", "--truth"}
"""Options of what only the command line does (restoring, changing the schema, splitting, measuring, other
detectors), of dask, and of the worker itself."""


def sentences(package: Path) -> Iterator[str]:
    """Go through what a package says, docstrings apart."""
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        said |= {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "16" for p in node.values]
                yield "".join(str(part) for part in parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
                yield node.value


def test_every_option_that_a_sentence_of_the_packages_names_has_words_in_the_window() -> None:
    told = [s for p in (annotation_store, training) for s in sentences(Path(str(p.__file__)).parent)]
    naming = [s for s in told if re.search(r"(?<![\w-])--[a-z]", s) and " " in s]
    assert naming, "nothing was read"
    for sentence in naming:
        left = set(
            re.findall(r"(?<![\w-])--[a-z-]+", re.sub(r"napari-lld [a-z]+ .*", "", in_the_window(sentence)))
        )
        assert left <= ELSEWHERE, f"{left}: add it to `worker_texts`: {sentence}"


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("give their folder with --images (a.png)", "give their folder under “Images” (a.png)"),
        (
            "Leave them out (--option fields=covered), or train here.",
            "Leave them out (Options › “Fields”: Only completely annotated fields), or train here.",
        ),
        (
            "search for it (napari-lld check PROJECT --slides FOLDER).",
            "search for it (in a terminal: napari-lld check PROJECT --slides FOLDER).",
        ),
        (
            "Continue it (in the window: ☰ › Readings; in the terminal: --reading).",
            "Continue it (☰ › Readings).",
        ),
        (
            "try 'napari-lld check /a b/p.lld --repair'.",
            "try 'napari-lld check /a b/p.lld --repair' in a terminal.",
        ),
        (
            "run napari-lld check /a b/p.lld --repair.",
            "run napari-lld check /a b/p.lld --repair in a terminal.",
        ),
        ("Nothing -- at all.", "Nothing -- at all."),
    ],
)
def test_advice_names_the_controls_of_the_window(sentence: str, wanted: str) -> None:
    assert in_the_window(sentence) == wanted
