"""CallContext to gRPC metadata and back: request id, trace context, tenant.

Deadlines and cancellation travel in gRPC itself, priority in the messages. What arrives from outside is
checked: an id or a trace context that does not fit is replaced, never refused.
"""

from __future__ import annotations

import re
import secrets
import time
import uuid
from collections.abc import Iterable
from typing import Any

from eureka.types import CallContext, Priority

REQUEST_ID_KEY = "x-request-id"
TRACEPARENT_KEY = "traceparent"
TENANT_KEY = "x-eureka-tenant"
"""Between gateway and stages only; the gateway takes the tenant from the key."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
"""What may stand in a log line and in a header."""

_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""A tenant is the first part of object keys."""

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
"""W3C trace context: version, trace id, parent span id, flags; all-zero ids are invalid."""

_NO_DEADLINE_SECONDS = 365 * 86_400.0
"""gRPC tells a call without a deadline as one that ends in thousands of years."""


def metadata_of(context: CallContext) -> tuple[tuple[str, str], ...]:
    """Metadata of the next hop: the same request id, tenant and trace context.

    A hop that records a span puts the span's into the context before. Without one, work in the background
    such as a probe, the trace is one that nobody records.
    """
    return (
        (REQUEST_ID_KEY, context.request_id),
        (TRACEPARENT_KEY, context.traceparent or new_traceparent(is_sampled=False)),
        (TENANT_KEY, context.tenant),
    )


def context_of(
    metadata: Iterable[Any] | None,
    *,
    remaining_seconds: float | None = None,
    trusts_tenant: bool = False,
    priority: Priority = Priority.DEFAULT,
) -> CallContext:
    """The context of a call that arrived with `metadata`.

    Args:
        metadata: pairs of key and value; the last one of a key counts.
        remaining_seconds: time until the deadline as gRPC tells it; None without one.
        trusts_tenant: take the tenant from the metadata (stages); else it is "default".
        priority: before the message says more.
    """
    pairs = {str(key): value for key, value in metadata or ()}
    tenant = _text(pairs, TENANT_KEY) if trusts_tenant else ""
    return CallContext(
        request_id=_request_id(_text(pairs, REQUEST_ID_KEY)),
        traceparent=_checked_traceparent(_text(pairs, TRACEPARENT_KEY)),
        tenant=tenant if is_tenant(tenant) else "default",
        deadline=_deadline(remaining_seconds),
        priority=priority,
    )


def new_traceparent(*, is_sampled: bool = True) -> str:
    """The trace context of a new trace."""
    return f"00-{_nonzero_hex(16)}-{_nonzero_hex(8)}-{'01' if is_sampled else '00'}"


def is_traceparent(text: str) -> bool:
    """Whether it is a W3C trace context."""
    return _TRACEPARENT.fullmatch(text) is not None


def trace_ids_of(traceparent: str) -> tuple[str, str, str] | None:
    """Trace id, span id and flags, in hex; None without a valid trace context."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return (match[1], match[2], match[3]) if match else None


def trace_id_of(traceparent: str) -> str:
    """The trace id; empty without a valid trace context."""
    ids = trace_ids_of(traceparent)
    return ids[0] if ids else ""


def traceparent_in(metadata: Iterable[Any] | None) -> str:
    """The trace context that a call arrived with; empty without a valid one."""
    found = _text({str(key): value for key, value in metadata or ()}, TRACEPARENT_KEY)
    return found if is_traceparent(found) else ""


def timeout_of(context: CallContext) -> float | None:
    """Seconds until the deadline for the `timeout` of a call, at least 0; None without a deadline."""
    return None if context.deadline is None else max(0.0, context.deadline - time.monotonic())


def is_tenant(name: str) -> bool:
    """Whether the name may be a tenant: 1 to 63 of a-z, 0-9 and "-", not beginning with "-"."""
    return _TENANT.fullmatch(name) is not None


def new_request_id() -> str:
    """An id that nobody else draws."""
    return uuid.uuid4().hex


def _request_id(given: str) -> str:
    return given if _REQUEST_ID.fullmatch(given) else new_request_id()


def _checked_traceparent(given: str) -> str:
    return given if is_traceparent(given) else new_traceparent()


def _text(pairs: dict[str, Any], key: str) -> str:
    value = pairs.get(key, "")
    return value if isinstance(value, str) else ""


def _deadline(remaining_seconds: float | None) -> float | None:
    if remaining_seconds is None or remaining_seconds > _NO_DEADLINE_SECONDS:
        return None
    return time.monotonic() + remaining_seconds


def _nonzero_hex(num_bytes: int) -> str:
    return (secrets.randbits(8 * num_bytes) or 1).to_bytes(num_bytes, "big").hex()
