"""Targets and options of channels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eureka.clients.channels import ChannelConfig, ChannelTls, open_sync_channel, service_config, target_of
from eureka.errors import InvalidInputError


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("gateway:50050", "dns:///gateway:50050"),
        ("127.0.0.1:1", "dns:///127.0.0.1:1"),
        ("10.0.0.1:1, 10.0.0.2:2", "ipv4:10.0.0.1:1,10.0.0.2:2"),
        ("localhost:1,127.0.0.1:2", "ipv4:127.0.0.1:1,127.0.0.1:2"),
        ("[::1]:1,[::2]:2", "ipv6:[::1]:1,[::2]:2"),
        ("dns:///decoder.svc:50053", "dns:///decoder.svc:50053"),
        ("unix:/run/x.sock", "unix:/run/x.sock"),
    ],
)
def test_target_takes_grpcs_form(given: str, wanted: str) -> None:
    assert target_of(given) == wanted


@pytest.mark.parametrize(
    "given", ["", "host", "host:", ":1", "host:x", "host:0", "host:65536", "a:1,b:2", "10.0.0.1:1,[::1]:2"]
)
def test_wrong_target_is_refused(given: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        target_of(given)
    assert caught.value.reason == "INVALID_TARGET"


def test_only_unary_methods_are_tried_again_and_only_when_unavailable() -> None:
    config = json.loads(service_config())
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
    [methods] = config["methodConfig"]
    names = {(entry["service"], entry["method"]) for entry in methods["name"]}
    assert ("eureka.api.v1.AudioService", "Transcribe") in names
    assert ("eureka.stage.v1.DecoderService", "Score") in names
    assert not {method for _, method in names} & {"Generate", "Upload"}
    assert methods["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "CANCELLED"]


def test_unreadable_certificate_is_named(tmp_path: Path) -> None:
    config = ChannelConfig("host:1", tls=ChannelTls(root_certificates=tmp_path / "none.pem"))
    with pytest.raises(InvalidInputError, match=r"none\.pem") as caught:
        open_sync_channel(config)
    assert caught.value.reason == "UNREADABLE_CERTIFICATE"
