"""A session's trace as JSON lines, after qlog: a time, a name, and what the name calls for."""

from __future__ import annotations

from typing import Final, TextIO

import msgspec

from repram.proto.connection import TraceRecord

_FIELDS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "packet_sent": ("transport:packet_sent", ("packet_number", "length")),
    "packet_received": ("transport:packet_received", ("packet_number", "length")),
    "packets_acked": ("recovery:packets_acked", ("largest_acknowledged", "smoothed_rtt")),
    "packet_lost": ("recovery:packet_lost", ("packet_number", "length")),
    "pto": ("recovery:loss_timer_expired", ("count",)),
    "congestion_window": (
        "recovery:metrics_updated",
        ("congestion_window", "bytes_in_flight"),
    ),
    "keys_updated": ("security:key_updated", ("send_epoch", "receive_epoch")),
    "path": ("connectivity:path_updated", ("step", "rtt")),
    "mtu": ("connectivity:mtu_updated", ("new", "old")),
    "state": ("connectivity:connection_state_updated", ("state", "code")),
}


def line_of(record: TraceRecord) -> bytes:
    """One record as one line; `missed` tells how many were lost before it."""
    name, fields = _FIELDS[record.kind]
    data = dict(zip(fields, (record.a, record.b), strict=False))
    line: dict[str, object] = {"time": record.time, "name": name, "data": data}
    if record.missed:
        line["missed"] = record.missed
    return msgspec.json.encode(line)


def write(records: list[TraceRecord], out: TextIO) -> None:
    """Appends records to an open file."""
    out.writelines(line_of(record).decode() + "\n" for record in records)
