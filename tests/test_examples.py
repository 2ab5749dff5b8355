"""Every script in examples/ runs as it stands with --quick: bundled sample, no network, no display."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

Done = subprocess.CompletedProcess[str]


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
    """Two at a time: most of an example is one process that waits for another to start."""
    asked_for = [
        item.callspec.params["script"] for item in request.session.items if item.path == request.path
    ]
    with ThreadPoolExecutor(2) as pool:
        yield {one: pool.submit(run, one, tmp_path_factory.mktemp(one.stem)) for one in asked_for}


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda s: s.stem)
def test_example_runs_quickly_on_the_bundled_sample(script: Path, runs: dict[Path, Future[Done]]) -> None:
    done = runs[script].result()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip(), "an example says what it did"
