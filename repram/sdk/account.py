"""The account of this machine's user: its keystore in a file, and its identity while it is unlocked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from repram.crypto import account, people
from repram.crypto.account import KEYSTORE_SIZE, Keystore
from repram.crypto.identity import public_key
from repram.crypto.passwords import password_bytes
from repram.crypto.people import Person
from repram.crypto.recovery import RecoveryKey
from repram.errors import Conflict, IntegrityFailure, NotFound, UsageError, WrongPassword
from repram.ids import from_base64url, to_base64url
from repram.sdk.agent import Agent, NoAgentError
from repram.sdk.state import StateFile, state_folder

TRIES: Final = 3

Ask: TypeAlias = (
    "Callable[[bool], Awaitable[str | None]]"  # told whether a password was wrong before
)


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    keystore: Annotated[str, Meta(max_length=2 * KEYSTORE_SIZE)] = ""


class Account:
    """What stands in the file, and the agent that may hold what is in it."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or state_folder(os.environ)
        self._file = StateFile(self._folder / "account.json", File)

    @property
    def path(self) -> Path:
        """Where the keystore is: useless without password or recovery key, and as dear as both."""
        return self._file.path

    def exists(self) -> bool:
        """Whether there is an account here."""
        return self._file.read().keystore != ""

    def keystore(self) -> Keystore:
        """What is stored of the account."""
        text = self._file.read().keystore
        if not text:
            raise NotFound("there is no account here", hint="Make one: `repram account create`.")
        return _parsed(text)

    def person(self) -> Person:
        """Whose account it is; no password is needed for that."""
        return self.keystore().person

    def refuse_a_second(self) -> None:
        """Conflict when there is an account here: making another would destroy it."""
        if self.exists():
            raise _exists_already(self.path)

    def create(self, password: str) -> RecoveryKey:
        """Make one; the recovery key is kept nowhere, so this is when to write it down."""
        self.refuse_a_second()
        recovery = RecoveryKey.new()
        self._replace("", account.create(password_bytes(password), recovery))
        return recovery

    def open(self, password: str) -> bytes:
        """The identity's seed; takes a moment, and must not run on an event loop."""
        return account.open_with_password(self.keystore(), password_bytes(password))

    def open_with(self, recovery: RecoveryKey) -> bytes:
        """The identity's seed, for who has forgotten the password."""
        return account.open_with_recovery(self.keystore(), recovery)

    def change_password(
        self, seed: bytes, new: str, *, renew_recovery: bool = False
    ) -> RecoveryKey | None:
        """Another password and MK for the identity that was opened; the new recovery key if one is wanted."""
        before = self.keystore()
        if public_key(seed) != before.person.key:
            raise _changed_meanwhile()
        recovery = RecoveryKey.new() if renew_recovery else None
        to = Person(public_key(recovery.seed())) if recovery else before.recovery
        self._replace(_text(before), account.sealed(seed, password_bytes(new), to))
        return recovery

    def agent(self) -> Agent:
        """The agent that holds the identity while the account is unlocked."""
        return Agent.of(self.person(), self._folder, os.environ)

    def unboxer(self, ask: Ask | None = None) -> Unboxer:
        """What opens boxes to this account: its agent, else the password that is asked for, once."""
        return Unboxer(self, ask)

    def _replace(self, expected: str, keystore: Keystore) -> None:
        """Not over what another program has written meanwhile."""

        def change(file: File) -> File:
            if file.keystore != expected:
                raise _changed_meanwhile()
            return File(_text(keystore))

        self._file.update(change)


class Unboxer:
    """Opens boxes for downloads; whether something is sealed to this account shows only then."""

    def __init__(self, of: Account, ask: Ask | None) -> None:
        self._account = of
        self._ask = ask
        self._seed: bytes | None = None

    async def __call__(self, box: bytes) -> bytes | None:
        """What is in the box; None when it is to somebody else, or there is no account."""
        if self._seed is None:
            if not self._account.exists():
                return None
            try:
                return await asyncio.to_thread(self._account.agent().unbox, box)
            except NoAgentError:
                self._seed = await self._opened()
        try:
            return people.unbox(self._seed, box)
        except IntegrityFailure:
            return None

    async def _opened(self) -> bytes:
        wrong: WrongPassword | None = None
        for _ in range(TRIES):
            password = await self._ask(wrong is not None) if self._ask else None
            if password is None:
                raise wrong or NoAgentError
            try:
                return await asyncio.to_thread(self._account.open, password)
            except WrongPassword as error:
                wrong = error
        raise wrong or NoAgentError


def _text(keystore: Keystore) -> str:
    return to_base64url(bytes(keystore))


def _parsed(text: str) -> Keystore:
    try:
        raw = from_base64url(text, len(text) * 6 // 8)
    except UsageError:
        raw = b""  # which is no keystore either, and is told as that
    return Keystore.parse(raw)


def _exists_already(path: Path) -> Conflict:
    return Conflict(
        "there is an account here already",
        hint=f"`repram id` prints whose; for another move {path} away, or use another profile.",
    )


def _changed_meanwhile() -> Conflict:
    return Conflict("the account was changed by another program", hint="Try again.")
