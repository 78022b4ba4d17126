"""Who may do what on this node: the gate of a node that runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from repram.errors import Busy, NotAllowed, RateLimited
from repram.proto.endpoint import Session
from repram.storaged.access.buckets import BURST, RATE, Buckets, network_of
from repram.storaged.access.denied import Denied
from repram.storaged.access.gate import ANYONE, Right
from repram.storaged.access.invites import Invites
from repram.storaged.access.policy import Policy
from repram.storaged.access.quotas import Quotas
from repram.storaged.clock import Clock

_BLAMED: Final = 0.1  # of a bucket
_NEEDS_INVITE: Final = "Ask the node's owner for an invite, and add it: `repram hosts add`."


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms strangers and friends are served; 0 limits nothing."""

    public: bool = False
    rate: float = RATE
    burst: float = BURST
    public_quota: int = 0  # of all those without an invite together
    owner_quota: int = 0  # of each owner's key


class Keeper:
    """Knows the invites, counts what each bearer holds and asks, and minds the clock."""

    def __init__(
        self,
        terms: Terms,
        clock: Clock,
        *,
        folder: Path | None,
        entropy: Callable[[int], bytes],
        time: Callable[[], float],
        policy: Policy | None = None,
    ) -> None:
        self.terms = terms
        self.invites = Invites(folder and folder / "invites", entropy)
        self.denied = Denied(folder and folder / "denied")
        self.clients = Buckets(terms.rate, terms.burst, time)
        self.nodes = Buckets(terms.rate, terms.burst, time)
        self.node_keys: set[bytes] = set()  # of the nodes of this network, as far as they are known
        self.draining = False
        self.policy = policy
        self.quotas = Quotas(self._limit_of, terms.owner_quota)
        self._clock = clock

    # ---- the gate

    def admit(self, session: Session, right: Right) -> bytes:
        """The account that is charged; raises NotAllowed, RateLimited or ClockRefused."""
        account = session.secret_id or ANYONE
        buckets, who = self._bucket(session)
        try:
            buckets.take(who)
        except RateLimited:
            session.hold_back()  # what else it has under way costs the others less time
            raise
        session.hold_back(False)
        if self._clock.settled:
            self._refuse_without(account, right)
        else:
            self._clock.refuse_unsettled()
        if right is Right.STORE:
            self._clock.refuse_new()
            if self.draining:
                raise Busy("this node is being emptied and takes nothing new", hint="Use another.")
        return account

    def blame(self, session: Session) -> None:
        """A tenth of all that it may ask at once is gone."""
        buckets, who = self._bucket(session)
        buckets.forfeit(who, _BLAMED)

    def rights(self, session: Session) -> tuple[bool, bool]:
        """Whether this session may store, and whether it may read."""
        account = session.secret_id or ANYONE
        return self._may(account, Right.STORE), self._may(account, Right.READ)

    def quota(self, session: Session) -> tuple[int, int]:
        """What this session's account may hold (0: anything), and what it does."""
        account = session.secret_id or ANYONE
        return self._limit_of(account), self.quotas.used_by(account)

    def refuse_denied(self, item: bytes, owner: bytes) -> None:
        """Raise NotAllowed for what this node's owner does not want."""
        self.denied.refuse(item, owner)

    @property
    def consults(self) -> bool:
        """Whether there is a policy command."""
        return self.policy is not None

    async def consult(self, op: str, item: bytes, size: int, owner: bytes) -> None:
        """Ask the policy command, if there is one; raises NotAllowed."""
        if self.policy is not None:
            await self.policy.ask(op, item, size, owner)

    def charge(self, account: bytes, owner: bytes, size: int) -> None:
        """Count bytes that are held from now on; raises Full."""
        self.quotas.charge(account, owner, size)

    def recount(self, account: bytes, owner: bytes, size: int) -> None:
        """Count what was held before a restart."""
        self.quotas.recount(account, owner, size)

    def refund(self, account: bytes, owner: bytes, size: int) -> None:
        """They are held no longer."""
        self.quotas.refund(account, owner, size)

    # ----

    def _bucket(self, session: Session) -> tuple[Buckets, bytes | str]:
        """Which requests it counts towards: those of its node, its invite or its address."""
        if session.peer_key in self.node_keys:
            return self.nodes, session.peer_key or b""
        return self.clients, session.secret_id or network_of(session.address[0])

    def _may(self, account: bytes, right: Right) -> bool:
        invite = self.invites.by_id.get(account)
        if invite is not None:
            return right is Right.STORE or not invite.write_only
        return account == ANYONE and (self.terms.public or right is not Right.STORE)

    def _refuse_without(self, account: bytes, right: Right) -> None:
        if self._may(account, right):
            return
        if account == ANYONE:
            raise NotAllowed("this node takes nothing without an invite", hint=_NEEDS_INVITE)
        if account not in self.invites.by_id:
            raise NotAllowed("the invite of this session was revoked", hint=_NEEDS_INVITE)
        raise NotAllowed(
            "this invite is write-only: it may store, and not read", hint="Ask for another invite."
        )

    def _limit_of(self, account: bytes) -> int:
        if account == ANYONE:
            return self.terms.public_quota
        invite = self.invites.by_id.get(account)
        return invite.quota if invite else 0
