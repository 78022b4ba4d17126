"""What a daemon logs: one line a message on stderr, and nothing secret in any of them.

Configured once, by the command that starts the daemon. Rooms log by `structlog.get_logger()` or by `logging`;
both come through here, tracebacks included.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO, TypeAlias

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

Style: TypeAlias = Literal["text", "json"]

REDACTED: Final = "[redacted]"
_FIRST: Final = ["time", "level", "event", "source"]
_SECRET: Final = (
    *("secret", "secrets", "seed", "token", "password", "passphrase", "credential", "credentials"),
    *("private", "key", "keys", "value", "body"),
)
# A key's 32 bytes have 43 characters in base64url and 64 in hexadecimal. The key in a node's address is
# public, and the line is of no use without it; an item's id is not, since it lets one fetch.
_IN_TEXT: Final = (
    re.compile(r"#[^\s\"',;)\]}]+"),  # what stands behind it in a link or an invite opens things
    re.compile(r"(?<!repram\+node://)(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43,}={0,2}"),
    re.compile(r"\bb(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"),  # bytes in a traceback
)
# Possessive where a long line could otherwise be gone through again and again.
_NAMED: Final = re.compile(
    r"\b(?P<name>\w++)(?P<between>['\"]?\s*+[=:]\s*+)(?P<value>'[^']*'|\"[^\"]*\"|[^\s,;'\")\]}]++)"
)


def configure(
    style: Style = "text", *, level: int = logging.INFO, out: TextIO | None = None
) -> None:
    """Send every log line of this process to `out` (stderr): logfmt for people, or JSON."""
    import structlog  # a fifth of a second, which verbs that log nothing do without

    common: list[Processor] = [
        structlog.stdlib.add_log_level,
        _add_source,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *common,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(out or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                redact,  # behind everything that adds text
                _renderer(style),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def _renderer(style: Style) -> Processor:
    import structlog

    if style == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=True)
    return structlog.processors.LogfmtRenderer(key_order=_FIRST, bool_as_flag=False)


def _add_source(logger: logging.Logger, _method: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    event["source"] = (record or logger).name
    return event


def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:  # noqa: ANN401  # structlog's
    """The last look at a line: what is secret by its name or by its looks is taken out."""
    return {_without_spaces(name): _redacted(name, value) for name, value in event.items()}


def redacted(text: str) -> str:
    """Text without what looks like a key, a link's fragment, bytes, or a named secret; printable."""
    text = _NAMED.sub(_without_value, text)
    for pattern in _IN_TEXT:
        text = pattern.sub(REDACTED, text)
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def _without_value(found: re.Match[str]) -> str:
    if _is_secret(found["name"]):
        return f"{found['name']}{found['between']}{REDACTED}"
    return found[0]


def _is_secret(name: str) -> bool:
    return any(word.endswith(_SECRET) for word in re.split(r"[\W_]+", name.lower()))


def _redacted(name: str, value: object) -> object:
    if value is None or isinstance(value, (bool, float)):
        return value
    if _is_secret(name):
        return REDACTED
    if isinstance(value, int):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    return redacted(str(value))


def _without_spaces(name: str) -> str:
    """There is no way in logfmt to write a name with a space in it."""
    return re.sub(r"[^\w.-]", "_", name)
