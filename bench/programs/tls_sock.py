"""TLS 1.3 over TCP with blocking sockets of the standard library."""

from __future__ import annotations

import signal
import socket
import ssl
from contextlib import suppress

from bench.certificate import client_context, server_context
from bench.programs.count import PIECE, Count, arguments, ready


class TimeIsUp(Exception):
    """Raised by the alarm, wherever the program waits."""


def _ring(*_: object) -> None:
    raise TimeIsUp


def serve(host: str, port: int, context: ssl.SSLContext) -> None:
    """Sends to one client after the other."""
    listener = socket.create_server((host, port))
    ready()
    while True:
        connection, _ = listener.accept()
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as session:
            while True:
                session.sendall(PIECE)


def fetch(host: str, port: int, context: ssl.SSLContext, seconds: float, size: int) -> None:
    """Receives until the alarm rings or all has come."""
    buffer = bytearray(len(PIECE))
    with socket.create_connection((host, port)) as connection:
        session = context.wrap_socket(connection, server_hostname=host)
        count = Count(size)
        signal.signal(signal.SIGALRM, _ring)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        with suppress(TimeIsUp):
            while count.add(session.recv_into(buffer)):
                pass
        signal.setitimer(signal.ITIMER_REAL, 0)
        count.tell()


if __name__ == "__main__":
    args = arguments()
    if args.role == "serve":
        serve(args.host, args.port, server_context(args.state))
    else:
        fetch(args.host, args.port, client_context(args.state), args.seconds, args.size)
