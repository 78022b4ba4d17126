"""`storaged …`: run a node. The one file that imports the daemon."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from repram.errors import UsageError
from repram.ids import DEFAULT_PORT, parse_size
from repram_cli import output
from repram_cli.running import listen_address
from repram_cli.running import run as run_coroutine

_log = logging.getLogger(__name__)

app = typer.Typer(
    help="The node: holds sealed bytes under leases and forgets them on time.", no_args_is_help=True
)


@app.callback()
def storaged() -> None:
    """Make `run` a verb of its own; others join it."""


@app.command()
def run(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 picks a free one.")
    ] = f"0.0.0.0:{DEFAULT_PORT}",
    memory: Annotated[
        str, typer.Option(metavar="SIZE", help="How much to hold at most, such as 256MiB.")
    ] = "1GiB",
    public: Annotated[
        bool, typer.Option("--public", help="Let anyone who knows the address store here.")
    ] = False,
    identity: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the node's key here, so that its address stays."),
    ] = None,
) -> None:
    """Run a node in memory until it is told to stop."""
    if not public:
        raise UsageError(
            "a closed node needs invites, and this version has none yet",
            hint="Run `repram storaged run --public`: whoever knows the address may store here.",
        )
    _log_to_stderr()
    host, port = listen_address(listen)
    run_coroutine(_run(host, port, parse_size(memory), identity))


async def _run(host: str, port: int, memory: int, identity: Path | None) -> None:
    from repram.storaged.identity import SEED_SIZE, load_or_create  # as in transfer.py
    from repram.storaged.node import Node

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    seed = load_or_create(identity) if identity else secrets.token_bytes(SEED_SIZE)
    node = await Node.open((host, port), memory=memory, identity=seed)
    output.data(str(node.address))
    _log.info("serving address=%s memory=%d", node.address, memory)
    await node.serve(stop)


def _log_to_stderr() -> None:
    """One line a message, fields as key=value."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="time=%(asctime)s level=%(levelname)s source=%(name)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )
