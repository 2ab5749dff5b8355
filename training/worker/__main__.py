"""Entry point of the worker; see ``docs/worker.md``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from training.worker.channel import CancelledError, Channel, Task

BEGUN = time.monotonic()
_USAGE = "Usage: python -P -m training.worker REQUEST.json | --stay SECONDS"


def main(arguments: list[str]) -> int:
    """Run the request file, or requests from standard input; return the exit code."""
    match arguments:
        case ["--stay", seconds]:
            channel = Channel(on_gone=lambda: end(0))
            channel.listen()
            go_second_to_a_window()
            from training.worker.warm import stay

            def do(task: Task) -> bool:
                return answer(lambda: task.request, channel, task.begun)[1]

            stay(channel, do, idle=float(seconds))
            return 0
        case [file]:
            channel = Channel()
            channel.listen()
            go_second_to_a_window()
            return answer(lambda: Path(file).read_text(encoding="utf-8"), channel, BEGUN)[0]
        case _:
            raise SystemExit(_USAGE)


def answer(read: Callable[[], str], channel: Channel, begun: float) -> tuple[int, bool]:
    """Run one task; return the exit code, and whether the process may do another."""
    try:
        # after the channel: later failures are sent as a message
        from training.protocol import parse_request
        from training.worker.run import run

        request = parse_request(read())
        channel.check()
        channel.send_last(run(request, channel, begun))
        return 0, True
    except BaseException as error:
        from annotation_store.errors import LLDError
        from training.protocol import Cancelled, ProtocolError
        from training.worker.failures import failure

        if channel.cancelled or isinstance(error, CancelledError):
            # errors during cancellation are irrelevant
            channel.send_last(Cancelled())
            return 0, isinstance(error, CancelledError)
        channel.send_last(failure(error))
        return 1, isinstance(error, LLDError | ProtocolError)


def go_second_to_a_window() -> None:
    """Lower the priority of the process if a window is open that does not wait for the result."""
    if os.environ.get("NAPARI_LLD_WINDOW") not in (None, "", "waited for"):
        from training.worker.machine import go_second

        go_second()


def end(code: int) -> NoReturn:
    """Exit immediately, without waiting for threads of libraries."""
    from annotation_store.files.temporary import clean_up

    sys.stderr.flush()
    clean_up()
    os._exit(code)


if __name__ == "__main__":
    end(main(sys.argv[1:]))
