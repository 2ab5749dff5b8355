"""``python -m napari_lld.report``: the report for a window, in a separate process that cannot block it.

One JSON object on standard input says what is wanted; what went wrong is a sentence on standard error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from annotation_store import Project
from annotation_store.errors import LLDError
from napari_lld.report import ReportOptions, write_report


def main() -> int:
    """Write it; 2 where that is refused."""
    request = json.loads(sys.stdin.read())
    try:
        with Project.open(request["project"], reading=request["reading"], read_only=True) as project:
            options = ReportOptions(**request["options"])
            # the dialog has asked whether a file may be replaced
            write_report(project, Path(request["out"]), options, overwrite=True)
    except LLDError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
