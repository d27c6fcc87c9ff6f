"""The root of local mode: settings -> checkpoint -> embedder, engine and pipeline in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eureka.audio.decode import DecodeLimits
from eureka.audio.decode_pool import DecodePool
from eureka.engine.audio_embedder import AudioEmbedder
from eureka.engine.choice import open_backend
from eureka.engine.engine import Engine, EngineLimits
from eureka.errors import NotFoundError
from eureka.model.config import EurekaConfig
from eureka.model.load_plan import plan_load
from eureka.pipeline.engine_decoder import EngineDecoder
from eureka.pipeline.listener import Listener
from eureka.pipeline.options import ListenerSettings
from eureka.runtime.backend import backend_choice
from eureka.runtime.memory import give_back_large_blocks
from eureka.runtime.settings import Settings
from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer

_NUM_SLOTS = 1
"""Files and windows are heard one after another."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A checkpoint that listens in this process, and the child processes that decode for it.

    Attributes:
        config: of the checkpoint.
        embedder: counts the seconds that it encoded.
        engine: decodes one request at a time.
        listener: answers about audio.
        pool: decodes untrusted files.
        num_experts: of the adapter.
        decoder: what the listener asks.
    """

    config: EurekaConfig
    embedder: AudioEmbedder
    engine: Engine
    listener: Listener
    pool: DecodePool
    num_experts: int
    decoder: EngineDecoder


@contextmanager
def open_local(settings: Settings, checkpoint: Path | None = None) -> Iterator[LocalModel]:
    """Load a checkpoint, from `settings` unless given, and keep a decode pool beside it.

    Raises:
        NotFoundError: there is no such folder.
        InvalidCheckpointError: the folder does not fit.
    """
    give_back_large_blocks()
    folder = checkpoint_folder(settings, checkpoint)
    audio = settings.audio
    with DecodePool(audio.num_workers, DecodeLimits(**audio.limits())) as pool:
        plan, choice = plan_load(folder), backend_choice(settings)
        config, tokenizer = plan.config, Tokenizer.from_folder(folder)
        embedder = AudioEmbedder.open(plan, choice)
        backend = open_backend(plan, choice, _NUM_SLOTS)
        prompts = PromptBuilder(tokenizer, config)
        engine = Engine(
            backend,
            tokenizer.end_id,
            limits=EngineLimits(batch_invariant=choice.batch_invariant),
            repetition_penalty=config.repetition_penalty,
        )
        decoder = EngineDecoder(engine, tokenizer, prompts)
        listener = Listener(
            embedder,
            decoder,
            ListenerSettings(
                model=config.name,
                best_window_seconds=config.best_window_seconds,
                max_prompt_audio_seconds=settings.max_ask_audio_seconds,
                silence_dbfs=audio.silence_dbfs,
            ),
        )
        yield LocalModel(config, embedder, engine, listener, pool, plan.adapter.spec.num_experts, decoder)


def checkpoint_folder(settings: Settings, checkpoint: Path | None) -> Path:
    """The folder given, else that of the settings.

    Raises:
        NotFoundError: it does not exist.
    """
    folder = checkpoint or settings.checkpoint
    if not folder.is_dir():
        raise NotFoundError(
            f"there is no checkpoint folder {folder}; name one by --checkpoint or EUREKA_CHECKPOINT",
            reason="CHECKPOINT_NOT_FOUND",
        )
    return folder
