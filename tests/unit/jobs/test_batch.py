"""Batches: ids, documents, roll-ups, creation that is killed and done again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from eureka.errors import NotFoundError, StageUnavailableError
from eureka.jobs.batch import (
    Batch,
    child_id,
    common_start,
    create_batch,
    is_batch_id,
    last_child_id,
    new_batch_id,
    new_single_id,
    parent_id,
    read_batch,
    rolled_up,
)
from eureka.jobs.spec import JobSpec
from eureka.jobs.states import JobState
from eureka.storage.keys import check_job_id, created_time
from tests.helpers.job_rig import NOW, WatchedStore

P, R, S, A, F, C = (
    JobState[name] for name in ("PENDING", "RUNNING", "SUCCEEDED", "PARTIAL", "FAILED", "CANCELLED")
)


def batch_of(names: Sequence[str] = ("a.wav", "b.wav", "c.wav")) -> Batch:
    spec = JobSpec("acme", new_batch_id(NOW, b"12345678"), "batch", labels={"k": "v"})
    return Batch(spec, tuple(f"acme/{name}" for name in names), tuple(names))


def test_ids_tell_parents_children_and_others_apart() -> None:
    batch, single = new_batch_id(NOW, b"12345678"), new_single_id(NOW, b"\0" * 8)
    children = [child_id(batch, index) for index in (0, 1, 999)]
    for one in (batch, single, *children):
        assert check_job_id(one) and created_time(one) == created_time(batch)
    assert is_batch_id(batch) and not any(map(is_batch_id, (single, *children)))
    assert [parent_id(one) for one in children] == [batch] * 3
    assert parent_id(single) is None and parent_id(batch) is None
    assert children == sorted(children) and children[-1] < last_child_id(batch) < batch


def test_document_gives_the_batch() -> None:
    batch = batch_of()
    assert Batch.from_bytes(batch.to_bytes()) == batch
    specs = batch.child_specs()
    assert [spec.source_key for spec in specs] == ["acme/a.wav", "acme/b.wav", "acme/c.wav"]
    assert {tuple(spec.labels.items()) for spec in specs} == {(("k", "v"),)}


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([P, P], P),
        ([P, S], R),
        ([R, F], R),
        ([S, S], S),
        ([S, S, None], S),
        ([F, F], F),
        ([C, C], C),
        ([S, F], A),
        ([A, C], A),
        ([F, C], C),
        ([None], C),
    ],
)
def test_state_of_a_parent_follows_from_its_children(
    states: list[JobState | None], expected: JobState
) -> None:
    assert rolled_up(states) is expected


def test_creation_that_was_killed_is_finished_by_doing_it_again(tmp_path: Path) -> None:
    store, batch = WatchedStore(tmp_path), batch_of()

    def fail(method: str, key: str) -> None:
        if batch.child_ids()[1] in key:
            raise StageUnavailableError("away", reason="STORE_UNAVAILABLE")

    store.before = fail
    with pytest.raises(StageUnavailableError):
        create_batch(store, batch)
    store.before = lambda method, key: None
    create_batch(store, batch)
    assert all(store.exists(spec.keys.spec) for spec in batch.child_specs())
    assert set(store.wins.values()) <= {0, 1}
    assert read_batch(store, "acme", batch.job_id) == batch


def test_batch_of_a_second_writer_is_the_first_ones(tmp_path: Path) -> None:
    store, batch = WatchedStore(tmp_path), batch_of()
    create_batch(store, batch)
    names = tuple(f"{number}.wav" for number in range(5))
    later = Batch(batch.spec, tuple(f"acme/{name}" for name in names), names)
    assert create_batch(store, later) == batch
    assert not store.exists(later.child_specs()[4].keys.spec)
    assert read_batch(store, "acme", batch.job_id) == batch
    with pytest.raises(NotFoundError):
        read_batch(store, "other", batch.job_id)


def test_name_of_a_batch_is_what_its_files_have_in_common() -> None:
    assert common_start(["a/b/x.wav", "a/b/y.wav"]) == "a/b/"
    assert common_start(["a/b/x.wav", "a/c/x.wav"]) == "a/"
    assert common_start(["a.wav", "b.wav"]) == ""
    assert common_start(["a/x.wav"]) == "a/"
