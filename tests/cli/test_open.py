"""open, and the bare program: the window, or a sentence on why there is none."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_lld import sample
from napari_lld.cli import open_


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path | None]:
    """Replace the window; what was opened in it."""
    paths: list[Path | None] = []
    monkeypatch.setitem(sys.modules, "napari_lld.window", SimpleNamespace(run_window=paths.append))
    monkeypatch.setenv("DISPLAY", ":0")
    return paths


def test_the_bare_program_opens_the_start_page(cli, opened: list[Path | None]) -> None:
    assert cli().code == 0
    assert cli("open").code == 0
    assert opened == [None, None]


def test_a_path_alone_opens_that_project(cli, project: Path, opened: list[Path | None]) -> None:
    assert cli(project).code == 0
    assert cli("open", project).code == 0
    assert opened == [project, project]


def test_what_is_no_project_is_told_in_the_terminal(cli, opened: list[Path | None], tmp_path: Path) -> None:
    cli(tmp_path / "none").refuses("none", "napari-lld new")
    cli(sample.fields()[0]).refuses("pbc_00.jpg")
    cli("trian").refuses("'train'")
    assert opened == []


def test_without_a_qt_binding_the_cure_is_named(
    cli, opened: list[Path | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in open_.BINDINGS else real(name, *rest)
    )
    cli().refuses('pip install "napari-lld[desktop]"')
    assert opened == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
def test_without_a_display_the_cure_is_named(
    cli, opened: list[Path | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    cli().refuses("DISPLAY", "xvfb-run")
    assert opened == []
