"""What a node counts: told truly, readable for Prometheus, and listed in the documents."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from repram.proto.messages import Get, Put
from repram.proto.rpc import Code
from repram.storaged.exposition import Family, Histogram, page
from repram.storaged.metrics import Metrics, Standing
from tests.conftest import Run
from tests.proto.calls import server, talking

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"\brepram_storaged_[a-z0-9_]+\b")


def read(text: str) -> dict[str, Metric]:
    """The families of a page; a counter's without its `_total`, as Prometheus' own parser has it."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(text: str, name: str, **labels: str) -> float:
    """The one sample of this name whose labels include these."""
    found = [
        sample.value
        for family in read(text).values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def busy() -> tuple[Metrics, Standing]:
    """A node that has seen everything at least once."""
    metrics = Metrics(started=1_000.5)
    metrics.answered(Put, 0, 40_000)
    metrics.answered(Get, Code.NOT_FOUND, 5_000)
    metrics.answered(None, Code.MALFORMED, 1_000)
    metrics.synced(0.002)
    transport = {
        "datagrams_in": 1, "bytes_in": 2, "datagrams_out": 3, "bytes_out": 4, "dropped_crc": 5,
        "handshakes_completed": 6, "handshakes_failed": 7, "refused_out": 8, "retries_out": 9,
        "sessions": 10, "streams": 11, "arena_used": 12, "arena_peak": 13, "ptos": 14,
    }  # fmt: skip
    standing = Standing(
        tier="disk",
        capacity=1 << 30,
        used=1 << 20,
        items={"chunk": 3, "record": 4, "entry": 5},
        overdue=1,
        expired=20,
        ended=21,
        shredded=22,
        unreadable=23,
        log_bytes=24,
        clock_offset=-0.25,
        settled=False,
        draining=True,
        kernel_drops=26,
        transport=transport,
    )
    return metrics, standing


def names_of(text: str) -> set[str]:
    """Every name that a query could ask for."""
    return {sample.name for family in read(text).values() for sample in family.samples}


def test_everything_the_rooms_count_is_shown() -> None:
    metrics, standing = busy()
    text = metrics.page(standing)
    expected = {
        ("requests_total", "put", "done"): 1,
        ("requests_total", "get", "not_found"): 1,
        ("requests_total", "unreadable", "malformed"): 1,
    }
    for (name, verb, outcome), count in expected.items():
        assert value(text, f"repram_storaged_{name}", verb=verb, outcome=outcome) == count
    assert value(text, "repram_storaged_request_seconds_count", verb="put") == 1
    assert value(text, "repram_storaged_request_seconds_sum", verb="put") == pytest.approx(4e-5)
    assert value(text, "repram_storaged_items", kind="record") == 4
    assert value(text, "repram_storaged_dropped_datagrams_total", cause="crc") == 5
    assert value(text, "repram_storaged_dropped_datagrams_total", cause="kernel") == 26
    assert value(text, "repram_storaged_handshakes_total", outcome="refused") == 8
    assert value(text, "repram_storaged_transport_events_total", event="ptos") == 14
    assert value(text, "repram_storaged_transport_memory_bytes", state="peak") == 13
    assert value(text, "repram_storaged_info", tier="disk") == 1
    assert value(text, "repram_storaged_resident_bytes") > 1 << 20
    plain = {
        "overdue_items": 1, "expired_items_total": 20, "ended_items_total": 21, "log_bytes": 24,
        "shredded_buckets_total": 22, "unreadable_entries_total": 23, "clock_offset_seconds": -0.25,
        "clock_settled": 0, "draining": 1, "received_bytes_total": 2, "sent_bytes_total": 4,
        "received_datagrams_total": 1, "sent_datagrams_total": 3, "sessions": 10, "streams": 11,
        "used_bytes": 1 << 20, "capacity_bytes": 1 << 30, "start_time_seconds": 1_000.5,
        "fsync_seconds_count": 1,
    }  # fmt: skip
    assert {name: value(text, f"repram_storaged_{name}") for name in plain} == plain


def test_a_counter_of_the_transport_is_shown_once(run: Run[None]) -> None:
    async def main() -> None:
        async with talking(server()) as ends:
            counters = ends.session.endpoint.core.counters()
            text = Metrics(0).page(
                Standing(tier="m", capacity=1, used=0, items={}, transport=counters)
            )
            assert value(text, "repram_storaged_sessions") == 1
            assert value(text, "repram_storaged_handshakes_total", outcome="completed") == 1
            shown = {
                label
                for family in read(text).values()
                for sample in family.samples
                for label in sample.labels.values()
            }
            gone_elsewhere = {"datagrams_in", "bytes_in", "datagrams_out", "bytes_out"}
            gone_elsewhere |= {"handshakes_completed", "handshakes_failed", "refused_out"}
            gone_elsewhere |= {"retries_out", "sessions", "streams", "arena_used", "arena_peak"}
            for name in counters.keys() - gone_elsewhere:
                assert name.removeprefix("dropped_") in shown
            assert not gone_elsewhere & shown

    run(main())


@given(st.lists(st.floats(0, 100), max_size=200))
def test_a_histogram_counts_each_value_under_every_bound_above_it(values: list[float]) -> None:
    bounds = (0.001, 0.5, 1.0, 50.0)
    histogram = Histogram(bounds)
    for each in values:
        histogram.observe(each)
    text = page([Family("repram_storaged_x_seconds", "histogram", "About.", {(): histogram})])
    for bound in bounds:
        below = sum(each <= bound for each in values)
        assert value(text, "repram_storaged_x_seconds_bucket", le=repr(bound)) == below
    assert value(text, "repram_storaged_x_seconds_bucket", le="+Inf") == len(values)
    assert value(text, "repram_storaged_x_seconds_sum") == pytest.approx(sum(values))


@given(st.text(alphabet=st.sampled_from('"\\\n,={} ax€')))
@example('a",reason="b')
def test_no_label_breaks_out_of_its_quotes(label: str) -> None:
    family = Family("repram_storaged_x_total", "counter", "About.", {(label,): 1}, ("reason",))
    (read_back,) = read(page([family])).values()
    assert [sample.labels for sample in read_back.samples] == [{"reason": label}]


# ---- the documents ----


def kinds_of(text: str) -> dict[str, str]:
    """The type of each family, under the name that its page gives it."""
    return dict(
        line.removeprefix("# TYPE ").split(" ")
        for line in text.splitlines()
        if line.startswith("# TYPE ")
    )


def documented() -> dict[str, tuple[str, set[str]]]:
    """Name, type and labels of each row of the table in docs/operations.md."""
    rows = re.findall(
        r"^\| `(repram_storaged_\w+)` \| (\w+) \|([^|]*)\|",
        (ROOT / "docs" / "operations.md").read_text(),
        re.MULTILINE,
    )
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def test_the_documents_list_what_a_node_shows_and_nothing_else() -> None:
    metrics, standing = busy()
    text = metrics.page(standing)
    labels = {
        family.name: {label for sample in family.samples for label in sample.labels} - {"le"}
        for family in read(text).values()
    }
    shown = {
        name: (kind, labels[name.removesuffix("_total")]) for name, kind in kinds_of(text).items()
    }
    assert documented() == shown


def test_names_end_in_their_unit() -> None:
    metrics, standing = busy()
    for name, kind in kinds_of(metrics.page(standing)).items():
        assert name.startswith("repram_storaged_")
        assert name.endswith("_total") == (kind == "counter")


def queried() -> list[tuple[str, str]]:
    """Every expression that the dashboard and the alert rules ask, and where it stands."""
    board = json.loads((ROOT / "deploy" / "grafana-storaged.json").read_text())
    rules = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())
    return [
        *((f"panel {panel['title']}", target["expr"])
          for panel in board["panels"] for target in panel.get("targets", [])),
        *((f"alert {rule['alert']}", rule["expr"])
          for group in rules["groups"] for rule in group["rules"]),
    ]  # fmt: skip


@pytest.mark.parametrize(("where", "expression"), queried() or [("nothing", "")])
def test_dashboard_and_alerts_ask_for_what_exists(where: str, expression: str) -> None:
    metrics, standing = busy()
    asked = set(NAME.findall(expression))
    assert asked, f"{where} asks for none of the node's metrics"
    assert asked <= names_of(metrics.page(standing)), where


def test_each_alert_says_what_to_do() -> None:
    rules: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"page", "ticket"}
            assert rule["annotations"]["summary"]
            assert "docs/troubleshooting.md" in rule["annotations"]["description"]
