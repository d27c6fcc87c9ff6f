"""What workers know of each other, in Redis: claims with heartbeat and fence, what is queued, one lock.

All of it may be lost at any time, and only costs work that is done twice. Nothing here raises when Redis is
away.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from eureka.clients.task_queue import CONNECT_SECONDS, SOCKET_SECONDS, QueueConfig, burst_lane, queue_of

logger = logging.getLogger(__name__)

COUNT_SECONDS = 86_400
"""How long it is remembered how many were at something (a day)."""

_CLAIM = """
if redis.call('exists', KEYS[1]) == 1 then return 0 end
local number = redis.call('incr', KEYS[2])
redis.call('expire', KEYS[2], ARGV[3])
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
return number
"""
"""Holder, count; token, life in ms, life of the count in s."""

_BEAT = """
local holder = redis.call('get', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
return 1
"""
"""A claim that Redis lost is made again; one that somebody else holds is left alone."""

_RELEASE = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('del', unpack(KEYS))
"""
"""Whoever ends with a word has not died of it: the count goes, too."""

_T = TypeVar("_T")


def connect(config: QueueConfig) -> Redis:
    """A client for any number of threads; it connects when it is used."""
    return Redis.from_url(
        config.url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=SOCKET_SECONDS,
        socket_keepalive=True,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 1),  # a connection that died meanwhile; more would hold windows up
    )


class RedisClaims:
    """`jobs.claims.Claims` of all workers; a thread keeps this process's claims alive.

    Args:
        redis: from `connect`.
        key_prefix: before all keys.
        live_seconds: how long a claim lives after its last heartbeat.
        longest_seconds: a claim that is older is not kept alive: whoever made it hangs.
    """

    def __init__(
        self, redis: Redis, key_prefix: str, live_seconds: float = 20.0, longest_seconds: float = 1_800.0
    ) -> None:
        self._redis = redis
        self._prefix = key_prefix
        self._live_milliseconds = round(1_000 * live_seconds)
        self._longest_seconds = longest_seconds
        self._lock = threading.Lock()
        self._held: set[RedisClaim] = set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, name="claims", daemon=True)
        self._thread.start()

    def claim(self, name: str) -> RedisClaim | None:
        """As `Claims`; where Redis is away, everybody may do everything."""
        claim = RedisClaim(self, name)
        number = _or(1, lambda: self._eval(_CLAIM, name, claim.token, self._live_milliseconds, COUNT_SECONDS))
        if number == 0:
            return None
        claim.number = number
        with self._lock:
            self._held.add(claim)
        return claim

    def is_live(self, name: str) -> bool:
        """As `Claims`."""
        return _or(False, lambda: bool(self._redis.exists(self._keys(name)[0])))

    def num_claims(self, name: str) -> int:
        """As `Claims`; those that were released do not count."""
        return _or(0, lambda: int(cast(Any, self._redis.get(self._keys(name)[1])) or 0))

    def beat(self, claim: RedisClaim) -> None:
        """Lengthen a claim, unless somebody else holds it by now."""
        _or(0, lambda: self._eval(_BEAT, claim.name, claim.token, self._live_milliseconds))

    def release(self, claim: RedisClaim) -> None:
        """End a claim, unless somebody else holds it by now."""
        with self._lock:
            self._held.discard(claim)
        _or(0, lambda: self._eval(_RELEASE, claim.name, claim.token))

    def close(self) -> None:
        """Stop the heartbeats; claims that are held die."""
        self._closing.set()
        self._thread.join()

    def _keep_alive(self) -> None:
        while not self._closing.wait(self._live_milliseconds / 3_000):
            oldest = time.monotonic() - self._longest_seconds
            with self._lock:
                alive = [claim for claim in self._held if claim.made > oldest]
            for claim in alive:
                self.beat(claim)

    def _eval(self, script: str, name: str, *arguments: str | int) -> int:
        return int(cast(Any, self._redis.eval(script, 2, *self._keys(name), *map(str, arguments))))

    def _keys(self, name: str) -> tuple[str, str]:
        return f"{self._prefix}claim:{name}", f"{self._prefix}claims:{name}"


@dataclass(eq=False, slots=True)
class RedisClaim:
    """`jobs.claims.Claim`; its token is the fence: nobody touches a claim of somebody else."""

    _claims: RedisClaims
    name: str
    number: int = 1
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    made: float = field(default_factory=time.monotonic)

    def beat(self) -> None:
        """As `Claim`."""
        self._claims.beat(self)

    def release(self) -> None:
        """As `Claim`."""
        self._claims.release(self)


class QueuedMarks:
    """What is in the queue, by the object that it will make; a mark lives for a while.

    Args:
        redis: from `connect`.
        key_prefix: before all keys.
        live_seconds: after which a message counts as lost.
    """

    def __init__(self, redis: Redis, key_prefix: str, live_seconds: float = 30.0) -> None:
        self._redis = redis
        self._prefix = key_prefix
        self._live_milliseconds = round(1_000 * live_seconds)

    def marked(self, names: Iterable[str]) -> frozenset[str]:
        """Those of the names that are in the queue."""
        listed = list(names)
        if not listed:
            return frozenset()
        nothing: list[object] = []
        found = _or(nothing, lambda: cast(Any, self._redis.mget([self._key(name) for name in listed])))
        return frozenset(name for name, mark in zip(listed, found, strict=False) if mark is not None)

    def mark(self, name: str, seconds: float | None = None) -> None:
        """It is in the queue now, or shall not be for so many seconds."""
        life = self._live_milliseconds if seconds is None else max(1, round(1_000 * seconds))
        _or(None, lambda: self._redis.set(self._key(name), "1", px=life))

    @contextmanager
    def marking(self, name: str) -> Iterator[None]:
        """Mark what is queued inside the block; before that, since the task takes the mark away."""
        self.mark(name)
        try:
            yield
        except BaseException:
            self.clear(name)
            raise

    def clear(self, name: str) -> None:
        """It is in nobody's queue any more."""
        _or(0, lambda: self._redis.delete(self._key(name)))

    def count(self, name: str) -> int:
        """Count something that went wrong; how often it did, this time included."""
        key = f"{self._prefix}failures:{name}"

        def counted() -> int:
            number = int(cast(Any, self._redis.incr(key)))
            self._redis.expire(key, COUNT_SECONDS)
            return number

        return _or(1, counted)

    def num_waiting(self, lane: str) -> int:
        """Messages of a lane that wait for a worker."""
        return _or(0, lambda: int(cast(Any, self._redis.llen(f"{self._prefix}{queue_of(lane)}"))))

    def _key(self, name: str) -> str:
        return f"{self._prefix}queued:{name}"


class TraceRecord:
    """The traces of jobs, so that whoever queues their work goes on in the trace that their maker began.

    Args:
        redis: from `connect`.
        key_prefix: before all keys.
    """

    def __init__(self, redis: Redis, key_prefix: str) -> None:
        self._redis = redis
        self._prefix = f"{key_prefix}trace:"

    def remember(self, job_id: str, traceparent: str) -> None:
        """Keep the trace context of a job for a day, unless there is one."""
        key = f"{self._prefix}{job_id}"
        _or(None, lambda: self._redis.set(key, traceparent, nx=True, ex=COUNT_SECONDS))

    def find(self, job_id: str) -> str:
        """The trace context of a job; empty where none is known."""
        found = _or(None, lambda: cast(Any, self._redis.get(f"{self._prefix}{job_id}")))
        return found.decode() if found else ""


class BurstMarks:
    """Which batches have workers of their own, so that nobody else hears them; a mark lives for a while.

    Args:
        redis: from `connect`.
        key_prefix: before all keys.
    """

    def __init__(self, redis: Redis, key_prefix: str) -> None:
        self._redis = redis
        self._prefix = key_prefix

    def mark(self, tenant: str, batch_id: str, seconds: float) -> None:
        """The batch has workers of its own, or will have, for so many seconds."""
        _or(
            None, lambda: self._redis.set(self._key(tenant, batch_id), "1", px=max(1, round(1_000 * seconds)))
        )

    def is_live(self, tenant: str, batch_id: str) -> bool:
        """Whether the batch has workers of its own; False where Redis is away."""
        return _or(False, lambda: bool(self._redis.exists(self._key(tenant, batch_id))))

    def clear(self, tenant: str, batch_id: str) -> None:
        """It has none any more; what is left of its queue is removed."""
        queue = f"{self._prefix}{queue_of(burst_lane(batch_id))}"
        _or(0, lambda: self._redis.delete(self._key(tenant, batch_id), queue))

    def _key(self, tenant: str, batch_id: str) -> str:
        return f"{self._prefix}burst:{tenant}/{batch_id}"


class Lease:
    """A lock that one process holds for a while; two holders at a time do no harm.

    Args:
        redis: from `connect`.
        key: of the lock.
        live_seconds: after its last renewal.
    """

    def __init__(self, redis: Redis, key: str, live_seconds: float) -> None:
        self._redis = redis
        self._key = key
        self._milliseconds = round(1_000 * live_seconds)
        self._token = secrets.token_hex(8)

    def take(self) -> bool:
        """Take or renew it; False while somebody else holds it, or Redis is away."""
        return _or(False, self._taken)

    def release(self) -> None:
        """Let others have it."""
        _or(0, lambda: self._redis.eval(_RELEASE, 1, self._key, self._token))

    def _taken(self) -> bool:
        if self._redis.set(self._key, self._token, nx=True, px=self._milliseconds):
            return True
        return bool(self._redis.eval(_BEAT, 1, self._key, self._token, str(self._milliseconds)))


def _or(otherwise: _T, ask: Callable[[], Any]) -> _T:
    """What Redis says; `otherwise` where it is away, which the queue itself logs."""
    try:
        found: _T = ask()
    except (RedisError, OSError) as error:
        logger.debug("work_record_away", extra={"reason": type(error).__name__})
        return otherwise
    return found
