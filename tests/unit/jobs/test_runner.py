from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from eureka.errors import InvalidInputError, NotFoundError, PermissionDeniedError, StageUnavailableError
from eureka.jobs.claims import MemoryClaims
from eureka.jobs.job_store import WindowRef
from eureka.jobs.planning import Planner, PlanSettings
from eureka.jobs.runner import RunEnd, WindowRunner
from eureka.jobs.source import OpenHere, SpanFetcher
from eureka.pipeline.stretches import Stretch
from eureka.storage.keys import JobKeys
from eureka.types import SAMPLE_RATE_HZ, Ending, Task
from tests.helpers.job_rig import TONE_CARD, JobRig
from tests.helpers.sounds import wav_of
from tests.helpers.tone_model import say
from tests.unit.jobs.conftest import MakeRig

WORDS = ["bravo", "hotel"] * 4
"""5.8 s: one window."""


def planned(rig: JobRig, **fields: Any) -> WindowRef:
    """The only window of a job that is planned."""
    keys = rig.create(wav_of(say(WORDS)), **fields)
    Planner(rig.jobs, OpenHere(), PlanSettings(TONE_CARD)).plan(keys)
    return WindowRef(keys, 1, 0)


def runner(rig: JobRig) -> WindowRunner:
    return WindowRunner(rig.jobs, SpanFetcher(rig.store, OpenHere()), rig.model, rig.clocks, rig.claims)


def num_asked(rig: JobRig) -> int:
    return len(rig.model.decoder.requests)  # type: ignore[attr-defined]


def test_run_writes_the_outcome_once(make_rig: MakeRig) -> None:
    rig = make_rig()
    ref = planned(rig)
    assert runner(rig).run(ref) is RunEnd.WRITTEN
    content, asked = rig.store.get(ref.key), num_asked(rig)
    assert runner(rig).run(ref) is RunEnd.ENDED
    assert (rig.store.get(ref.key), num_asked(rig)) == (content, asked)
    outcome = rig.jobs.outcome(ref)
    assert outcome is not None and outcome.is_good
    assert outcome.tracks[Task.TRANSCRIBE].pieces[0].text.split() == WORDS
    assert outcome.model.weights_sha256 == TONE_CARD.weights_sha256


def test_run_that_is_overtaken_has_no_effect(make_rig: MakeRig) -> None:
    rig, other = make_rig(), make_rig(lambda request, number: (["golf"], Ending.STOP))
    ref = planned(rig)

    def overtake(method: str, key: str) -> None:
        if (method, key) == ("put_if_absent", ref.key):
            rig.store.before = lambda method, key: None
            assert runner(other).run(ref) is RunEnd.WRITTEN

    rig.store.before = overtake
    assert runner(rig).run(ref) is RunEnd.ENDED
    outcome = rig.jobs.outcome(ref)
    assert outcome is not None and outcome.tracks[Task.CAPTION].pieces[0].text == "golf"


def test_run_of_a_claimed_window_is_left_to_the_other(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.claims = claims = MemoryClaims()
    ref = planned(rig)
    held = claims.claim(ref.key)
    assert held is not None and runner(rig).run(ref) is RunEnd.BUSY
    held.release()
    assert runner(rig).run(ref) is RunEnd.WRITTEN
    assert not claims.is_live(ref.key)


def test_run_that_fails_for_now_gives_its_claim_back(make_rig: MakeRig) -> None:
    def away(request: Any, number: int) -> None:
        raise StageUnavailableError("gone")

    rig = make_rig(away)
    rig.claims = claims = MemoryClaims()
    ref = planned(rig)
    with pytest.raises(StageUnavailableError):
        runner(rig).run(ref)
    assert not claims.is_live(ref.key) and claims.num_claims(ref.key) == 1
    assert rig.jobs.outcome(ref) is None


def test_run_cancelled_between_attempts_asks_no_more_and_writes_nothing(make_rig: MakeRig) -> None:
    cancelled: list[JobKeys] = []

    def loop(request: Any, number: int) -> tuple[list[str], Ending]:
        if number == 2:
            rig.jobs.cancel(cancelled[0])
        return ["bravo"] * 9, Ending.REPETITION

    rig = make_rig(loop)
    ref = planned(rig)
    cancelled.append(ref.keys)
    assert runner(rig).run(ref) is RunEnd.STOPPED
    assert num_asked(rig) == 2 and rig.jobs.outcome(ref) is None


def test_run_whose_request_was_ended_elsewhere_may_be_tried_again(make_rig: MakeRig) -> None:
    rig = make_rig(lambda request, number: ([], Ending.CANCELLED) if number == 1 else None)
    ref = planned(rig)
    with pytest.raises(StageUnavailableError) as caught:
        runner(rig).run(ref)
    assert caught.value.reason == "REQUEST_ENDED"
    assert runner(rig).run(ref) is RunEnd.WRITTEN


def test_run_refused_for_one_track_keeps_the_other(make_rig: MakeRig) -> None:
    def refuse(request: Any, number: int) -> None:
        if request.instruction.task is Task.CAPTION:
            raise InvalidInputError("no captions today", reason="NO_CAPTIONS")

    rig = make_rig(refuse)
    ref = planned(rig)
    assert runner(rig).run(ref) is RunEnd.WRITTEN
    outcome = rig.jobs.outcome(ref)
    assert outcome is not None and not outcome.is_good
    caption = outcome.tracks[Task.CAPTION]
    assert caption.failure is not None and caption.failure.reason == "NO_CAPTIONS"
    assert [piece.ending for piece in caption.pieces] == [Ending.ERROR]
    assert outcome.tracks[Task.TRANSCRIBE].is_good


def test_run_empty_transcript_where_somebody_speaks_is_an_error_after_all_attempts(
    make_rig: MakeRig,
) -> None:
    def has_speech(stretch: Stretch) -> bool:
        return bool(np.abs(stretch.pcm).max() > 0.1)

    rig = make_rig(lambda request, number: ([], Ending.STOP), has_speech=has_speech)
    ref = planned(rig, tasks=(Task.TRANSCRIBE,))
    assert runner(rig).run(ref) is RunEnd.WRITTEN
    outcome = rig.jobs.outcome(ref)
    assert outcome is not None
    track = outcome.tracks[Task.TRANSCRIBE]
    assert track.failure is not None and track.failure.reason == "SPEECH_NOT_TRANSCRIBED"
    assert {piece.ending for piece in track.pieces} == {Ending.ERROR}
    assert track.num_attempts == num_asked(rig) == 3 + 3 + 3


def test_run_transcript_without_words_under_a_caption_of_speech_is_tried_again(make_rig: MakeRig) -> None:
    def fault(request: Any, number: int) -> tuple[list[str], Ending] | None:
        if request.instruction.task is Task.CAPTION:
            return ["man speaking"], Ending.STOP
        return ([], Ending.STOP) if number == 2 else None  # after the caption

    rig = make_rig(fault)
    ref = planned(rig)
    assert runner(rig).run(ref) is RunEnd.WRITTEN
    outcome = rig.jobs.outcome(ref)
    assert outcome is not None and outcome.is_good
    track = outcome.tracks[Task.TRANSCRIBE]
    assert [piece.text.split() for piece in track.pieces] == [WORDS] and track.num_attempts == 2
    assert outcome.tracks[Task.CAPTION].num_attempts == 1 and num_asked(rig) == 3
    assert list(outcome.tracks) == [Task.TRANSCRIBE, Task.CAPTION]


@pytest.mark.parametrize(
    ("caption", "is_missed"), [("man speaking, rain", True), ("rain, dog bark", False), ("silence", False)]
)
def test_run_transcript_alone_asks_one_caption_a_stretch_before_it_may_be_empty(
    make_rig: MakeRig, caption: str, is_missed: bool
) -> None:
    def fault(request: Any, number: int) -> tuple[list[str], Ending]:
        is_caption = request.instruction.task is Task.CAPTION
        return (caption.split() if is_caption else []), Ending.STOP

    rig = make_rig(fault)
    ref = planned(rig, tasks=(Task.TRANSCRIBE,))
    assert runner(rig).run(ref) is RunEnd.WRITTEN
    outcome = rig.jobs.outcome(ref)
    assert outcome is not None and list(outcome.tracks) == [Task.TRANSCRIBE]
    track, asked = outcome.tracks[Task.TRANSCRIBE], rig.model.decoder.requests  # type: ignore[attr-defined]
    captions = [request for request in asked if request.instruction.task is Task.CAPTION]
    assert (len(captions), track.num_attempts) == ((3, 9) if is_missed else (1, 1))
    ending, reason = (Ending.ERROR, "SPEECH_NOT_TRANSCRIBED") if is_missed else (Ending.STOP, None)
    assert {piece.ending for piece in track.pieces} == {ending}
    assert (track.failure.reason if track.failure else None) == reason
    assert outcome.usage.generated_tokens >= len(captions)  # captions are paid for


def test_run_model_that_refuses_captions_may_give_an_empty_transcript(make_rig: MakeRig) -> None:
    def fault(request: Any, number: int) -> tuple[list[str], Ending]:
        if request.instruction.task is Task.CAPTION:
            raise InvalidInputError("no captions today", reason="NO_CAPTIONS")
        return [], Ending.STOP

    rig = make_rig(fault)
    ref = planned(rig, tasks=(Task.TRANSCRIBE,))
    assert runner(rig).run(ref) is RunEnd.WRITTEN
    outcome = rig.jobs.outcome(ref)
    assert outcome is not None and outcome.is_good


def test_run_halves_tile_the_window(make_rig: MakeRig) -> None:
    rig = make_rig(lambda request, number: (["bravo"] * 9, Ending.LENGTH) if number <= 3 else None)
    ref = planned(rig, tasks=(Task.TRANSCRIBE,))
    runner(rig).run(ref)
    outcome = rig.jobs.outcome(ref)
    assert outcome is not None and outcome.is_good
    first, second = outcome.tracks[Task.TRANSCRIBE].pieces
    assert first.owned.end_sample == second.owned.start_sample
    assert (first.owned.start_sample, second.owned.end_sample) == (0, len(say(WORDS)))
    assert f"{first.text} {second.text}".split() == WORDS


def test_give_up_writes_the_error_unless_there_is_an_outcome(make_rig: MakeRig) -> None:
    rig = make_rig()
    ref = planned(rig)
    error = StageUnavailableError("five workers died at it", reason="WORKERS_LOST")
    assert runner(rig).give_up(ref, error) is RunEnd.WRITTEN
    assert runner(rig).give_up(ref, error) is RunEnd.ENDED
    outcome = rig.jobs.outcome(ref)
    assert outcome is not None
    assert {track.failure.reason for track in outcome.tracks.values() if track.failure} == {"WORKERS_LOST"}


@pytest.mark.parametrize(("number", "index"), [(1, 9), (2, 0)])
def test_run_of_a_window_that_is_not_planned_is_not_found(make_rig: MakeRig, number: int, index: int) -> None:
    rig = make_rig()
    ref = planned(rig)
    with pytest.raises(NotFoundError) as caught:
        runner(rig).run(WindowRef(ref.keys, number, index))
    assert caught.value.reason == "WINDOW_NOT_FOUND"


def test_run_seeds_depend_on_samples_task_and_retry_only(make_rig: MakeRig) -> None:
    def seeds(number: int) -> Iterator[int]:
        rig = make_rig(lambda request, n: (["bravo"] * 9, Ending.LENGTH), folder=f"store-{number}")
        keys = rig.create(wav_of(say(WORDS)), number)
        Planner(rig.jobs, OpenHere(), PlanSettings(TONE_CARD)).plan(keys)
        runner(rig).run(WindowRef(keys, 1, 0))
        yield from (request.sampling.seed for request in rig.model.decoder.requests)  # type: ignore[attr-defined]

    first, second = list(seeds(1)), list(seeds(2))
    assert first == second and len(set(first)) == len(first) == 2 * 9


def test_run_hears_exactly_the_planned_samples(make_rig: MakeRig) -> None:
    rig = make_rig()
    ref = planned(rig)
    runner(rig).run(ref)
    assert rig.model.embedder.encoded_samples == [len(say(WORDS))]  # type: ignore[attr-defined]
    assert len(say(WORDS)) < 8 * SAMPLE_RATE_HZ


def test_run_without_rights_is_no_outcome(make_rig: MakeRig) -> None:
    def refuse(request: Any, number: int) -> None:
        raise PermissionDeniedError("this worker's key is not for decoding")

    rig = make_rig(refuse)
    ref = planned(rig)
    with pytest.raises(PermissionDeniedError):
        runner(rig).run(ref)
    assert rig.jobs.outcome(ref) is None
