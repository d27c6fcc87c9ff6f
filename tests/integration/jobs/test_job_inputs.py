"""Jobs by a real gateway: what is refused, with which reason, and to whom."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_job_types import (
    JobFilter,
    JobOptions,
    JobState,
    StoredObject,
    StoredObjects,
    StoredPrefix,
)
from eureka.clients.gateway_types import Upload
from eureka.errors import EurekaError, NotFoundError, PermissionDeniedError, WrongStateError
from eureka.jobs.batch import new_single_id
from eureka.types import Task
from tests.helpers.job_gateway import JobGateway, ended, put


def test_tenants_do_not_see_each_others_jobs(client: GatewayClient, served: JobGateway) -> None:
    source = put(served, "mine/a.wav")
    job = client.create_job(source)
    with served.client("other") as other:
        actions: list[Any] = [
            lambda: other.get_job(job.name),
            lambda: other.cancel_job(job.name),
            lambda: other.retry_job(job.name),
            lambda: other.delete_job(job.name),
            lambda: other.get_result(job.name),
            lambda: list(other.watch_job(job.name)),
            lambda: other.list_jobs(parent=job.name),
            lambda: other.create_job(source),
        ]
        reasons = []
        for action in actions:
            with pytest.raises(NotFoundError) as caught:
                action()
            reasons.append(caught.value.reason)
        assert reasons == ["JOB_NOT_FOUND"] * 7 + ["OBJECT_NOT_FOUND"]
        assert job.name not in {one.name for one in other.all_jobs()}
    assert client.get_job(job.name).name == job.name


def test_key_that_may_only_read_makes_and_changes_nothing(client: GatewayClient, served: JobGateway) -> None:
    job = client.create_job(put(served, "read/a.wav"))
    with served.client("reader") as reader:
        assert reader.get_job(job.name).name == job.name
        for action in (reader.cancel_job, reader.retry_job, reader.delete_job):
            with pytest.raises(PermissionDeniedError):
                action(job.name)
        with pytest.raises(PermissionDeniedError):
            reader.create_job(StoredObject("read/a.wav"))


def test_keys_of_objects_stay_below_the_tenant(client: GatewayClient) -> None:
    for key in ("../other/a.wav", "/a.wav", "jobs/x/spec.json", "uploads/a", "a//b", "", "x" * 901, "a\0b"):
        with pytest.raises(EurekaError) as caught:
            client.create_job(StoredObject(key))
        assert caught.value.reason == "INVALID_OBJECT_KEY", key
    for prefix in ("", "rec", "jobs/", "../", "requests/a"):
        with pytest.raises(EurekaError) as caught:
            client.create_job(StoredPrefix(prefix))
        assert caught.value.reason == "INVALID_OBJECT_KEY", prefix


LONG = "x" * 257

BAD = [
    (JobOptions(labels={"k": LONG}), "INVALID_LABELS"),
    (JobOptions(labels={LONG: "v"}), "INVALID_LABELS"),
    (JobOptions(labels={"": "v"}), "INVALID_LABELS"),
    (JobOptions(labels={str(n): "" for n in range(65)}), "INVALID_LABELS"),
    (JobOptions(tasks=(Task.ASK,)), "INVALID_TASKS"),
    (JobOptions(tasks=(Task.CAPTION, Task.CAPTION)), "INVALID_TASKS"),
    (JobOptions(deadline_time=datetime(2020, 1, 1, tzinfo=UTC)), "DEADLINE_PASSED"),
    (JobOptions(deadline_time=datetime(2120, 1, 1)), "NO_TIME_ZONE"),
    (JobOptions(webhook="ftp://example.com"), "INVALID_SPEC"),
    (JobOptions(retention_seconds=0), "INVALID_SPEC"),
    (JobOptions(display_name=LONG), "DISPLAY_NAME_TOO_LONG"),
    (JobOptions(language="Klingon"), "UNSUPPORTED_LANGUAGE"),
]


@pytest.mark.parametrize(("options", "reason"), BAD)
def test_bad_options_are_refused_with_a_reason(
    client: GatewayClient, served: JobGateway, options: JobOptions, reason: str
) -> None:
    with pytest.raises(EurekaError) as caught:
        client.create_job(put(served, "bad/a.wav"), options)
    assert caught.value.reason == reason and caught.value.code == "INVALID_ARGUMENT"


def test_bad_sources_are_refused_with_a_reason(client: GatewayClient, served: JobGateway) -> None:
    put(served, "bad/empty.wav", b"")
    put(served, "bad/large.wav", bytes((8 << 20) + 1))
    expected = {
        StoredObject("bad/none.wav"): "OBJECT_NOT_FOUND",
        StoredObject("bad/empty.wav"): "EMPTY_AUDIO",
        StoredObject("bad/large.wav"): "UPLOAD_TOO_LARGE",
        StoredObjects(()): "NO_AUDIO_SOURCE",
        StoredObjects(("a/b", "a/b")): "REPEATED_FILE",
        StoredObjects(tuple(f"a/{n}" for n in range(1_001))): "TOO_MANY_FILES",
        StoredPrefix("nothing/here/"): "OBJECT_NOT_FOUND",
        Upload("uploads/none"): "UPLOAD_NOT_FOUND",
        Upload(f"uploads/{'cd' * 16}"): "UPLOAD_NOT_FOUND",
    }
    for source, reason in expected.items():
        with pytest.raises(EurekaError) as caught:
            client.create_job(source)
        assert caught.value.reason == reason, source


def test_bad_names_and_tokens_are_refused_with_a_reason(client: GatewayClient, served: JobGateway) -> None:
    source = put(served, "bad/names.wav")
    job = client.create_job(source)
    client.create_job(source)  # so that one page is not all
    unknown = f"jobs/{new_single_id(datetime.now(UTC), bytes(8))}"
    actions: list[tuple[Any, str]] = [
        (lambda: client.get_job("1"), "INVALID_JOB_NAME"),
        (lambda: client.get_job("jobs/../x"), "INVALID_JOB_NAME"),
        (lambda: client.get_job(unknown), "JOB_NOT_FOUND"),
        (lambda: client.list_jobs(page_size=-1), "INVALID_PAGE_SIZE"),
        (lambda: client.list_jobs(page_token="x"), "INVALID_PAGE_TOKEN"),
        (lambda: client.list_jobs(parent=job.name), "JOB_NOT_FOUND"),
        (lambda: list(client.watch_job(job.name, resume_token="1:9-1")), "INVALID_RESUME_TOKEN"),
        (lambda: list(client.watch_job(job.name, resume_token="1:0-9999999")), "INVALID_RESUME_TOKEN"),
        (
            lambda: client.create_job(StoredObject("bad/names.wav"), request_id="x" * 129),
            "INVALID_REQUEST_ID",
        ),
    ]
    for action, reason in actions:
        with pytest.raises(EurekaError) as caught:
            action()
        assert caught.value.reason == reason
    token = client.list_jobs(page_size=1).next_token
    with pytest.raises(EurekaError) as caught:
        client.list_jobs(JobFilter(labels={"other": "filter"}), page_token=token)
    assert caught.value.reason == "INVALID_PAGE_TOKEN"


def test_text_file_ends_failed_with_its_reason(client: GatewayClient, served: JobGateway) -> None:
    job = ended(client, client.create_job(put(served, "text/words.txt", b"only words, no sound\n" * 40)))
    assert job.state is JobState.FAILED and job.error is not None
    assert job.error.code == "INVALID_ARGUMENT" and job.error.reason == "NOT_AUDIO"
    info, content = client.get_result(job.name)
    assert info.state is JobState.FAILED and json.loads(content)["error"]["reason"] == "NOT_AUDIO"
    with pytest.raises(WrongStateError) as caught:
        client.get_result(job.name, "srt")
    assert caught.value.reason == "JOB_FAILED"


def test_checked_creation_makes_nothing(client: GatewayClient, served: JobGateway) -> None:
    before = client.list_jobs(page_size=1).jobs
    checked = client.create_job(put(served, "checked/a.wav"), validate_only=True)
    assert checked.name == "" and checked.options.display_name == "a.wav"
    assert client.list_jobs(page_size=1).jobs == before
    with pytest.raises(NotFoundError):
        client.create_job(StoredObject("checked/none.wav"), validate_only=True)
