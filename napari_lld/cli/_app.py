"""The typer app: every command registered, every error turned into one line and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from napari_lld.cli import (
    add,
    agreement,
    check,
    demo,
    differential,
    embeddings,
    evaluate,
    export,
    export_model,
    find,
    import_,
    info,
    likeness,
    merge,
    models,
    new,
    open_,
    predict,
    rank,
    renew,
    report,
    restore,
    schema,
    shortcut,
    split,
    train,
)
from napari_lld.cli._console import UsageError, complain

app = typer.Typer(
    name="napari-lld",
    help="Detect, classify and describe white blood cells in blood films: annotate a region, train, review "
    "suggestions. Research use only, not for diagnosis.",
    epilog="napari-lld opens the window, with PROJECT if given. --debug, with any command, shows the "
    "traceback of an error.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _command(name: str, example: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a command whose help ends with an example."""
    return app.command(name, epilog=f"Example: napari-lld {name} {example}")


_command("open", "films")(open_.open_window)
_command("new", "films --schema lld")(new.new)
_command("add", "films images/ --patient-from '^(\\d+)_'")(add.add)
_command("import", "films labels.json --format coco --images images/")(import_.import_annotations)
_command("export", "films cells.json --format coco --anonymise")(export.export)
_command("train", "films --epochs 20")(train.train)
_command("predict", "films --images new/ --out new.json")(predict.predict)
_command("differential", "films slide.tif --to 200")(differential.differential)
_command("renew", "films")(renew.renew)
_command("similar", "films 12 --most 10")(likeness.similar)
_command("clusters", "films --count 20")(likeness.clusters)
_command("embeddings", "films cells.h5ad")(embeddings.embeddings)
_command("rank", "films --what regions -n 5")(rank.rank)
_command("find", "films 'class:Neutrophil certainty<60'")(find.find)
_command("agreement", "films --consensus both")(agreement.agreement)
_command("evaluate", "films --truth truth.json --images images/")(evaluate.evaluate)
_command("export-model", "films model.onnx")(export_model.export_model)
_command("info", "films")(info.info)
_command("models", "films --activate 2")(models.models)
_command("check", "films --repair")(check.check)
_command("split", "films --readers Anna,Bert --out readers --blind")(split.split)
_command("merge", "films readers/Anna readers/Bert")(merge.merge)
_command("restore", "films --list")(restore.restore)
_command("report", "films report.html")(report.report)
_command("schema", "films --set new.yaml --map Monocyte=Monoblast")(schema.schema)
_command("shortcut", "--remove")(shortcut.shortcut)
_command("demo", "--out my-demo")(demo.demo)


INTERRUPTED = 130
"""The exit code after Ctrl+C."""


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"napari-lld {version('napari-lld')}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    del version  # its callback has answered


def command_names() -> frozenset[str]:
    """List every command."""
    return frozenset(command.name for command in app.registered_commands if command.name)


def execute(words: Sequence[str], *, debug: bool = False) -> int:
    """Parse the words, run the command, and return the exit code; errors become one line."""
    try:
        code = typer.main.get_command(app).main(
            args=list(words), prog_name="napari-lld", standalone_mode=False
        )
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        # the reader of our output has gone (`napari-lld info P | head -1`): nothing is wrong; and the
        # interpreter must not fail on flushing to a closed pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            sys.stderr.write("".join(traceback.format_exception(error)))
            sys.stderr.write(getattr(error, "details", "") or "")  # the worker's own traceback
        sentence, code = _explain(error, words[0] if words else "")
        complain(sentence)
        if open_.DIALOG in words:
            open_.show_error(sentence)
        return code
    if code == INTERRUPTED:  # raised, or turned into this code by typer
        complain("Stopped. Completed work is saved, and no incomplete file is left.")
    return code if isinstance(code, int) else 0


def _explain(error: Exception, command: str) -> tuple[str, int]:
    """Return what is wrong in one sentence with the cure, and the exit code."""
    from annotation_store.errors import LLDError

    if isinstance(error, LLDError | UsageError):
        return str(error), 2
    if hasattr(error, "format_message"):  # typer's own usage errors, whichever click it stands on
        about = f"{command} --help" if command in command_names() else "--help"
        text = error.format_message().replace("Value error, ", "").rstrip(".")
        return f"{text}{'' if text.endswith('?') else '.'} See: napari-lld {about}", 2
    if isinstance(error, OSError) and error.filename is not None:
        why = error.strerror or error
        return f"{error.filename}: {why}. Check the path, its permissions and the free space.", 2
    return (
        f"Unexpected {type(error).__name__}: {error}. Run the command again with --debug and report the "
        "traceback.",
        1,
    )
