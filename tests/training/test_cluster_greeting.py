"""What listens at the address of a scheduler is greeted before dask believes it."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import distributed
import pytest

from training.cluster import greeting
from training.cluster.connection import connected
from training.cluster.errors import ClusterError
from training.cluster.greeting import refuse_other_programs

Serve = Callable[[socket.socket], None]


@pytest.fixture
def listen() -> Iterator[Callable[[Serve], str]]:
    """Serve each connection by a function, in a thread, and give the address."""
    made: list[socket.socket] = []

    def start(serve: Serve) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        made.append(listening)

        def answer(connection: socket.socket) -> None:
            with connection:
                try:
                    serve(connection)
                    while connection.recv(4096):
                        pass
                except OSError:
                    pass

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"tcp://127.0.0.1:{listening.getsockname()[1]}"

    yield start
    for listening in made:
        listening.close()


def ssh(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")


def web(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def closing(connection: socket.socket) -> None:
    connection.close()


def stating(*numbers: int) -> Serve:
    return lambda connection: connection.sendall(struct.pack(f"<{len(numbers)}Q", *numbers))


@pytest.mark.parametrize(
    "serve",
    [
        ssh,
        web,
        closing,
        stating(1 << 62, 1, 1 << 62),
        stating(16 + (1 << 33), 1, 1 << 33),
        stating(24, 1, 1 << 40, 0),
        stating(24, 1 << 62, 0, 0),
        stating(0, 0, 0),
        stating(65_000, 1, 64_984),
    ],
    ids=["ssh", "web", "closing", "huge", "8 GiB", "frame", "frames", "zeros", "half"],
)
def test_another_program_is_named_before_dask_allocates_what_it_states(
    serve: Serve, listen: Callable[[Serve], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "Client", None)
    monkeypatch.setattr("training.cluster.connection.CONNECT", 1.0)
    address = listen(serve)
    with (
        pytest.raises(ClusterError, match=f"What answers at {address} is not a dask scheduler"),
        connected(address, None, lambda: None),
    ):
        pass


def test_a_silent_port_is_not_waited_for_for_ever_and_can_be_cancelled(
    listen: Callable[[Serve], str],
) -> None:
    address = listen(lambda connection: None)
    with pytest.raises(ClusterError, match="does not answer as a dask scheduler"):
        refuse_other_programs(address, lambda: None, 0.3)

    def cancel() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refuse_other_programs(address, cancel, 60)


def test_what_is_not_reached_or_speaks_another_protocol_is_left_to_dask() -> None:
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    refuse_other_programs(f"tcp://127.0.0.1:{port}", lambda: None, 1)
    refuse_other_programs(f"ucx://127.0.0.1:{port}", lambda: None, 1)
    refuse_other_programs(f"tls://127.0.0.1:{port}", lambda: None, 1)


@pytest.mark.parametrize("security", [False, True], ids=["tcp", "tls"])
def test_a_scheduler_is_accepted_and_one_with_or_without_tls_told_apart(
    security: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary: Any = distributed.Security.temporary()
    context = temporary.get_connection_args("client")["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    monkeypatch.setattr(greeting, "tls_context", lambda: context)
    with distributed.LocalCluster(
        n_workers=0,
        processes=False,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        protocol="tls" if security else "tcp",
        security=temporary if security else None,
    ) as cluster:
        address = cluster.scheduler_address
        refuse_other_programs(address, lambda: None, 10)
        protocol, _, place = address.partition("://")
        assert protocol == ("tls" if security else "tcp")
        if security:
            with pytest.raises(ClusterError, match="TLS"):
                refuse_other_programs(f"tcp://{place}", lambda: None, 5)
        else:
            with pytest.raises(ClusterError, match="does not use TLS"):
                refuse_other_programs(f"tls://{place}", lambda: None, 5)
