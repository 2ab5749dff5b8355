"""What the words of the command line mean."""

from __future__ import annotations

import subprocess
import sys

import pytest

from napari_lld.cli._app import app, command_names
from napari_lld.cli._arguments import rewrite

COMMANDS = {
    "open",
    "new",
    "add",
    "import",
    "export",
    "export-model",
    "train",
    "predict",
    "differential",
    "rank",
    "renew",
    "similar",
    "clusters",
    "embeddings",
    "agreement",
    "find",
    "evaluate",
    "info",
    "models",
    "check",
    "report",
    "restore",
    "schema",
    "split",
    "merge",
    "shortcut",
    "demo",
}


def words(line: str) -> list[str]:
    return rewrite(line.split(), COMMANDS)[0]


def test_every_command_of_the_contract_stands_there_and_none_that_does_not_exist_yet() -> None:
    assert command_names() == COMMANDS


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("", "open"),
        ("film", "open film"),
        ("infoo film", "infoo film"),
        ("./new", "open ./new"),
        ("-- new", "open -- new"),
        ("new film", "new film"),
        ("--help", "--help"),
        ("--version", "--version"),
        ("predict p --images a b --out o", "predict p --images a --images b --out o"),
        ("predict p --images a --images b c --json", "predict p --images a --images b --images c --json"),
        ("evaluate p --images a --truth t", "evaluate p --images a --truth t"),
    ],
)
def test_the_first_word_that_is_no_command_is_a_project_to_open(line: str, meaning: str) -> None:
    assert words(line) == meaning.split()


def test_debug_counts_wherever_it_stands() -> None:
    assert rewrite(["info", "p", "--debug"], COMMANDS) == (["info", "p"], True)
    assert rewrite(["--debug", "p"], COMMANDS) == (["open", "p"], True)
    assert rewrite(["--debug"], COMMANDS) == (["open"], True)
    assert rewrite(["open", "--", "--debug"], COMMANDS) == (["open", "--", "--debug"], False)


def test_version_and_help_answer(cli) -> None:
    assert cli("--version").out.startswith("napari-lld ")
    help_ = cli("--help")
    assert help_.code == 0
    for name in COMMANDS:
        assert name in help_.out
    for name in COMMANDS:
        assert cli(name, "--help").code == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("trian", "'train'"),
        ("train", "PROJECT"),
        ("new p --nonsense", "--nonsense"),
        ("import p f --format tea", "tea"),
        ("train p --epochs many", "--epochs"),
        ("train p --size 3", "--size"),
    ],
)
def test_a_label_error_in_the_words_is_one_line_and_exit_code_2(cli, line: str, said: str) -> None:
    cli(*line.split()).refuses(said)


def test_help_and_import_load_neither_qt_nor_torch_nor_the_store() -> None:
    code = (
        "import sys; from napari_lld.cli import run; run(['--help']);"
        "names = 'torch ultralytics qtpy PyQt6 PySide6 napari sqlalchemy zarr'.split();"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("query", ["-class:missing", "-unknown", "-origin:imported flag:h"])
def test_a_query_may_begin_with_a_minus(query: str) -> None:
    words = ["find", "films", query, "--json"]
    assert rewrite(words, COMMANDS) == (["find", "films", "--json", "--", query], False)


def test_debug_shows_the_traceback_and_the_line_still_comes_last(cli, tmp_path) -> None:
    answer = cli("info", tmp_path / "none", "--debug")
    assert answer.code == 2
    assert "Traceback" in answer.err
    assert answer.err.splitlines()[-1].startswith("napari-lld: ")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_help_of_every_command_ends_with_an_example_that_it_understands(name: str) -> None:
    import shlex

    import typer

    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    last = (command.epilog or "").splitlines()[-1]
    begins = f"Example: napari-lld {name} "
    assert last.startswith(begins)
    typed = rewrite([name, *shlex.split(last.removeprefix(begins))], COMMANDS)[0]
    command.make_context(name, typed[1:])  # raises where an option or argument does not exist
