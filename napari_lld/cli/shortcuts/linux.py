"""A desktop entry: the program in the menu, and for folders under *Open with*.

Sources: the Desktop Entry Specification 1.5, the MIME Applications Specification 1.0.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from napari_lld.cli.shortcuts import NAME, delete, icon, start_words

FOLDERS = "inode/directory"
ENTRY = f"{NAME}.desktop"
_CHOSEN = "X-napari-lld-FolderDefault"


def add() -> tuple[list[Path], str]:
    """Write the entry and the icon; return them, and a sentence where folders cannot be opened with it.

    A program that says it opens folders may become the one that opens them all: where no choice is written
    down, the newest entry may win. So the choice that holds is asked for before and after, and written down
    if it changed. If it is not known, the entry does not name folders.
    """
    entry, picture = files()
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(icon(".svg"))
    chosen = written_choice(entry)
    register(entry, chosen=chosen)
    before = default_program()
    if before:
        register(entry, folders=True, chosen=chosen)
        if default_program() != before:
            subprocess.run(["xdg-mime", "default", before, FOLDERS], check=False, capture_output=True)
            register(entry, folders=True, chosen=before)
        if default_program() == before:
            return [entry, picture], ""
        register(entry, chosen=chosen)
    return [entry, picture], (
        "The file manager does not offer it for folders: this desktop does not say which program opens "
        "folders, and it might become that program. Install a file manager and xdg-utils, then run this "
        "again."
    )


def remove() -> list[Path]:
    """Delete the entry, the icon, and the choice that was written down; return the files that were there."""
    entry, picture = files()
    chosen = written_choice(entry)
    choices = _folder("XDG_CONFIG_HOME", Path.home() / ".config") / "mimeapps.list"
    if chosen and choices.is_file():
        line = f"{FOLDERS}={chosen}\n".encode()
        choices.write_bytes(choices.read_bytes().replace(line, b"", 1))
    deleted = delete(entry, picture)
    announce(entry.parent)
    return deleted


def files() -> tuple[Path, Path]:
    """Return where the entry and the icon belong."""
    data = _folder("XDG_DATA_HOME", Path.home() / ".local" / "share")
    picture = data / "icons" / "hicolor" / "scalable" / "apps" / f"{NAME}.svg"
    return data / "applications" / ENTRY, picture


def _folder(variable: str, usual: Path) -> Path:
    path = Path(os.environ.get(variable, ""))
    return path if path.is_absolute() else usual  # the XDG base directories say so


def register(entry: Path, *, folders: bool = False, chosen: str = "") -> None:
    """Write the entry, and have the desktop read it."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.write_text(entry_text(start_words(), folders=folders, chosen=chosen), encoding="utf-8")
    announce(entry.parent)


def written_choice(entry: Path) -> str:
    """Return the program that `add` wrote down as the one that opens folders, which the entry says."""
    text = entry.read_text(encoding="utf-8", errors="replace") if entry.is_file() else ""
    match = re.search(rf"^{_CHOSEN}=(.*)$", text, re.MULTILINE)
    return match[1] if match else ""


def announce(applications: Path) -> None:
    """Have the desktop learn which types its programs open."""
    if applications.is_dir() and shutil.which("update-desktop-database"):
        subprocess.run(["update-desktop-database", str(applications)], check=False, capture_output=True)


def default_program() -> str:
    """Return the entry of the program that opens folders; nothing if that is not known."""
    if not shutil.which("xdg-mime"):
        return ""
    answer = subprocess.run(
        ["xdg-mime", "query", "default", FOLDERS], check=False, capture_output=True, text=True
    )
    return answer.stdout.strip()


def entry_text(words: Sequence[str], *, folders: bool, chosen: str = "") -> str:
    """Return the text of the entry, which starts these words with a folder behind them.

    Parameters
    ----------
    words
        The program and its arguments.
    folders
        Whether it is offered for folders.
    chosen
        The program that was written down as the one that opens folders; nothing if none was.
    """
    lines = [
        "[Desktop Entry]",
        "Type=Application",
        "Version=1.0",
        f"Name={NAME}",
        "GenericName=Blood film annotation",
        "GenericName[de]=Annotation von Blutausstrichen",
        "Comment=Find, classify and describe white blood cells; research use only",
        "Comment[de]=Leukozyten finden, klassifizieren und beschreiben; nur für die Forschung",
        f"Exec={' '.join(exec_word(word) for word in _shell_words(words))} %f",
        f"Icon={NAME}",
        "Terminal=false",
        "Categories=Science;MedicalSoftware;",
        "Keywords=hematology;leukemia;microscopy;napari;",
    ]
    if folders:
        lines.append(f"MimeType={FOLDERS};")
    if chosen:
        lines.append(f"{_CHOSEN}={chosen}")
    return "\n".join(lines) + "\n"


def _shell_words(words: Sequence[str]) -> Sequence[str]:
    """Have a shell start a program with ``%`` in its path: GLib looks for it before it reads ``%%``."""
    return ["sh", "-c", 'exec "$0" "$@"', *words] if "%" in words[0] else words


def exec_word(word: str) -> str:
    r"""Quote a word for ``Exec``, by two rules: that of quotes there, and that of all strings in an entry.

    Examples
    --------
    >>> exec_word("/opt/napari lld/python")
    '"/opt/napari lld/python"'
    >>> print(exec_word("/home/a$b/100%"))
    "/home/a\\$b/100%%"
    """
    if re.fullmatch(r"[\w@+:,./-]+", word, re.ASCII):
        return word
    quoted = re.sub(r'(["`$\\])', r"\\\1", word)
    escaped = f'"{quoted}"'.replace("\\", "\\\\").replace("%", "%%")
    return escaped.replace("\n", r"\n").replace("\t", r"\t").replace("\r", r"\r")
