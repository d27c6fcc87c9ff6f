"""A store of jobs on a local folder, a model, and everything that runs jobs; clocks stand still."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from eureka.engine.audio_embedder import AudioEmbedder
from eureka.engine.choice import BackendChoice, open_backend
from eureka.engine.engine import Engine, EngineLimits
from eureka.jobs.claims import Claims
from eureka.jobs.hearing import Clocks, JobModel
from eureka.jobs.job_store import JobStore
from eureka.jobs.local_runner import LocalRunner, Patience
from eureka.jobs.source import AudioOpener, OpenHere
from eureka.jobs.spec import JobSpec
from eureka.model.config import EurekaConfig
from eureka.model.load_plan import plan_load
from eureka.pipeline.engine_decoder import EngineDecoder
from eureka.pipeline.options import ListenerSettings
from eureka.storage.keys import JobKeys, new_job_id
from eureka.storage.local import LocalObjectStore
from eureka.storage.store import DEFAULT_CONTENT_TYPE, FolderPage, ObjectInfo, ObjectPage, ObjectStore
from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.types import SAMPLE_RATE_HZ, ModelCard
from tests.helpers.tone_model import Fault, ToneDecoder, ToneEmbedder

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

TONE_CONFIG = EurekaConfig(
    prompts={"transcribe_system": "<|transcribe|>", "caption": "<|caption|>", "classify": "<|classify|>"},
    thinking="none",
    languages={"en": "English"},
    best_window_seconds=10.0,
)

TONE_CARD = ModelCard("tones", {"en": "English"}, 4_096, 10.0, None, 1.0, "ab" * 32)


class WatchedStore:
    """A store that counts conditional writes that won, and may do something before each access.

    Attributes:
        wins: key -> how often it was written by `put_if_absent`.
        num_opened: how often audio was opened.
        before: called with the name of the method and its key.
    """

    def __init__(self, inner: ObjectStore | Path) -> None:
        self.inner = LocalObjectStore(inner) if isinstance(inner, Path) else inner
        self.wins: Counter[str] = Counter()
        self.num_opened = 0
        self.before: Callable[[str, str], None] = lambda method, key: None

    def put(
        self, key: str, content: bytes | BinaryIO, *, content_type: str = DEFAULT_CONTENT_TYPE
    ) -> ObjectInfo:
        self.before("put", key)
        return self.inner.put(key, content, content_type=content_type)

    def put_if_absent(self, key: str, content: bytes, *, content_type: str = DEFAULT_CONTENT_TYPE) -> bool:
        self.before("put_if_absent", key)
        is_written = self.inner.put_if_absent(key, content, content_type=content_type)
        self.wins[key] += is_written
        return is_written

    def get(self, key: str) -> bytes:
        self.before("get", key)
        return self.inner.get(key)

    def open(self, key: str) -> BinaryIO:
        self.before("open", key)
        self.num_opened += key.endswith("audio")
        return self.inner.open(key)

    def list_objects(self, prefix: str = "", *, start_after: str = "", limit: int = 1_000) -> ObjectPage:
        return self.inner.list_objects(prefix, start_after=start_after, limit=limit)

    def list_folders(self, prefix: str = "", *, start_after: str = "", limit: int = 1_000) -> FolderPage:
        return self.inner.list_folders(prefix, start_after=start_after, limit=limit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@dataclass
class JobRig:
    """A model and a store; `run` runs a job to its end.

    Attributes:
        store: watched.
        jobs: documents in it.
        model: that hears.
        opener: that decodes.
        clocks: the time of day may be set.
        claims: of its runners.
    """

    store: WatchedStore
    model: JobModel
    opener: AudioOpener = field(default_factory=OpenHere)
    clocks: Clocks = field(default_factory=lambda: Clocks(lambda: NOW, lambda: 0.0))
    claims: Claims | None = None
    patience: Patience = field(default_factory=lambda: Patience(2, 0.0))
    sleep: Callable[[float], None] = lambda seconds: None

    @property
    def jobs(self) -> JobStore:
        return JobStore(self.store)

    def create(self, audio: bytes | None, number: int = 0, **fields: Any) -> JobKeys:
        """A job over some bytes; ids of equal numbers are equal."""
        spec = JobSpec("tests", job_id(number), "recording.wav", **fields)
        if audio is not None:
            self.store.put(spec.keys.audio, audio)
        assert self.jobs.create(spec)
        return spec.keys

    def runner(self) -> LocalRunner:
        return LocalRunner(
            self.jobs, self.model, self.opener, self.clocks, self.claims, self.patience, self.sleep
        )

    def run(self, keys: JobKeys) -> str | None:
        state = self.runner().run(keys)
        return state.value if state else None


def job_id(number: int = 0) -> str:
    return new_job_id(NOW, number.to_bytes(8, "big"))


def tone_model(
    tokenizer: Tokenizer, fault: Fault = lambda request, number: None, **settings: Any
) -> JobModel:
    """The model that hears tones as words."""
    decoder = ToneDecoder(tokenizer, PromptBuilder(tokenizer, TONE_CONFIG), fault)
    return JobModel(ToneEmbedder(), decoder, ListenerSettings("tones", 10.0, **settings), TONE_CARD)


def checkpoint_model(folder: Path) -> JobModel:
    """A real checkpoint in this process, batch-invariant as jobs are served."""
    plan, choice = plan_load(folder), BackendChoice(batch_invariant=True)
    config, tokenizer = plan.config, Tokenizer.from_folder(folder)
    engine = Engine(
        open_backend(plan, choice, 1),
        tokenizer.end_id,
        limits=EngineLimits(batch_invariant=True),
        repetition_penalty=config.repetition_penalty,
    )
    card = ModelCard(
        config.name,
        dict(config.languages),
        4_096,
        config.best_window_seconds,
        config.time_step_seconds,
        config.repetition_penalty,
        "cd" * 32,
    )
    return JobModel(
        AudioEmbedder.open(plan, choice),
        EngineDecoder(engine, tokenizer, PromptBuilder(tokenizer, config)),
        ListenerSettings(config.name, config.best_window_seconds),
        card,
    )


def result_of(rig: JobRig, keys: JobKeys, number: int = 1) -> dict[str, Any]:
    content = rig.jobs.result(keys, number)
    assert content is not None
    plain: dict[str, Any] = json.loads(content)
    return plain


def check_tiles(result: dict[str, Any], num_samples: int) -> None:
    """Owned spans tile the audio to the sample; what was heard holds them."""
    rows = result["coverage"]
    edges = [round(row["start"] * SAMPLE_RATE_HZ) for row in rows]
    edges.append(round(rows[-1]["end"] * SAMPLE_RATE_HZ))
    assert edges[0] == 0 and edges[-1] == num_samples
    assert all(start < end for start, end in pairwise(edges))
    assert [round(row["end"] * SAMPLE_RATE_HZ) for row in rows] == edges[1:]
    assert all(row["heard_start"] <= row["start"] and row["end"] <= row["heard_end"] for row in rows)
