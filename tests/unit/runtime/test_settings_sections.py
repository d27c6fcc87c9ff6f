"""The sections of the settings: exposure, TLS, names and patterns."""

from __future__ import annotations

from pathlib import Path

import pytest

from eureka.errors import InvalidInputError
from eureka.runtime.settings import load_settings
from eureka.runtime.settings_sections import (
    GatewaySettings,
    TlsSettings,
    check_exposure,
    check_tls,
    checkout_root,
)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "localhost", "[::1]"])
def test_gateway_on_loopback_needs_no_keys(host: str) -> None:
    check_exposure(GatewaySettings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "10.0.0.1", "gateway.example"])
def test_gateway_beyond_loopback_without_keys_is_refused(host: str) -> None:
    with pytest.raises(InvalidInputError, match="EUREKA_GATEWAY__KEYS_FILE") as caught:
        check_exposure(GatewaySettings(host=host))
    assert caught.value.reason == "OPEN_WITHOUT_KEYS"
    check_exposure(GatewaySettings(host=host, open=True))
    check_exposure(GatewaySettings(host=host, keys_file=Path("keys.jsonl")))


def test_half_a_tls_setting_is_refused() -> None:
    check_tls(TlsSettings())
    check_tls(TlsSettings(certificate=Path("c"), key=Path("k"), client_ca=Path("a")))
    for half in (TlsSettings(key=Path("k")), TlsSettings(client_ca=Path("a"))):
        with pytest.raises(InvalidInputError) as caught:
            check_tls(half)
        assert caught.value.reason == "INCOMPLETE_TLS"


def test_sections_have_the_agreed_ports_and_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EUREKA_GATEWAY__KEYS_FILE", "keys.jsonl")
    found = load_settings()
    ports = (found.gateway.port, found.encoder.port, found.adapter.port, found.decoder.port)
    assert ports == (50_050, 50_051, 50_052, 50_053)
    assert (found.triton.http_port, found.triton.grpc_port, found.triton.metrics_port) == (8000, 8001, 8002)
    assert found.gateway.keys_file == checkout_root() / "keys.jsonl"
    assert found.gateway.upload_folder == checkout_root() / ".eureka" / "uploads"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EUREKA_GATEWAY__PORT", "70000"),
        ("EUREKA_GATEWAY__HOST", ""),
        ("EUREKA_GATEWAY__DECODER_TARGET", "decoder"),
        ("EUREKA_GATEWAY__EMBEDDING_PATH", "both"),
        ("EUREKA_TRITON__NUM_SLOTS", "0"),
        ("EUREKA_TRITON__MAX_WAITING", "0"),  # each request waits, be it for the next step only
        ("EUREKA_MAX_MESSAGE_BYTES", "1"),
    ],
)
def test_value_outside_its_range_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInputError, match=f"{name}: "):
        load_settings()
