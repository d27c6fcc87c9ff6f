"""Jobs by a real gateway: made, watched, cancelled, retried, deleted, downloaded."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from eureka.api.v1 import job_service_pb2 as api
from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_job_types import (
    JobLane,
    JobOptions,
    JobState,
    ResultForm,
    StoredObject,
)
from eureka.clients.gateway_types import RetryPolicy, Upload
from eureka.errors import EurekaError, NotFoundError, WrongStateError
from eureka.jobs.job_store import JobStore
from eureka.types import Task
from services.gateway.jobs.reading import JobReader, JobSnapshot
from tests.helpers.job_gateway import SPOKEN, Faults, JobGateway, ended, plain_gateway, put
from tests.helpers.tcp_proxy import TcpProxy
from tests.helpers.tone_model import WORDS


def test_job_over_a_file_is_heard_and_downloaded(client: GatewayClient, tmp_path: Path) -> None:
    (tmp_path / "words.wav").write_bytes(SPOKEN)
    options = JobOptions(lane=JobLane.INTERACTIVE, labels={"for": "test"}, language="")
    job = client.create_job(tmp_path / "words.wav", options)
    assert job.state in (JobState.PENDING, JobState.RUNNING, JobState.SUCCEEDED)
    assert job.options.display_name == "words.wav" and job.options.lane is JobLane.INTERACTIVE
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


def test_request_raced_by_eight_threads_makes_one_job(served: JobGateway) -> None:
    source = put(served, "race/a.wav")
    before = len(served.queue.planned)

    def create(_: int) -> str:
        with served.client() as client:
            return client.create_job(source, request_id="race").name

    with ThreadPoolExecutor(8) as threads:
        names = set(threads.map(create, range(8)))
    assert len(names) == 1
    assert len(served.queue.planned) == before + 1


@pytest.mark.parametrize("is_link", [False, True])
def test_request_raced_over_one_upload_makes_one_job(
    served: JobGateway, client: GatewayClient, is_link: bool
) -> None:
    upload = Upload(f"uploads/{'ef' * 16}") if is_link else client.upload(SPOKEN)
    if is_link:
        served.objects.put(f"acme/{upload.name}", SPOKEN)

    def create(_: int) -> str:
        with served.client() as own:
            return own.create_job(upload, request_id=f"race-{upload.name}").name

    with ThreadPoolExecutor(8) as threads:
        [name] = set(threads.map(create, range(8)))
    assert ended(client, client.get_job(name)).state is JobState.SUCCEEDED


def test_request_id_with_other_contents_is_refused(client: GatewayClient, served: JobGateway) -> None:
    source = put(served, "reused/a.wav")
    first = client.create_job(source, request_id="reused")
    assert client.create_job(source, request_id="reused").name == first.name
    with pytest.raises(EurekaError) as caught:
        client.create_job(source, JobOptions(lane=JobLane.BULK), request_id="reused")
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_upload_by_link_becomes_the_audio_of_one_job(client: GatewayClient, served: JobGateway) -> None:
    name = f"uploads/{'ab' * 16}"  # as CreateUpload gives it, and a PUT left it
    served.objects.put(f"acme/{name}", SPOKEN)
    job = client.create_job(Upload(name))
    assert ended(client, job).state is JobState.SUCCEEDED
    assert not served.objects.exists(f"acme/{name}")
    with pytest.raises(NotFoundError) as caught:
        client.create_job(Upload(name))
    assert caught.value.reason == "UPLOAD_NOT_FOUND"


def test_local_store_makes_no_links(client: GatewayClient, served: JobGateway) -> None:
    with pytest.raises(WrongStateError) as caught:
        client._call(client._jobs.CreateUpload, api.CreateUploadRequest(), client._config.attempts(None, ""))
    assert caught.value.reason == "PRESIGN_UNAVAILABLE"


def test_queue_that_is_away_costs_no_job(client: GatewayClient, served: JobGateway) -> None:
    served.queue.is_away = True
    try:
        job = client.create_job(put(served, "away/a.wav"))
        assert client.get_job(job.name).state is JobState.PENDING
    finally:
        served.queue.is_away = False


def test_cancelled_job_ends_and_cannot_be_cancelled_as_another(
    client: GatewayClient, served: JobGateway
) -> None:
    with served.queue.held():
        job = client.create_job(put(served, "cancel/a.wav"))
        with pytest.raises(WrongStateError) as caught:
            client.get_result(job.name)
        assert caught.value.reason == "RESULT_NOT_READY"
        with pytest.raises(WrongStateError) as caught:
            client.retry_job(job.name)
        assert caught.value.reason == "JOB_NOT_ENDED"
        assert client.cancel_job(job.name).state is JobState.CANCELLED
        assert client.cancel_job(job.name).state is JobState.CANCELLED
    served.queue.drain()
    assert client.get_job(job.name).state is JobState.CANCELLED
    done = ended(client, client.create_job(StoredObject("cancel/a.wav")))
    with pytest.raises(WrongStateError) as caught:
        client.cancel_job(done.name)
    assert caught.value.reason == "JOB_ENDED"


def test_retry_hears_only_what_failed(client: GatewayClient, served: JobGateway, faults: Faults) -> None:
    faults.is_on = True
    try:
        partial = ended(client, client.create_job(put(served, "retry/a.wav")))
    finally:
        faults.is_on = False
    assert partial.state is JobState.PARTIAL and partial.reasons
    again = client.retry_job(partial.name)
    assert again.round_number == 2
    done = ended(client, partial)
    assert done.state is JobState.SUCCEEDED and done.round_number == 2
    with pytest.raises(WrongStateError) as caught:
        client.retry_job(partial.name)
    assert caught.value.reason == "NOTHING_TO_RETRY"


def test_deleted_job_leaves_no_object(client: GatewayClient, served: JobGateway, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(SPOKEN)
    job = ended(client, client.create_job(tmp_path / "a.wav"))
    folder = f"acme/{job.name}/"
    assert served.objects.list_objects(folder).objects
    client.delete_job(job.name)
    assert not served.objects.list_objects(folder).objects
    for action in (client.get_job, client.delete_job, client.cancel_job):
        with pytest.raises(NotFoundError):
            action(job.name)
    assert job.name not in {one.name for one in client.all_jobs()}


def test_watch_sends_every_window_once_and_goes_on_by_its_token(
    client: GatewayClient, served: JobGateway
) -> None:
    job = client.create_job(put(served, "watch/a.wav"))
    updates = list(client.watch_job(job.name))
    segments = [each for update in updates for each in update.segments]
    places = [(each.task, each.window) for each in segments]
    windows = range(updates[-1].job.num_windows)
    assert len(windows) >= 3 and set(places) == {(task, n) for task in job.options.tasks for n in windows}
    words = [each.segment.text for each in segments if each.task is Task.TRANSCRIBE]
    assert "alpha" in " ".join(words)
    assert all(0 <= each.segment.start_seconds < each.segment.end_seconds for each in segments)
    token = updates[-1].resume_token
    assert [update.segments for update in client.watch_job(job.name, resume_token=token)] == [()]


def test_watch_goes_on_after_its_connection_was_cut(served: JobGateway, client: GatewayClient) -> None:
    host, _, port = served.target.rpartition(":")
    retry = RetryPolicy(max_attempts=20, first_pause_seconds=0.05, max_pause_seconds=0.2)
    with TcpProxy((host, int(port))) as proxy, served.queue.held():
        job = client.create_job(put(served, "cut/a.wav"))
        far = served.client(target=f"127.0.0.1:{proxy.port}", retry=retry)
        with far, far.watch_job(job.name) as watch:
            assert next(watch).job.state is JobState.PENDING
            proxy.go_away()
            timer = threading.Timer(0.3, proxy.come_back)
            timer.start()
            served.queue.release()
            rest = list(watch)
            timer.join()
    assert rest[-1].job.state is JobState.SUCCEEDED
    windows = {each.window for update in rest for each in update.segments}
    assert windows == set(range(rest[-1].job.num_windows))


def test_job_of_many_objects_is_read_as_one_of_few(client: GatewayClient, served: JobGateway) -> None:
    done = ended(client, client.create_job(put(served, "many/a.wav")))
    with served.queue.held(), ThreadPoolExecutor(4) as threads:
        waiting = client.create_job(put(served, "many/b.wav"))
        few, many = (JobReader(JobStore(served.objects), threads, size) for size in (128, 1))

        def looks(reader: JobReader) -> list[JobSnapshot]:
            found = [reader.read("acme", job.name.removeprefix("jobs/")) for job in (done, waiting)]
            return [replace(one, view=None) for one in found]  # views compare by identity

        assert looks(few) == looks(many)
        assert [one.state.value for one in looks(many)] == ["SUCCEEDED", "PENDING"]
        client.cancel_job(waiting.name)
        assert looks(many)[1].state.value == "CANCELLED"
    served.queue.drain()


def test_gateway_without_a_queue_says_what_to_set(tmp_path: Path) -> None:
    with plain_gateway(tmp_path) as target, GatewayClient(target) as client:
        for action in (
            client.list_jobs,
            lambda: client.get_job("jobs/1"),
            lambda: client.create_job("a.wav"),
        ):
            with pytest.raises(WrongStateError) as caught:
                action()
            assert caught.value.reason == "JOBS_UNAVAILABLE" and "EUREKA_QUEUE__URL" in caught.value.message
