"""Who gets in: keys with scopes, and TLS with and without client certificates."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from eureka.api.v1 import audio_service_pb2 as api
from eureka.clients.channels import ChannelTls
from eureka.clients.status import error_of
from eureka.runtime.grpc_server import ServerConfig, ServerTls
from eureka.runtime.interceptors import KeysInterceptor, standard_interceptors
from eureka.runtime.keys import KeyFile
from tests.helpers.grpc_services import Serving, serving
from tests.helpers.keys_file import Keys


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


@pytest.fixture
async def served(keys: Keys) -> AsyncIterator[Serving]:
    async with serving(standard_interceptors(keys=KeysInterceptor(KeyFile(keys.path)))) as running:
        yield running


def _bearer(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)


async def _refusal(call: object) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value.code().name, error_of(caught.value).reason


async def test_key_lets_in_and_gives_its_tenant(served: Serving, keys: Keys) -> None:
    assert (await served.stub.Ask(api.AskRequest(), metadata=_bearer(keys.reader))).text == "acme"
    forged = (*_bearer(keys.admin), ("x-eureka-tenant", "acme"))
    assert (await served.stub.Ask(api.AskRequest(), metadata=forged)).text == "root"
    upload = served.stub.Upload(iter([api.UploadRequest()]), metadata=_bearer(keys.writer))
    assert (await upload).upload == "acme"


async def test_call_without_a_valid_key_is_unauthenticated(served: Serving, keys: Keys) -> None:
    ask = served.stub.Ask
    assert await _refusal(ask(api.AskRequest())) == ("UNAUTHENTICATED", "MISSING_KEY")
    basic = (("authorization", f"Basic {keys.reader}"),)
    assert await _refusal(ask(api.AskRequest(), metadata=basic)) == ("UNAUTHENTICATED", "MISSING_KEY")
    wrong = _bearer(keys.reader + "x")
    assert await _refusal(ask(api.AskRequest(), metadata=wrong)) == ("UNAUTHENTICATED", "UNKNOWN_KEY")
    revoked = _bearer(keys.revoked)
    assert await _refusal(ask(api.AskRequest(), metadata=revoked)) == ("UNAUTHENTICATED", "REVOKED_KEY")
    assert served.service.seen == []


async def test_scope_is_asked_for_by_method_in_all_kinds_of_calls(served: Serving, keys: Keys) -> None:
    wanted = ("PERMISSION_DENIED", "MISSING_SCOPE")
    assert await _refusal(served.stub.Ask(api.AskRequest(), metadata=_bearer(keys.writer))) == wanted
    upload = served.stub.Upload(iter([api.UploadRequest()]), metadata=_bearer(keys.reader))
    assert await _refusal(upload) == wanted
    stream = served.stub.Generate(api.GenerateRequest(), metadata=_bearer(keys.writer))
    assert await _refusal(anext(aiter(stream))) == wanted


async def test_key_revoked_while_running_stops_working(served: Serving, keys: Keys) -> None:
    await served.stub.Ask(api.AskRequest(), metadata=_bearer(keys.reader))
    lines = keys.path.read_text().splitlines()
    lines[2] = lines[2].replace("}", ', "revoked": true}')
    keys.path.write_text("\n".join(lines))
    refusal = await _refusal(served.stub.Ask(api.AskRequest(), metadata=_bearer(keys.reader)))
    assert refusal == ("UNAUTHENTICATED", "REVOKED_KEY")


async def test_health_needs_no_key(served: Serving) -> None:
    stub = health_pb2_grpc.HealthStub(served.channel)
    await stub.Check(health_pb2.HealthCheckRequest(service="liveness"))


async def test_keys_are_not_logged(served: Serving, keys: Keys, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await served.stub.Ask(api.AskRequest(), metadata=_bearer(keys.reader))
    await _refusal(served.stub.Ask(api.AskRequest(), metadata=_bearer(keys.revoked)))
    logged = " ".join(str(vars(record)) for record in caplog.records)
    assert "call_ended" in logged
    assert keys.reader not in logged
    assert keys.revoked not in logged


async def _ask(certificates: Path, server: ServerTls, client: ChannelTls | None) -> str:
    async with serving(standard_interceptors(), config=ServerConfig(tls=server), tls=client) as served:
        return str((await served.stub.Ask(api.AskRequest(), timeout=5)).text)


async def test_tls_serves_who_trusts_its_ca(certificates: Path) -> None:
    server = ServerTls(certificates / "server.pem", certificates / "server.key")
    assert await _ask(certificates, server, ChannelTls(certificates / "ca.pem")) == "default"


@pytest.mark.parametrize("client", [None, "stranger.pem"])
async def test_tls_server_is_unreachable_in_plain_text_or_without_trust(
    certificates: Path, client: str | None
) -> None:
    server = ServerTls(certificates / "server.pem", certificates / "server.key")
    tls = ChannelTls(certificates / client) if client else None
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _ask(certificates, server, tls)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_client_certificate_is_asked_for_where_a_client_ca_is_set(certificates: Path) -> None:
    server = ServerTls(certificates / "server.pem", certificates / "server.key", certificates / "ca.pem")
    with_own = ChannelTls(certificates / "ca.pem", certificates / "client.key", certificates / "client.pem")
    assert await _ask(certificates, server, with_own) == "default"
    with pytest.raises(grpc.aio.AioRpcError):
        await _ask(certificates, server, ChannelTls(certificates / "ca.pem"))
