from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta, timezone

import pytest

from eureka.clients.metadata import is_tenant
from eureka.errors import InvalidInputError
from eureka.storage.keys import (
    RANDOM_BYTES,
    JobKeys,
    check_tenant,
    created_time,
    job_id_of,
    jobs_folder,
    new_job_id,
    round_of,
    window_of,
)
from eureka.storage.store import check_key

NOW = datetime(2026, 11, 25, 12, 0, 0, 123_000, tzinfo=UTC)
JOB = "fe5f5ca28c82-0123456789abcdef"


def _id(now: datetime) -> str:
    return new_job_id(now, secrets.token_bytes(RANDOM_BYTES))


def test_newest_job_comes_first_in_a_plain_listing() -> None:
    times = [NOW + timedelta(milliseconds=step) for step in (0, 1, 999, 86_400_000, 10**12)]
    ids = [_id(now) for now in times]
    assert sorted(ids) == ids[::-1]


def test_id_gives_its_time_back_in_any_zone() -> None:
    assert created_time(_id(NOW)) == NOW
    assert created_time(_id(NOW.astimezone(timezone(timedelta(hours=9))))) == NOW


def test_ids_of_one_moment_differ() -> None:
    assert len({_id(NOW) for _ in range(1_000)}) == 1_000


def test_layout_of_a_job() -> None:
    keys = JobKeys("acme", JOB)
    folder = f"acme/jobs/{JOB}/"
    assert (keys.folder, jobs_folder("acme")) == (folder, "acme/jobs/")
    assert [keys.spec, keys.audio, keys.cancel, keys.delete] == [
        folder + name for name in ("spec.json", "audio", "cancel.json", "delete.json")
    ]
    assert keys.plan(1) == f"{folder}rounds/0001/plan.json"
    assert keys.window(1, 23) == f"{folder}rounds/0001/windows/0000023.json"
    assert keys.result(2, "srt") == f"{folder}rounds/0002/result.srt"
    assert keys.event("2026-11-25T12:00:00Z-1") == f"{folder}events/2026-11-25T12:00:00Z-1"


def test_every_key_is_one_that_stores_take_and_can_be_read_back() -> None:
    keys = JobKeys("a" * 63, _id(NOW))
    for key in (
        keys.spec,
        keys.plan(0),
        keys.window(9_999, 9_999_999),
        keys.result(0),
        keys.event("e" * 100),
    ):
        assert check_key(key) == key and job_id_of(key) == keys.job_id
    assert job_id_of(keys.folder) == keys.job_id
    assert (round_of(keys.window(3, 7)), window_of(keys.window(3, 7))) == (3, 7)
    assert round_of(keys.round_folder(4)) == 4 and round_of(keys.spec) is None
    assert window_of(keys.plan(3)) is None


def test_windows_are_listed_in_order() -> None:
    keys = JobKeys("acme", JOB)
    windows = [keys.window(0, index) for index in range(0, 12_000, 7)]
    assert sorted(windows) == windows


@pytest.mark.parametrize(
    "tenant", ["", ".", "..", "a/b", "../a", "a/../b", "A", "-a", "a\n", "a" * 64, "ä", "~"]
)
def test_tenant_that_could_leave_its_folder_is_none(tenant: str) -> None:
    for use in (check_tenant, jobs_folder, lambda name: JobKeys(name, JOB)):
        with pytest.raises(InvalidInputError) as caught:
            use(tenant)
        assert caught.value.reason == "INVALID_TENANT"
    assert not is_tenant(tenant)


@pytest.mark.parametrize("tenant", ["a", "default", "0-a", "a" * 63])
def test_tenants_are_those_of_the_keys_file(tenant: str) -> None:
    assert check_tenant(tenant) == tenant and is_tenant(tenant)


@pytest.mark.parametrize("job_id", ["", "..", "../" + JOB, JOB + "/", JOB.upper(), JOB[:-1], JOB + "\n"])
def test_job_id_that_nobody_made_is_refused(job_id: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        JobKeys("acme", job_id)
    assert caught.value.reason == "INVALID_JOB_ID"


@pytest.mark.parametrize(
    "key", ["", "acme", "acme/jobs", "acme/jobs/x/spec.json", f"acme/{JOB}/jobs/spec.json"]
)
def test_key_of_something_else_has_no_job(key: str) -> None:
    with pytest.raises(InvalidInputError):
        job_id_of(key)


def test_time_before_all_clocks_is_no_time_of_a_job() -> None:
    with pytest.raises(InvalidInputError):
        created_time("000000000000-0123456789abcdef")


def test_numbers_formats_and_events_are_bounded() -> None:
    keys = JobKeys("acme", JOB)
    for call in (
        lambda: keys.plan(-1),
        lambda: keys.plan(10_000),
        lambda: keys.window(0, 10_000_000),
        lambda: keys.result(0, "../spec"),
        lambda: keys.event("../spec.json"),
        lambda: keys.event(""),
        lambda: keys.event(".."),
    ):
        with pytest.raises(InvalidInputError) as caught:
            call()
        assert caught.value.reason == "INVALID_KEY"
