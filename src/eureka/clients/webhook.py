"""Sends a signed message to a URL that a caller named, and nowhere else.

The name is resolved once, every address is checked, and the connection goes to a checked address: a name
that points elsewhere a moment later has no effect. Redirects are not followed. Signed as Standard Webhooks
say: HMAC-SHA256 over "id.timestamp.body".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from eureka.errors import InvalidInputError, PermissionDeniedError, StageUnavailableError

PORTS = {"http": 80, "https": 443}

MAX_ANSWER_BYTES = 4_096
"""Of an answer nobody reads more; only its status counts."""


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """How webhooks are sent.

    Attributes:
        secret: signs them.
        timeout_seconds: for each step of the connection.
        allows_private: also to private, loopback and link-local addresses.
        tls: of https; None trusts the usual authorities.
    """

    secret: bytes
    timeout_seconds: float = 10.0
    allows_private: bool = False
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """One message.

    Attributes:
        event_id: the same at each attempt, so that a receiver can drop what it has.
        body: JSON.
    """

    event_id: str
    body: bytes


def send_webhook(url: str, event: WebhookEvent, timestamp: int, config: WebhookConfig) -> int:
    """The status that the receiver answered with, 200 to 299.

    Args:
        url: http or https.
        event: see there.
        timestamp: seconds since 1970, signed too.
        config: see there.

    Raises:
        InvalidInputError: reason INVALID_WEBHOOK; no such URL.
        PermissionDeniedError: reason PRIVATE_WEBHOOK; it leads to an address that is not public.
        StageUnavailableError: reason WEBHOOK_FAILED; no such name, no connection, another status.
    """
    parts = _parts(url)
    address = resolve(parts.hostname or "", parts.port or PORTS[parts.scheme], config.allows_private)
    try:
        status = _post(parts, address, event, headers(event, timestamp, config.secret), config)
    except (OSError, http.client.HTTPException) as error:
        message = f"the webhook could not be sent ({type(error).__name__})"
        raise StageUnavailableError(message, reason="WEBHOOK_FAILED") from error
    if not 200 <= status < 300:
        raise StageUnavailableError(f"the webhook was answered with {status}", reason="WEBHOOK_FAILED")
    return status


def headers(event: WebhookEvent, timestamp: int, secret: bytes) -> dict[str, str]:
    """Headers with the signature."""
    signed = f"{event.event_id}.{timestamp}.".encode() + event.body
    signature = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return {
        "content-type": "application/json",
        "user-agent": "eureka-webhook",
        "webhook-id": event.event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def resolve(host: str, port: int, allows_private: bool) -> tuple[str, int]:
    """An address of the host, if all that it has may be used.

    Raises:
        PermissionDeniedError, StageUnavailableError: as `send_webhook`.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise StageUnavailableError("the webhook's host is unknown", reason="WEBHOOK_FAILED") from error
    addresses = [str(one[4][0]) for one in found]
    if not allows_private and not all(is_public(address) for address in addresses):
        message = (
            "the webhook leads to an address that is not public; EUREKA_WORKER__PRIVATE_WEBHOOKS allows it"
        )
        raise PermissionDeniedError(message, reason="PRIVATE_WEBHOOK")
    return addresses[0], port


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet, also inside IPv6."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo or (None, None))[1]
        if inner is not None:
            return is_public(str(inner))
        if parsed in ipaddress.ip_network("64:ff9b::/96"):
            return is_public(str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)))
    return parsed.is_global and not parsed.is_multicast


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_sound = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_sound = False
    if not is_sound or any(letter <= " " or letter > "~" for letter in url) or parts.username is not None:
        raise InvalidInputError("a webhook is an http or https URL without a user", reason="INVALID_WEBHOOK")
    return parts


def _post(
    parts: SplitResult,
    address: tuple[str, int],
    event: WebhookEvent,
    fields: dict[str, str],
    config: WebhookConfig,
) -> int:
    host = parts.hostname or ""
    connection = http.client.HTTPConnection(host, parts.port, timeout=config.timeout_seconds)
    try:
        connection.sock = socket.create_connection(address, config.timeout_seconds)
        if parts.scheme == "https":
            tls = config.tls or ssl.create_default_context()
            connection.sock = tls.wrap_socket(connection.sock, server_hostname=host)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, event.body, {"host": parts.netloc, **fields})
        answer = connection.getresponse()
        answer.read(MAX_ANSWER_BYTES)
        return answer.status
    finally:
        connection.close()
