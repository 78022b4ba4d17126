"""Which owners a session has proved to be."""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary

from repram.crypto import statements
from repram.errors import NotAllowed
from repram.proto.endpoint import Session

_PER_SESSION: Final = 64  # owners that a session is known to be; older ones are proved again


class Owners:
    """Proofs hold for the session in which they were brought, and no longer."""

    def __init__(self) -> None:
        self._proved: WeakKeyDictionary[Session, dict[bytes, None]] = WeakKeyDictionary()

    def prove(self, session: Session, owner: bytes, signature: bytes) -> None:
        """IntegrityFailure when the owner has not signed this very session's handshake."""
        bound = session.connection.handshake_hash()
        statements.check(owner, statements.owner_statement(owner, bound), signature)
        proved = self._proved.setdefault(session, {})
        proved.pop(owner, None)
        proved[owner] = None
        if len(proved) > _PER_SESSION:
            del proved[next(iter(proved))]

    def require(self, session: Session, owner: bytes) -> None:
        """NotAllowed when the session has not proved to be this owner."""
        if owner not in self._proved.get(session, ()):
            raise NotAllowed(
                "this is for its owner, and the session has not proved to be that",
                hint="Prove the owner's key in this session first.",
            )
