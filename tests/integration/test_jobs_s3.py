"""A job over a real S3 server, its audio read by ranges, against the same job over a local folder."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path

import pytest

from eureka.audio.decode_pool import DecodePool
from eureka.jobs.deletion import delete_job
from eureka.jobs.source import OpenInPool
from eureka.storage.s3 import S3ObjectStore
from eureka.storage.s3_bucket import prepare_bucket
from eureka.storage.s3_client import S3Config
from eureka.text.tokenizer import Tokenizer
from tests.helpers.job_rig import JobRig, WatchedStore, tone_model
from tests.helpers.radosgw import S3Server
from tests.helpers.sounds import wav_of
from tests.helpers.tokenizers import small_nano_tokenizer
from tests.helpers.tone_model import WORDS, say

AUDIO = wav_of(say([WORDS[i % len(WORDS)] for i in range(60)]))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_nano_tokenizer(tmp_path_factory.mktemp("tone"))


@pytest.fixture
def rig(s3_server: S3Server, tokenizer: Tokenizer) -> JobRig:
    bucket = f"tests-{uuid.uuid4().hex[:12]}"
    config = S3Config(s3_server.endpoint, bucket, s3_server.access_key, s3_server.secret_key)
    prepare_bucket(config, creates=True)
    return JobRig(WatchedStore(S3ObjectStore(config)), tone_model(tokenizer))


def test_job_over_s3_by_two_runners_equals_that_over_a_folder(
    rig: JobRig, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    local = JobRig(WatchedStore(tmp_path), tone_model(tokenizer))
    local.run(local.create(AUDIO))
    keys = rig.create(AUDIO)
    with DecodePool(2) as pool:
        rig.opener = OpenInPool(pool)
        runners = [threading.Thread(target=rig.run, args=(keys,)) for _ in range(2)]
        for runner in runners:
            runner.start()
        for runner in runners:
            runner.join()
    assert rig.run(keys) == "SUCCEEDED"
    assert set(rig.store.wins.values()) == {1}
    for form in ("json", "srt", "vtt", "txt", "csv"):
        assert rig.jobs.result(keys, 1, form) == local.jobs.result(keys, 1, form)

    delete_job(rig.store, keys)
    assert list(rig.jobs.keys_below(keys.folder)) == []
