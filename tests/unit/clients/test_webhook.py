"""Webhooks: where they may go, how they are signed, and that a name that moves leads nowhere."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from eureka.clients import webhook
from eureka.clients.webhook import WebhookConfig, WebhookEvent, headers, is_public, resolve, send_webhook
from eureka.errors import InvalidInputError, PermissionDeniedError, StageUnavailableError
from tests.helpers.webhook_receiver import SECRET, WebhookReceiver

EVENT = WebhookEvent("job.1.ended", b'{"id":"job.1.ended"}\n')
PRIVATE = WebhookConfig(SECRET.encode(), 2.0, allows_private=True)
PUBLIC = WebhookConfig(SECRET.encode(), 2.0)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "198.18.0.1"),
    ],
)
def test_addresses_inside_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.org/", "http://", "http://user:word@example.org/", "http://example.org:0/"),
        *("http://example.org:99999/", "http://exa mple.org/", "http://example.org/\r\nx: y", "file:///etc"),
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        send_webhook(url, EVENT, 0, PRIVATE)
    assert caught.value.reason == "INVALID_WEBHOOK"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433"])
def test_loopback_in_any_spelling_is_refused_without_a_connection(host: str) -> None:
    with WebhookReceiver() as receiver:
        with pytest.raises((PermissionDeniedError, StageUnavailableError)):
            send_webhook(f"http://{host}:{receiver.port}/", EVENT, 0, PUBLIC)
        assert receiver.deliveries == []


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 80)) for one in ("1.1.1.1", "10.0.0.1")]
    monkeypatch.setattr(webhook.socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(PermissionDeniedError) as caught:
        resolve("example.org", 80, allows_private=False)
    assert caught.value.reason == "PRIVATE_WEBHOOK"


def test_name_is_asked_once_and_the_connection_goes_to_what_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def answer(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "10.0.0.1"  # it moves
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    with WebhookReceiver() as receiver:
        real = socket.getaddrinfo
        monkeypatch.setattr(
            webhook.socket,
            "getaddrinfo",
            lambda host, port, *more, **named: (
                answer(host, port) if host == "hook.example" else real(host, port, *more, **named)
            ),
        )
        assert send_webhook(f"http://hook.example:{receiver.port}/a?b=c", EVENT, 5, PRIVATE) == 204
        assert asked == ["hook.example"]
        assert receiver.deliveries[0].headers["host"] == f"hook.example:{receiver.port}"
        assert receiver.deliveries[0].path == "/a?b=c"


def test_message_is_signed_with_its_id_and_time() -> None:
    with WebhookReceiver() as receiver:
        send_webhook(receiver.url, EVENT, 1_700_000_000, PRIVATE)
    (delivery,) = receiver.deliveries
    assert delivery.is_signed and delivery.body == EVENT.body
    assert delivery.headers["webhook-id"] == "job.1.ended"
    assert delivery.headers["webhook-timestamp"] == "1700000000"
    assert headers(EVENT, 1, b"a")["webhook-signature"] != headers(EVENT, 2, b"a")["webhook-signature"]


@pytest.mark.parametrize("status", [301, 302, 404, 500])
def test_other_answers_are_failures_and_redirects_are_not_followed(status: int) -> None:
    with WebhookReceiver(statuses=[status]) as receiver:
        with pytest.raises(StageUnavailableError) as caught:
            send_webhook(receiver.url, EVENT, 0, PRIVATE)
        assert str(status) in caught.value.message and len(receiver.deliveries) == 1


def test_receiver_that_says_nothing_is_left_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        with pytest.raises(StageUnavailableError):
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
            send_webhook(url, EVENT, 0, WebhookConfig(b"s", 0.2, allows_private=True))
        assert time.monotonic() - started < 2
