"""The whole way through a real engine over a tiny seeded model: nothing is scripted here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eureka.engine.engine import Engine
from eureka.engine.reference import ReferenceBackend
from eureka.engine.reference_parts import reference_embedder
from eureka.errors import InvalidInputError
from eureka.pipeline.engine_decoder import EngineDecoder
from eureka.pipeline.listener import Listener
from eureka.pipeline.options import ListenerSettings, ListenOptions, RetryPolicy
from eureka.text.prompts import PromptBuilder
from eureka.types import (
    SAMPLE_RATE_HZ,
    Constraint,
    Ending,
    Instruction,
    Logprobs,
    SamplingParams,
    Task,
    TextDelta,
    TextPart,
    TextRequest,
    Turn,
)
from tests.helpers.tiny_model import tiny_model
from tests.helpers.tokenizers import small_nano_tokenizer
from tests.helpers.tone_model import WORDS, blocks_of, say

OPTIONS = ListenOptions(sampling=SamplingParams(max_new_tokens=12))


class Parts:
    """Everything that a root builds, kept for looking at it."""

    def __init__(self, folder: Path) -> None:
        model = tiny_model()
        tokenizer = small_nano_tokenizer(folder)
        self.embedder = reference_embedder(model)
        self.engine = Engine(ReferenceBackend(model.backbone, context_tokens=512), tokenizer.end_id)
        self.tokenizer, self.prompts = tokenizer, PromptBuilder(tokenizer, model.config)
        self.decoder = EngineDecoder(self.engine, tokenizer, self.prompts)
        self.settings = ListenerSettings("tiny", 10.0, retry=RetryPolicy(resamplings=(), max_halvings=0))
        self.listener = Listener(self.embedder, self.decoder, self.settings)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return Parts(tmp_path_factory.mktemp("tiny"))


def test_transcribe_ledger_equals_what_the_encoder_counted(parts: Parts) -> None:
    quiet = np.zeros(3 * SAMPLE_RATE_HZ, dtype=np.float32)
    words = [WORDS[i * 3 % 10] for i in range(32)]
    pcm = np.concatenate([say(words), quiet, say(words[:3]), quiet, say(words, gap_seconds=0.0)])
    before = parts.embedder.encoded_seconds
    result = parts.listener.transcribe("a.wav", blocks_of(pcm), OPTIONS)
    rows = result.coverage
    assert [row.owned.end_sample for row in rows] == [*(row.owned.start_sample for row in rows[1:]), len(pcm)]
    heard = [row for row in rows if row.ending is not Ending.SILENCE]
    assert len(rows) > len(heard) > 3
    heard_seconds = sum(row.heard.num_samples for row in heard) / SAMPLE_RATE_HZ
    assert 0 <= parts.embedder.encoded_seconds - before - heard_seconds <= 0.08 * len(heard)


def test_transcribe_twice_gives_the_same_result(parts: Parts) -> None:
    pcm = say(WORDS)
    options = replace(OPTIONS, sampling=SamplingParams(max_new_tokens=12, temperature=0.9))
    first, second = (parts.listener.transcribe("a.wav", blocks_of(pcm), options) for _ in range(2))
    assert (first.text, first.coverage) == (second.text, second.coverage)
    assert first.usage.generated_tokens > 0


def test_retries_and_tracks_encode_a_window_once(parts: Parts) -> None:
    settings = replace(parts.settings, retry=RetryPolicy())
    listener = Listener(parts.embedder, parts.decoder, settings)
    pcm = say(WORDS[:8])
    before = parts.embedder.encoded_seconds
    options = ListenOptions(sampling=SamplingParams(max_new_tokens=1))  # ends LENGTH, so it is retried
    windows = list(listener.hear(blocks_of(pcm), [Task.TRANSCRIBE, Task.CAPTION], options))
    assert parts.embedder.encoded_seconds - before == pytest.approx(len(pcm) / SAMPLE_RATE_HZ, abs=0.08)
    assert {task: len(pieces) for task, pieces in windows[0].pieces.items()} == {
        Task.TRANSCRIBE: 2,
        Task.CAPTION: 2,
    }


def test_ask_several_audios_and_classify_run(parts: Parts) -> None:
    items = [blocks_of(say(WORDS[:2])), blocks_of(say(WORDS[2:3]))]
    deltas: list[str] = []
    answer = parts.listener.ask("a.wav", items, "Which word?", OPTIONS, deltas.append)
    assert "".join(deltas) == answer.text
    result = parts.listener.classify("a.wav", blocks_of(say(WORDS[:1])), ["dog bark", "rain"])
    assert result.label in ("dog bark", "rain")
    assert result.scores is not None and sum(result.scores.values()) == pytest.approx(1.0)


def test_deadline_of_the_engines_clock_ends_the_file(parts: Parts) -> None:
    options = replace(OPTIONS, deadline=parts.engine.clock.now() - 1.0)
    result = parts.listener.transcribe("a.wav", blocks_of(say(WORDS * 4)), options)
    assert {row.ending for row in result.coverage} == {Ending.DEADLINE}


def test_closing_the_stream_of_deltas_cancels_the_request(parts: Parts) -> None:
    embeddings = parts.embedder.embed([say(WORDS[:1])])
    request = TextRequest(Instruction(Task.CAPTION), embeddings, SamplingParams(200))
    deltas = iter(parts.decoder.generate(request))
    next(deltas)
    deltas.close()  # type: ignore[attr-defined]
    parts.engine.step()
    stats = parts.engine.stats()
    assert (stats.num_running, stats.num_waiting) == (0, 0)
    assert stats.endings[Ending.CANCELLED] >= 1


def conversation_request(**sampling: Any) -> TextRequest:
    turns = (Turn("user", (TextPart("Say something."),)),)
    params = SamplingParams(**{"max_new_tokens": 40, **sampling})
    return TextRequest(Instruction(Task.ASK, turns=turns), np.zeros((0, 0), np.float32), params)


def test_stop_string_ends_the_answer_before_it(parts: Parts) -> None:
    free = "".join(delta.text for delta in parts.decoder.generate(conversation_request()))
    stop = free[len(free) // 2 :][:3]
    deltas = list(parts.decoder.generate(conversation_request(stop=(stop,))))
    assert "".join(delta.text for delta in deltas) == free[: free.index(stop)].rstrip()
    assert deltas[-1].ending is Ending.STOP
    usage = deltas[-1].usage
    assert usage is not None and usage.generated_tokens == sum(len(delta.token_ids) for delta in deltas) < 40


def test_too_many_stop_strings_are_refused(parts: Parts) -> None:
    with pytest.raises(InvalidInputError, match="at most 8"):
        next(parts.decoder.generate(conversation_request(stop=tuple("abcdefghi"))))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_constrained_answers_are_what_was_asked_for(parts: Parts, temperature: float) -> None:
    schema = {"type": "object", "properties": {"loud": {"type": "boolean"}}, "required": ["loud"]}
    schema["additionalProperties"] = False
    for seed in range(3):
        texts = [
            "".join(
                delta.text
                for delta in parts.decoder.generate(
                    conversation_request(constraint=constraint, temperature=temperature, seed=seed)
                )
            )
            for constraint in (
                Constraint(choices=("rain", "rainbow", "sea waves")),
                Constraint(regex="[0-9]{3} Hz"),
                Constraint(json_schema=json.dumps(schema)),
            )
        ]
        assert texts[0] in ("rain", "rainbow", "sea waves")
        assert re.fullmatch("[0-9]{3} Hz", texts[1])
        assert type(json.loads(texts[2])["loud"]) is bool


def test_constraint_out_of_bounds_or_unreadable_is_refused(parts: Parts) -> None:
    for constraint in (Constraint(choices=()), Constraint(regex="("), Constraint(json_schema="no")):
        with pytest.raises(InvalidInputError) as caught:
            next(parts.decoder.generate(conversation_request(constraint=constraint)))
        assert caught.value.reason == "INVALID_CONSTRAINT"


def test_logprobs_come_with_each_token_and_name_it(parts: Parts) -> None:
    deltas = list(parts.decoder.generate(conversation_request(top_logprobs=3, repetition_penalty=1.0)))
    assert len(deltas) > 3
    for delta in deltas:
        assert [type(entry) for entry in delta.logprobs] == [Logprobs] * len(delta.token_ids)
        for entry in delta.logprobs:
            assert entry.token == entry.top[0] and len(entry.top) == 3  # greedy without penalty
    assert all(not delta.logprobs for delta in parts.decoder.generate(conversation_request()))


def test_embeddings_that_do_not_fit_the_conversation_are_refused(parts: Parts) -> None:
    request = replace(conversation_request(), audio_embeddings=np.zeros((2, 64), np.float32))
    with pytest.raises(InvalidInputError, match="holds 2"):
        next(parts.decoder.generate(request))


def test_decoders_of_one_engine_run_side_by_side(parts: Parts) -> None:
    other = EngineDecoder(parts.engine, parts.tokenizer, parts.prompts)
    answers: list[Iterator[TextDelta]] = [
        decoder.generate(conversation_request()) for decoder in (parts.decoder, parts.decoder, other)
    ]
    firsts = [next(answer) for answer in answers]  # none is refused for an id in use
    assert firsts[0] == firsts[1] == firsts[2]
    texts = {first.text + "".join(d.text for d in rest) for first, rest in zip(firsts, answers, strict=True)}
    assert len(texts) == 1
