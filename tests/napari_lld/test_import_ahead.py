"""What the first project needs, done while the window waits for one."""

from __future__ import annotations

import subprocess
import sys

import pytest

_UNITS = """
import pint
from pint.registry import LazyRegistry
from qtpy.QtCore import QCoreApplication
from napari_lld.tasks.import_ahead import Units

app = QCoreApplication([])
units, filled = Units(), pint.UnitRegistry()
pixel = pint.get_application_registry().pixel if {in_use} else None
units.filled.emit(filled)
used = pint.get_application_registry().get()
assert type(used) is not LazyRegistry
assert (used is filled) is not {in_use}
if pixel is not None:
    assert 1 * pixel == 1 * pint.get_application_registry().pixel
"""


@pytest.mark.parametrize("in_use", [False, True])
def test_units_that_were_read_ahead_are_used_unless_a_layer_has_units_already(in_use: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _UNITS.format(in_use=in_use)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
