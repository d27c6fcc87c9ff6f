"""Request ids: the first writer says which job a request makes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eureka.errors import AlreadyExistsError, InvalidInputError
from eureka.jobs.once import CreationRequest, known_job, settle_job
from eureka.storage.local import LocalObjectStore
from tests.helpers.job_rig import job_id

REQUEST = CreationRequest("acme", "order-4711", "ab" * 32)


def test_first_of_many_threads_settles_the_job(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path)
    assert known_job(store, REQUEST) is None
    with ThreadPoolExecutor(8) as threads:
        settled = set(threads.map(lambda number: settle_job(store, REQUEST, job_id(number)), range(8)))
    [first] = settled
    assert known_job(store, REQUEST) == first


def test_request_ids_of_tenants_are_their_own(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path)
    settle_job(store, REQUEST, job_id(1))
    other = CreationRequest("other", REQUEST.request_id, "cd" * 32)
    assert settle_job(store, other, job_id(2)) == job_id(2)


def test_other_contents_are_refused(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path)
    settle_job(store, REQUEST, job_id(1))
    with pytest.raises(AlreadyExistsError) as caught:
        settle_job(store, CreationRequest("acme", "order-4711", "cd" * 32), job_id(2))
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_record_that_names_no_job_is_refused(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path)
    store.put(REQUEST.key, b'{"version":1,"fingerprint":"%s","job_id":"../x"}' % REQUEST.fingerprint.encode())
    with pytest.raises(InvalidInputError):
        known_job(store, REQUEST)
