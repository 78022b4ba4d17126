"""Callers who are not what they say: each INIT of theirs has one thing wrong, and is treated so."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from nacl.bindings import crypto_scalarmult_base, crypto_sign_seed_keypair

from repram.proto.primitives import Pattern
from tests.proto.by_hand import (
    INIT,
    INIT_SIZE,
    REFUSED,
    VERSION,
    Limits,
    header,
    with_crc,
)
from tests.sim.answers import NOT_ALLOWED, WRONG_KEY, WRONG_SECRET, Init
from tests.sim.noise import first_message

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.sim.witness import Witness
    from tests.sim.world import Host, World

HAS_IDENTITY, HAS_SECRET = 1, 2


class Caller:
    """One who makes INITs by hand, with keys of its own."""

    def __init__(self, random: Random, key: bytes, static: bytes) -> None:
        self.key = key  # the server's, Ed25519
        self.responder = crypto_scalarmult_base(static)
        self.static = random.randbytes(32)
        self.ephemeral: bytes | None = random.randbytes(32)
        self.pattern = Pattern.IK
        self.version = 1
        self.suites = 1
        self.reserved = 0
        self.size = INIT_SIZE
        self.session = random.randbytes(4)
        self.nonce = random.randbytes(8)
        self.token = random.randbytes(16)
        self.hello = b"\0"

    def init(self) -> bytes:
        """The INIT, right in all that has not been made wrong."""
        clear = self.session + bytes([self.version, self.suites, self.pattern, self.reserved])
        clear += self.nonce
        limits = Limits().pack()
        message = first_message(
            self.pattern,
            b"repram v1" + clear,
            self.responder,
            ephemeral=self.ephemeral,
            static=self.static,
            payload=self.hello + self.token + limits,
        )
        start = header(INIT, self.size - 20) + clear + len(message).to_bytes(2, "big") + message
        init = start.ljust(self.size, b"\0")
        mac1 = Init(init).mac1_for(self.key)
        return with_crc(init[:-32] + mac1 + bytes(16))


# ---- what may be wrong, and what is said to it ----


def _another_key(caller: Caller) -> tuple[int, int]:
    caller.key = caller.token * 2
    return REFUSED, WRONG_KEY


def _another_version(caller: Caller) -> tuple[int, int]:
    caller.version = 2
    return VERSION, 1


def _no_suite(caller: Caller) -> tuple[int, int]:
    caller.suites = 0x80
    return REFUSED, NOT_ALLOWED


def _unknown_secret(caller: Caller) -> tuple[int, int]:
    caller.pattern = Pattern.IKPSK2
    caller.hello = bytes([HAS_SECRET]) + caller.nonce
    return REFUSED, WRONG_SECRET


def _no_secret(caller: Caller) -> tuple[int, int]:
    caller.pattern = Pattern.IKPSK2
    return REFUSED, WRONG_SECRET


def _somebody_else(caller: Caller) -> None:
    identity, _ = crypto_sign_seed_keypair(caller.token * 2)
    caller.hello = bytes([HAS_IDENTITY]) + identity


def _zero_key(caller: Caller) -> None:
    caller.ephemeral = None


def _too_small(caller: Caller) -> None:
    caller.size = INIT_SIZE - 1


def _reserved_bits(caller: Caller) -> None:
    caller.reserved = 1


def _unknown_flags(caller: Caller) -> None:
    caller.hello = b"\x04"


def _another_responder(caller: Caller) -> None:
    caller.responder = crypto_scalarmult_base(caller.token * 2)


FAULTS: Final[tuple[Callable[[Caller], tuple[int, int] | None], ...]] = (
    _another_key,
    _another_version,
    _no_suite,
    _unknown_secret,
    _no_secret,
    _somebody_else,
    _zero_key,
    _too_small,
    _reserved_bits,
    _unknown_flags,
    _another_responder,
)


class Strangers:
    """Calls the server now and then, each time from another address and with another fault."""

    def __init__(
        self, world: World, witness: Witness, every: int, finished: Callable[[], bool]
    ) -> None:
        self.world = world
        self.witness = witness
        self.every = every
        self.finished = finished
        self._random = world.random("strangers")
        self._count = 0

    def begin(self, host: Host) -> None:
        """Call from now on."""
        wait = 1 + int(self._random.expovariate(1 / self.every))
        self.world.at(self.world.now + wait, partial(self._call, host), host)

    def _call(self, host: Host) -> None:
        if self.finished():
            return
        secrets = self.witness.secrets
        caller = Caller(self._random, secrets.key, secrets.static)
        fault = self._random.choice(FAULTS)
        wanted = fault(caller)
        self._count += 1
        source = (f"10.67.{self._count >> 8}.{self._count & 255}", 777)
        # Under load an INIT that looks right is asked for a cookie before anything in it is read.
        may_wait = wanted is None or wanted[1] == WRONG_SECRET
        self.witness.answers.expect(source, fault.__name__.strip("_"), wanted, may_wait=may_wait)
        self.world.inject(host, caller.init(), source)
        self.begin(host)
