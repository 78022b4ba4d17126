"""`storaged init` and `storaged run` take the same: how a node is to run."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a node's config says, too; None where the config is to say it."""

    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 picks a free one."),
    ] = None
    advertise: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="What the node's address says instead of that."),
    ] = None
    capacity: Annotated[
        str | None,
        typer.Option("--capacity", "--memory", metavar="SIZE", help="How much to hold at most."),
    ] = None
    disk: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Hold it on disk, there; in memory without."),
    ] = None
    keys: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Keep the keys of what is on disk there: a tmpfs, say."
        ),
    ] = None
    snapshot: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Have what is in memory there again after a restart."),
    ] = None
    snapshot_every: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How often that is written, beside at the end."),
    ] = None
    public: Annotated[
        bool | None, typer.Option("--public", help="Let anyone who knows the address store here.")
    ] = None
    rate: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Requests a second, by invite or address; 0: any."),
    ] = None
    burst: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="So many of them at once.")
    ] = None
    public_quota: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="What all without an invite may hold together."),
    ] = None
    owner_quota: Annotated[
        str | None, typer.Option(metavar="SIZE", help="What any one owner's key may hold.")
    ] = None
    policy: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="Ask this command before taking anything.")
    ] = None
    metrics: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Show metrics and health there; '' nowhere."),
    ] = None

    def as_setup(self) -> dict[str, Any]:
        """In the config's form."""
        policy = None if self.policy is None else tuple(shlex.split(self.policy))
        return asdict(self) | {"policy": policy}
