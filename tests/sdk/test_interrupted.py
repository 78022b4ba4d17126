"""Clients and nodes that are killed; `python -m tests.sdk.interrupted` does more of it."""

from tests.sdk import interrupted


def test_a_transfer_whose_client_or_node_is_killed_ends_all_the_same() -> None:
    assert interrupted.run(2, seed=1) >= 0
