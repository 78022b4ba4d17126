"""Settings of the machine are put back by whoever ends last."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import kernel

BEFORE = {
    "net/core/rmem_max": "1",
    "net/core/wmem_max": "2",
    "net/core/netdev_max_backlog": "3",
    "net/ipv4/tcp_available_congestion_control": "reno cubic",
    "net/ipv4/tcp_allowed_congestion_control": "reno",
}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree like /proc/sys, and a place of its own where runs find each other."""
    monkeypatch.setattr(kernel, "SYSCTL", tmp_path)
    monkeypatch.setattr(kernel, "SHARED", tmp_path / "shared")
    monkeypatch.setattr(kernel, "FOUND", tmp_path / "shared" / "found.json")
    for name, value in BEFORE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(value)
    return tmp_path


def now(settings: Path) -> dict[str, str]:
    return {name: (settings / name).read_text() for name in BEFORE}


def test_they_are_wide_meanwhile_and_as_before_afterwards(settings: Path) -> None:
    with kernel.widened():
        assert now(settings)["net/core/rmem_max"] == str(kernel.LARGE)
        assert now(settings)["net/ipv4/tcp_allowed_congestion_control"] == "reno cubic"
    assert now(settings) == BEFORE


def test_of_two_runs_the_last_puts_them_back(settings: Path) -> None:
    first, second = kernel.widened(), kernel.widened()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert now(settings)["net/core/rmem_max"] == str(kernel.LARGE)
    second.__exit__(None, None, None)
    assert now(settings) == BEFORE


def test_what_a_killed_run_left_is_put_right_by_the_next(settings: Path) -> None:
    killed = kernel.widened()
    killed.__enter__()
    found = kernel.FOUND.read_text()
    killed.__exit__(None, None, None)
    kernel.FOUND.write_text(found)
    (settings / "net/core/rmem_max").write_text(str(kernel.LARGE))
    with kernel.widened():
        pass
    assert now(settings) == BEFORE


def test_buffers_can_be_stock_for_a_while(settings: Path) -> None:
    with kernel.widened():
        with kernel.stock_buffers():
            assert now(settings)["net/core/wmem_max"] == "212992"
        assert now(settings)["net/core/wmem_max"] == str(kernel.LARGE)
