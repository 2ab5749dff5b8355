"""Open the window of an installed napari-lld on a field of the sample, and see that it shows it.

python .ci/check_window.py FOLDER    # where a project may be made; needs a display
"""

import os
import sys
from pathlib import Path

from qtpy.QtTest import QTest

import napari_lld
from annotation_store import Project
from napari_lld import sample
from napari_lld.window import build_window

folder, installed = Path(sys.argv[1]), Path(napari_lld.__file__)
assert Path(__file__).resolve().parents[1] not in installed.parents, f"{installed} is not of the wheel"
with Project.create(folder) as project:
    project.fields.add(list(sample.fields())[:2])
viewer, dock = build_window(folder)
QTest.qWait(2000)
session = dock.desk.session
assert session.project is not None
assert session.fields.current is not None
assert dock.isVisible()
picture = viewer.screenshot(canvas_only=False, flash=False)
assert picture.std() > 10, "the window is blank"
name, size = session.fields.current.name, f"{picture.shape[1]}×{picture.shape[0]}"
print(f"window: field {name}, {len(viewer.layers)} layers, {size}", flush=True)
os._exit(0)  # software GL may crash when the process is taken apart
