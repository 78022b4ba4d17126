"""Signatures that are remembered: each is checked once, and only what was checked passes."""

from __future__ import annotations

import pytest

from repram.errors import IntegrityFailure
from repram.storaged.holdings.leases import Signatures
from tests.leases import ALICE, BOB

ROOT = bytes([7]) * 32


def test_a_signature_that_was_good_once_passes_again_and_no_other_does() -> None:
    signatures = Signatures()
    terms = ALICE.terms(ROOT, 0)
    signature = ALICE.lease(terms).signature
    for _ in range(2):
        signatures.made(terms, signature)
        with pytest.raises(IntegrityFailure):
            signatures.made(terms._replace(ttl=terms.ttl + 1), signature)
        with pytest.raises(IntegrityFailure):
            signatures.made(terms, BOB.lease(terms).signature)


def test_a_renewal_is_signed_by_either_key_and_a_new_lease_by_one() -> None:
    terms = ALICE.terms(ROOT, 0)
    by_end, by_renew = ALICE.lease(terms).signature, ALICE.lease(terms, ALICE.renews).signature
    signatures = Signatures()
    signatures.renewed(terms, by_renew)
    signatures.renewed(terms, by_end)
    signatures.made(terms, by_end)
    with pytest.raises(IntegrityFailure):
        signatures.made(terms, by_renew)


def test_what_is_remembered_is_bounded() -> None:
    signatures = Signatures(limit=3)
    for serial in range(10):
        terms = ALICE.terms(ROOT, 0, serial=serial)
        signatures.made(terms, ALICE.lease(terms).signature)
        assert len(signatures._good) <= 3
