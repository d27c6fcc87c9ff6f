"""The roles of `openai`: any OpenAI-compatible endpoint, JSON asked for by schema and always checked.

An answer that does not hold its contract is sent back once with what is wrong; after a second one the item
is discarded, and the reason kept.
"""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError

from eureka.dataflux import contracts
from eureka.dataflux.contracts import Contract
from eureka.dataflux.endpoint import ChatRequest, Endpoint, Message, heard_message, text_message, with_repair
from eureka.dataflux.items import Item, pcm16
from eureka.dataflux.prompts import few_shot, fill, prompt_digest
from eureka.dataflux.records import (
    LETTERS,
    Action,
    Answer,
    Answered,
    Caption,
    Consistency,
    Question,
    Verdict,
    Winner,
    digest_of,
)
from eureka.dataflux.roles import DiscardedError
from eureka.dataflux.taxonomy import Taxonomy
from eureka.training.events import Event
from eureka.training.real_pack import plain_words
from eureka.training.sound_labels import all_phrases
from eureka.types import SAMPLE_RATE_HZ

_Reply = TypeVar("_Reply", bound=Contract)

MAX_PROBLEM_LETTERS = 500
"""Of what is wrong, as it is sent back."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """A model at an endpoint; what all roles share.

    Attributes:
        endpoint: calls it.
        model: its name there.
        temperature: of sampling.
        max_tokens: of one answer.
        seed: of sampling.
    """

    endpoint: Endpoint
    model: str
    temperature: float = 0.0
    max_tokens: int = 1_024
    seed: int = 1

    def identity(self, prompt: str) -> Any:
        """All that an answer depends on."""
        return ["openai", self.model, self.temperature, self.max_tokens, self.seed, prompt_digest(prompt)]

    def ask(self, message: Message, kind: type[_Reply], audio_seconds: float = 0.0) -> _Reply:
        """The answer to one message, as its contract.

        Raises:
            DiscardedError: reason INVALID_OUTPUT; it did not hold the contract, twice.
            EurekaError: as `Endpoint.complete`.
        """
        messages: tuple[Message, ...] = (message,)
        said = self._complete(messages, kind, audio_seconds)
        try:
            return kind.model_validate_json(said)
        except ValidationError as first:
            problem = fill("repair", {"PROBLEM": _problem(first)})
        said = self._complete(with_repair(messages, said, problem), kind, audio_seconds)
        try:
            return kind.model_validate_json(said)
        except ValidationError as second:
            message_ = f"{self.model} did not hold the contract of {kind.__name__}: {_problem(second)}"
            raise DiscardedError(message_, reason="INVALID_OUTPUT") from second

    def _complete(self, messages: tuple[Message, ...], kind: type[Contract], audio_seconds: float) -> str:
        schema = (kind.__name__, kind.schema_of())
        request = ChatRequest(
            self.model, messages, schema, self.temperature, self.max_tokens, audio_seconds, self.seed
        )
        return self.endpoint.complete(request)


@dataclass(frozen=True, slots=True)
class OpenAICaptioner:
    """Hears and describes; see `Captioner`."""

    speaker: Speaker

    @property
    def identity(self) -> Any:
        """Model and prompt."""
        return self.speaker.identity("caption")

    def caption(self, item: Item) -> Caption:
        """The description, as the model gives it."""
        values = {"SECONDS": f"{item.seconds:.1f}", "PHRASES": ", ".join(all_phrases())}
        message = heard_message(fill("caption", values), wav_base64(item))
        reply = self.speaker.ask(message, contracts.CaptionReply, item.seconds)
        events = sorted(
            (Event(e.phrase.lower(), e.start, min(e.end, item.seconds)) for e in reply.events),
            key=lambda event: (event.start_seconds, event.end_seconds),
        )
        words = None if reply.words is None else plain_words(reply.words)
        return Caption(reply.text, item.seconds, tuple(events), words, reply.background.lower())


@dataclass(frozen=True, slots=True)
class OpenAIWriter:
    """Writes questions of one category an item; see `Writer`.

    Attributes:
        speaker: the model.
        taxonomy: categories and their rules.
        skills: those that may be asked.
        weights: category -> how much more often than others it is asked.
        count: questions of an item.
    """

    speaker: Speaker
    taxonomy: Taxonomy
    skills: tuple[str, ...]
    weights: Mapping[str, float]
    count: int = 5

    @property
    def identity(self) -> Any:
        """Model, prompt, examples and categories."""
        shots = [few_shot(skill) for skill in self.skills]
        weights = dict(sorted(self.weights.items()))
        return [self.speaker.identity("write"), list(self.skills), weights, self.count, digest_of(shots)]

    def write(self, item: Item, caption: Caption) -> list[Question]:
        """The questions that the model wrote; none where it says that the caption does not fit."""
        skill = self._skill(item, caption)
        path = self.taxonomy.path(caption, skill)
        values = {
            "HIERARCHY_BLOCK": self.taxonomy.hierarchy(path),
            "COUNT": str(self.count),
            "FEW_SHOT_CONTENT": few_shot(skill),
            "AUDIO_CAPTION": caption.text,
        }
        reply = self.speaker.ask(text_message("user", fill("write", values)), contracts.QuestionsReply)
        blocks = [contracts.read_block(block) for block in reply.questions[: self.count]]
        return [Question(number, path, text, options) for number, (text, options) in enumerate(blocks)]

    def _skill(self, item: Item, caption: Caption) -> str:
        rng = np.random.default_rng(int(digest_of(self.speaker.seed, item.audio_id, "skill"), 16))
        paths = [self.taxonomy.path(caption, skill) for skill in self.skills]
        weights = np.array([self.weights.get(path.category, 1.0) for path in paths])
        return self.skills[int(rng.choice(len(paths), p=weights / weights.sum()))]


@dataclass(frozen=True, slots=True)
class OpenAIAnswerer:
    """Answers a question a call; `hears` False sends no audio, for the blind check; see `Answerer`."""

    speaker: Speaker
    hears: bool = True

    @property
    def identity(self) -> Any:
        """Model, prompt, and whether it hears."""
        return [self.speaker.identity("answer"), self.hears]

    def answer(self, item: Item, questions: Sequence[Question]) -> list[Answer]:
        """Reasoning and letter of each question."""
        wav = wav_base64(item) if self.hears and questions else ""
        return [self._answer(item, question, wav) for question in questions]

    def _answer(self, item: Item, question: Question, wav: str) -> Answer:
        given = "You hear one recording." if self.hears else "You cannot hear the recording; guess."
        text = fill("answer", {"WHAT_YOU_HAVE": given, "QUESTION": question.block})
        message = heard_message(text, wav) if self.hears else text_message("user", text)
        reply = self.speaker.ask(message, contracts.AnswerReply, item.seconds if self.hears else 0.0)
        option = LETTERS.index(reply.response)
        if option >= len(question.options):
            return Answer(None, reply.think, reply.response)
        return Answer(option, reply.think, question.options[option])


@dataclass(frozen=True, slots=True)
class OpenAIJudge:
    """Judges a question a call; see `Judge`."""

    speaker: Speaker
    taxonomy: Taxonomy

    @property
    def identity(self) -> Any:
        """Model, prompt and rules."""
        return [self.speaker.identity("judge"), digest_of(dict(self.taxonomy.rules))]

    def judge(self, item: Item, caption: Caption, answered: Sequence[Answered]) -> list[Verdict]:
        """The model's verdicts; one that keeps what contradicts itself is turned into a discard."""
        return [self._judge(caption, row) for row in answered]

    def _judge(self, caption: Caption, row: Answered) -> Verdict:
        path = row.question.path
        values = {
            "DOMAIN_PATH": " > ".join((path.domain, path.group, path.thing)),
            "DOMAIN_RULES": "\n".join(f"- {rule}" for rule in self.taxonomy.rules[path.domain]),
            "AUDIO_CAPTION": caption.text,
            "QUERY": row.question.block,
            "TRACE_A": row.first.trace,
            "ANSWER_A": row.first.said,
            "TRACE_B": row.second.trace,
            "ANSWER_B": row.second.said,
        }
        reply = self.speaker.ask(text_message("user", fill("judge", values)), contracts.VerdictReply)
        return _checked(row, reply)


def _checked(row: Answered, reply: contracts.VerdictReply) -> Verdict:
    """The verdict of a reply; agreement is counted, not believed."""
    agree = row.first.option is not None and row.first.option == row.second.option
    verdict = Verdict(
        agree, reply.consistency_with_caption, reply.winner, reply.final_action, reply.reasoning
    )
    if not verdict.is_kept:
        return _discarded(verdict, "JUDGE_DISCARDS")
    chosen = row.second.option if reply.winner is Winner.MODEL_B else row.first.option
    if reply.consistency_with_caption is Consistency.CONFLICT:
        return _discarded(verdict, "CONFLICT")
    if chosen is None or (reply.winner is Winner.TIE and not agree):
        return _discarded(verdict, "JUDGE_CONTRADICTS_ITSELF")
    return verdict


def _discarded(verdict: Verdict, reason: str) -> Verdict:
    return Verdict(
        verdict.consensus, verdict.consistency, verdict.winner, Action.DISCARD, verdict.reasoning, reason
    )


def wav_base64(item: Item) -> str:
    """The audio of an item as a WAV of 16 bits in base64, the form that every such endpoint takes."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE_HZ)
        writer.writeframes(pcm16(item.pcm).astype("<i2").tobytes())
    return base64.b64encode(buffer.getvalue()).decode()


def _problem(error: ValidationError) -> str:
    """What is wrong, in words for the model."""
    rows = [f"{'.'.join(map(str, e['loc'])) or 'JSON'}: {e['msg']}" for e in error.errors(include_url=False)]
    return "; ".join(rows)[:MAX_PROBLEM_LETTERS]
