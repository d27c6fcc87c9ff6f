"""Whole jobs with real checkpoints: killed at random moments, and against the pipeline in one go."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from eureka.pipeline.listener import Listener
from eureka.pipeline.options import ListenOptions
from eureka.storage.keys import JobKeys
from eureka.types import Priority
from tests.helpers.job_kills import KEYS
from tests.helpers.job_rig import JobRig, WatchedStore, check_tiles, checkpoint_model, result_of
from tests.helpers.long_recording import Recording, long_recording
from tests.helpers.sounds import wav_of
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint

NUM_JOBS, KILLS_A_JOB = 5, 2
"""Ten kills, and after each one a run that goes on."""


def objects_of(store: WatchedStore, keys: JobKeys) -> dict[str, bytes]:
    page = store.list_objects(keys.rounds_folder)
    return {info.key: store.get(info.key) for info in page.objects}


def test_job_killed_at_random_moments_ends_with_the_same_bytes(tmp_path: Path, repo_root: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny")
    audio = wav_of(long_recording(60.0, seed=3).pcm)
    roots = [tmp_path / f"job-{number}" for number in range(NUM_JOBS + 1)]
    for root in roots:
        rig = JobRig(WatchedStore(root / "store"), checkpoint_model(checkpoint))
        assert rig.create(audio) == KEYS
    command = [sys.executable, "-m", "tests.helpers.job_kills", str(KILLS_A_JOB), str(checkpoint)]
    done = subprocess.run(
        [*command, *map(str, roots)], cwd=repo_root, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr

    undisturbed = objects_of(WatchedStore(roots[0] / "store"), KEYS)
    windows = [key for key in undisturbed if "/windows/" in key]
    assert len(windows) >= 8
    for root in roots:
        assert objects_of(WatchedStore(root / "store"), KEYS) == undisturbed
        wins = Counter((root / "wins.txt").read_text().splitlines())
        # Present, so written once at least; a kill between the write and its note leaves no note.
        assert set(wins.values()) == {1} and set(wins) <= set(undisturbed)


@pytest.fixture(scope="module")
def recording(request: pytest.FixtureRequest) -> Recording:
    try:
        return long_recording(40.0, request.getfixturevalue("data_folder"), seed=5)
    except pytest.skip.Exception:
        return long_recording(40.0, seed=5)


def test_nano_job_says_what_the_pipeline_says_in_one_go(
    tmp_path: Path, checkpoint_folder: Path, recording: Recording
) -> None:
    rig = JobRig(WatchedStore(tmp_path / "store"), checkpoint_model(checkpoint_folder))
    audio = wav_of(recording.pcm)
    keys = rig.create(audio)
    assert rig.run(keys) in ("SUCCEEDED", "PARTIAL")
    result = result_of(rig, keys)
    check_tiles(result, len(recording.pcm))
    assert "SILENCE" in {row["ending"] for row in result["coverage"]}
    assert set(rig.store.wins.values()) == {1}

    listener = Listener(rig.model.embedder, rig.model.decoder, rig.model.settings)
    options = ListenOptions(priority=Priority.BULK)
    with rig.opener(rig.store.open(keys.audio)) as blocks:
        whole = listener.transcribe("recording.wav", blocks, options)
    assert result["text"] == whole.text
    with rig.opener(rig.store.open(keys.audio)) as blocks:
        captions = listener.caption("recording.wav", blocks, options).to_dict()["segments"]
    tracked = [untracked(segment) for segment in result["segments"] if segment["track"] == "caption"]
    assert tracked == captions


def untracked(segment: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in segment.items() if name != "track"}


def test_nano_job_with_a_model_opened_anew_gives_the_same_bytes(
    tmp_path: Path, checkpoint_folder: Path
) -> None:
    rig = JobRig(WatchedStore(tmp_path / "store"), checkpoint_model(checkpoint_folder))
    audio = wav_of(long_recording(15.0, seed=9).pcm)
    first, second = rig.create(audio, 1), rig.create(audio, 2)
    rig.run(first)
    rig.model = checkpoint_model(checkpoint_folder)
    rig.run(second)
    contents = [rig.jobs.result(keys, 1) for keys in (first, second)]
    assert contents[0] and contents[1]
    assert json.loads(contents[0])["segments"]
    assert contents[0] == contents[1].replace(second.job_id.encode(), first.job_id.encode())
