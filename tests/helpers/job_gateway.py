"""A real gateway whose jobs are run by threads of this process over the tone model, instead of workers."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc

from eureka.clients.decoder_wire import card_message
from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_job_types import Job, StoredObject
from eureka.clients.gateway_types import RetryPolicy
from eureka.errors import StageUnavailableError
from eureka.jobs.claims import MemoryClaims
from eureka.jobs.hearing import Clocks, JobModel
from eureka.jobs.job_store import JobStore
from eureka.jobs.local_runner import LocalRunner, Patience
from eureka.jobs.source import OpenHere
from eureka.runtime.keys import Scope, new_key
from eureka.runtime.settings import Settings
from eureka.stage.v1 import decoder_service_pb2_grpc
from eureka.storage.keys import JobKeys
from eureka.storage.local import LocalObjectStore
from eureka.types import Ending, TextRequest
from services.gateway.jobs.service import JobLimits, JobParts
from services.gateway.main import start_gateway
from tests.helpers.job_rig import TONE_CARD
from tests.helpers.sounds import wav_of
from tests.helpers.tone_model import WORDS, say

SPOKEN = wav_of(say([*WORDS, *WORDS, *WORDS]))
"""About 22 s: several windows."""


class CountedStore:
    """A store that counts its calls, by the name of the method."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            self.calls[name] += 1
            return method(*arguments, **named)

        return counted


class Faults:
    """A model that never comes to an end while this is on."""

    def __init__(self) -> None:
        self.is_on = False

    def __call__(self, request: TextRequest, number: int) -> tuple[list[str], Ending] | None:
        return (["alpha"], Ending.LENGTH) if self.is_on else None


class ThreadQueue:
    """A task queue whose jobs run on one thread, each to its end; tests hold it, or take it away.

    Attributes:
        is_away: every call raises as if Redis were gone.
        planned: (tenant, job, lane) of each enqueue_plan.
    """

    def __init__(self, jobs: JobStore, model: JobModel) -> None:
        self.is_away = False
        self.planned: list[tuple[str, str, str]] = []
        self._free = threading.Event()
        self._free.set()
        self._work: queue.Queue[JobKeys | None] = queue.Queue()
        clocks = Clocks(lambda: datetime.now(UTC))
        self.runner = LocalRunner(jobs, model, OpenHere(), clocks, MemoryClaims(), Patience(1, 0.01))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def enqueue_plan(self, tenant: str, job_id: str, lane: str) -> None:
        if self.is_away:
            raise StageUnavailableError("the queue is away", reason="QUEUE_UNAVAILABLE")
        self.planned.append((tenant, job_id, lane))
        self._work.put(JobKeys(tenant, job_id))

    def enqueue_window(self, tenant: str, job_id: str, round_number: int, index: int, lane: str) -> None:
        raise AssertionError("the gateway starts no windows")

    def enqueue_finish(self, tenant: str, job_id: str) -> None:
        if self.is_away:
            raise StageUnavailableError("the queue is away", reason="QUEUE_UNAVAILABLE")
        self._work.put(JobKeys(tenant, job_id))

    def enqueue_webhook(self, tenant: str, job_id: str, round_number: int) -> None:
        raise AssertionError("the gateway calls no webhooks")

    def close(self) -> None:
        self._free.set()
        self._work.put(None)
        self._thread.join(10)

    def release(self) -> None:
        """Let work go on inside a block of `held`."""
        self._free.set()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is run inside the block, as if no worker were there."""
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()

    def drain(self) -> None:
        """Wait until everything enqueued so far has run."""
        self._work.join()

    def _run(self) -> None:
        while (keys := self._work.get()) is not None:
            self._free.wait()
            try:
                self.runner.run(keys)
            except Exception as error:  # a job that was deleted meanwhile
                self.error = error
            finally:
                self._work.task_done()


@dataclass
class JobGateway:
    """A running gateway, its queue, and clients.

    Attributes:
        target: its address.
        objects: where its jobs lie.
        queue: see there.
        keys: tenant and scopes -> API key.
    """

    target: str
    objects: Any
    queue: ThreadQueue
    keys: dict[str, str]

    def client(self, key: str = "acme", target: str | None = None, **options: Any) -> GatewayClient:
        options.setdefault("retry", RetryPolicy(max_attempts=1))
        return GatewayClient(target or self.target, key=self.keys.get(key), timeout_seconds=30, **options)


@contextmanager
def job_gateway(
    folder: Path,
    make_model: Callable[[], JobModel],
    wrap: Callable[[Any], Any] = lambda objects: objects,
    look_seconds: float = 0.05,
    has_keys: bool = True,
    limits: JobLimits | None = None,
) -> Iterator[JobGateway]:
    """The gateway, on an event loop in a thread of its own.

    Args:
        folder: for keys, objects and uploads.
        make_model: hears jobs.
        wrap: about the object store that the gateway opens.
        look_seconds: between two looks at a watched job.
        has_keys: callers need one; else all are of the tenant "default".
        limits: of jobs at the gateway.
    """
    keys, lines = {}, []
    for name, tenant, scopes in (
        ("acme", "acme", {Scope.READ, Scope.WRITE}),
        ("other", "other", {Scope.READ, Scope.WRITE}),
        ("many", "many", {Scope.READ, Scope.WRITE}),
        ("reader", "acme", {Scope.READ}),
    ):
        keys[name], line = new_key(tenant, frozenset(scopes))
        lines.append(line.to_line())
    (folder / "keys.jsonl").write_text("\n".join(lines) + "\n")
    objects = wrap(LocalObjectStore(folder / "objects"))
    tasks = ThreadQueue(JobStore(objects), make_model())
    settings = Settings(
        gateway={
            "port": 0,
            "upload_folder": folder / "uploads",
            "keys_file": folder / "keys.jsonl" if has_keys else None,
            "max_upload_bytes": 8 << 20,
        },
        storage={"folder": folder / "objects"},
    )
    with _running(settings, JobParts(tasks, objects, look_seconds, limits or JobLimits())) as port:
        yield JobGateway(f"127.0.0.1:{port}", objects, tasks, keys)


class _Describing(decoder_service_pb2_grpc.DecoderServiceServicer):
    """A decoder that tells of its checkpoint, and answers nothing else."""

    async def Describe(self, request: Any, context: Any) -> Any:
        return card_message(TONE_CARD)


async def _decoder() -> tuple[grpc.aio.Server, str]:
    server = grpc.aio.server()
    decoder_service_pb2_grpc.add_DecoderServiceServicer_to_server(_Describing(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"


@contextmanager
def plain_gateway(folder: Path) -> Iterator[str]:
    """Address of a gateway without a queue."""
    settings = Settings(gateway={"port": 0, "upload_folder": folder / "uploads"})
    with _running(settings, None) as port:
        yield f"127.0.0.1:{port}"


@contextmanager
def _running(settings: Settings, parts: JobParts | None) -> Iterator[int]:
    started: queue.Queue[Any] = queue.Queue()

    async def serve() -> None:
        stop = asyncio.Event()
        decoder, target = await _decoder()
        section = settings.gateway.model_copy(update={"decoder_target": target})
        gateway = await start_gateway(settings.model_copy(update={"gateway": section}), parts)
        await asyncio.wait_for(gateway.served.wait(), 20)
        started.put((gateway.server.port, asyncio.get_running_loop(), stop))
        await stop.wait()
        await gateway.stop(0.0)
        await decoder.stop(0.0)

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            started.put(error)
            raise

    thread = threading.Thread(target=run)
    thread.start()
    got = started.get(timeout=60)
    if isinstance(got, BaseException):
        raise got
    port, loop, stop = got
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)


def ended(client: GatewayClient, job: Job) -> Job:
    """The job at its end."""
    [*_, last] = client.watch_job(job.name, timeout_seconds=30)
    return last.job


def put(served: JobGateway, key: str, content: bytes = SPOKEN, tenant: str = "acme") -> StoredObject:
    """An object of the tenant."""
    served.objects.put(f"{tenant}/{key}", content)
    return StoredObject(key)
