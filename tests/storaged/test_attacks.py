"""One line a minute for each kind of attack, and none for the noise of every network."""

from repram.storaged.attacks import Attacks


def noticed(attacks: Attacks, **counters: int) -> dict[str, int]:
    return {kind.name: count for kind, count in attacks.noticed(counters)}


def test_what_comes_about_often_is_told_with_how_often() -> None:
    attacks = Attacks()
    assert noticed(attacks, retries_out=5_000, dropped_crc=60, dropped_short=50) == {
        "flood": 5_000,
        "noise": 110,
    }


def test_what_was_told_is_not_told_again() -> None:
    attacks = Attacks()
    noticed(attacks, retries_out=5_000)
    assert noticed(attacks, retries_out=5_099) == {}
    assert noticed(attacks, retries_out=5_199) == {"flood": 100}


def test_every_breach_of_the_protocol_is_worth_a_line() -> None:
    assert noticed(Attacks(), protocol_errors=1) == {"breaches": 1}


def test_another_endpoint_starts_at_nothing() -> None:
    attacks = Attacks()
    noticed(attacks, dropped_auth=10_000)
    assert noticed(attacks, dropped_auth=50) == {}
    assert noticed(attacks, dropped_auth=150) == {"forgeries": 100}
