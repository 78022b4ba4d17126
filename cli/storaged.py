"""`storaged …`: run a node and look after it. The one file that imports the daemon."""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

import typer

from repram.errors import DeadAddress, RepramError, UsageError
from repram.ids import format_duration, format_size, parse_duration, parse_size
from repram_cli import logs, output
from repram_cli.asking import without_passwords
from repram_cli.node_options import Choices
from repram_cli.options import Json, grouped
from repram_cli.running import listen_address
from repram_cli.running import run as run_coroutine

if TYPE_CHECKING:
    from repram.storaged import control
    from repram.storaged.folder import Folder, Setup

_START_PATIENCE: Final = 60  # seconds: a large store is read before the node answers
_STOP_PATIENCE: Final = 20
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_METRICS: Final = "127.0.0.1:7481"
_LOG_SHOWN: Final = 5  # lines, of a node that did not start

app = typer.Typer(
    help="The node: holds sealed bytes under leases and forgets them on time.", no_args_is_help=True
)
deny = typer.Typer(help="What this node refuses, whoever brings it.", no_args_is_help=True)
clock = typer.Typer(help="What time the node takes it to be.", invoke_without_command=True)
app.add_typer(deny, name="deny")
app.add_typer(clock, name="clock")

FolderOf: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--folder", metavar="FOLDER", envvar="REPRAM_STORAGED", help="The node's own folder."
    ),
]
# ---- a node's life


@app.command()
@grouped
def init(
    folder: Annotated[Path | None, typer.Argument(metavar="[FOLDER]")] = None,
    *,
    choices: Choices,
) -> None:
    """Make a node's folder: its identity, and a config with what is chosen here."""
    from repram.storaged.folder import Setup, changed
    from repram.storaged.identity import load_or_create

    at = _folder(folder)
    at.make()
    at.lock()
    if at.config.exists():
        raise UsageError(
            f"{at.path} is a node's folder already", hint=f"Edit {at.config}, or remove it first."
        )
    setup = changed(Setup(metrics=_METRICS), choices.as_setup())
    _checked(setup)
    load_or_create(at.identity)
    at.write_setup(setup)
    output.say(f"made {output.shown(at.path)}; start the node: repram storaged start{_at(at)}")


@app.command()
@grouped
def run(
    *,
    folder: FolderOf = None,
    choices: Choices,
    identity: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the node's key here, so that its address stays."),
    ] = None,
    log: Annotated[
        logs.Style, typer.Option(metavar="text|json", help="How lines are logged.")
    ] = "text",
) -> None:
    """Run a node until it is told to stop: in memory, unless told otherwise."""
    from repram.storaged.folder import changed

    if choices.snapshot and not folder:  # the folder would go with the process
        choices = replace(choices, snapshot=str(Path(choices.snapshot).expanduser().absolute()))
    logs.configure(log)
    with _own_folder(folder or (Path(choices.disk) if choices.disk else None)) as at:
        setup = changed(at.setup(), choices.as_setup())
        run_coroutine(_run(at, setup, _checked(setup), identity or at.identity))


async def _run(at: Folder, setup: Setup, listen: tuple[str, int], identity: Path) -> None:
    import asyncio

    from repram.storaged.identity import load_or_create
    from repram.storaged.node import Node

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    node = await Node.open(at, setup, listen, identity=load_or_create(identity))
    async with AsyncExitStack() as around:
        await around.enter_async_context(node.controlled(stop))
        if setup.metrics:
            await around.enter_async_context(node.shown(stop, listen_address(setup.metrics)))
        output.data(str(node.address))
        if not setup.public and not node.keeper.invites.by_id:
            _say_how_to_invite(at)
        await node.serve(stop)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def start(context: typer.Context, *, folder: FolderOf = None) -> None:
    """Run a node in the background; takes the options of `run`, and prints the address when it is up."""
    from repram.storaged import control

    at = _folder(folder)
    at.make()
    command = [sys.executable, "-m", "repram_cli", "storaged", "run", "--folder", str(at.path)]
    with os.fdopen(os.open(at.log, _APPEND, 0o600), "ab") as log:
        begins = log.tell()
        node = subprocess.Popen(  # noqa: S603  # our own command, and the user's options
            [*command, *context.args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=without_passwords(),
            start_new_session=True,
        )
    assert node.stdout is not None  # noqa: S101  # it was asked for a pipe
    ready, _, _ = select.select([node.stdout], [], [], _START_PATIENCE)
    address = node.stdout.readline().decode().strip() if ready else ""
    if address:
        output.data(address)
        answer = _ask(at.path, control.Status())
        if not answer["public"] and not answer["invites"]:
            _say_how_to_invite(at)
        return
    if ready:  # it ended; what it said stands in its log
        with at.log.open("rb") as log:
            log.seek(begins)
            said = log.read().decode(errors="replace").splitlines()[-_LOG_SHOWN:]
        for line in said:
            output.say(line)
        raise typer.Exit(node.wait() or 1)
    raise DeadAddress(
        f"the node is not up after {_START_PATIENCE} s",
        hint=f"Look at {at.log}; it may still come.",
    )


@app.command()
def stop(*, folder: FolderOf = None) -> None:
    """Have the node finish what is under way, and wait until it has ended."""
    from repram.storaged import control

    pid = _ask(folder, control.Status())["pid"]
    watched = os.pidfd_open(pid)
    try:
        _ask(folder, control.Stop())
        ended, _, _ = select.select([watched], [], [], _STOP_PATIENCE)
    finally:
        os.close(watched)
    if not ended:
        raise RepramError(
            f"the node has not ended after {_STOP_PATIENCE} s", hint=f"`kill -9 {pid}` ends it."
        )


@app.command()
def drain(*, folder: FolderOf = None) -> None:
    """Have the node take nothing new, and go on serving what it holds."""
    from repram.storaged import control

    items = _ask(folder, control.Drain())["items"]
    output.say(f"taking nothing new; {items} items are held until their time is over")


@app.command()
def status(*, folder: FolderOf = None, json: Json = False) -> None:
    """How the node is."""
    from repram.storaged import control

    answer = _ask(folder, control.Status())
    if json:
        output.event("status", **answer)
        return
    time = answer["clock"]
    sure = "settled" if time["settled"] else "NOT SETTLED: holding everything back"
    up = format_duration(max(1, answer["uptime_ms"]))
    for name, value in {
        "address": answer["address"],
        "state": f"{answer['state']} for {up}, process {answer['pid']}",
        "holds": f"{answer['items']} items, {format_size(answer['used'])} of "
        f"{format_size(answer['capacity'])} in {answer['tier']}",
        "open to": "anyone" if answer["public"] else f"the bearers of {answer['invites']} invites",
        "sessions": answer["sessions"],
        "clock": f"{sure}, {time['offset_ms'] / 1000:+.3f} s to the machine's",
    }.items():
        output.data(f"{name:<9} {value}")


@app.command()
def address(*, folder: FolderOf = None) -> None:
    """Where the node is, as others write it."""
    from repram.storaged import control

    output.data(_ask(folder, control.Status())["address"])


# ---- access


@app.command()
def invite(
    *,
    folder: FolderOf = None,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Whom it is for, to find it again.")
    ] = "",
    write_only: Annotated[
        bool, typer.Option("--write-only", help="To store, not to read.")
    ] = False,
    quota: Annotated[str, typer.Option(metavar="SIZE", help="How much it may hold.")] = "",
    ls: Annotated[bool, typer.Option("--ls", help="Show those there are.")] = False,
    revoke: Annotated[str, typer.Option(metavar="ID|NAME", help="Take one back.")] = "",
    json: Json = False,
) -> None:
    """Make an invite: one line, for `repram hosts add` elsewhere. Whoever has it may store here."""
    from repram.storaged import control

    if ls:
        for row in _ask(folder, control.Invites())["invites"]:
            output.event("invite", **row) if json else output.data(_invite_line(row))
        return
    if revoke:
        gone = _ask(folder, control.Revoke(revoke))
        output.say(f"revoked {gone['id']} {gone['name']}".rstrip())
        return
    asked = control.Invite(name, write_only, parse_size(quota) if quota else 0)
    answer = _ask(folder, asked)
    if json:
        output.event("invite", **answer)
    else:
        output.data(answer["invite"])


def _invite_line(row: dict[str, Any]) -> str:
    limit = f" of {format_size(row['quota'])}" if row["quota"] else ""
    only = "write-only  " if row["write_only"] else ""
    return f"{row['id']}  {format_size(row['used'])}{limit}  {only}{row['name']}".rstrip()


IdOf: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="An item's, or an owner's key.")]
IsOwner: TypeAlias = Annotated[
    bool, typer.Option("--owner", help="It is an owner's key: nothing of theirs is taken.")
]


@deny.command("add")
def deny_add(
    id_: IdOf,
    *,
    owner: IsOwner = False,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="For yourself.")] = "",
    folder: FolderOf = None,
) -> None:
    """Neither take nor serve it from now on."""
    _deny(folder, "add", id_, owner=owner, reason=reason)


@deny.command("rm")
def deny_rm(id_: IdOf, *, owner: IsOwner = False, folder: FolderOf = None) -> None:
    """Take it off the list."""
    _deny(folder, "rm", id_, owner=owner)


@deny.command("ls")
def deny_ls(*, folder: FolderOf = None, json: Json = False) -> None:
    """Show the list."""
    from repram.storaged import control

    for row in _ask(folder, control.Deny("ls"))["denied"]:
        if json:
            output.event("denied", **row)
        else:
            output.data(f"{row['kind']:<5}  {row['id']}  {row['reason']}".rstrip())


def _deny(
    folder: Path | None,
    do: Literal["add", "rm"],
    id_: str,
    *,
    owner: bool,
    reason: str = "",
) -> None:
    from repram.storaged import control

    _ask(folder, control.Deny(do, "owner" if owner else "item", id_, reason))


# ---- time


@app.command()
def audit(*, folder: FolderOf = None, json: Json = False) -> None:
    """What is held past its deadline (there must be nothing), and how long the rest has still."""
    from repram.storaged import control

    answer = _ask(folder, control.Audit())
    if json:
        output.event("audit", **answer)
    else:
        output.data(f"{answer['items']} items, {answer['overdue']} past their deadline")
        for late in answer["listed"]:
            output.data(f"  {late['key']} is {late['late_ms'] / 1000:.1f} s late")
        for span in answer["remaining"]:
            if span["items"]:
                size = format_size(span["bytes"])
                output.data(f"  within {span['within']:<4} {span['items']:>9}  {size}")
    if answer["overdue"]:
        raise RepramError(
            "the node holds what it should have forgotten", hint="Look at its log, and report this."
        )


@clock.callback()
def clock_shown(context: typer.Context, *, folder: FolderOf = None) -> None:
    """The node's time."""
    from repram.storaged import control

    context.obj = folder
    if context.invoked_subcommand is None:
        output.event("clock", **_ask(folder, control.Clock()))


@clock.command("accept")
def clock_accept(context: typer.Context, *, folder: FolderOf = None) -> None:
    """Say that this machine's clock is right: the node goes by it, and what is past its time goes."""
    from repram.storaged import control

    output.event("clock", **_ask(folder or context.obj, control.Clock(accept=True)))


# ----


def _folder(path: Path | None) -> Folder:
    from repram.storaged.folder import Folder, default_folder

    return Folder((path or default_folder()).expanduser().absolute())


@contextmanager
def _own_folder(path: Path | None) -> Iterator[Folder]:
    """The folder given, or one that goes with the process; ours alone either way."""
    from repram.storaged.folder import Folder

    if path is not None:
        at = _folder(path)
        at.make()
        at.lock()
        yield at
        return
    passing = Path(tempfile.mkdtemp(prefix="repram-storaged-"))
    try:
        (at := Folder(passing)).lock()
        yield at
    finally:
        shutil.rmtree(passing, ignore_errors=True)


def _ask(folder: Path | None, request: control.Request) -> dict[str, Any]:
    from repram.storaged import control

    answer = control.ask(control.found(_folder(folder).path), request)
    del answer["ok"]
    return answer


def _at(at: Folder) -> str:
    """How a command has to name this folder."""
    from repram.storaged.folder import default_folder

    return "" if at.path == default_folder() else f" --folder {shlex.quote(str(at.path))}"


def _say_how_to_invite(at: Folder) -> None:
    output.say("Nobody may store here yet. Invite someone:")
    output.say(f"  repram storaged invite{_at(at)}")


def _checked(setup: Setup) -> tuple[str, int]:
    """Where it is to listen; a UsageError for what no node can run with."""
    for size in (setup.capacity, setup.public_quota or "1B", setup.owner_quota or "1B"):
        parse_size(size)
    for place in (setup.advertise, setup.metrics):
        if place:
            listen_address(place)
    if setup.keys and not setup.disk:
        raise UsageError("--keys is for what is on disk", hint="Give --disk FOLDER, too.")
    if setup.snapshot and setup.disk:
        raise UsageError(
            "--snapshot is for what is in memory, and --disk needs none", hint="Give one of them."
        )
    parse_duration(setup.snapshot_every)
    return listen_address(setup.listen)
