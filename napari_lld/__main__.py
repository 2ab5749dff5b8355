"""``python -m napari_lld``: the command line, where no script was installed for it."""

from __future__ import annotations

import os
import sys

from napari_lld.cli import run

if __name__ == "__main__":
    if sys.flags.isolated:  # -I: neither may the processes that this one starts hear of another Python
        os.environ.pop("PYTHONPATH", None)
        os.environ.pop("PYTHONHOME", None)
        os.environ["PYTHONNOUSERSITE"] = "1"
    sys.exit(run())
