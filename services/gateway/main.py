"""Root of the gateway."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass

import grpc
import numpy as np

from eureka.api.v1 import (
    audio_service_pb2,
    audio_service_pb2_grpc,
    job_service_pb2,
    job_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
)
from eureka.audio.decode import DecodeLimits
from eureka.audio.decode_pool import DecodePool
from eureka.clients.cluster.bursts import BurstJobs
from eureka.clients.cluster.connection import open_cluster
from eureka.clients.cluster.watch import BurstWatch
from eureka.clients.decoder_wire import duration_of
from eureka.clients.metadata import new_request_id
from eureka.clients.stages import StageClients
from eureka.clients.task_queue import CeleryTaskQueue
from eureka.runtime.calls import current_traceparent
from eureka.runtime.grpc_server import RunningServer, ServerConfig, serve_until_signal, start_server
from eureka.runtime.health import HealthMonitor
from eureka.runtime.interceptors import KeysInterceptor, standard_interceptors
from eureka.runtime.keys import KeyFile
from eureka.runtime.metrics import MetricsServer, new_metrics, serve_metrics
from eureka.runtime.settings import Settings
from eureka.runtime.settings_sections import GatewaySettings, check_canary, check_exposure
from eureka.runtime.stages import open_canary, open_stages
from eureka.runtime.storage import open_store
from eureka.runtime.tracing import open_tracer
from eureka.spans import Tracer
from eureka.storage.store import ObjectStore
from eureka.types import (
    SAMPLES_PER_AUDIO_TOKEN,
    CallContext,
    Instruction,
    Priority,
    SamplingParams,
    Task,
    TextRequest,
)
from services.gateway.accounts import Accounts
from services.gateway.admission import Admission
from services.gateway.audio_service import AudioServicer, Gateway
from services.gateway.checkpoints import Checkpoint, Checkpoints
from services.gateway.decoding import RecordingDecoder
from services.gateway.hearing import HearingLimits
from services.gateway.jobs.bursts import BurstPolicy, Bursts, WatchedCluster
from services.gateway.jobs.service import JobLimits, JobParts, Jobs, JobServicer
from services.gateway.model_service import ModelServicer, ServedModel
from services.gateway.requests import AudioReader
from services.gateway.uploads import UploadLimits, UploadStore
from services.stage import run_root, server_tls

SERVICES = (
    audio_service_pb2.DESCRIPTOR.services_by_name["AudioService"].full_name,
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,
    job_service_pb2.DESCRIPTOR.services_by_name["JobService"].full_name,
)

_PROBE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class RunningGateway:
    """A gateway that listens.

    Attributes:
        server: its gRPC server.
        metrics_server: its metrics port.
        served: what it knows of the checkpoint.
    """

    server: RunningServer
    metrics_server: MetricsServer
    served: ServedModel
    _opened: AsyncExitStack

    async def stop(self, grace_seconds: float | None = None) -> None:
        """Let running calls end within the grace period, then release everything."""
        await self.server.stop(grace_seconds)
        await self.release()

    async def release(self) -> None:
        """Release what the stopped server used."""
        await self._opened.aclose()


async def start_gateway(settings: Settings, parts: JobParts | None = None) -> RunningGateway:
    """A gateway that listens; it is ready once the decoder has described itself and all stages answered.

    Args:
        settings: of everything.
        parts: queue and store of jobs; those of the settings when omitted, and no jobs where they name none.

    Raises:
        InvalidInputError: OPEN_WITHOUT_KEYS, INVALID_KEYS_FILE, INCOMPLETE_TLS, INCOMPLETE_CANARY; and as
            `open_store`.
        WrongStateError: PORT_IN_USE; and as `open_store`. Nothing stays open.
    """
    section = settings.gateway
    check_exposure(section)
    check_canary(section)
    keys = KeysInterceptor(KeyFile(section.keys_file) if section.keys_file is not None else None)
    async with AsyncExitStack() as opened:
        tracer = opened.enter_context(open_tracer(settings.tracing.config(), "gateway"))
        parts = parts or await asyncio.to_thread(open_parts, settings)
        return await _start(settings, parts, keys, tracer, opened)


async def _start(
    settings: Settings, parts: JobParts | None, keys: KeysInterceptor, tracer: Tracer, opened: AsyncExitStack
) -> RunningGateway:
    """A gateway that owns what is in `opened`; its server comes last, so that nothing fails beside it."""
    section = settings.gateway
    stages = open_stages(settings, tracer)
    opened.push_async_callback(stages.close)
    served = ServedModel(stages)
    canary = _opened_canary(settings, tracer, opened)
    checkpoints = Checkpoints(Checkpoint(stages, served), canary, section.canary_percent)
    metrics = new_metrics("gateway")
    monitor = HealthMonitor(functools.partial(probe, stages, served), SERVICES)
    pool = DecodePool(settings.audio.num_workers, DecodeLimits(**settings.audio.limits()))
    opened.callback(pool.close)
    gateway = build_gateway(settings, checkpoints, pool, Accounts(metrics, monitor))
    opened.callback(gateway.admission.close)
    metrics.show_waiting(lambda: gateway.admission.num_waiting)
    metrics.show_ready(lambda: monitor.is_ready)
    jobs = Jobs(parts, gateway.uploads, served, section.max_upload_bytes) if parts is not None else None
    if jobs is not None:
        opened.callback(jobs.close)
    metrics_server = serve_metrics(
        metrics.registry, section.metrics_host, section.metrics_port, shares_port=section.shares_port
    )
    opened.callback(metrics_server.stop)
    models = ModelServicer(lambda: checkpoints.cards, limits_message(settings))
    server = await start_server(
        server_config(settings),
        functools.partial(_register, AudioServicer(gateway), models, JobServicer(jobs)),
        services=SERVICES,
        monitor=monitor,
        interceptors=standard_interceptors(
            metrics=metrics, keys=keys, priority=Priority.INTERACTIVE, tracer=tracer
        ),
    )
    for each in (served, canary.served) if canary is not None else (served,):
        server.run_beside(each.run())
    server.run_beside(gateway.uploads.run())
    return RunningGateway(server, metrics_server, served, opened.pop_all())


def _opened_canary(settings: Settings, tracer: Tracer, opened: AsyncExitStack) -> Checkpoint | None:
    stages = open_canary(settings, tracer)
    if stages is None:
        return None
    opened.push_async_callback(stages.close)
    return Checkpoint(stages, ServedModel(stages))


def build_gateway(
    settings: Settings, checkpoints: Checkpoints, pool: DecodePool, accounts: Accounts
) -> Gateway:
    """What calls are served with."""
    section = settings.gateway
    uploads = UploadStore(section.upload_folder, upload_limits(section))
    return Gateway(
        checkpoints=checkpoints,
        reader=AudioReader(uploads, section.max_inline_bytes),
        decoder=RecordingDecoder(pool, settings.audio.num_workers),
        admission=Admission(section.max_concurrent, section.max_waiting),
        limits=HearingLimits(
            settings.max_ask_audio_seconds, section.max_window_audio_seconds, settings.audio.silence_dbfs
        ),
        uploads=uploads,
        accounts=accounts,
    )


def open_parts(settings: Settings) -> JobParts | None:
    """Queue and store of jobs; None where no queue is named: behind the default address may be nobody.

    Raises: as `open_store`.
    """
    if "url" not in settings.queue.model_fields_set:
        return None
    limits = JobLimits(**settings.jobs.model_dump())
    queue = CeleryTaskQueue(settings.queue.config(), current_traceparent)
    objects = open_store(settings.storage)
    return JobParts(queue, objects, limits=limits, bursts=open_bursts(settings, objects))


def open_bursts(settings: Settings, objects: ObjectStore) -> Bursts | None:
    """What gives large batches workers of their own; None unless the settings want it.

    Raises:
        StageUnavailableError: reason NO_CLUSTER or NOT_INSTALLED.
        InvalidInputError: reason INVALID_KUBECONFIG.
    """
    section, queue = settings.burst, settings.queue.config()
    if not section.enabled:
        return None
    from eureka.clients.work_record import BurstMarks, connect

    api = open_cluster(section.kubeconfig)
    watch = BurstWatch(api, section.namespace)
    watch.start()
    cluster = WatchedCluster(BurstJobs(api, section.config()), watch.find, watch.close)
    policy = BurstPolicy(section.min_children, section.min_bytes, section.start_seconds)
    return Bursts(cluster, BurstMarks(connect(queue), queue.key_prefix), objects, policy)


def upload_limits(section: GatewaySettings) -> UploadLimits:
    """What uploads may take, by the settings."""
    return UploadLimits(
        max_bytes=section.max_upload_bytes,
        max_tenant_bytes=section.max_tenant_upload_bytes,
        ttl_seconds=section.upload_ttl_seconds,
        max_tenant_running=section.max_tenant_uploads,
        min_free_bytes=section.min_free_upload_bytes,
    )


def server_config(settings: Settings) -> ServerConfig:
    """How the gateway listens."""
    section = settings.gateway
    return ServerConfig(
        host=section.host,
        port=section.port,
        tls=server_tls(settings.tls),
        max_message_bytes=settings.max_message_bytes,
        drain_seconds=section.drain_seconds,
        grace_seconds=section.grace_seconds,
        shares_port=section.shares_port,
    )


def limits_message(settings: Settings) -> model_service_pb2.Limits:
    """Limits as ModelService tells them."""
    section = settings.gateway
    return model_service_pb2.Limits(
        max_prompt_audio_duration=duration_of(settings.max_ask_audio_seconds),
        max_window_audio_duration=duration_of(section.max_window_audio_seconds),
        max_inline_bytes=section.max_inline_bytes,
        max_upload_bytes=section.max_upload_bytes,
        upload_ttl_duration=duration_of(section.upload_ttl_seconds),
        max_message_bytes=settings.max_message_bytes,
    )


async def probe(stages: StageClients, served: ServedModel) -> None:
    """One audio token of silence through all stages, and one token about it."""
    await served.wait()
    deadline = time.monotonic() + _PROBE_SECONDS
    context = CallContext(new_request_id(), deadline=deadline, priority=Priority.PROBE)
    rows = await stages.embed([np.zeros(SAMPLES_PER_AUDIO_TOKEN, dtype=np.float32)], context)
    sampling = SamplingParams(max_new_tokens=1)
    request = TextRequest(Instruction(Task.CAPTION), rows, sampling, deadline, Priority.PROBE)
    async with aclosing(stages.generate(request, context)) as deltas:
        async for _ in deltas:
            pass


async def serve(settings: Settings) -> None:
    """Serve until a signal."""
    gateway = await start_gateway(settings)
    try:
        await serve_until_signal(gateway.server)
    finally:
        await gateway.release()


def main() -> int:
    """Run the gateway; the exit status."""
    return run_root(serve)


def _register(
    audio: AudioServicer, models: ModelServicer, jobs: JobServicer, server: grpc.aio.Server
) -> None:
    add_audio: Callable[..., None] = audio_service_pb2_grpc.add_AudioServiceServicer_to_server
    add_models: Callable[..., None] = model_service_pb2_grpc.add_ModelServiceServicer_to_server
    add_jobs: Callable[..., None] = job_service_pb2_grpc.add_JobServiceServicer_to_server
    add_audio(audio, server)
    add_models(models, server)
    add_jobs(jobs, server)
