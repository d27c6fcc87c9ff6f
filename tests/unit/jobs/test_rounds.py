from dataclasses import replace
from typing import Any

import pytest

from eureka.errors import StageUnavailableError, WrongStateError
from eureka.jobs.deletion import delete_job
from eureka.jobs.progress import progress_of
from eureka.jobs.reading import view_of
from eureka.jobs.rounds import retry_job
from eureka.jobs.states import state_of
from eureka.types import Ending, Task
from tests.helpers.job_rig import check_tiles, result_of, tone_model
from tests.helpers.sounds import wav_of
from tests.helpers.tone_model import WORDS, say
from tests.unit.jobs.conftest import MakeRig

MANY = [WORDS[i % len(WORDS)] for i in range(60)]


def away_from(first: int) -> Any:
    def away(request: Any, number: int) -> None:
        if number >= first:
            raise StageUnavailableError("gone")

    return away


def test_retry_runs_exactly_the_failed_windows_and_leaves_the_first_round(
    make_rig: MakeRig, tone_tokenizer: Any
) -> None:
    alone, rig = make_rig(folder="alone"), make_rig(away_from(4))
    audio = wav_of(say(MANY))
    alone.run(alone.create(audio, tasks=(Task.TRANSCRIBE,)))
    keys = rig.create(audio, tasks=(Task.TRANSCRIBE,))
    assert rig.run(keys) == "PARTIAL"
    before = {key: rig.store.get(key) for key in rig.jobs.keys_below(keys.round_folder(1))}

    assert retry_job(rig.jobs, keys) == 2
    assert state_of(rig.jobs.facts(keys)) == "RUNNING"
    rig.model = tone_model(tone_tokenizer)
    assert rig.run(keys) == "SUCCEEDED"

    first, second = rig.jobs.plan(keys, 1), rig.jobs.plan(keys, 2)
    assert first is not None and second is not None
    assert [w.index for w in second.windows] == [w.index for w in first.sounding if w.index >= 3]
    assert len(rig.model.decoder.requests) == len(second.windows)  # type: ignore[attr-defined]
    assert {key: rig.store.get(key) for key in rig.jobs.keys_below(keys.round_folder(1))} == before
    assert set(rig.store.wins.values()) == {1}
    # Nothing was the model's fault, so its answers are those of a job that nothing disturbed.
    retried, undisturbed = result_of(rig, keys, 2), result_of(alone, keys)
    assert retried.pop("round") == 2 and undisturbed.pop("round") == 1
    rounds = [[row.pop("round") for row in result["coverage"]] for result in (retried, undisturbed)]
    assert rounds == [[1, 1, 1] + [2] * len(second.windows), [1] * len(first.sounding)]
    assert retried == undisturbed


def test_retry_of_a_loop_goes_on_with_other_seeds(make_rig: MakeRig) -> None:
    rig = make_rig(lambda request, number: (["bravo"] * 9, Ending.REPETITION) if number <= 9 else None)
    keys = rig.create(wav_of(say(["bravo", "hotel"] * 4)), tasks=(Task.TRANSCRIBE,))
    assert rig.run(keys) == "PARTIAL"
    assert retry_job(rig.jobs, keys) == 2
    assert rig.run(keys) == "SUCCEEDED"
    plan = rig.jobs.plan(keys, 2)
    assert plan is not None and [window.first_retry for window in plan.windows] == [9]
    requests = rig.model.decoder.requests  # type: ignore[attr-defined]
    assert len({request.sampling.seed for request in requests}) == len(requests) == 10
    assert requests[-1].sampling.temperature > 0  # the greedy attempt would only repeat itself


def test_retry_of_what_has_not_ended_or_not_failed_is_refused(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys = rig.create(wav_of(say(MANY)))
    with pytest.raises(WrongStateError) as caught:
        retry_job(rig.jobs, keys)
    assert caught.value.reason == "JOB_NOT_ENDED"
    rig.run(keys)
    with pytest.raises(WrongStateError) as caught:
        retry_job(rig.jobs, keys)
    assert caught.value.reason == "NOTHING_TO_RETRY"


def test_retry_of_a_cancelled_job_hears_the_rest(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys = rig.create(wav_of(say(MANY)))
    rig.store.before = lambda method, key: rig.jobs.cancel(keys) if key == keys.window(1, 1) else None
    assert rig.run(keys) == "CANCELLED"
    rig.store.before = lambda method, key: None
    assert retry_job(rig.jobs, keys) == 2
    assert rig.run(keys) == "SUCCEEDED"
    assert result_of(rig, keys, 2)["texts"]["transcript"].split() == MANY


def test_retry_of_a_job_without_a_plan_plans_it(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys = rig.create(None)
    assert rig.run(keys) == "FAILED"
    rig.store.put(keys.audio, wav_of(say(MANY)))
    assert retry_job(rig.jobs, keys) == 2
    assert state_of(rig.jobs.facts(keys)) == "PENDING"
    assert rig.run(keys) == "SUCCEEDED"
    check_tiles(result_of(rig, keys, 2), len(say(MANY)))


def test_progress_and_partial_results_grow_while_the_job_runs(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys = rig.create(wav_of(say(MANY)), tasks=(Task.TRANSCRIBE,))
    shares: list[float] = []
    texts: list[str] = []

    def look(method: str, key: str) -> None:
        if method == "put_if_absent" and "/windows/" in key:
            shares.append(progress_of(view_of(rig.jobs, keys)).share)
            partial = rig.runner()._merger.partial(keys)
            assert partial is not None and partial.state == "RUNNING"
            texts.append(partial.texts[Task.TRANSCRIBE])

    assert progress_of(view_of(rig.jobs, keys)).share == 0.0
    rig.store.before = look
    rig.run(keys)
    assert shares[0] == 0.0 and shares == sorted(set(shares))
    assert progress_of(view_of(rig.jobs, keys)).share == 1.0
    assert texts[0] == "" and all(" ".join(MANY).startswith(text[:-1]) for text in texts)
    assert len(texts[-1]) > len(texts[1]) > 0


def test_progress_counts_what_is_heard_again_as_not_ended(make_rig: MakeRig) -> None:
    rig = make_rig(away_from(4))
    keys = rig.create(wav_of(say(MANY)), tasks=(Task.TRANSCRIBE,))
    rig.run(keys)
    assert progress_of(view_of(rig.jobs, keys)).share == 1.0
    retry_job(rig.jobs, keys)
    assert 0.0 < progress_of(view_of(rig.jobs, keys)).share < 1.0


def test_delete_leaves_nothing_and_may_be_repeated(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys, other = rig.create(wav_of(say(MANY)), 1), rig.create(wav_of(say(["bravo"])), 2)
    rig.run(keys)
    delete_job(rig.store, keys)
    delete_job(rig.store, keys)
    assert list(rig.jobs.keys_below(keys.folder)) == []
    assert state_of(rig.jobs.facts(keys)) is None
    assert rig.run(other) == "SUCCEEDED"


def test_delete_that_was_killed_is_finished_by_the_next_runner(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys = rig.create(wav_of(say(MANY)))
    rig.run(keys)
    rig.store.put(keys.delete, b"{}")
    assert rig.run(keys) is None
    assert list(rig.jobs.keys_below(keys.folder)) == []


def test_delete_while_a_window_is_heard_leaves_nothing_of_it(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys = rig.create(wav_of(say(MANY)))
    decoder = rig.model.decoder
    original = decoder.generate

    def delete_first(request: Any) -> Any:
        delete_job(rig.store, keys)
        return original(request)

    decoder.generate = delete_first  # type: ignore[method-assign]
    rig.model = replace(rig.model, decoder=decoder)
    assert rig.run(keys) is None
    assert list(rig.jobs.keys_below(keys.folder)) == []


def test_document_that_cannot_be_read_is_an_error_in_the_ledger_and_heard_again(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys = rig.create(wav_of(say(MANY)))

    def damage(method: str, key: str) -> None:
        if (method, key) == ("put_if_absent", keys.window(1, 2)):
            rig.store.put(keys.window(1, 1), b"{}")

    rig.store.before = damage
    assert rig.run(keys) == "PARTIAL"
    result = result_of(rig, keys)
    check_tiles(result, len(say(MANY)))
    assert [row["ending"] for row in result["coverage"]][:3] == ["STOP", "ERROR", "STOP"]
    assert any("INVALID_DOCUMENT" in reason for reason in result["reasons"])
    rig.store.before = lambda method, key: None
    assert retry_job(rig.jobs, keys) == 2
    assert rig.run(keys) == "SUCCEEDED"
    assert result_of(rig, keys, 2)["texts"]["transcript"].split() == MANY
