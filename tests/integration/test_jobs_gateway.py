"""Jobs by a real gateway: a local store, and a thread with the tone model instead of workers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_job_types import (
    Job,
    JobLane,
    JobOptions,
    JobState,
    ResultForm,
    StoredObject,
)
from eureka.jobs.hearing import JobModel
from eureka.types import Ending, TextRequest
from tests.helpers.job_gateway import JobGateway, job_gateway
from tests.helpers.job_rig import tone_model
from tests.helpers.sounds import wav_of
from tests.helpers.tokenizers import small_nano_tokenizer
from tests.helpers.tone_model import WORDS, say

SPOKEN = wav_of(say([*WORDS, *WORDS, *WORDS]))
"""About 22 s: three windows."""


class CountedStore:
    """A store that counts its calls."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            self.calls[name] += 1
            return method(*arguments, **named)

        return counted


class Faults:
    """Answers with the text of a loop while it is on."""

    def __init__(self) -> None:
        self.is_on = False

    def __call__(self, request: TextRequest, number: int) -> tuple[list[str], Ending] | None:
        return (["alpha"], Ending.LENGTH) if self.is_on else None


@pytest.fixture(scope="module")
def faults() -> Faults:
    return Faults()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, faults: Faults) -> Iterator[JobGateway]:
    folder = tmp_path_factory.mktemp("jobs")
    tokenizer = small_nano_tokenizer(tmp_path_factory.mktemp("tone"))

    def model() -> JobModel:
        return tone_model(tokenizer, faults)

    with job_gateway(folder, model, CountedStore) as gateway:
        yield gateway


@pytest.fixture
def client(served: JobGateway) -> Iterator[GatewayClient]:
    with served.client() as client:
        yield client


def ended(client: GatewayClient, job: Job) -> Job:
    """The job at its end."""
    [*_, last] = client.watch_job(job.name, timeout_seconds=30)
    return last.job


def put(served: JobGateway, key: str, content: bytes = SPOKEN, tenant: str = "acme") -> StoredObject:
    served.objects.put(f"{tenant}/{key}", content)
    return StoredObject(key)


def test_job_over_a_file_is_heard_and_downloaded(client: GatewayClient, tmp_path: Path) -> None:
    (tmp_path / "words.wav").write_bytes(SPOKEN)
    options = JobOptions(lane=JobLane.URGENT, labels={"for": "test"}, language="")
    job = client.create_job(tmp_path / "words.wav", options)
    assert job.state in (JobState.PENDING, JobState.RUNNING, JobState.SUCCEEDED)
    assert job.options.display_name == "words.wav" and job.options.lane is JobLane.URGENT
    done = ended(client, job)
    assert done.state is JobState.SUCCEEDED and done.progress == 1.0
    assert done.num_windows == done.num_ended >= 3 and done.total_seconds > 20
    info = client.download_result(job.name, tmp_path / "out.json")
    result = json.loads((tmp_path / "out.json").read_bytes())
    assert result["name"] == job.name and result["state"] == "SUCCEEDED"
    assert info.size_bytes == (tmp_path / "out.json").stat().st_size
    assert result["texts"]["transcript"].split() == [*WORDS, *WORDS, *WORDS]
    assert not (tmp_path / "out.json.part").exists()


@pytest.mark.parametrize("form", list(ResultForm))
def test_result_comes_in_every_form(client: GatewayClient, served: JobGateway, form: ResultForm) -> None:
    job = client.create_job(put(served, "forms/a.wav"), request_id="every-form")
    assert ended(client, job).state is JobState.SUCCEEDED
    info, content = client.get_result(job.name, form)
    assert info.state is JobState.SUCCEEDED and info.size_bytes == len(content)
    assert b"alpha" in content and info.media_type
