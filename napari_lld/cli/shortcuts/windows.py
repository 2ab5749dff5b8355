"""A shortcut in the Start menu, and *Open with napari-lld* in the context menu of folders."""

from __future__ import annotations

import base64
import io
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from napari_lld.cli._console import UsageError
from napari_lld.cli.shortcuts import NAME, delete, icon, start_words

VERB = rf"HKCU:\Software\Classes\Directory\shell\{NAME}"
"""Of this user only, which needs no administrator. Such a verb never becomes what a double click does."""

_LINK = f"$link = Join-Path ([Environment]::GetFolderPath('Programs')) '{NAME}.lnk'"


def add() -> tuple[list[Path], str]:
    """Write both, and return the shortcut."""
    picture = picture_file()
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(ico())
    return [Path(run(install_script(start_words(), picture))), picture], ""


def remove() -> list[Path]:
    """Delete both; return the files that were there."""
    link = run(removing())
    return [*([Path(link)] if link else []), *delete(picture_file())]


def picture_file() -> Path:
    """Return where the icon belongs."""
    import platformdirs

    return Path(platformdirs.user_data_dir(NAME)) / f"{NAME}.ico"


def install_script(words: Sequence[str], picture: Path) -> str:
    """Return the script that makes shortcut and context menu, and prints where the shortcut is."""
    program, *rest = words
    arguments = subprocess.list2cmdline(rest)
    with_folder = f'"{program}" {arguments} "%1"'
    return "\n".join(
        [
            "$ErrorActionPreference = 'Stop'",
            _LINK,
            "$shortcut = (New-Object -ComObject WScript.Shell).CreateShortcut($link)",
            f"$shortcut.TargetPath = {quote_powershell(program)}",
            f"$shortcut.Arguments = {quote_powershell(arguments)}",
            f"$shortcut.IconLocation = {quote_powershell(f'{picture},0')}",
            "$shortcut.WorkingDirectory = [Environment]::GetFolderPath('MyDocuments')",
            "$shortcut.Description = 'Find, classify and describe white blood cells; research use only'",
            "$shortcut.Save()",
            f"$key = '{VERB}'",
            'New-Item -Path "$key\\command" -Force | Out-Null',
            f"Set-Item -LiteralPath $key -Value 'Open with {NAME}'",
            f"Set-ItemProperty -LiteralPath $key -Name Icon -Value {quote_powershell(str(picture))}",
            f'Set-Item -LiteralPath "$key\\command" -Value {quote_powershell(with_folder)}',
            "$link",
        ]
    )


def removing() -> str:
    """Return the script that deletes both, and prints the shortcut if it was there."""
    return "\n".join(
        [
            "$ErrorActionPreference = 'Stop'",
            _LINK,
            "if (Test-Path -LiteralPath $link) { Remove-Item -LiteralPath $link; $link }",
            f"$key = '{VERB}'",
            "if (Test-Path -LiteralPath $key) { Remove-Item -LiteralPath $key -Recurse }",
        ]
    )


def quote_powershell(text: str) -> str:
    """Quote a text for PowerShell, to which typographic quotes are quotes too."""
    return "'" + re.sub("(['‘’‚‛])", r"\1\1", text) + "'"


def run(script: str) -> str:
    """Run a script in PowerShell, and return what it printed.

    Raises
    ------
    UsageError
        If it fails.
    """
    script = f"[Console]::OutputEncoding = [Text.Encoding]::UTF8\n{script}"
    encoded = base64.b64encode(script.encode("utf-16-le")).decode("ascii")
    answer = subprocess.run(
        ["powershell", "-NoProfile", "-NonInteractive", "-EncodedCommand", encoded],
        check=False,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if answer.returncode:
        raise UsageError(f"Windows refused to change the Start menu: {answer.stderr.strip()[:300]}")
    return answer.stdout.strip()


def ico() -> bytes:
    """Return the icon as Windows wants it."""
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(icon(".png"))) as picture:
        picture.save(buffer, format="ICO")
    return buffer.getvalue()
