"""A process that is killed under load; `python -m tests.storaged.disk.crash` does more of it."""

from tests.storaged.disk import crash


def test_what_was_acknowledged_survives_kill_9() -> None:
    assert crash.run(3, seed=1) > 0
