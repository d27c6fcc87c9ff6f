import numpy as np
import pytest

from eureka.errors import CancelledError, EurekaError
from eureka.pipeline.options import ListenerSettings, ListenOptions, RetryPolicy
from eureka.pipeline.results import raise_unless_answered
from eureka.types import Constraint, Ending, SamplingParams, Task, TextRequest
from tests.helpers.tone_model import WORDS, blocks_of, say
from tests.unit.pipeline.conftest import Ears, MakeEars

SPOKEN = ["bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india"]


def transcribe(ears: Ears, options: ListenOptions | None = None) -> tuple[str, list[Ending]]:
    result = ears.listener.transcribe("a.wav", blocks_of(say(SPOKEN)), options or ListenOptions())
    return result.text, [row.ending for row in result.coverage]


@pytest.mark.parametrize("ending", [Ending.REPETITION, Ending.LENGTH])
def test_retry_other_sampling_mends_on_the_same_embeddings(make_ears: MakeEars, ending: Ending) -> None:
    ears = make_ears(lambda request, number: (["bravo"] * 30, ending) if number == 1 else None)
    assert transcribe(ears) == (" ".join(SPOKEN), [Ending.STOP])
    first, second = ears.decoder.requests
    assert second.audio_embeddings is first.audio_embeddings
    assert first.sampling.temperature == 0 < second.sampling.temperature
    assert len(ears.embedder.encoded_samples) == 1


def test_retry_keeps_what_the_caller_said_of_tokens(make_ears: MakeEars) -> None:
    ears = make_ears(lambda request, number: ([], Ending.LENGTH) if number == 1 else None)
    constraint = Constraint(choices=("a",))
    sampling = SamplingParams(7, ban_token_ids=(3,), stop=("x",), top_logprobs=2, constraint=constraint)
    transcribe(ears, ListenOptions(sampling=sampling))
    asked = [request.sampling for request in ears.decoder.requests]
    assert len(asked) == 2
    assert {(s.max_new_tokens, s.ban_token_ids, s.stop, s.top_logprobs, s.constraint) for s in asked} == {
        (7, (3,), ("x",), 2, constraint)
    }


def test_retry_seeds_differ_by_attempt_and_agree_between_runs(make_ears: MakeEars) -> None:
    def seeds() -> list[int]:
        ears = make_ears(lambda request, number: (["bravo"] * 9, Ending.REPETITION) if number < 3 else None)
        transcribe(ears)
        return [request.sampling.seed for request in ears.decoder.requests]

    assert len(set(seeds())) == 3
    assert seeds() == seeds()


def test_retry_then_halves_reuse_rows_of_the_embeddings(make_ears: MakeEars) -> None:
    def too_long(request: TextRequest, number: int) -> tuple[list[str], Ending] | None:
        return (["bravo"] * 30, Ending.REPETITION) if len(request.audio_embeddings) > 50 else None

    ears = make_ears(too_long)
    text, endings = transcribe(ears)
    assert text.split() == SPOKEN
    assert endings == [Ending.STOP, Ending.STOP]
    whole, *_, left, right = (request.audio_embeddings for request in ears.decoder.requests)
    assert np.array_equal(np.concatenate([left, right]), whole)
    assert len(ears.decoder.requests) == 5
    assert len(ears.embedder.encoded_samples) == 1


def test_halves_own_what_the_window_owned(make_ears: MakeEars) -> None:
    ears = make_ears(
        lambda request, number: ([], Ending.LENGTH) if len(request.audio_embeddings) > 50 else None
    )
    pcm = say(SPOKEN)
    result = ears.listener.transcribe("a.wav", blocks_of(pcm))
    first, second = result.coverage
    assert (first.window, second.window) == (0, 0)
    assert first.owned.start_sample == 0 and second.owned.end_sample == len(pcm)
    assert first.owned == first.heard and second.owned == second.heard
    assert first.owned.end_sample == second.owned.start_sample
    assert first.owned.end_sample % 1_280 == 0


def test_retry_gives_up_with_the_loop_said_once_and_the_ending_kept(make_ears: MakeEars) -> None:
    ears = make_ears(lambda request, number: (["charlie", "bravo"] + ["juliett"] * 20, Ending.REPETITION))
    text, endings = transcribe(ears)
    assert endings == [Ending.REPETITION] * 2
    assert text == "charlie bravo juliett charlie bravo juliett"
    assert len(ears.decoder.requests) == 9


def test_retry_short_window_is_not_halved(make_ears: MakeEars) -> None:
    ears = make_ears(lambda request, number: ([], Ending.LENGTH))
    result = ears.listener.transcribe("a.wav", blocks_of(say(["bravo"])))
    assert [row.ending for row in result.coverage] == [Ending.LENGTH]
    assert len(ears.decoder.requests) == 3


def test_retry_policy_may_forbid_all_retries(make_ears: MakeEars) -> None:
    settings = ListenerSettings("tones", 10.0, retry=RetryPolicy(resamplings=(), max_halvings=0))
    ears = make_ears(lambda request, number: ([], Ending.LENGTH), settings)
    assert transcribe(ears) == ("", [Ending.LENGTH])
    assert len(ears.decoder.requests) == 1


def test_retry_error_is_final_and_other_windows_go_on(make_ears: MakeEars) -> None:
    ears = make_ears(lambda request, number: (["bravo"], Ending.ERROR) if number == 1 else None)
    words = [WORDS[i % 10] for i in range(30)]
    result = ears.listener.transcribe("a.wav", blocks_of(say(words)))
    endings = [row.ending for row in result.coverage]
    assert endings == [Ending.ERROR] + [Ending.STOP] * (len(endings) - 1)
    assert len(ears.decoder.requests) == len(endings)
    with pytest.raises(EurekaError, match=r"a\.wav"):
        raise_unless_answered(result)


@pytest.mark.parametrize(
    ("ending", "reason"), [(Ending.DEADLINE, "DEADLINE_EXCEEDED"), (Ending.CANCELLED, "CANCELLED")]
)
def test_raise_unless_answered_names_the_reason(make_ears: MakeEars, ending: Ending, reason: str) -> None:
    ears = make_ears(lambda request, number: ([], ending))
    result = ears.listener.caption("a.wav", blocks_of(say(["bravo"])))
    with pytest.raises(CancelledError) as caught:
        raise_unless_answered(result)
    assert caught.value.reason == reason


def test_raise_unless_answered_lets_full_results_pass(make_ears: MakeEars) -> None:
    raise_unless_answered(make_ears().listener.caption("a.wav", blocks_of(say(["bravo"]))))


def test_retry_empty_where_somebody_speaks(make_ears: MakeEars) -> None:
    settings = ListenerSettings("tones", 10.0, has_speech=lambda stretch: True)
    ears = make_ears(lambda request, number: ([], Ending.STOP) if number == 1 else None, settings)
    assert transcribe(ears) == (" ".join(SPOKEN), [Ending.STOP])
    assert len(ears.decoder.requests) == 2


def test_retry_empty_after_all_attempts_stands_as_one_row(make_ears: MakeEars) -> None:
    settings = ListenerSettings("tones", 10.0, has_speech=lambda stretch: True)
    ears = make_ears(lambda request, number: ([], Ending.STOP), settings)
    assert transcribe(ears) == ("", [Ending.STOP])
    assert len(ears.decoder.requests) == 9


def test_retry_tokens_that_say_nothing_are_empty(make_ears: MakeEars) -> None:
    settings = ListenerSettings("tones", 10.0, has_speech=lambda stretch: True)
    ears = make_ears(
        lambda request, number: (["<|0.4|><|1.2|>"], Ending.STOP) if number == 1 else None, settings
    )
    assert transcribe(ears) == (" ".join(SPOKEN), [Ending.STOP])
    assert len(ears.decoder.requests) == 2


def test_empty_stands_where_nobody_speaks_and_for_captions(make_ears: MakeEars) -> None:
    quiet = ListenerSettings("tones", 10.0, has_speech=lambda stretch: False)
    ears = make_ears(lambda request, number: ([], Ending.STOP), quiet)
    assert transcribe(ears) == ("", [Ending.STOP])
    loud = ListenerSettings("tones", 10.0, has_speech=lambda stretch: True)
    others = make_ears(lambda request, number: ([], Ending.STOP), loud)
    list(others.listener.hear(blocks_of(say(SPOKEN)), [Task.CAPTION]))
    assert [len(e.decoder.requests) for e in (ears, others)] == [1, 1]


def test_retries_are_counted_in_usage(make_ears: MakeEars) -> None:
    ears = make_ears(lambda request, number: (["bravo"] * 30, Ending.LENGTH))
    result = ears.listener.transcribe("a.wav", blocks_of(say(SPOKEN)))
    assert result.usage.prompt_tokens == sum(len(p.prompt_ids) for p in ears.decoder.prompts)
