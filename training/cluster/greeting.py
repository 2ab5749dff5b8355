"""Check that a dask scheduler answers at an address, before dask believes the lengths that it states.

Dask allocates whatever length a peer states first, and waits for its greeting without a time limit. A web
server, an SSH server or a silent port would end in a `MemoryError` or never.
"""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from training.cluster.errors import ClusterError

_MOST_BYTES = 65_536
"""Maximum size of a greeting, which has 250 bytes."""
_MOST_FRAMES = 64
_POLL = 0.2
_LENGTH = struct.Struct("<Q")
_TLS_ALERT = b"\x15\x03"
"""First bytes of a TLS server's answer to plain text."""


def refuse_other_programs(address: str, check: Callable[[], None], patience: float) -> None:
    """Greet what listens at an address as dask does, and check the size and form of the answer.

    An address where nothing can be reached is left to dask, which tries again and reports it, and so is one
    of another protocol.

    Parameters
    ----------
    check
        Called while waiting; an exception that it raises ends the wait.
    patience
        Seconds to wait for the answer.

    Raises
    ------
    ClusterError
        Another program answers, it is silent, or only one of the two sides uses TLS.
    """
    protocol, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    context = tls_context() if protocol == "tls" else None
    if protocol not in ("tcp", "tls") or (protocol == "tls" and context is None):
        return
    end = time.monotonic() + patience
    with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), patience) as connection:
        try:
            connection.settimeout(patience)  # of the TLS handshake
            stream = connection if context is None else context.wrap_socket(connection)
        except TimeoutError:
            raise _silent(address) from None
        except ssl.SSLError as error:
            if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"):
                raise ClusterError(
                    f"What answers at {address} does not use TLS. If it is the scheduler, give its address "
                    "as tcp://…; else check the address."
                ) from error
            raise
        with stream:
            with suppress(OSError):  # it may have closed the connection after answering
                stream.sendall(_greeting())
            answer = _receive(stream, _LENGTH.size, check, end, address)
            (size,) = _LENGTH.unpack(answer)
            if answer.startswith(_TLS_ALERT):
                raise ClusterError(f"The scheduler {address} uses TLS: give its address as tls://….")
            if not 2 * _LENGTH.size <= size <= _MOST_BYTES or not _is_message(
                _receive(stream, size, check, end, address)
            ):
                raise _another_program(address)


def tls_context() -> ssl.SSLContext | None:
    """Return the certificates of dask's settings; ``None`` if there are none, or dask has to report them."""
    from distributed import Security

    try:
        arguments: dict[str, Any] = Security().get_connection_args("client")
    except Exception:  # a missing or broken file
        return None
    context = arguments["ssl_context"]
    return context if isinstance(context, ssl.SSLContext) else None


def _greeting() -> bytes:
    """Return what a dask client sends first."""
    from distributed.protocol import dumps
    from distributed.protocol.utils import pack_frames

    own = {"compression": None, "python": sys.version_info[:3], "pickle-protocol": 5}
    message = bytes(pack_frames(dumps(own)))
    return _LENGTH.pack(len(message)) + message


def _receive(stream: socket.socket, size: int, check: Callable[[], None], end: float, address: str) -> bytes:
    """Read exactly so many bytes."""
    received = b""
    stream.settimeout(_POLL)
    while len(received) < size:
        check()
        if time.monotonic() > end:
            raise _another_program(address) if received else _silent(address)
        try:
            part = stream.recv(size - len(received))
        except TimeoutError:
            continue
        except OSError:
            part = b""
        if not part:
            raise _another_program(address)
        received += part
    return received


def _is_message(message: bytes) -> bool:
    """Return whether the lengths of a message's frames fit its size."""
    count: int = _LENGTH.unpack_from(message)[0]
    start = _LENGTH.size * (1 + count)
    if not 1 <= count <= _MOST_FRAMES or start > len(message):
        return False
    lengths: tuple[int, ...] = struct.unpack_from(f"<{count}Q", message, _LENGTH.size)
    return start + sum(lengths) == len(message)


def _another_program(address: str) -> ClusterError:
    return ClusterError(
        f"What answers at {address} is not a dask scheduler, or is one that uses TLS. Give the address that "
        "the scheduler printed when it started, such as tcp://host:8786, and not that of its dashboard."
    )


def _silent(address: str) -> ClusterError:
    return ClusterError(
        f"Something listens at {address}, but does not answer as a dask scheduler. Give the address that the "
        "scheduler printed when it started (tls://… if it uses TLS), or restart it if it hangs."
    )
