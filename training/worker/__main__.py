"""Entry point of the worker; see ``docs/architecture.md``, worker protocol."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from training.worker.channel import CancelledError, Channel

BEGUN = time.monotonic()


def main(arguments: list[str]) -> int:
    """Do what the request file says; the exit code."""
    channel = Channel()
    channel.listen()
    # after the channel: what fails from here on is said as a message
    from training.protocol import Cancelled
    from training.worker.failures import failure

    try:
        if len(arguments) != 1:
            raise SystemExit("Usage: python -P -m training.worker REQUEST.json")
        if os.environ.get("NAPARI_LLD_WINDOW") and hasattr(os, "nice"):
            os.nice(10)  # the window goes first; without one nobody waits for anything else
        from training.protocol import parse_request
        from training.worker.run import run

        request = parse_request(Path(arguments[0]).read_text(encoding="utf-8"))
        channel.check()
        channel.send_last(run(request, channel, BEGUN))
        return 0
    except CancelledError:
        channel.send_last(Cancelled())
        return 0
    except SystemExit:
        raise
    except BaseException as error:
        if channel.cancelled:
            # what breaks while stopping is not worth a word
            channel.send_last(Cancelled())
            return 0
        channel.send_last(failure(error))
        return 1


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    from annotation_store.temporary import clean_up

    clean_up()
    os._exit(code)  # at once: no waiting for threads of libraries
