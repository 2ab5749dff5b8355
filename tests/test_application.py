"""What starts the self-contained application. CI makes a whole one and starts demo and window from it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]

WORKER = """
import os, runpy, sys
sys.argv[1:] = ["--version"]
try:
    runpy.run_module("napari_lld", run_name="__main__")
finally:
    print([os.environ.get(name) for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE")])
"""


@pytest.fixture(scope="module")
def application() -> ModuleType:
    spec = importlib.util.spec_from_file_location("application", ROOT / "install" / "application.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_the_launcher_starts_the_python_beside_it_wherever_the_folder_is(
    application: ModuleType, tmp_path: Path
) -> None:
    folder = tmp_path / "made"
    python = folder / "python" / "bin" / "python3"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s|" "$0" "$@"\n')
    python.chmod(0o755)
    application.write_launcher(folder, "python3")
    moved = folder.rename(tmp_path / "napari lld")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "lld").symlink_to("../napari lld/bin/napari-lld")
    wanted = "|".join(
        [str(moved / "python" / "bin" / "python3"), *["-I", "-m", "napari_lld", "open"], "my films|"]
    )
    for program in (moved / "bin" / "napari-lld", tmp_path / "bin" / "lld", "lld"):
        answer = subprocess.run(
            [program, "open", "my films"],
            cwd="/",
            env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout == wanted


def test_what_the_application_starts_keeps_out_of_other_pythons_too(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise RuntimeError('of another Python')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path)}
    answer = subprocess.run(
        [sys.executable, "-I", "-c", WORKER], env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout.splitlines()[-1] == "[None, None, '1']"
