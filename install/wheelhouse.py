"""Collect all that an installation needs in one folder, for computers without a network.

python install/wheelhouse.py OUT                                      # for a computer like this one
python install/wheelhouse.py OUT --system windows --python 3.12      # for another system
python install/wheelhouse.py OUT --torch-index ADDRESS               # Linux without CUDA: 5 GB less

Run it in a checkout on a computer with a network (it needs `uv` and `pip`), carry OUT over, and do what
OUT/INSTALL.txt says. The versions are those of install/constraints.txt, with which the tests ran.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SYSTEMS = {
    # Qt's wheels ask for glibc 2.34: Debian 12, Ubuntu 22.04, RHEL 9 and later
    "linux": (
        "x86_64-manylinux_2_34",
        [f"manylinux_2_{minor}_x86_64" for minor in range(34, 16, -1)] + ["manylinux2014_x86_64"],
    ),
    "windows": ("x86_64-pc-windows-msvc", ["win_amd64"]),
    "macos": (
        "aarch64-apple-darwin",
        [f"macosx_{major}_0_{chip}" for major in (14, 13, 12, 11) for chip in ("arm64", "universal2")],
    ),
}
"""By system: the platform for which `uv` resolves, and the tags of wheels that fit it."""

INSTALL = """napari-lld without a network, for {system}, Python {python}

In this folder, in a terminal:

    python -m venv napari-lld-environment
    {activate}
    pip install --no-index --find-links . "napari-lld[{extras}]"
    napari-lld open
"""


def main() -> int:
    """Resolve, download, check and write how to install."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="a new or empty folder; 1 to 6 GB")
    parser.add_argument("--system", choices=SYSTEMS, default=here(), help="of the computer to install on")
    parser.add_argument(
        "--python", default=f"{sys.version_info.major}.{sys.version_info.minor}", metavar="X.Y"
    )
    parser.add_argument("--extras", default="desktop", help="such as desktop or desktop,cluster")
    parser.add_argument(
        "--torch-index",
        metavar="ADDRESS",
        help="where torch's wheels without CUDA are, as PyTorch's site says",
    )
    args = parser.parse_args()
    if args.out.exists() and any(args.out.iterdir()):
        parser.error(f"{args.out}: not empty; give a new folder")
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        collect(args.out, args.system, args.python, args.extras, args.torch_index)
    except FileNotFoundError as error:
        print(f"{error.filename}: not installed; pip install uv", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(
            f"{' '.join(error.cmd[:4])} … failed; what it said stands above, and {args.out} is not complete",
            file=sys.stderr,
        )
        return 2
    size = sum(file.stat().st_size for file in args.out.iterdir()) / 1e9
    count = len(list(args.out.glob("*.whl")))
    print(f"{count} wheels, {size:.1f} GB; how to install: {args.out / 'INSTALL.txt'}")
    return 0


def here() -> str | None:
    """Return the name of this computer's system."""
    return {"linux": "linux", "win32": "windows", "darwin": "macos"}.get(sys.platform)


def collect(out: Path, system: str, python: str, extras: str, torch_index: str | None) -> None:
    """Fill the folder.

    `uv` says what the other system needs (pip would read the conditions of this one); pip downloads it.

    Raises
    ------
    subprocess.CalledProcessError
        When a version cannot be had as a wheel, or the network is away.
    """
    platform, tags = SYSTEMS[system]
    wanted = out / "requirements.txt"
    run("uv", "build", "--quiet", "--wheel", "--out-dir", str(out), str(ROOT))
    (out / ".gitignore").unlink(missing_ok=True)
    chosen = [word for extra in extras.split(",") for word in ("--extra", extra)]
    index = ["--index", torch_index] if torch_index else []
    run(
        *("uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", *chosen, *index),
        *("--constraints", str(ROOT / "install" / "constraints.txt")),
        *("--python-platform", platform, "--python-version", python),
        *("--output-file", str(wanted), str(ROOT / "pyproject.toml")),
    )
    fits = [word for tag in tags for word in ("--platform", tag)]
    extra_index = ["--extra-index-url", torch_index] if torch_index else []
    run(
        *(
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            *extra_index,
        ),
        *("--python-version", python, "--implementation", "cp", "--abi", f"cp{python.replace('.', '')}"),
        *("--abi", "abi3", "--abi", "none", *fits, "--dest", str(out), "--requirement", str(wanted)),
    )
    wheel = next(out.glob("napari_lld-*.whl"))
    run(  # complete? nothing is installed
        *(
            "uv",
            "pip",
            "install",
            "--quiet",
            "--dry-run",
            "--no-index",
            "--find-links",
            str(out),
            "--target",
            str(out / "nowhere"),
        ),
        *(
            "--python-platform",
            platform,
            "--python-version",
            python,
            f"napari-lld[{extras}] @ {wheel.resolve().as_uri()}",
        ),
    )
    activate = (
        r"napari-lld-environment\Scripts\activate"
        if system == "windows"
        else ". napari-lld-environment/bin/activate"
    )
    (out / "INSTALL.txt").write_text(
        INSTALL.format(system=system, python=python, extras=extras, activate=activate), encoding="utf-8"
    )


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
