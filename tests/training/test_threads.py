"""How many threads a worker uses."""

from __future__ import annotations

import os
import subprocess
import sys

SAID = """
from training.networks.devices import set_threads
first = set_threads()
import training.networks.ultralytics_api
print(first, set_threads())
"""


def test_a_second_task_of_a_process_uses_as_many_threads_as_the_first() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    said = subprocess.run(
        [sys.executable, "-c", SAID], env=environment, check=True, capture_output=True, text=True
    ).stdout.split()
    assert said[0] == said[1]
