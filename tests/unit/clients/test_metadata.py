"""Request id, trace and tenant on their way through hops."""

from __future__ import annotations

import re
import time

import pytest

from eureka.clients.metadata import (
    context_of,
    is_tenant,
    metadata_of,
    timeout_of,
    trace_id_of,
)
from eureka.types import CallContext

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_context_survives_a_hop() -> None:
    sent = CallContext("req-1", PARENT, "acme")
    got = context_of(metadata_of(sent), trusts_tenant=True)
    assert (got.request_id, got.tenant, got.traceparent) == ("req-1", "acme", PARENT)


def test_work_in_the_background_is_of_a_trace_that_nobody_records() -> None:
    sent = dict(metadata_of(CallContext("req-1")))["traceparent"]
    assert trace_id_of(sent) and sent.endswith("-00")


def test_tenant_from_outside_is_not_believed() -> None:
    assert context_of(metadata_of(CallContext("r", PARENT, "acme"))).tenant == "default"


@pytest.mark.parametrize(
    "given", ["", "00-zz-11-01", "ff" + PARENT[2:], "00-" + "0" * 32 + PARENT[35:], PARENT + "-x", "x" * 500]
)
def test_invalid_traceparent_is_replaced_by_a_new_trace(given: str) -> None:
    got = context_of([("traceparent", given)]).traceparent
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", got)
    assert trace_id_of(got) != "0" * 32


@pytest.mark.parametrize("given", ["", "a b", "line\nbreak", "x" * 129, "ü"])
def test_unfit_request_id_is_drawn_anew(given: str) -> None:
    got = context_of([("x-request-id", given)]).request_id
    assert got != given
    assert re.fullmatch(r"[0-9a-f]{32}", got)


def test_deadline_is_kept_and_a_missing_one_stays_missing() -> None:
    context = context_of((), remaining_seconds=5.0)
    left = timeout_of(context)
    assert left is not None
    assert 4.0 < left <= 5.0
    assert context_of(()).deadline is None
    assert context_of((), remaining_seconds=9e9).deadline is None
    assert timeout_of(CallContext("r", deadline=time.monotonic() - 1)) == 0.0


@pytest.mark.parametrize(
    ("name", "fits"),
    [("acme-1", True), ("", False), ("../x", False), ("A", False), ("-a", False), ("a" * 64, False)],
)
def test_tenant_names_fit_object_keys(name: str, fits: bool) -> None:
    assert is_tenant(name) is fits
