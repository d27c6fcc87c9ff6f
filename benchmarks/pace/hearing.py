"""C4, C5, C6: encoder, and the whole way from samples to tokens, against the same weights in transformers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from eureka.audio.log_mel import log_mel
from eureka.audio.plan import plan_windows
from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.types import Pcm
from pace.clips import make_clip
from pace.figures import Row, compare, in_turns, middle
from pace.sides import Asked, Kind, Side, generate, kinds, torch_model
from pace.suite import Suite
from pace.transformers_side import TransformersHearing

PADDED_SECONDS = 30
NUM_ROUNDS = 9
MILLISECONDS = 1000.0


@dataclass(frozen=True, slots=True)
class Clip:
    """What is heard, and how much is said about it.

    Attributes:
        name: of the row.
        seconds: length of the audio.
        num_tokens: generated about it, on both sides.
    """

    name: str
    seconds: float
    num_tokens: int


PADDED_CLIPS = (Clip("C5_nano", 30.0, 80), Clip("C5_nano_150", 30.0, 150))
SHORT_CLIPS = (Clip("C6", 5.0, 14), Clip("C6_10s", 10.0, 30))


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of one clip: everything up to the audio embeddings, and all tokens."""

    embed: float
    generate: float

    @property
    def total(self) -> float:
        """Both."""
        return self.embed + self.generate


class OwnHearing:
    """The way of the local commands: windows planned at pauses, each at its true length, embedder, engine.

    Args:
        side: what computes.
        clock: gives seconds.
    """

    def __init__(self, side: Side, clock: Callable[[], float] = time.process_time) -> None:
        self._clock, self.name = clock, side.name
        config = torch_model(side.folder).config
        self.embedder, self.engine = side.embedder(), side.engine(num_slots=1)
        self._prompts = PromptBuilder(Tokenizer.from_folder(side.folder), config)
        self._window_seconds = config.best_window_seconds

    def hear(self, pcm: Pcm, num_tokens: int) -> Spent:
        """Plan, embed and decode one clip; each window says its share of the tokens."""
        embed = generate = 0.0
        started, heard, said = self._clock(), 0, 0
        for window in plan_windows([pcm], self._window_seconds):
            embeddings = self.embedder.embed([window.pcm])
            embedded = self._clock()
            heard += len(window.pcm)
            due = round(num_tokens * min(1.0, heard / len(pcm)))
            self.generate(embeddings, max(1, due - said))
            said, ended = due, self._clock()
            embed, generate = embed + embedded - started, generate + ended - embedded
            started = ended
        return Spent(embed, generate)

    def first_token(self, pcm: Pcm) -> int:
        """The first token about the first window of a clip: what a caller sees first."""
        window = next(iter(plan_windows([pcm], self._window_seconds)))
        return self.generate(self.embedder.embed([window.pcm]), 1)[0]

    def generate(self, embeddings: np.ndarray, num_tokens: int) -> list[int]:
        """Exactly so many greedy tokens about the embeddings (A, W)."""
        return generate(self.engine, Asked(self._prompts.transcribe(len(embeddings)), embeddings), num_tokens)


def encoder(suite: Suite) -> Iterator[Row]:
    """The encoder alone on a window of 30 s: fast numerics under the row's name."""
    model, peer = torch_model(suite.checkpoint), _peer(suite)
    own = {kind: Side.of(suite.checkpoint, kind) for kind in kinds(suite.checkpoint)}
    encoders = {kind: side.encoder() for kind, side in own.items()}
    window = log_mel(make_clip(PADDED_SECONDS), model.config.audio_encoder.num_mel_bins)
    batch = torch.from_numpy(window)[None]
    expected = peer.encode(batch).numpy()[0]
    sides = {own[kind].name: _timed(partial(one.encode, window)) for kind, one in encoders.items()}
    spent = in_turns({**sides, "peer": _timed(lambda: peer.encode(batch))}, suite.rounds(NUM_ROUNDS))
    for kind, side in own.items():
        largest = np.abs(encoders[kind].encode(window) - expected).max() / np.abs(expected).max()
        note = f"{side.name} against WhisperEncoder, SDPA; frames differ by {largest:.1e} of the largest"
        against = compare(spent[side.name], spent["peer"], "ms", MILLISECONDS)
        yield Row(_name("C4", kind), against, note, is_goal=kind.is_default)


def padded(suite: Suite) -> Iterator[Row]:
    """30 s: no side has anything to leave out."""
    yield from _whole_way(suite, PADDED_CLIPS)


def short(suite: Suite) -> Iterator[Row]:
    """Short clips: ours at their true length, the peer padded to 30 s."""
    yield from _whole_way(suite, SHORT_CLIPS)


def _whole_way(suite: Suite, clips: Sequence[Clip]) -> Iterator[Row]:
    own = {kind: OwnHearing(Side.of(suite.checkpoint, kind)) for kind in kinds(suite.checkpoint)}
    peer = _peer(suite)
    for clip in clips:
        yield from _rows(clip, own, peer, suite.rounds(NUM_ROUNDS))


def _rows(
    clip: Clip, own: dict[Kind, OwnHearing], peer: TransformersHearing, num_rounds: int
) -> Iterator[Row]:
    """Fast numerics under the clip's name, exact ones beside it, and the parts of ours."""
    parts: dict[Kind, list[Spent]] = {kind: [] for kind in own}
    sides = {_name("own", kind): _noted(hearing, clip, parts[kind]) for kind, hearing in own.items()}
    spent = in_turns({**sides, "peer": lambda: _heard_by(peer, clip)}, num_rounds)
    for kind, hearing in own.items():
        name, what = _name(clip.name, kind), f"{clip.seconds:g} s, {clip.num_tokens} tokens: {hearing.name}"
        against = compare(spent[_name("own", kind)], spent["peer"], "ms", MILLISECONDS)
        note = f"{what} against the pipeline padded to 30 s; processor time, 1 thread"
        yield Row(name, against, note, is_goal=kind.is_default)
        for part in ("embed", "generate"):
            values = [getattr(one, part) for one in parts[kind][-num_rounds:]]
            yield Row(f"{name}_{part}", middle(values, "ms", MILLISECONDS), what, is_goal=False)


def _name(name: str, kind: Kind) -> str:
    """Fast numerics have the plain name."""
    return name + ("" if kind.numerics == "fast" else f"_{kind.numerics}") + kind.suffix


def _noted(hearing: OwnHearing, clip: Clip, parts: list[Spent]) -> Callable[[], float]:
    numbers = itertools.count()

    def measure() -> float:
        parts.append(hearing.hear(make_clip(clip.seconds, next(numbers)), clip.num_tokens))
        return parts[-1].total

    return measure


def _heard_by(peer: TransformersHearing, clip: Clip) -> float:
    pcm = make_clip(clip.seconds)
    started = time.process_time()
    peer.generate(peer.embed(pcm), clip.num_tokens)
    return time.process_time() - started


def _peer(suite: Suite) -> TransformersHearing:
    return TransformersHearing(torch_model(suite.checkpoint), Tokenizer.from_folder(suite.checkpoint))


def _timed(call: Callable[[], object]) -> Callable[[], float]:
    """Processor seconds of a call."""

    def measure() -> float:
        started = time.process_time()
        call()
        return time.process_time() - started

    return measure
