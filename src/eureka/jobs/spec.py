"""What a job was asked to do: spec.json, written once when the job is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from eureka.errors import InvalidInputError
from eureka.jobs.documents import Fields, to_bytes
from eureka.pipeline.options import UNTIMED_WINDOW_SECONDS
from eureka.storage.keys import JobKeys, created_time
from eureka.storage.store import check_key
from eureka.types import ModelCard, Priority, SamplingParams, Task

SPEC_VERSION = 1
"""Raised when a field changes its meaning."""

LONGEST_WINDOW_SECONDS = 30.0
"""What the encoder takes at once."""

SHORTEST_WINDOW_SECONDS = 1.0
"""What the planner can cut."""

MAX_LABELS, MAX_LABEL_LETTERS = 64, 256
"""Labels of a job are kept in its spec and shown in listings."""

MAX_NAME_LETTERS, MAX_WEBHOOK_LETTERS = 1_024, 2_048

Word = TypeVar("Word", bound=StrEnum)

_UNSERVED = ("top_logprobs", "constraint")
"""Parts of sampling that a job has no place for in its result."""


class Lane(StrEnum):
    """Queue of a job; results do not depend on it."""

    INTERACTIVE = "interactive"
    DEFAULT = "default"
    BULK = "bulk"

    @property
    def priority(self) -> Priority:
        """How urgent its requests are in the engine, where callers of AudioService are above all jobs.

        The lanes default and bulk differ in their queues only.
        """
        return Priority.DEFAULT if self is Lane.INTERACTIVE else Priority.BULK


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One job over one file.

    Attributes:
        tenant: whose job it is.
        job_id: from `storage.keys.new_job_id`.
        source_name: name of the file, for the result's `path`.
        source_key: object that holds the bytes; the job's own `audio` when omitted.
        tasks: transcribe, caption or both, each once.
        language: code or name, as a hint; transcripts only.
        lane: queue.
        labels: whatever the caller wants to find the job by.
        deadline_time: what has not ended by then ends DEADLINE; with its time zone.
        max_window_seconds: upper bound on windows, on top of the checkpoint's own.
        retention_seconds: how long after its end the job is kept; None keeps it.
        webhook: URL that is told of the end.
        has_summary: whether the result gets a summary of the whole audio.
        model: name of the checkpoint; None takes the one that is served.
        sampling: of first attempts; without log-probabilities and constraint.

    Raises:
        InvalidInputError: reason INVALID_SPEC, or those of `storage.keys` for tenant and ids.
    """

    tenant: str
    job_id: str
    source_name: str
    source_key: str | None = None
    tasks: tuple[Task, ...] = (Task.TRANSCRIBE, Task.CAPTION)
    language: str | None = None
    lane: Lane = Lane.DEFAULT
    labels: dict[str, str] = field(default_factory=dict)
    deadline_time: datetime | None = None
    max_window_seconds: float | None = None
    retention_seconds: float | None = None
    webhook: str | None = None
    has_summary: bool = False
    model: str | None = None
    sampling: SamplingParams = field(default_factory=SamplingParams)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def keys(self) -> JobKeys:
        """Where the job's objects lie."""
        return JobKeys(self.tenant, self.job_id)

    @property
    def name(self) -> str:
        """Resource name: jobs/{job}."""
        return f"jobs/{self.job_id}"

    @property
    def audio_key(self) -> str:
        """The object that holds the audio."""
        return self.source_key or self.keys.audio

    @property
    def create_time(self) -> datetime:
        """When the job was made, by its id."""
        return created_time(self.job_id)

    def window_seconds(self, card: ModelCard) -> float:
        """Longest window of this job with a checkpoint: short where it gives no times (design 5)."""
        has_times = card.time_step_seconds is not None
        longest = LONGEST_WINDOW_SECONDS if has_times else UNTIMED_WINDOW_SECONDS
        return min(longest, card.best_window_seconds, self.max_window_seconds or longest)

    def to_bytes(self) -> bytes:
        """The document spec.json."""
        return to_bytes(
            {
                "version": SPEC_VERSION,
                "tenant": self.tenant,
                "job_id": self.job_id,
                "source_name": self.source_name,
                "source_key": self.source_key,
                "tasks": [task.value for task in self.tasks],
                "language": self.language,
                "lane": self.lane.value,
                "labels": self.labels,
                "deadline_time": self.deadline_time.isoformat() if self.deadline_time else None,
                "max_window_seconds": self.max_window_seconds,
                "retention_seconds": self.retention_seconds,
                "webhook": self.webhook,
                "has_summary": self.has_summary,
                "model": self.model,
                "sampling": _plain_sampling(self.sampling),
            }
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> JobSpec:
        """The spec that a document holds.

        Raises:
            InvalidInputError: reason INVALID_DOCUMENT or INVALID_SPEC.
        """
        given = Fields.of_bytes(content, "spec.json", SPEC_VERSION)
        spec = cls(
            tenant=given.text("tenant"),
            job_id=given.text("job_id"),
            source_name=given.text("source_name"),
            source_key=given.text("source_key") if given.has("source_key") else None,
            tasks=tuple(_word(Task, word, "task") for word in given.strings("tasks")),
            language=given.text("language") if given.has("language") else None,
            lane=_word(Lane, given.text("lane"), "lane"),
            labels=given.string_map("labels"),
            deadline_time=given.time("deadline_time") if given.has("deadline_time") else None,
            max_window_seconds=_number(given, "max_window_seconds"),
            retention_seconds=_number(given, "retention_seconds"),
            webhook=given.text("webhook") if given.has("webhook") else None,
            has_summary=given.boolean("has_summary"),
            model=given.text("model") if given.has("model") else None,
            sampling=_sampling(given.fields("sampling")),
        )
        given.end()
        return spec


def _plain_sampling(sampling: SamplingParams) -> dict[str, Any]:
    named = [f.name for f in fields(sampling) if f.name not in _UNSERVED]
    values = {name: getattr(sampling, name) for name in named}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _sampling(given: Fields) -> SamplingParams:
    """Fields that this version does not write yet keep their default."""
    readers: dict[str, Callable[[str], Any]] = {
        **dict.fromkeys(("max_new_tokens", "top_k", "seed"), given.integer),
        **dict.fromkeys(("temperature", "top_p", "min_p", "repetition_penalty"), given.number),
        **dict.fromkeys(("presence_penalty", "frequency_penalty"), given.number),
        "stop": given.strings,
        "ban_token_ids": given.integers,
    }
    values = {name: read(name) for name, read in readers.items() if given.has(name)}
    given.end()
    return SamplingParams(**values)


def _number(given: Fields, name: str) -> float | None:
    return given.number(name) if given.has(name) else None


def _word(kind: type[Word], word: str, what: str) -> Word:
    try:
        return kind(word)
    except ValueError as error:
        raise _invalid(f"{what} {word[:40]!r} is none of {', '.join(kind)}") from error


def _check(spec: JobSpec) -> None:
    assert spec.keys, "tenant and id are checked by making the keys"
    if not spec.tasks or len(set(spec.tasks)) < len(spec.tasks):
        raise _invalid("tasks name transcribe, caption or both, each once")
    if set(spec.tasks) - {Task.TRANSCRIBE, Task.CAPTION}:
        raise _invalid(f"jobs transcribe and caption, not {', '.join(spec.tasks)}")
    if spec.source_key is not None:
        check_key(spec.source_key)
    if not 1 <= len(spec.source_name) <= MAX_NAME_LETTERS:
        raise _invalid(f"source_name has 1 to {MAX_NAME_LETTERS} letters, not {len(spec.source_name)}")
    _check_bounds(spec)
    _check_labels(spec.labels)
    if spec.webhook is not None:
        _check_webhook(spec.webhook)
    if spec.sampling.top_logprobs or spec.sampling.constraint is not None:
        raise _invalid("a job's sampling has neither top_logprobs nor constraint")


def _check_bounds(spec: JobSpec) -> None:
    window, retention = spec.max_window_seconds, spec.retention_seconds
    if window is not None and not SHORTEST_WINDOW_SECONDS <= window <= LONGEST_WINDOW_SECONDS:
        bounds = f"{SHORTEST_WINDOW_SECONDS:g} to {LONGEST_WINDOW_SECONDS:g}"
        raise _invalid(f"max_window_seconds lies in {bounds}, not {window}")
    if retention is not None and not retention > 0:
        raise _invalid(f"retention_seconds is above 0, not {retention}")
    if spec.deadline_time is not None and spec.deadline_time.tzinfo is None:
        raise _invalid("deadline_time needs a time zone")


def _check_labels(labels: dict[str, str]) -> None:
    longest = max((len(text) for pair in labels.items() for text in pair), default=0)
    if len(labels) > MAX_LABELS or longest > MAX_LABEL_LETTERS or "" in labels:
        raise _invalid(f"at most {MAX_LABELS} labels, keys and values of at most {MAX_LABEL_LETTERS} letters")


def _check_webhook(url: str) -> None:
    if not url.startswith(("https://", "http://")) or not 10 <= len(url) <= MAX_WEBHOOK_LETTERS:
        raise _invalid(f"webhook is an http or https URL of at most {MAX_WEBHOOK_LETTERS} letters")


def _invalid(why: str) -> InvalidInputError:
    return InvalidInputError(f"the job cannot be made: {why}", reason="INVALID_SPEC")
