import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from eureka.errors import NotFoundError, StageUnavailableError
from eureka.jobs.claims import MemoryClaims
from eureka.storage.keys import JobKeys
from eureka.types import SAMPLE_RATE_HZ, Ending, Task
from tests.helpers.job_rig import NOW, JobRig, check_tiles, result_of
from tests.helpers.sounds import noise, wav_of
from tests.helpers.tone_model import WORDS, say
from tests.unit.jobs.conftest import MakeRig

MANY = [WORDS[i % len(WORDS)] for i in range(60)]
"""43 s of words."""


def test_job_hears_every_word_once_and_tiles_the_audio(make_rig: MakeRig) -> None:
    rig, pcm = make_rig(), say(MANY)
    keys = rig.create(wav_of(pcm), has_summary=False)
    assert rig.run(keys) == "SUCCEEDED"
    result = result_of(rig, keys)
    assert result["texts"]["transcript"].split() == MANY
    check_tiles(result, len(pcm))
    assert {row["ending"] for row in result["coverage"]} == {"STOP"}
    assert max(row["end"] - row["start"] for row in result["coverage"]) <= 8.0  # no time marks: 8 s
    assert (result["name"], result["task"]) == (f"jobs/{keys.job_id}", "transcribe,caption")
    assert {segment["track"] for segment in result["segments"]} == {"transcript", "caption"}
    starts = [segment["start"] for segment in result["segments"]]
    assert starts == sorted(starts)
    assert result["models"] == [{"name": "tones", "weights_sha256": "ab" * 32, "numerics": "exact"}]


def test_job_without_a_pause_stitches_words_at_the_seams(make_rig: MakeRig) -> None:
    rig, pcm = make_rig(), say(MANY, gap_seconds=0.0)
    keys = rig.create(wav_of(pcm), tasks=(Task.TRANSCRIBE,))
    assert rig.run(keys) == "SUCCEEDED"
    assert result_of(rig, keys)["text"].split() == MANY
    check_tiles(result_of(rig, keys), len(pcm))


def test_job_encodes_each_window_once_for_all_tracks(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys = rig.create(wav_of(say(MANY)))
    rig.run(keys)
    plan = rig.jobs.plan(keys, 1)
    assert plan is not None
    encoded = rig.model.embedder.encoded_samples  # type: ignore[attr-defined]
    assert encoded == [window.heard.num_samples for window in plan.sounding]


def test_job_silence_is_accounted_for_and_never_sent(make_rig: MakeRig) -> None:
    rig = make_rig()
    pcm = np.concatenate([say(["bravo"]), np.zeros(5 * SAMPLE_RATE_HZ, np.float32), say(["hotel"])])
    keys = rig.create(wav_of(pcm))
    assert rig.run(keys) == "SUCCEEDED"
    result = result_of(rig, keys)
    check_tiles(result, len(pcm))
    assert [row["ending"] for row in result["coverage"]] == ["STOP", "SILENCE", "STOP"]
    assert sum(rig.model.embedder.encoded_samples) < 2 * SAMPLE_RATE_HZ  # type: ignore[attr-defined]
    assert result["silence_dbfs"] == -70.0


def test_job_soft_rain_is_heard(make_rig: MakeRig) -> None:
    rig = make_rig()
    rain = noise(20.0, amplitude=10 ** (-50 / 20))  # -50 dBFS
    keys = rig.create(wav_of(rain))
    assert rig.run(keys) == "SUCCEEDED"
    assert "SILENCE" not in {row["ending"] for row in result_of(rig, keys)["coverage"]}
    assert sum(rig.model.embedder.encoded_samples) >= len(rain)  # type: ignore[attr-defined]


@pytest.mark.parametrize("minutes", [10, pytest.param(180, marks=pytest.mark.large)])
def test_job_long_silence_succeeds_without_the_model(make_rig: MakeRig, minutes: int) -> None:
    rig, num_samples = make_rig(), minutes * 60 * SAMPLE_RATE_HZ
    keys = rig.create(wav_of(np.zeros(num_samples, np.float32)))
    assert rig.run(keys) == "SUCCEEDED"
    result = result_of(rig, keys)
    check_tiles(result, num_samples)
    assert [row["ending"] for row in result["coverage"]] == ["SILENCE"]
    assert (result["text"], result["segments"]) == ("", [])
    assert rig.model.embedder.encoded_samples == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (b"", "EMPTY_AUDIO"),
        (b"This is a text file.\n" * 100, "NOT_AUDIO"),
        (b"#EXTM3U\nhttp://example.org/a.mp3\n", "PLAYLIST_REFUSED"),
        (np.random.default_rng(0).bytes(10_000), "NOT_AUDIO"),
        (None, "AUDIO_NOT_FOUND"),
    ],
)
def test_job_bad_input_fails_with_its_reason(make_rig: MakeRig, audio: bytes | None, reason: str) -> None:
    rig = make_rig()
    keys = rig.create(audio)
    assert rig.run(keys) == "FAILED"
    result = result_of(rig, keys)
    assert result["error"]["reason"] == reason
    assert (result["state"], result["coverage"], result["audio_seconds"]) == ("FAILED", [], 0.0)


def test_job_truncated_audio_is_partial_and_says_so(make_rig: MakeRig) -> None:
    rig, whole = make_rig(), wav_of(say(MANY))
    keys = rig.create(whole[: len(whole) // 2])
    assert rig.run(keys) == "PARTIAL"
    result = result_of(rig, keys)
    assert "DAMAGED_AUDIO" in result["reasons"][0]
    assert {row["ending"] for row in result["coverage"]} == {"STOP"}


def test_job_audio_that_vanishes_ends_with_errors_in_the_ledger(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys = rig.create(wav_of(say(MANY)))
    rig.store.before = lambda method, key: _vanish(rig, keys, method, key)
    assert rig.run(keys) == "FAILED"
    result = result_of(rig, keys)
    check_tiles(result, len(say(MANY)))
    assert {row["ending"] for row in result["coverage"]} == {"ERROR"}
    assert any("OBJECT_NOT_FOUND" in reason for reason in result["reasons"])


def _vanish(rig: JobRig, keys: JobKeys, method: str, key: str) -> None:
    if (method, key, rig.store.num_opened) == ("open", keys.audio, 1):  # after planning
        rig.store.inner.delete(keys.audio)


def test_job_audio_that_changes_is_refused(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys = rig.create(wav_of(say(MANY)))

    def change(method: str, key: str) -> None:
        if (method, key, rig.store.num_opened) == ("open", keys.audio, 1):
            rig.store.inner.put(keys.audio, wav_of(say(MANY[::-1])))

    rig.store.before = change
    assert rig.run(keys) == "FAILED"
    assert any("SOURCE_CHANGED" in reason for reason in result_of(rig, keys)["reasons"])


def test_job_run_again_changes_nothing(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys = rig.create(wav_of(say(MANY)))
    rig.run(keys)
    before = {key: rig.store.get(key) for key in rig.jobs.keys_below(keys.folder)}
    asked = len(rig.model.decoder.requests)  # type: ignore[attr-defined]
    assert rig.run(keys) == "SUCCEEDED"
    assert {key: rig.store.get(key) for key in rig.jobs.keys_below(keys.folder)} == before
    assert len(rig.model.decoder.requests) == asked  # type: ignore[attr-defined]
    assert set(rig.store.wins.values()) == {1}


def test_two_jobs_over_one_file_agree_but_for_the_name(make_rig: MakeRig) -> None:
    rig, audio = make_rig(), wav_of(say(MANY))
    first, second = rig.create(audio, 1), rig.create(audio, 2)
    rig.run(first), rig.run(second)
    name = first.job_id.encode()
    contents = [rig.jobs.result(keys, 1) for keys in (first, second)]
    assert contents[0] is not None and contents[1] is not None
    assert contents[0] == contents[1].replace(second.job_id.encode(), name)


def test_two_workers_on_one_job_write_each_window_once(make_rig: MakeRig) -> None:
    alone, rig = make_rig(folder="alone"), make_rig()
    audio = wav_of(say(MANY))
    alone.run(alone.create(audio))
    keys = rig.create(audio)
    states: list[str | None] = []
    workers = [threading.Thread(target=lambda: states.append(rig.run(keys))) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert states == ["SUCCEEDED", "SUCCEEDED"]
    assert set(rig.store.wins.values()) == {1}
    assert rig.jobs.result(keys, 1) == alone.jobs.result(keys, 1)


def test_two_workers_with_claims_share_the_windows(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.claims = MemoryClaims()
    keys = rig.create(wav_of(say(MANY)), tasks=(Task.TRANSCRIBE,))
    workers = [threading.Thread(target=rig.run, args=(keys,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    plan = rig.jobs.plan(keys, 1)
    assert plan is not None
    assert len(rig.model.decoder.requests) == len(plan.sounding)  # type: ignore[attr-defined]


def test_cancel_before_the_plan_ends_at_once(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys = rig.create(wav_of(say(MANY)))
    rig.jobs.cancel(keys)
    assert rig.run(keys) == "CANCELLED"
    assert rig.jobs.plan(keys, 1) is None


def test_cancel_between_windows_keeps_what_was_heard(make_rig: MakeRig) -> None:
    rig = make_rig()
    pcm = say(MANY)
    keys = rig.create(wav_of(pcm))

    def cancel(method: str, key: str) -> None:
        if method == "put_if_absent" and key == keys.window(1, 1):
            rig.jobs.cancel(keys)

    rig.store.before = cancel
    assert rig.run(keys) == "CANCELLED"
    result = result_of(rig, keys)
    check_tiles(result, len(pcm))
    endings = [row["ending"] for row in result["coverage"]]
    assert endings[:2] == ["STOP", "STOP"] and set(endings[2:]) == {"CANCELLED"}
    assert result["text"].split() == MANY[: len(result["text"].split())]


def test_deadline_that_passes_is_in_the_ledger(make_rig: MakeRig) -> None:
    rig = make_rig()
    keys = rig.create(wav_of(say(MANY)), deadline_time=NOW + timedelta(seconds=10))
    times = iter([0] * 6 + [60] * 1_000)
    rig.clocks = replace(rig.clocks, utc=lambda: NOW + timedelta(seconds=next(times)))
    assert rig.run(keys) == "PARTIAL"
    endings = [row["ending"] for row in result_of(rig, keys)["coverage"]]
    assert endings[0] == "STOP" and endings[-1] == "DEADLINE"


def test_model_that_is_away_for_a_while_is_waited_for(make_rig: MakeRig) -> None:
    def away(request: Any, number: int) -> None:
        if number == 3:
            raise StageUnavailableError("restarting")

    rig = make_rig(away)
    keys = rig.create(wav_of(say(MANY)))
    assert rig.run(keys) == "SUCCEEDED"


def test_model_that_stays_away_is_an_error_of_its_windows(make_rig: MakeRig) -> None:
    def away(request: Any, number: int) -> None:
        if number > 3:
            raise StageUnavailableError("gone")

    rig = make_rig(away)
    keys = rig.create(wav_of(say(MANY)))
    assert rig.run(keys) == "PARTIAL"
    result = result_of(rig, keys)
    assert {row["ending"] for row in result["coverage"]} == {"STOP", "ERROR"}
    assert any("STAGE_UNAVAILABLE" in reason for reason in result["reasons"])


def test_loop_is_tried_again_and_recorded(make_rig: MakeRig) -> None:
    rig = make_rig(lambda request, number: (["bravo"] * 9, Ending.REPETITION) if number <= 9 else None)
    keys = rig.create(wav_of(say(["bravo", "hotel"] * 4)), tasks=(Task.TRANSCRIBE,))
    assert rig.run(keys) == "PARTIAL"
    result = result_of(rig, keys)
    assert [row["ending"] for row in result["coverage"]] == ["REPETITION", "REPETITION"]
    seeds = [request.sampling.seed for request in rig.model.decoder.requests]  # type: ignore[attr-defined]
    assert result["attempts"] == len(seeds) == len(set(seeds)) == 3 + 3 + 3  # whole, then each half


def test_job_that_is_not_there_is_not_found(make_rig: MakeRig) -> None:
    rig = make_rig()
    with pytest.raises(NotFoundError) as caught:
        rig.run(JobKeys("tests", "0" * 12 + "-" + "0" * 16))
    assert caught.value.reason == "JOB_NOT_FOUND"
