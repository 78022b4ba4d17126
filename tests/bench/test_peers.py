"""Peers are found by their names, and understood when they tell of a transfer."""

from __future__ import annotations

import json

import pytest

from bench import scenarios
from bench.peers import Flow, Told, find
from bench.processes import Failed


@pytest.mark.parametrize("name", [*scenarios.ALL, "repram", "tls-sock", "nginx"])
def test_every_peer_that_is_measured_is_known(name: str) -> None:
    assert find(name).name == name


@pytest.mark.parametrize("name", ["", "tls", "aioquic-bbr", "repram-reno", "-bbr"])
def test_another_name_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(ValueError, match=r"repram, .*tls-sock, .* with -cubic or -bbr"):
        find(name)


def test_a_control_is_chosen_for_the_kernel_where_it_is_the_kernel_that_controls() -> None:
    assert find("tls-sock-bbr").tcp_congestion == "bbr"
    assert find("tls-sock").tcp_congestion is None
    assert find("repram-bbr").tcp_congestion is None


def test_curl_is_counted_from_the_request_on() -> None:
    assert find("nginx").told("1000000 2.5 0.5") == Told(1_000_000, 2.0)


def test_iperf3_is_counted_by_what_arrived() -> None:
    end = {"sum_sent": {"bytes": 9}, "sum_received": {"bytes": 7, "seconds": 2.0}}
    assert find("iperf3").told(json.dumps({"end": end})) == Told(7, 2.0)


def test_an_error_of_iperf3_is_told() -> None:
    with pytest.raises(Failed, match="unable to connect"):
        find("iperf3").told(json.dumps({"error": "unable to connect", "end": {}}))


def test_cost_is_that_of_both_sides() -> None:
    flow = Flow(bytes=1 << 29, seconds=2.0, cpu_s_sender=0.25, cpu_s_receiver=0.5)
    assert flow.cpu_s_gib == 1.5
    assert flow.goodput_mb_s == (1 << 29) / 2e6
