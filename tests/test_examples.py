"""Every script in examples/ and its folders runs with --quick: bundled sample, no network, no display."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(file for place in (".", "benchmarks", "tools") for file in (EXAMPLES / place).glob("*.py"))

IN_A_KERNEL = "export_and_analyse"
"""Runs as a notebook, others as scripts: `tools/notebooks.py --quick` says that both are the same code."""
OF_THEIR_OWN = {"desk_tour", "take_screenshots"}
"""They show a window."""

ENVIRONMENT = {
    "MPLBACKEND": "Agg",
    "OMP_NUM_THREADS": "1",  # for so little, a second thread is mostly in the way
    "PYTHONWARNINGS": "default",
}

Done = subprocess.CompletedProcess[str]

IN_TURN = """
import contextlib, io, json, os, runpy, sys, tempfile, traceback

sys.path.insert(0, sys.argv[1])
from training import client

class Staying(client.PersistentWorker):
    def leave(self):
        pass

worker = Staying()
client.PersistentWorker = lambda: worker
client.run_worker = lambda request, *, on_message=None: worker.ask(request, on_message=on_message)
answers = sys.stdout
for line in sys.stdin:
    script, folder = json.loads(line)
    os.chdir(folder)
    tempfile.tempdir = folder
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
    print(json.dumps([code, said.getvalue()]), flush=True, file=answers)
"""
"""Runs scripts in one process, which imports what they share once, and with one worker that stays for all."""


class InTurn:
    """Runs scripts one after the other in a process of their own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_TURN, str(EXAMPLES / "benchmarks")],
            env=os.environ | ENVIRONMENT,
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
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def run_in_a_kernel(script: Path, folder: Path) -> Done:
    """Run the notebook of a script as Jupyter does; tell what it printed, and how many figures it drew."""
    notebook = nbformat.read(EXAMPLES / "notebooks" / f"{script.stem}.ipynb", as_version=4)
    quick = f"import sys, tempfile; sys.argv.append('--quick'); tempfile.tempdir = {str(folder)!r}"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(quick))
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    try:
        client.execute(
            env=os.environ | ENVIRONMENT | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
        )
    except CellExecutionError as error:
        return Done([script.stem], 1, str(error), "")
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    figures = sum("image/png" in output.get("data", {}) for output in shown)
    said = "".join(output.text for output in shown if output.output_type == "stream")
    return Done([script.stem], 0, f"{said}{figures} figures", "")


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, tuple[Future[Done], Path]]]:
    """Two at a time: much of an example is waiting for another process."""
    items = [item for item in request.session.items if item.path == request.path]
    asked_for = [item.callspec.params["script"] for item in items if hasattr(item, "callspec")]
    folders = {one: tmp_path_factory.mktemp(one.stem) for one in asked_for}
    in_turn = InTurn()
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:

        def start(script: Path) -> Future[Done]:
            if script.stem == IN_A_KERNEL:
                return second.submit(run_in_a_kernel, script, folders[script])
            if script.stem in OF_THEIR_OWN:
                return second.submit(run, script, folders[script])
            return first.submit(in_turn.run, script, folders[script])

        yield {one: (start(one), folders[one]) for one in asked_for}
    in_turn.end()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.stem)
def test_example_runs_quickly_on_the_bundled_sample(
    script: Path, runs: dict[Path, tuple[Future[Done], Path]]
) -> None:
    future, folder = runs[script]
    done = future.result()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip(), "an example says what it did"
    if (EXAMPLES / "notebooks" / f"{script.stem}.ipynb").is_file():
        assert len(list(folder.glob("lld-*/*.png"))) == 1, "its figure lies beside its project"
    if script.stem == IN_A_KERNEL:
        assert "72 cells" in done.stdout
        assert done.stdout.endswith("1 figures"), done.stdout


def test_an_example_can_be_read_in_one_go() -> None:
    for notebook in (EXAMPLES / "notebooks").glob("*.ipynb"):
        lines = (EXAMPLES / f"{notebook.stem}.py").read_text("utf-8").splitlines()
        code = [line for line in lines if line.strip() and not line.startswith("#")]
        assert len(code) < 80, notebook.stem
        assert len(lines) < 110, notebook.stem
