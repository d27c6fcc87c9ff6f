"""A small deterministic "model" that hears tones as words, behind the pipeline's two Protocols.

Each word is a tone of its own pitch. Of a tone that a window cuts short half the word is heard, as of
speech. So the whole way from pcm to text can be checked word by word, without trained weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from eureka.engine.request import LabelScores
from eureka.text.answers import AnswerWriter, check_instruction, instruction_prompt
from eureka.text.prompts import Prompt, PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.types import (
    SAMPLE_RATE_HZ,
    SAMPLES_PER_AUDIO_TOKEN,
    Ending,
    Instruction,
    Pcm,
    Task,
    TextDelta,
    TextRequest,
    Usage,
)

WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett")
WORD_SECONDS, GAP_SECONDS = 0.48, 0.24
WIDTH = 2

_FIRST_HZ, _STEP_HZ = 400, 200
_SHORTEST_WORD_TOKENS = 4

Fault = Callable[[TextRequest, int], tuple[Sequence[str], Ending] | None]
"""(request, number of requests so far) -> words and ending instead of what is heard, or None."""


def say(words: Sequence[str], gap_seconds: float = GAP_SECONDS) -> Pcm:
    """Pcm of the words, each followed by a gap of very soft noise."""
    rng = np.random.default_rng(0)
    gap_samples = round(gap_seconds * SAMPLE_RATE_HZ)
    seconds = np.arange(round(WORD_SECONDS * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    parts = []
    for word in words:
        hertz = _FIRST_HZ + _STEP_HZ * WORDS.index(word)
        parts.append(0.3 * np.sin(2 * np.pi * hertz * seconds))
        parts.append(1e-3 * rng.standard_normal(gap_samples))
    return np.concatenate(parts).astype(np.float32)


def blocks_of(pcm: Pcm, block_samples: int = 8_000) -> Iterator[Pcm]:
    """The pcm in blocks, as a decoder gives them."""
    for start in range(0, len(pcm), block_samples):
        yield pcm[start : start + block_samples]


class ToneEmbedder:
    """Row (pitch in Hz, level) of each audio token; counts what it was given."""

    def __init__(self) -> None:
        self.encoded_samples: list[int] = []

    def embed(self, items: Sequence[Pcm]) -> NDArray[np.float32]:
        self.encoded_samples += [len(pcm) for pcm in items]
        rows = [self._row(token) for pcm in items for token in _tokens(pcm)]
        return np.array(rows, dtype=np.float32)

    @staticmethod
    def _row(token: Pcm) -> tuple[float, float]:
        spectrum = np.abs(np.fft.rfft(token * np.hanning(len(token))))
        hertz = float(np.argmax(spectrum)) * SAMPLE_RATE_HZ / len(token)
        return hertz, float(np.sqrt(np.mean(np.square(token))))


class ToneDecoder:
    """Says the words of the rows; captions are the same words with time tokens around each.

    Attributes:
        requests: what it was asked.
        prompts: of each request, as its checkpoint would lay it out.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompts: PromptBuilder,
        fault: Fault = lambda request, number: None,
    ) -> None:
        self._tokenizer = tokenizer
        self._builder = prompts
        self._fault = fault
        self.requests: list[TextRequest] = []
        self.prompts: list[Prompt] = []

    def check(self, instruction: Instruction) -> None:
        check_instruction(self._builder, instruction)

    def generate(self, request: TextRequest) -> Iterator[TextDelta]:
        num_prompt_tokens = self._note(request)
        fault = self._fault(request, len(self.requests))
        if fault is not None:
            ids, ending = self._tokenizer.encode(" ".join(fault[0])), fault[1]
        elif request.instruction.task is Task.CAPTION:
            ids, ending = self._tokenizer.encode(_captioned(request)), Ending.STOP
        else:
            ids, ending = self._tokenizer.encode(" ".join(_words(request))), Ending.STOP
        writer = AnswerWriter(self._tokenizer)
        for token_id in ids:
            yield writer.write([token_id])
        yield writer.write([], ending=ending, usage=Usage(num_prompt_tokens, len(ids)))

    def score(self, request: TextRequest, labels: Sequence[str]) -> LabelScores:
        num_prompt_tokens = self._note(request)
        heard = " ".join(_words(request))
        logs = tuple(-0.1 if label.replace("_", " ") == heard else -6.0 for label in labels)
        return LabelScores(tuple(labels), logs, Usage(num_prompt_tokens))

    def _note(self, request: TextRequest) -> int:
        """Remember a request; the length of its prompt."""
        self.requests.append(request)
        prompt = instruction_prompt(self._builder, request.instruction, len(request.audio_embeddings))
        self.prompts.append(prompt)
        return len(prompt.prompt_ids)


def _tokens(pcm: Pcm) -> Iterator[Pcm]:
    for start in range(0, len(pcm), SAMPLES_PER_AUDIO_TOKEN):
        token = pcm[start : start + SAMPLES_PER_AUDIO_TOKEN]
        yield np.pad(token, (0, SAMPLES_PER_AUDIO_TOKEN - len(token)))


def _runs(request: TextRequest) -> Iterator[tuple[str, int, int]]:
    """(word, first token, token after the last) of each tone; of a cut one, the half that was heard."""
    pitches = [
        round((hertz - _FIRST_HZ) / _STEP_HZ) if level > 0.05 else None
        for hertz, level in request.audio_embeddings.tolist()
    ]
    place = 0
    for pitch, run in groupby(pitches):
        length = len(list(run))
        if pitch is not None and length >= 2:
            word = WORDS[pitch % len(WORDS)]
            half = word[len(word) // 2 :] if place == 0 else word[: len(word) // 2]
            yield word if length >= _SHORTEST_WORD_TOKENS else half, place, place + length
        place += length


def _words(request: TextRequest) -> list[str]:
    return [word for word, _, _ in _runs(request)]


def _captioned(request: TextRequest) -> str:
    marked = (f"<|{_mark(start)}|>{word}<|{_mark(end)}|>" for word, start, end in _runs(request))
    return "".join(marked) or "silence"


def _mark(token: int) -> str:
    """Nearest time token: steps of 0.2 s."""
    return f"{round(token * 0.08 / 0.2) * 0.2:.1f}"
