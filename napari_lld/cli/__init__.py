"""The command line: ``napari-lld COMMAND …`` (``napari-lld --help`` lists the commands).

Others script against it. Exit code 0: done. 2: bad input or usage, with one plain line on standard error
that names the file and the cure. 1: a defect of ours. 130: interrupted. Results go to standard output,
progress and errors to standard error. No command loads Qt or torch into this process, except that `open`
loads Qt: learning runs in a separate process (`training.client`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

_OLDEST = (3, 11)


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code.

    Parameters
    ----------
    argv
        The words after the program's name; those of this process where not given.
    """
    for name in ("stdout", "stderr"):  # Windows' pythonw has none, and every library may write there
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    if tuple(sys.version_info[:2]) < _OLDEST:
        have = ".".join(map(str, sys.version_info[:3]))
        sys.stderr.write(
            f"napari-lld: this is Python {have}, and 3.11 or newer is needed; install one, for example with: "
            "uv python install 3.13\n"
        )
        return 2
    from napari_lld.cli import _app
    from napari_lld.cli._arguments import rewrite

    words, debug = rewrite(sys.argv[1:] if argv is None else argv, _app.command_names())
    return _app.execute(words, debug=debug)
