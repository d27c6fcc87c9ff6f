"""Ports, commands and environment of the local stack."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from eureka.errors import NotFoundError, WrongStateError
from eureka.runtime.settings import load_settings
from eureka.runtime.stack_plan import PortChooser, is_busy, plan_stack, reachable
from eureka.runtime.tls import channel_tls


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("services", "model_repo", "workers"):
        (tmp_path / name).mkdir()
    return tmp_path


def _use_free_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATEWAY__PORT", "ENCODER__PORT", "ADAPTER__PORT", "DECODER__PORT"):
        monkeypatch.setenv(f"EUREKA_{name}", "0")
    for name in ("HTTP", "GRPC", "METRICS"):
        monkeypatch.setenv(f"EUREKA_TRITON__{name}_PORT", "0")


def test_plan_gives_each_component_ports_of_its_own_and_the_gateway_all_targets(
    checkout, monkeypatch
) -> None:
    _use_free_ports(monkeypatch)
    plan = plan_stack(load_settings(), checkout, num_decoders=2)
    names = [component.name for component in plan.components]
    assert names == ["triton", "encoder", "adapter", "decoder", "decoder-2", "gateway"]
    by_name = {component.name: component for component in plan.components}
    addresses = [one.address for one in plan.components] + [one.metrics for one in plan.components]
    assert len(set(addresses)) == len(addresses)

    gateway = by_name["gateway"].environment
    both = f"{by_name['decoder'].address},{by_name['decoder-2'].address}"
    assert gateway["EUREKA_GATEWAY__DECODER_TARGET"] == both
    assert gateway["EUREKA_GATEWAY__ENCODER_TARGET"] == by_name["encoder"].address
    assert by_name["gateway"].address.endswith(f":{gateway['EUREKA_GATEWAY__PORT']}")

    second = by_name["decoder-2"]
    assert second.command[-2:] == ("-m", "services.decoder")
    assert second.address.endswith(f":{second.environment['EUREKA_DECODER__PORT']}")
    assert second.environment["EUREKA_DECODER__TRITON_TARGET"] == by_name["triton"].address


@pytest.mark.parametrize("has_certificate", [False, True])
def test_gateway_calls_its_stages_by_tls_only_where_they_have_a_certificate(
    checkout, monkeypatch, has_certificate
) -> None:
    _use_free_ports(monkeypatch)
    names = ("ROOT_CA", "CERTIFICATE", "KEY") if has_certificate else ("ROOT_CA",)
    for name in names:
        monkeypatch.setenv(f"EUREKA_TLS__{name}", "/a.pem")
    for name, value in plan_stack(load_settings(), checkout).gateway.environment.items():
        monkeypatch.setenv(name, value)
    assert (channel_tls(load_settings().tls) is not None) is has_certificate


def test_plan_takes_the_number_of_decoders_from_the_settings(checkout, monkeypatch) -> None:
    _use_free_ports(monkeypatch)
    monkeypatch.setenv("EUREKA_STACK__DECODERS", "3")
    names = [component.name for component in plan_stack(load_settings(), checkout).components]
    assert [name for name in names if name.startswith("decoder")] == ["decoder", "decoder-2", "decoder-3"]


def test_plan_moves_a_busy_port_but_not_the_gateways(checkout, monkeypatch, busy_port) -> None:
    _use_free_ports(monkeypatch)
    monkeypatch.setenv("EUREKA_ENCODER__PORT", str(busy_port))
    by_name = {one.name: one for one in plan_stack(load_settings(), checkout).components}
    assert not by_name["encoder"].address.endswith(f":{busy_port}")

    monkeypatch.setenv("EUREKA_GATEWAY__PORT", str(busy_port))
    with pytest.raises(WrongStateError, match=rf"{busy_port}.*EUREKA_GATEWAY__PORT") as raised:
        plan_stack(load_settings(), checkout)
    assert raised.value.reason == "PORT_IN_USE"


def test_plan_outside_of_a_checkout_says_what_is_missing_in_one_line(tmp_path) -> None:
    with pytest.raises(NotFoundError, match="no services and no model_repo") as raised:
        plan_stack(load_settings(), tmp_path)
    assert raised.value.reason == "NO_CHECKOUT"
    assert "\n" not in raised.value.message


def test_ports_are_given_out_once(busy_port) -> None:
    ports = PortChooser()
    assert is_busy("127.0.0.1", busy_port)
    first = ports.near("127.0.0.1", busy_port)
    assert first != busy_port
    assert ports.near("127.0.0.1", first) != first


@pytest.mark.parametrize(
    ("host", "expected"),
    [("0.0.0.0", "127.0.0.1"), ("[::]", "[::1]"), ("10.0.0.7", "10.0.0.7"), ("localhost", "localhost")],
)
def test_listening_everywhere_is_reached_by_loopback(host, expected) -> None:
    assert reachable(host) == expected


def test_queue_and_workers_come_with_redis_server_and_know_each_other(checkout, monkeypatch) -> None:
    _use_free_ports(monkeypatch)
    monkeypatch.setenv("EUREKA_STACK__WORKERS", "2")
    monkeypatch.setenv("EUREKA_STACK__REDIS_PORT", "0")
    plan = plan_stack(load_settings(), checkout, redis_server="/usr/bin/redis-server")
    parts = {component.name: component for component in plan.components}
    assert list(parts) == [
        *("triton", "redis", "encoder", "adapter", "decoder", "worker", "worker-2", "gateway")
    ]
    url = f"redis://{parts['redis'].address}/0"
    for name in ("worker", "worker-2", "gateway"):
        assert parts[name].environment["EUREKA_QUEUE__URL"] == url
    worker = parts["worker"].environment
    assert worker["EUREKA_GATEWAY__DECODER_TARGET"] == parts["decoder"].address
    assert worker["EUREKA_WORKER__NAME"] == "worker" and parts["worker"].metrics != parts["worker-2"].metrics
    command = " ".join(parts["redis"].command)
    assert "--bind 127.0.0.1" in command and "--appendonly yes --appendfsync everysec" in command
    assert "--maxmemory-policy noeviction" in command


def test_no_worker_means_no_queue(checkout, monkeypatch) -> None:
    _use_free_ports(monkeypatch)
    monkeypatch.setenv("EUREKA_STACK__WORKERS", "0")
    plan = plan_stack(load_settings(), checkout, redis_server="/usr/bin/redis-server")
    assert {"redis", "worker"}.isdisjoint(component.name for component in plan.components)
