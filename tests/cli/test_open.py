"""open, and the bare program: the window, or a sentence on why there is none."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from napari_lld import sample
from napari_lld.cli import environment, run


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path | None]:
    """Replace the window; what was opened in it."""
    paths: list[Path | None] = []
    monkeypatch.setitem(sys.modules, "napari_lld.window", SimpleNamespace(run_window=paths.append))
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("QT_API", "pyqt6")
    monkeypatch.setattr(environment, "loads", lambda _library: True)
    monkeypatch.setattr(environment, "display_answers", lambda: True)
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
    _installed(monkeypatch)
    cli().refuses("no Qt binding is installed", 'pip install "napari-lld[desktop]"')
    assert opened == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
def test_without_a_display_the_cure_is_named(
    cli, opened: list[Path | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    cli().refuses("DISPLAY", "xvfb-run")
    assert opened == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="an X server is asked")
@pytest.mark.parametrize("display", [":987", "nonsense"])
def test_a_display_that_does_not_answer_is_said(cli, monkeypatch: pytest.MonkeyPatch, display: str) -> None:
    for name in ("WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QT_API", "pyqt6")
    monkeypatch.setenv("DISPLAY", display)
    cli().refuses(f"The display {display}", "does not answer", "logged in")


def _installed(monkeypatch: pytest.MonkeyPatch, *bindings: str) -> None:
    real = importlib.util.find_spec

    def find(name: str, *rest: Any) -> Any:
        return (name in bindings or None) if name in environment.BINDINGS else real(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find)


def test_an_old_python_is_named_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    assert run(["info"]) == 2
    monkeypatch.undo()
    told = capsys.readouterr().err
    assert told.startswith("napari-lld: this is Python 3.10.4, and 3.11 or newer is needed; install one")
    assert told.count("\n") == 1


def test_another_qt_binding_is_named_with_the_cure_and_pyqt6_is_chosen_beside_it(
    cli, opened: list[Path | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    _installed(monkeypatch, "PySide6")
    cli().refuses("needs PyQt6", "PySide6 will not do", 'pip install "napari-lld[desktop]"')
    _installed(monkeypatch, "PyQt5", "PyQt6")
    monkeypatch.setenv("QT_API", "pyqt5")
    cli().refuses("needs PyQt6", "QT_API chooses pyqt5", "QT_API=pyqt6")
    assert opened == []
    monkeypatch.delenv("QT_API")
    assert cli().err == ""
    assert os.environ["QT_API"] == "pyqt6"
    assert opened == [None]


def test_two_opencvs_are_noted_and_the_window_opens(
    cli, opened: list[Path | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"opencv-python", "opencv-python-headless"}
    monkeypatch.setattr(environment, "is_installed", known.__contains__)
    answer = cli()
    assert answer.code == 0
    assert answer.err.count("\n") == 1
    assert "pip uninstall -y opencv-python opencv-python-headless" in answer.err
    assert opened == [None]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems bring these libraries")
def test_a_library_that_qt_lacks_is_named_with_its_package(
    cli, opened: list[Path | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    monkeypatch.setattr(environment, "loads", lambda library: library != "libEGL.so.1")
    cli().refuses("libEGL.so.1", "sudo apt install libegl1")
    assert opened == []


def test_a_library_beside_qts_own_counts_as_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "Qt6" / "lib").mkdir(parents=True)
    (tmp_path / "Qt6" / "lib" / "libxcb-ours.so.0").touch()
    qt = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: qt)
    assert environment.loads("libxcb-ours.so.0")
    assert not environment.loads("libxcb-nobody-has.so.0")


@pytest.fixture
def dialogs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What error dialogs said; each is closed at once."""
    from qtpy.QtWidgets import QApplication, QMessageBox

    said: list[str] = []
    monkeypatch.setattr(QMessageBox, "exec", lambda box: said.append(box.text()))
    application = QApplication.instance() or QApplication([])
    monkeypatch.setattr(QApplication, "instance", lambda: application)
    return said


def test_a_shortcut_has_errors_said_in_a_dialog_a_terminal_not(
    cli, dialogs: list[str], opened: list[Path | None], tmp_path: Path
) -> None:
    cli("open", tmp_path / "none").refuses("does not exist")
    assert dialogs == []
    answer = cli("open", "--dialog", tmp_path / "none")
    answer.refuses("does not exist")
    assert answer.err == f"napari-lld: {dialogs[0]}\n"
    assert len(dialogs) == 1


def test_without_any_output_as_under_pythonw_the_window_opens_and_errors_do_not_fail(
    opened: list[Path | None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    codes = run(["open"]), run(["open", str(tmp_path / "none")])
    sys.stdout.close()
    sys.stderr.close()
    assert codes == (0, 2)
    assert opened == [None]
