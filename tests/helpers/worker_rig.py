"""The steps of a worker over a queue that the test empties, a real Redis, and the model that hears tones."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry
from redis import Redis

from eureka.clients.work_record import Lease, QueuedMarks, RedisClaims
from eureka.jobs.hearing import Clocks, JobModel
from eureka.jobs.job_store import JobStore, WindowRef
from eureka.jobs.source import OpenHere
from eureka.runtime.job_metrics import JobMetrics
from eureka.runtime.metrics import Metrics
from eureka.runtime.settings_jobs import WorkerSettings
from eureka.storage.keys import JobKeys
from eureka.types import ModelCard, Priority
from tests.helpers.job_rig import NOW, JobRig
from workers.advance import advance
from workers.backlog import ShownBacklog
from workers.parts import WorkerParts
from workers.steps import Steps
from workers.sweeper import Sweeper, SweepTimes

PREFIX = "tests:"


class ToneStages:
    """`WorkerStages` over a model in this process."""

    def __init__(self, model: JobModel) -> None:
        self._model = model
        self.is_there = True

    def card(self) -> ModelCard:
        return self._model.card

    @contextmanager
    def call(
        self, tenant: str, seconds: float, priority: Priority, request_id: str, traceparent: str = ""
    ) -> Iterator[None]:
        yield

    def model(self, call: None) -> JobModel:
        return self._model

    def is_serving(self) -> bool:
        return self.is_there


@dataclass
class ListQueue:
    """`TaskQueue` as a list of (task, arguments)."""

    messages: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    def enqueue_plan(self, tenant: str, job_id: str, lane: str) -> None:
        self.messages.append(("plan", (JobKeys(tenant, job_id),)))

    def enqueue_window(self, tenant: str, job_id: str, round_number: int, index: int, lane: str) -> None:
        self.messages.append(("window", (WindowRef(JobKeys(tenant, job_id), round_number, index),)))

    def enqueue_finish(self, tenant: str, job_id: str) -> None:
        self.messages.append(("finish", (JobKeys(tenant, job_id),)))

    def enqueue_webhook(self, tenant: str, job_id: str, round_number: int) -> None:
        self.messages.append(("webhook", (JobKeys(tenant, job_id), round_number)))

    def close(self) -> None:
        pass


class WorkerRig:
    """One worker.

    Attributes:
        now: the time of day, which the test may set.
        queue: what is to be done.
        redis: real.
        registry: of its metrics.
    """

    def __init__(self, rig: JobRig, redis: Redis, claim_seconds: float = 5.0, **settings: Any) -> None:
        self.now: datetime = NOW
        self.queue = ListQueue()
        self.redis = redis
        self.stages = ToneStages(rig.model)
        self.claims = RedisClaims(redis, PREFIX, claim_seconds)
        self.parts = WorkerParts(
            WorkerSettings(**settings),
            JobStore(rig.store),
            self.queue,
            self.claims,
            QueuedMarks(redis, PREFIX),
            self.stages,  # type: ignore[arg-type]
            OpenHere(),
            -70.0,
            Clocks(lambda: self.now, lambda: 0.0),
        )
        self.registry = CollectorRegistry()
        self.job_metrics = JobMetrics("worker", self.registry)
        metrics = Metrics("worker", self.registry)
        self.steps = Steps(self.parts, metrics, self.job_metrics, pause_seconds=0.0)

    def sweeper(self, lease_seconds: float = 5.0, **times: float) -> Sweeper:
        lease = Lease(self.redis, f"{PREFIX}sweeper", lease_seconds)
        return Sweeper(
            self.parts.jobs.objects,
            lease,
            lambda keys: advance(self.parts, keys),
            SweepTimes(0.01, 0.01),
            observer=ShownBacklog(self.parts.backlog, self.parts.marks, self.job_metrics),
        )

    def work(self, lost: float = 0.0, seed: int = 0) -> list[str]:
        """Do what is queued, and what comes from that; a share of the messages is lost. What was done."""
        rng, done = random.Random(seed), []
        while self.queue.messages:
            task, arguments = self.queue.messages.pop(0)
            if rng.random() >= lost:
                getattr(self.steps, task)(*arguments)
                done.append(task)
        return done

    def close(self) -> None:
        self.claims.close()
