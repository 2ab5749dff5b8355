"""Make a folder that holds napari-lld and all it needs, and runs wherever it is put.

python install/application.py OUT --constraints install/constraints.txt
python install/application.py OUT --torch-backend cpu            # Linux without CUDA
python install/application.py OUT --find-links wheels            # no network; wheels: install/wheelhouse.py

The folder holds a copy of a Python, the packages in it, and a program that starts them: OUT/bin/napari-lld
(Windows: OUT/napari-lld.cmd). Run this on the system that the folder is for, in a checkout or with --wheel,
with `uv` installed; docs/install.md says for each system which Python to take and how to pass the folder on.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

LEFT_OUT = (
    *("site-packages", "test", "tests", "idlelib", "turtledemo", "tkinter", "ensurepip", "config-*"),
    *("_tkinter.*", "nis.*", "_test*", "_xxtest*", "EXTERNALLY-MANAGED"),
)
"""Of a Python: its packages, tests, Tk (which needs half of X), and the ban on installing into it."""

OF_THE_SYSTEM = re.compile(
    r"linux-vdso|ld-linux|lib(c|m|dl|rt|pthread|util|resolv|nsl|gcc_s|stdc\+\+|z|uuid)\.so"
)
"""Libraries that every Linux has, and that its other libraries expect to be as new as themselves."""

OF_X = re.compile(r"lib(xcb-|xkbcommon)")
"""What Qt needs on an X server and many a desktop lacks; libxcb itself and OpenGL are the system's own."""

SHELL = """\
#!/bin/sh
# Start napari-lld with the Python in this folder, wherever the folder is.
self=$0
while [ -L "$self" ]; do
  link=$(readlink "$self")
  case $link in
    /*) self=$link ;;
    *) self=$(dirname "$self")/$link ;;
  esac
done
place=$(CDPATH= cd -- "$(dirname -- "$self")/.." && pwd -P) || exit 1
# -I: no variable and no package of another Python has a say
exec "$place/python/bin/{python}" -I -m napari_lld "$@"
"""

BATCH = """\
@echo off
rem Start napari-lld with the Python in this folder, wherever the folder is.
rem -I: no variable and no package of another Python has a say
"%~dp0python\\python.exe" -I -m napari_lld %*
"""


class Interpreter(NamedTuple):
    """A Python that is to be copied: its folder and its version, such as ``3.13``."""

    folder: Path
    version: str

    @classmethod
    def ask(cls, program: str) -> Interpreter:
        """Run it and have it say where it is; of a virtual environment, the Python behind it."""
        question = (
            "import sys, json; print(json.dumps([sys.base_prefix, '%d.%d' % tuple(sys.version_info[:2])]))"
        )
        answer = subprocess.run([program, "-I", "-c", question], check=True, capture_output=True, text=True)
        folder, version = json.loads(answer.stdout)
        return cls(Path(folder), version)


def main() -> int:
    """Copy, install, start once, and print the size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="a new or empty folder; 2 to 7 GB")
    parser.add_argument("--wheel", type=Path, help="of napari-lld; built from the checkout if not given")
    parser.add_argument("--extras", default="desktop", help="such as desktop or desktop,cluster")
    parser.add_argument("--python", default=sys.executable, help="the Python to copy; by default this one")
    parser.add_argument("--constraints", type=Path, help="a file with the versions to install")
    parser.add_argument("--find-links", type=Path, help="a folder of wheels; nothing else is then asked")
    parser.add_argument("--torch-backend", help="which torch, as uv names it: cpu, auto, cu128, …")
    parser.add_argument(
        "--link-mode",
        choices=("hardlink", "copy"),
        default="copy",
        help="hardlink: in seconds, and the files are those of uv's cache; for tests, not to pass on",
    )
    parser.add_argument(
        "--no-compile", action="store_true", help="quicker; the program compiles itself as it starts"
    )
    args = parser.parse_args()
    if args.out.exists() and any(args.out.iterdir()):
        parser.error(f"{args.out}: not empty; give a new folder")
    args.out = args.out.absolute()
    try:
        python = copy_python(Interpreter.ask(args.python), args.out / "python")
        install(python, args)
        if sys.platform.startswith("linux"):
            for missing in carry_libraries(args.out / "python"):
                print(f"{missing} is not on this system, so the folder does not bring it", file=sys.stderr)
        if not args.no_compile:
            compile_all(python)
        launcher = write_launcher(args.out, python.name)
        run(str(launcher), "--version")
    except FileNotFoundError as error:
        cure = {"uv": "pip install uv", "patchelf": "install the package patchelf"}
        name = str(error.filename)
        print(f"{name}: not found{'; ' + cure[name] if name in cure else ''}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(
            f"{' '.join(error.cmd[:4])} … failed; what it said stands above, and {args.out} is not complete",
            file=sys.stderr,
        )
        return 2
    print(f"{size(args.out) / 1e9:.1f} GB; start it with: {launcher}")
    return 0


def copy_python(source: Interpreter, out: Path) -> Path:
    """Copy a Python without other people's packages, and return the program."""
    out.mkdir(parents=True)
    leave_out = shutil.ignore_patterns(*LEFT_OUT)
    if sys.platform == "win32":
        for file in (*source.folder.glob("python*.exe"), *source.folder.glob("*.dll")):
            shutil.copy2(file, out)
        for folder in ("DLLs", "Lib"):
            shutil.copytree(source.folder / folder, out / folder, ignore=leave_out)
        (out / "Lib" / "site-packages").mkdir()
        return out / "python.exe"
    name = f"python{source.version}"
    (out / "bin").mkdir()
    shutil.copy2(source.folder / "bin" / name, out / "bin")
    shutil.copytree(source.folder / "lib" / name, out / "lib" / name, ignore=leave_out)
    (out / "lib" / name / "site-packages").mkdir()
    for library in source.folder.glob(f"lib/libpython{source.version}*.[sd][oy]*"):
        shutil.copy2(library, out / "lib", follow_symlinks=False)
    if sys.platform.startswith("linux"):
        make_relocatable(out)
    return out / "bin" / name


def make_relocatable(python: Path) -> None:
    """Have a copied Python find its libraries beside itself; nothing is left to do for one of uv's."""
    own = [
        *python.glob("bin/python*"),
        *python.glob("lib/*.so*"),
        *python.glob("lib/python*/lib-dynload/*.so"),
    ]
    carry(own, python / "lib", lambda name: not OF_THE_SYSTEM.match(name))


def carry_libraries(python: Path) -> list[str]:
    """Put what Qt needs of X beside Qt, where it looks first, and return what this system lacks itself."""
    qt = next(python.glob("lib/python*/site-packages/PyQt6/Qt6"), None)
    if qt is None:
        return []
    # Qt's own files are hard links to uv's cache, perhaps, and find their libraries as they are
    return carry(
        [qt / "plugins" / "platforms" / "libqxcb.so"],
        qt / "lib",
        lambda name: bool(OF_X.match(name)),
        patch=False,
    )


def carry(
    files: Iterable[Path], folder: Path, wanted: Callable[[str], bool], *, patch: bool = True
) -> list[str]:
    """Copy the libraries that files need into a folder, and have the files look there.

    Parameters
    ----------
    files
        Programs and libraries.
    folder
        Where the libraries go.
    wanted
        Whether a library of this name, such as ``libssl.so.3``, is to be copied.
    patch
        Whether the files may be changed; the copied libraries always are.

    Returns
    -------
    list of str
        The names of those that were wanted and are not here.
    """
    missing: set[str] = set()
    waiting = [(file, patch) for file in files if not file.is_symlink()]
    while waiting:
        file, change = waiting.pop()
        outside = {
            name: place
            for name, place in needed(file).items()
            if wanted(name) and (place is None or folder not in place.parents)
        }
        for name, place in outside.items():
            if place is None:
                missing.add(name)
            elif not (folder / name).exists():
                shutil.copy(place, folder / name)
                waiting.append((folder / name, True))
        if outside and change:
            file.chmod(file.stat().st_mode | 0o200)
            way = os.path.relpath(folder, file.parent)
            run("patchelf", "--set-rpath", "$ORIGIN" if way == "." else f"$ORIGIN/{way}", str(file))
    return sorted(missing)


def needed(file: Path) -> Mapping[str, Path | None]:
    """Return the libraries, by name, that a program or library is loaded with; None for one not found."""
    answer = subprocess.run(["ldd", str(file)], check=False, capture_output=True, text=True)
    found = re.findall(r"^\s*(\S+) => (?:(/.*?)|not found)(?: \(0x\w+\))?$", answer.stdout, re.MULTILINE)
    return {name: Path(place).resolve().parent / name if place else None for name, place in found}


def install(python: Path, args: argparse.Namespace) -> None:
    """Install the wheel with all that it needs, and take away the programs, which would not bear a move."""
    before = set(python.parent.iterdir())
    with tempfile.TemporaryDirectory() as made:
        if args.wheel is None:
            run("uv", "build", "--quiet", "--wheel", "--out-dir", made, str(ROOT))
        wheel = args.wheel or next(Path(made).glob("*.whl"))
        words = ["uv", "pip", "install", "--quiet", "--python", str(python), "--link-mode", args.link_mode]
        if args.constraints:
            words += ["--constraints", str(args.constraints)]
        if args.find_links:
            words += ["--no-index", "--find-links", str(args.find_links)]
        if args.torch_backend:
            words += ["--torch-backend", args.torch_backend]
        run(*words, f"napari-lld[{args.extras}] @ {wheel.resolve().as_uri()}")
    for program in {*python.parent.iterdir()} - before:
        if program.is_file():  # their first line names the Python by its place
            program.unlink()
    shutil.rmtree(python.parent / "Scripts", ignore_errors=True)  # Windows


def compile_all(python: Path) -> None:
    """Compile all, once for all: a copy changes times, and the folder may be one that nobody can write to."""
    words = [str(python), "-I", "-m", "compileall", "-qq", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    # it fails by the few files of packages that are no Python of today, and which nothing imports
    subprocess.run([*words, str(python.parents[python.parent.name == "bin"])], check=False)


def write_launcher(out: Path, python: str) -> Path:
    """Write the program that starts it, and return it."""
    windows = sys.platform == "win32"
    launcher = out / "napari-lld.cmd" if windows else out / "bin" / "napari-lld"
    launcher.parent.mkdir(exist_ok=True)
    launcher.write_text(
        BATCH if windows else SHELL.format(python=python), newline="\r\n" if windows else "\n"
    )
    launcher.chmod(0o755)
    return launcher


def size(folder: Path) -> int:
    """Return the bytes in a folder."""
    return sum(file.lstat().st_size for file in folder.rglob("*"))


def run(*words: str) -> None:
    """Run a program, whose output is shown.

    Raises
    ------
    FileNotFoundError
        When the program is not there.
    subprocess.CalledProcessError
        When it fails.
    """
    subprocess.run(words, check=True)


if __name__ == "__main__":
    sys.exit(main())
