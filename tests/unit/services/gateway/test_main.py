"""The start of the gateway where its stages are away."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from eureka.errors import WrongStateError
from eureka.runtime.settings import Settings
from eureka.runtime.stack_plan import PortChooser, is_busy
from services.gateway.main import start_gateway

HOST = "127.0.0.1"


def _settings(folder: Path, **gateway: Any) -> Settings:
    away = {f"{stage}_target": f"{HOST}:1" for stage in ("encoder", "adapter", "decoder")}
    return Settings(gateway={"port": 0, "upload_folder": folder, **away, **gateway})


def _decoding_children() -> set[int]:
    found = set()
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # a zombie of another test among them
            if "decode_worker" in " ".join(child.cmdline()):
                found.add(child.pid)
    return found


async def test_metrics_stay_on_loopback_where_the_gateway_does_not(tmp_path: Path) -> None:
    gateway = await start_gateway(_settings(tmp_path, host="0.0.0.0", open=True))
    try:
        at = {one.laddr for one in psutil.Process().net_connections() if one.status == psutil.CONN_LISTEN}
        assert {ip for ip, port in at if port == gateway.metrics_server.port} == {HOST}
    finally:
        await gateway.stop(0.0)


@pytest.mark.parametrize("busy_port", ["port", "metrics_port"])
async def test_busy_port_leaves_nothing_open(tmp_path: Path, busy_port: str) -> None:
    before = _decoding_children()
    ports = {name: PortChooser().near(HOST, 0) for name in ("port", "metrics_port")}
    with socket.socket() as busy:
        busy.bind((HOST, ports.pop(busy_port)))
        busy.listen()
        with pytest.raises(WrongStateError) as caught:
            await start_gateway(_settings(tmp_path, **ports, **{busy_port: busy.getsockname()[1]}))
    assert caught.value.reason == "PORT_IN_USE"
    assert not any(is_busy(HOST, port) for port in ports.values())
    assert _decoding_children() == before
