"""Where no host is known yet: what that means in plain words, and the offer to start one here."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from repram.errors import Cancelled, RepramError, UsageError
from repram_cli import output, settings
from repram_cli.asking import without_passwords

if TYPE_CHECKING:
    from repram.sdk.hosts import Host

_NOWHERE: Final = "no host to store on is known here yet"
_PLAINLY: Final = (
    "works on this computer and your network while it is on; for links that work anywhere run a node "
    "on a server, then `repram hosts add …`"
)
_REPRAM: Final = (sys.executable, "-m", "repram_cli")
_NAME: Final = "here"


def hosts_or_offer(wanted: list[str], *, offer: bool = True) -> tuple[Host, ...]:
    """The hosts to store on; who has none is offered to start one, or else gets none."""
    from repram.sdk.hosts import Hosts

    known = Hosts()
    if wanted:
        return tuple(known.chosen(text, os.environ) for text in wanted)
    usual = settings.text_or_none("host")()
    if usual is None and not known.all():
        try:
            return (_offered(),) if offer else ()
        except KeyboardInterrupt:
            raise Cancelled("interrupted") from None
    return (known.chosen(usual, os.environ),)


def _offered() -> Host:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            _NOWHERE, hint=f"`repram storaged start` starts a node here, which {_PLAINLY}."
        )
    output.say(f"repram: {_NOWHERE}.")
    output.say(f"  A node can be started on this computer now. It {_PLAINLY}.")
    output.say("  It holds what it is given in memory, and `repram storaged stop` ends it.")
    sys.stderr.write("Start one here? [Y/n] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("", "y", "yes"):
        raise UsageError(
            _NOWHERE, hint="`repram hosts add` makes one known, by its address or invite."
        )
    return _started()


def _started() -> Host:
    """A node that is closed to all but us, with an invite that is kept with its address."""
    from repram.sdk.hosts import Host, Hosts

    output.say("starting it …")
    if _run("storaged", "address").returncode != 0:  # else it runs already, and nobody told us
        _said("storaged", "start")
    invite = _said("storaged", "invite", "--name", "this computer")
    host = Hosts().add(Host.parse(invite, _NAME), default=True)
    output.say(f"a node runs here now; it is called {_NAME}, and `repram hosts ls` lists it")
    return host


def _said(*arguments: str) -> str:
    done = _run(*arguments)
    if done.returncode != 0:
        raise RepramError(
            "a node could not be started here",
            hint=f"`repram {' '.join(arguments)}` says: {done.stderr.strip()}",
        )
    return done.stdout.strip()


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own interpreter and arguments
        (*_REPRAM, *arguments),
        capture_output=True,
        text=True,
        check=False,
        env=without_passwords(),
    )
