"""The model under test, asked as users ask it: through the pipeline and the engine.

An `Ear` holds one checkpoint in this process and answers many questions at once, several engine slots
wide. Nothing here knows what the right answer is.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from eureka.engine.audio_embedder import AudioEmbedder
from eureka.engine.choice import BackendChoice, open_backend
from eureka.engine.engine import Engine, EngineLimits
from eureka.engine.runner import EngineRunner
from eureka.model.load_plan import LoadPlan, plan_load
from eureka.pipeline.engine_decoder import EngineDecoder
from eureka.pipeline.listener import Listener
from eureka.pipeline.options import ListenerSettings, ListenOptions
from eureka.pipeline.protocols import AudioEmbeddings
from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.types import HearingResult, Pcm, SamplingParams, Segment, Task

NUM_SLOTS = 8
"""Requests decoded together. On one core more slots bring little: the batch is bound by arithmetic."""

MAX_NEW_TOKENS = 192
"""Bound of one answer. Ten seconds hold fewer tokens of speech or events; a checkpoint that has not learnt
to stop would else cost minutes."""

EMBEDDINGS_KEPT = 256
"""Embeddings of the clips asked about last: several questions about a clip encode it once."""


_OPTIONS = ListenOptions(sampling=SamplingParams(max_new_tokens=MAX_NEW_TOKENS))


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about a clip; `labels` for classify, `text` for ask."""

    task: Task
    labels: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer.

    Attributes:
        text: transcript, caption, free answer, or the label.
        segments: as the pipeline gave them.
        label: best label of a closed set.
        log_probability: of the best label as the whole answer, under the full vocabulary: the measure
            that `--abstain-below` compares; NaN for other tasks.
    """

    text: str
    segments: tuple[Segment, ...] = ()
    label: str | None = None
    log_probability: float = float("nan")


class Ear:
    """A checkpoint that listens in this process; a context manager, for it drives an engine thread.

    Args:
        plan: of a checkpoint.
        choice: what computes.
        num_slots: requests decoded together.

    Attributes:
        plan: of the checkpoint.
        tokenizer: of the checkpoint.
        prompts: of the checkpoint.
        name: of the checkpoint, from its config.
        embedder: pcm to embeddings; remembers those it made last.
        decoder: instructions to text and scores.
        listener: answers about audio, through both.
    """

    def __init__(
        self, plan: LoadPlan, choice: BackendChoice | None = None, num_slots: int = NUM_SLOTS
    ) -> None:
        config, choice = plan.config, choice or BackendChoice()
        self.plan = plan
        self.tokenizer = Tokenizer.from_folder(plan.folder)
        self.prompts = PromptBuilder(self.tokenizer, config)
        self.name = config.name
        self._num_slots = num_slots
        backend = open_backend(plan, choice, num_slots)
        limits = EngineLimits(batch_invariant=choice.batch_invariant)
        engine = Engine(
            backend, self.tokenizer.end_id, limits=limits, repetition_penalty=config.repetition_penalty
        )
        self._runner = EngineRunner(engine)
        self.decoder = EngineDecoder(engine, self.tokenizer, self.prompts)
        self.embedder = _MemoEmbedder(AudioEmbedder.open(plan, choice))
        settings = ListenerSettings(self.name, best_window_seconds=config.best_window_seconds)
        self.listener = Listener(self.embedder, self.decoder, settings)

    @classmethod
    def from_folder(
        cls, folder: Path, choice: BackendChoice | None = None, num_slots: int = NUM_SLOTS
    ) -> Ear:
        """Open a checkpoint folder.

        Raises:
            InvalidCheckpointError: the folder does not fit.
        """
        return cls(plan_load(folder), choice, num_slots)

    def __enter__(self) -> Ear:
        self._runner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._runner.__exit__(kind, error, traceback)

    def hear(self, pcm: Pcm, question: Question) -> Heard:
        """The answer to one question about one clip."""
        result = self._ask(pcm, question)
        if question.task is not Task.CLASSIFY:
            return Heard(result.text, result.segments)
        logs = result.log_probabilities or {}
        return Heard(result.text, result.segments, result.label, max(logs.values(), default=float("nan")))

    def hear_all(
        self,
        pcms: Sequence[Pcm],
        questions: Sequence[Question],
        on_answer: Callable[[], None] | None = None,
    ) -> list[Heard]:
        """Answers to one question a clip, in order; `on_answer` is called after each."""

        def hear_one(pcm: Pcm, question: Question) -> Heard:
            heard = self.hear(pcm, question)
            if on_answer is not None:
                on_answer()
            return heard

        with ThreadPoolExecutor(self._num_slots) as pool:
            return list(pool.map(hear_one, pcms, questions))

    def _ask(self, pcm: Pcm, question: Question) -> HearingResult:
        if question.task is Task.TRANSCRIBE:
            return self.listener.transcribe("", [pcm], _OPTIONS)
        if question.task is Task.CAPTION:
            return self.listener.caption("", [pcm], _OPTIONS)
        if question.task is Task.ASK:
            return self.listener.ask("", [[pcm]], question.text, _OPTIONS)
        return self.listener.classify("", [pcm], question.labels)


class _MemoEmbedder:
    """An embedder that keeps the embeddings of the items it saw last."""

    def __init__(self, embedder: AudioEmbedder) -> None:
        self._embedder = embedder
        self._kept: OrderedDict[bytes, AudioEmbeddings] = OrderedDict()
        self._lock = threading.Lock()

    def embed(self, items: Sequence[Pcm]) -> AudioEmbeddings:
        """Rows (A, W) float32 of all items in order, as `AudioEmbedder.embed`."""
        digest = hashlib.sha1(usedforsecurity=False)
        for pcm in items:
            digest.update(len(pcm).to_bytes(8, "little") + pcm.tobytes())
        key = digest.digest()
        with self._lock:
            if (known := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return known
        embeddings = self._embedder.embed(items)
        with self._lock:
            self._kept[key] = embeddings
            while len(self._kept) > EMBEDDINGS_KEPT:
                self._kept.popitem(last=False)
        return embeddings


def weights_digest(folder: Path) -> str:
    """SHA-256 over the weight files of a checkpoint, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with open(path, "rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()
