"""The gateway over its stages, all of them with TLS, and with a keys file: who gets in, and who does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from eureka.clients.channels import ChannelTls
from eureka.clients.gateway_async import AsyncGatewayClient
from eureka.clients.gateway_types import RetryPolicy
from eureka.errors import PermissionDeniedError, StageUnavailableError, UnauthenticatedError
from eureka.runtime.triton import TritonLauncher
from services.gateway.main import start_gateway
from tests.helpers.gateway_stack import noise, stack_settings, started_stages, until, wav
from tests.helpers.keys_file import Keys

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLIP = wav(noise(1.0))


@dataclass(frozen=True, slots=True)
class Secured:
    """A gateway with TLS and keys.

    Attributes:
        target: its address.
        keys: that it knows.
        certificates: folder of the files.
    """

    target: str
    keys: Keys
    certificates: Path

    def client(self, key: str | None, root: str | None = "ca.pem") -> AsyncGatewayClient:
        """A client that tries once; without a root it speaks plain text."""
        tls = ChannelTls(self.certificates / root) if root else None
        return AsyncGatewayClient(
            self.target, key=key, tls=tls, timeout_seconds=20, retry=RetryPolicy(max_attempts=1)
        )


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def secured(
    triton: TritonLauncher,
    tiny_checkpoint: Path,
    certificates: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    keys = Keys(folder)
    files = {"certificate": "server.pem", "key": "server.key", "root_ca": "ca.pem"}
    tls = {name: certificates / file for name, file in files.items()}
    async with AsyncExitStack() as stack:
        address = triton.config.grpc_address
        stages = stack_settings(tiny_checkpoint, address, tls=tls)
        section = {
            "port": 0,
            "upload_folder": folder / "uploads",
            "keys_file": keys.path,
            "embedding_path": "two_stage",
            **await started_stages(stack, stages),
        }
        gateway = await start_gateway(stack_settings(tiny_checkpoint, address, tls=tls, gateway=section))
        stack.push_async_callback(gateway.stop, 0.0)
        await asyncio.wait_for(gateway.served.wait(), 10)
        await until(lambda: gateway.server.monitor.is_ready)  # so the stages answer, by TLS
        yield Secured(f"127.0.0.1:{gateway.server.port}", keys, certificates)


async def test_right_key_by_tls_is_served(secured: Secured) -> None:
    async with secured.client(secured.keys.reader) as client:
        heard = await client.transcribe(CLIP)
        asked = await client.ask("what?", CLIP)
    assert heard.model == asked.model == "tiny"
    assert heard.coverage


@pytest.mark.parametrize("root", [None, "stranger.pem"])
async def test_plain_text_and_a_ca_that_is_not_its_own_reach_nobody(
    secured: Secured, root: str | None
) -> None:
    async with secured.client(secured.keys.reader, root) as client:
        with pytest.raises(StageUnavailableError):
            await client.transcribe(CLIP)


async def test_missing_wrong_and_revoked_keys_are_refused(secured: Secured) -> None:
    keys = secured.keys
    refusals = {None: "MISSING_KEY", keys.reader + "x": "UNKNOWN_KEY", keys.revoked: "REVOKED_KEY"}
    for key, reason in refusals.items():
        async with secured.client(key) as client:
            with pytest.raises(UnauthenticatedError) as caught:
                await client.transcribe(CLIP)
        assert caught.value.reason == reason


async def test_key_without_the_right_is_refused(secured: Secured) -> None:
    async with secured.client(secured.keys.writer) as client:
        with pytest.raises(PermissionDeniedError) as caught:
            await client.transcribe(CLIP)
    assert caught.value.reason == "MISSING_SCOPE"
