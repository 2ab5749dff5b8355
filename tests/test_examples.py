"""Every script in examples/ and its folders runs with --quick: bundled sample, no network, no display."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(
    file for place in (".", "benchmarks", "tools") for file in (ROOT / "examples" / place).glob("*.py")
)

Done = subprocess.CompletedProcess[str]

IN_TURN = """
import contextlib, io, json, os, runpy, sys, traceback

sys.path.insert(0, sys.argv[1])
for line in sys.stdin:
    script, folder = json.loads(line)
    os.chdir(folder)
    sys.argv = [script, "--quick"]
    code, said = 0, io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            code = 1
            traceback.print_exc()
    print(json.dumps([code, said.getvalue()]), flush=True)
"""
"""Runs scripts in one process, which imports what they share once, as does the worker that stays for them."""


class Benchmarks:
    """Runs the benchmarks one after the other in a process of their own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_TURN, str(ROOT / "examples" / "benchmarks")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, script: Path, folder: Path) -> Done:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(script), str(folder)]) + "\n")
        self.process.stdin.flush()
        code, said = json.loads(self.process.stdout.readline())
        return Done([str(script)], code, said, "")

    def end(self) -> None:
        self.process.communicate()


def run(script: Path, folder: Path) -> Done:
    return subprocess.run(
        [sys.executable, str(script), "--quick"],
        cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "default"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, Future[Done]]]:
    """Two at a time, of which one is a benchmark: much of an example is waiting for another process."""
    asked_for = [
        item.callspec.params["script"] for item in request.session.items if item.path == request.path
    ]
    folders = {one: tmp_path_factory.mktemp(one.stem) for one in asked_for}
    benchmarks = Benchmarks()
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        yield {
            one: first.submit(benchmarks.run, one, folders[one])
            if one.stem.startswith("benchmark_")
            else second.submit(run, one, folders[one])
            for one in asked_for
        }
    benchmarks.end()


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda s: s.stem)
def test_example_runs_quickly_on_the_bundled_sample(script: Path, runs: dict[Path, Future[Done]]) -> None:
    done = runs[script].result()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip(), "an example says what it did"
