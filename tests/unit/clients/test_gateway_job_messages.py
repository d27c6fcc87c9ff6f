"""Jobs to and from messages: every enum has its counterpart, unknown ones do no harm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from eureka.api.v1 import job_service_pb2 as api
from eureka.clients import gateway_job_messages as messages
from eureka.clients.gateway_calls import Attempts
from eureka.clients.gateway_job_streams import WATCH_ATTEMPTS, watch_attempts
from eureka.clients.gateway_job_types import JobFilter, JobLane, JobOptions, JobState, ResultForm
from eureka.clients.gateway_types import RetryPolicy
from eureka.errors import InvalidInputError
from eureka.types import Task

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)

OPTIONS = JobOptions(
    tasks=(Task.CAPTION,),
    language="en",
    lane=JobLane.BULK,
    labels={"a": "b"},
    deadline_time=NOON,
    retention_seconds=1.5,
    webhook="https://example.com/end",
    has_summary=True,
    display_name="a.wav",
)


def test_options_come_back_as_they_went() -> None:
    config = messages.config_message(OPTIONS)
    job = messages.job_of(api.Job(name="jobs/1", config=config, state=api.JOB_STATE_PARTIAL))
    assert job.options == OPTIONS and job.state is JobState.PARTIAL
    assert job.error is None and job.children is None and job.estimated_end_time is None


def test_every_state_and_form_of_the_api_is_known() -> None:
    known = {messages.state_of(number) for number in api.JobState.values() if number}
    assert known == set(JobState) - {JobState.UNKNOWN}
    numbers = {messages.result_request("jobs/1", form, False).format for form in ResultForm}
    assert numbers == set(api.ResultFormat.values()) - {api.RESULT_FORMAT_UNSPECIFIED}


def test_state_of_a_newer_gateway_is_unknown_and_not_final() -> None:
    state = messages.state_of(99)
    assert state is JobState.UNKNOWN and not state.is_final


def test_times_of_other_zones_are_the_same_moment() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=5)))
    wanted = JobFilter(
        states=[JobState.FAILED], labels={"a": "b"}, min_create_time=there, max_create_time=NOON
    )
    request = messages.list_request(wanted, "jobs/2", 7, "token")
    assert request.filter.min_create_time == request.filter.max_create_time
    assert list(request.filter.states) == [api.JOB_STATE_FAILED] and request.page_size == 7
    with pytest.raises(InvalidInputError) as caught:
        messages.list_request(JobFilter(min_create_time=datetime(2026, 1, 1)), "", 0, "")
    assert caught.value.reason == "NO_TIME_ZONE"


def test_watch_is_patient_unless_nothing_may_be_repeated() -> None:
    attempts = Attempts(RetryPolicy(max_attempts=4), 10.0, "id")
    assert watch_attempts(attempts, None).retry.max_attempts == WATCH_ATTEMPTS
    assert watch_attempts(attempts, None).deadline is None
    assert watch_attempts(attempts, 5.0).deadline == 10.0
    once = Attempts(RetryPolicy(max_attempts=1), None, "id")
    assert watch_attempts(once, None).retry.max_attempts == 1
