"""shortcut: what it writes for each system, and that it never takes a desktop's folders for itself."""

from __future__ import annotations

import io
import os
import plistlib
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from napari_lld.cli import shortcuts
from napari_lld.cli.shortcuts import linux, macos, windows

WORDS = ["/opt/napari lld/python/bin/python3", "-I", "-m", "napari_lld", "open", "--dialog"]

needs_xdg = pytest.mark.skipif(
    not all(map(shutil.which, ("xdg-mime", "desktop-file-validate", "update-desktop-database"))),
    reason="xdg-utils and desktop-file-utils are not installed",
)


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty desktop: its folders ``data``, ``config`` and ``system``."""
    for name in [name for name in os.environ if name.startswith("XDG_") or "SESSION" in name]:
        monkeypatch.delenv(name)
    for variable, folder in {"DATA_HOME": "data", "CONFIG_HOME": "config", "DATA_DIRS": "system"}.items():
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(f"XDG_{variable}", str(tmp_path / folder))
    monkeypatch.setattr(sys, "platform", "linux")
    return tmp_path


@needs_xdg
def test_on_linux_folders_open_with_it_when_asked_and_with_the_file_manager_as_before(
    cli, desktop: Path
) -> None:
    manager = desktop / "system" / "applications" / "files.desktop"
    manager.parent.mkdir()
    manager.write_text("[Desktop Entry]\nType=Application\nName=F\nExec=true %f\nMimeType=inode/directory;\n")
    entry = desktop / "data" / "applications" / "napari-lld.desktop"
    assert str(entry) in cli("shortcut").out
    subprocess.run(["desktop-file-validate", str(entry)], check=True)
    assert (desktop / "data/icons/hicolor/scalable/apps/napari-lld.svg").read_bytes().startswith(b"<svg")
    assert "inode/directory=napari-lld.desktop" in (entry.parent / "mimeinfo.cache").read_text()
    assert linux.default_program() == "files.desktop"
    cli("shortcut")  # again
    assert cli("shortcut", "--remove").out.count("Deleted") == 2
    left = {path.name for path in desktop.rglob("*") if path.is_file()}
    assert left == {"files.desktop", "mimeinfo.cache", "mimeapps.list"}
    assert "inode/directory" not in (desktop / "config" / "mimeapps.list").read_text()
    assert cli("shortcut", "--remove").out == "There was no shortcut.\n"


@needs_xdg
def test_where_no_program_opens_folders_it_does_not_become_that_program(cli, desktop: Path) -> None:
    answer = cli("shortcut")
    assert answer.code == 0
    assert "Install a file manager" in answer.err
    assert linux.default_program() == ""
    assert "MimeType" not in (desktop / "data" / "applications" / "napari-lld.desktop").read_text("utf-8")


def test_words_of_a_desktop_entry_are_quoted_where_they_must_be() -> None:
    assert (
        'Exec="/opt/napari lld/python/bin/python3" -I -m napari_lld open --dialog %f\n'
        in linux.entry_text(WORDS, folders=True)
    )
    assert linux.exec_word("/a/100%") == '"/a/100%%"'
    assert linux.exec_word('/a/$x`y"z\\') == r'"/a/\\$x\\`y\\"z\\\\"'
    assert linux.exec_word("/a\nb") == r'"/a\nb"'


@pytest.mark.skipif(not shutil.which("gio"), reason="GLib's gio is not installed")
@pytest.mark.parametrize("name", ["Größe 100%", "new\nline"])
def test_a_desktop_starts_a_program_wherever_it_lies(tmp_path: Path, name: str) -> None:
    program, entry, heard = tmp_path / name / "program", tmp_path / "a.desktop", tmp_path / "heard"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$*" > {heard}.part && mv {heard}.part {heard}\n')
    program.chmod(0o755)
    entry.write_text(linux.entry_text([str(program), "open"], folders=True), encoding="utf-8")
    subprocess.run(["gio", "launch", str(entry), "/films"], check=True, timeout=20)
    until = time.monotonic() + 10
    while not heard.exists() and time.monotonic() < until:  # it does not wait for the program
        time.sleep(0.01)
    assert heard.read_text() == "open /films\n"


def test_an_entry_that_is_no_text_is_replaced(cli, desktop: Path) -> None:
    entry = desktop / "data" / "applications" / "napari-lld.desktop"
    entry.parent.mkdir()
    entry.write_bytes(b"\xff\xfe")
    assert cli("shortcut").code == 0
    assert "Exec=" in entry.read_text(encoding="utf-8")


def test_the_shortcut_starts_this_python_and_opens_dialogs() -> None:
    program, *rest = shortcuts.start_words()
    assert program == sys.executable
    assert rest == ["-P", "-m", "napari_lld", "open", "--dialog"]


def test_on_macos_a_bundle_starts_it_and_opens_folders_among_others(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    bundle = tmp_path / "Applications" / "napari-lld.app"
    assert cli("shortcut").out == f"Made {bundle}\n"
    told = plistlib.loads((bundle / "Contents" / "Info.plist").read_bytes())
    program = bundle / "Contents" / "MacOS" / told["CFBundleExecutable"]
    assert os.access(program, os.X_OK)
    assert shlex.split(program.read_text("utf-8").splitlines()[1]) == ["exec", *shortcuts.start_words()]
    picture = bundle / "Contents" / "Resources" / told["CFBundleIconFile"]
    assert Image.open(picture).format == "ICNS"
    (kind,) = told["CFBundleDocumentTypes"]
    assert kind["LSItemContentTypes"] == ["public.folder"]
    assert kind["LSHandlerRank"] == "Alternate"
    assert told["CFBundleVersion"].replace(".", "").isdigit()
    assert shlex.split(macos.script(WORDS).splitlines()[1])[1:] == WORDS
    cli("shortcut", "--remove")
    assert not bundle.exists()


def test_on_windows_the_scripts_name_the_program_the_folder_and_what_is_taken_back() -> None:
    program = r"C:\Dr. O’Neill's\napari lld\python\pythonw.exe"
    script = windows.install_script([program, *WORDS[1:]], Path("icon.ico"))
    assert r"$shortcut.TargetPath = 'C:\Dr. O’’Neill''s\napari lld\python\pythonw.exe'" in script
    assert "$shortcut.Arguments = '-I -m napari_lld open --dialog'" in script
    assert "'Open with napari-lld'" in script
    command = r"""'"C:\Dr. O’’Neill''s\napari lld\python\pythonw.exe" -I -m napari_lld open --dialog "%1"'"""
    assert f'Set-Item -LiteralPath "$key\\command" -Value {command}' in script
    for line in (r"$key = 'HKCU:\Software\Classes\Directory\shell\napari-lld'", "'napari-lld.lnk'"):
        assert line in script
        assert line in windows.removing()
    assert Image.open(io.BytesIO(windows.ico())).format == "ICO"
