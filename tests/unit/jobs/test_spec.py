import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eureka.errors import InvalidInputError
from eureka.jobs.spec import JobSpec, Lane
from eureka.types import Constraint, ModelCard, Priority, SamplingParams, Task
from tests.helpers.job_rig import NOW, TONE_CARD, job_id

SPEC = JobSpec("tests", job_id(), "a.wav")
FULL = JobSpec(
    "tests",
    job_id(7),
    "häm.wav",
    source_key="uploads/a",
    tasks=(Task.CAPTION,),
    language="en",
    lane=Lane.INTERACTIVE,
    labels={"team": "ears"},
    deadline_time=NOW,
    max_window_seconds=5.0,
    retention_seconds=3_600.0,
    webhook="https://example.org/done",
    has_summary=True,
    model="nano",
    sampling=SamplingParams(64, 0.5, 10, 0.9, 1.1, 3, (5,), ("\n",), min_p=0.1, presence_penalty=0.2),
)


@pytest.mark.parametrize("spec", [SPEC, FULL])
def test_spec_survives_the_store(spec: JobSpec) -> None:
    again = JobSpec.from_bytes(spec.to_bytes())
    assert again == spec and again.to_bytes() == spec.to_bytes()


@given(
    st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=20), max_size=5),
    st.sampled_from(Lane),
    st.floats(1.0, 30.0),
    st.integers(0, 2**32 - 1),
)
def test_spec_of_any_values_survives_the_store(
    labels: dict[str, str], lane: Lane, seconds: float, seed: int
) -> None:
    labels = {k: v for k, v in labels.items() if (k + v).isprintable()}
    spec = replace(
        SPEC, labels=labels, lane=lane, max_window_seconds=seconds, sampling=SamplingParams(seed=seed)
    )
    assert JobSpec.from_bytes(spec.to_bytes()) == spec


def test_spec_knows_its_name_its_objects_and_its_time() -> None:
    assert SPEC.name == f"jobs/{job_id()}"
    assert SPEC.audio_key == f"tests/jobs/{job_id()}/audio"
    assert FULL.audio_key == "uploads/a"
    assert SPEC.create_time == NOW
    assert (SPEC.lane.priority, FULL.lane.priority) == (Priority.BULK, Priority.DEFAULT)


def test_deadline_of_any_zone_is_kept_in_utc() -> None:
    there = datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=5)))
    again = JobSpec.from_bytes(replace(SPEC, deadline_time=there).to_bytes())
    assert again.deadline_time == there and again.deadline_time.tzinfo is UTC


@pytest.mark.parametrize(
    ("time_step", "best", "asked", "expected"),
    [
        (None, 30.0, None, 8.0),
        (None, 5.0, None, 5.0),
        (None, 30.0, 20.0, 8.0),
        (0.2, 10.0, None, 10.0),
        (0.2, 30.0, None, 30.0),
        (0.2, 30.0, 12.0, 12.0),
    ],
)
def test_windows_are_short_where_the_checkpoint_gives_no_times(
    time_step: float | None, best: float, asked: float | None, expected: float
) -> None:
    card: ModelCard = replace(TONE_CARD, time_step_seconds=time_step, best_window_seconds=best)
    assert replace(SPEC, max_window_seconds=asked).window_seconds(card) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"tasks": ()},
        {"tasks": (Task.CAPTION, Task.CAPTION)},
        {"tasks": (Task.ASK,)},
        {"source_name": ""},
        {"max_window_seconds": 0.5},
        {"max_window_seconds": float("nan")},
        {"retention_seconds": 0.0},
        {"deadline_time": datetime(2026, 1, 1)},
        {"labels": {"": "x"}},
        {"labels": {str(n): "x" for n in range(65)}},
        {"webhook": "ftp://example.org/x"},
        {"sampling": SamplingParams(top_logprobs=1)},
        {"sampling": SamplingParams(constraint=Constraint(choices=("a",)))},
    ],
)
def test_spec_that_cannot_be_served_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        replace(SPEC, **fields)
    assert caught.value.reason == "INVALID_SPEC"


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"surprise": 1},
        {"tasks": "caption"},
        {"labels": {"a": 1}},
        {"has_summary": 1},
        {"deadline_time": "tomorrow"},
        {"sampling": {"surprise": 1}},
        {"sampling": {"max_new_tokens": True}},
    ],
)
def test_document_that_is_not_a_spec_is_refused(change: dict[str, Any]) -> None:
    plain = json.loads(SPEC.to_bytes()) | change
    with pytest.raises(InvalidInputError) as caught:
        JobSpec.from_bytes(json.dumps(plain).encode())
    assert caught.value.reason == "INVALID_DOCUMENT"


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_bytes_that_are_no_object_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidInputError) as caught:
        JobSpec.from_bytes(content)
    assert caught.value.reason == "INVALID_DOCUMENT"


def test_missing_field_is_named() -> None:
    plain = json.loads(SPEC.to_bytes())
    del plain["lane"]
    with pytest.raises(InvalidInputError, match="lane is missing"):
        JobSpec.from_bytes(json.dumps(plain).encode())
