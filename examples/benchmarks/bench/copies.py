"""Measure time and memory of splitting a big project for three readers and merging it again."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from annotation_store import Project
from bench import big_project, project, tables

READERS = ("Anna", "Bert", "Carl")
_EVERY, _POLL = 4, 0.05


class _Took(NamedTuple):
    """Resources of a command: wall and processor time in seconds, and peak memory in GB."""

    wall: float
    processor: float
    memory: float

    def words(self) -> str:
        return f"{self.wall:.0f} s ({self.processor:.0f}), {self.memory:.2f} GB"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this mode."""
    parser.add_argument("--place", type=Path, help="folder for the copies, on an idle disk")


def run(args: argparse.Namespace) -> None:
    """Split projects, edit every fourth field of each copy, and merge; skipped with ``--quick``."""
    if args.quick:
        return
    rows = []
    for count in args.fields:
        cache = args.cache.absolute() / "speed"
        parts = measure(big_project.made(cache / str(count), count), args.place or cache / "copies")
        row = [f"{count:,}"]
        for part in parts:
            row.append(part)
            print(*row, sep="; ", flush=True)
        rows.append(row)
    head = ["fields", "split", "what the readers do", "merge", "merge once more"]
    print(tables.markdown(head, rows))
    print(f"\nSeconds of the clock, of the processor in brackets. {project.machine()}.")


def measure(source: Path, folder: Path) -> Iterator[str]:
    """Measure in a separate folder, which is deleted; yield the resources of each step."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        here = folder / "project"
        shutil.copytree(source, here)
        out = folder / "readers"
        yield _command("split", here, "--readers", ",".join(READERS), "--out", out).words()
        begun = time.perf_counter()
        for number, reader in enumerate(READERS):
            _work(out / reader, number)
        yield f"{time.perf_counter() - begun:.0f} s"
        copies = [out / reader for reader in READERS]
        yield _command("merge", here, *copies).words()
        yield _command("merge", here, *copies).words()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _work(folder: Path, number: int) -> None:
    """Box a cell on every fourth field, and change the class of an existing one."""
    with Project.open(folder) as opened:
        for field in opened.fields.all()[::_EVERY]:
            opened.cells.add(field.id, (4 + 12 * number, 82, 9, 9), cell_class=big_project.CLASSES[number])
            first, *_ = opened.cells.all(field.id)
            opened.cells.change(first.id, cell_class=big_project.CLASSES[number])


def _command(*words: object) -> _Took:
    """Run a command, and measure its resources."""
    asked = [sys.executable, "-c", "from napari_lld.cli import run; run()", *map(str, words)]
    begun = time.perf_counter()
    memory, processor = 0, 0.0
    with subprocess.Popen(asked, stdout=subprocess.DEVNULL) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            times = watched.cpu_times()
            processor = max(processor, times.user + times.system)
            memory = max(memory, watched.memory_info().rss)
            time.sleep(_POLL)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, asked)
    return _Took(time.perf_counter() - begun, processor, memory / 1e9)
