"""A job a request: the first writer of a record says which job a request id made."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from eureka.errors import AlreadyExistsError, NotFoundError
from eureka.jobs.documents import JSON_TYPE, Fields, to_bytes
from eureka.storage.keys import check_job_id, check_tenant
from eureka.storage.store import ObjectStore

RECORD_VERSION = 1
"""Raised when a field changes its meaning."""


@dataclass(frozen=True, slots=True)
class CreationRequest:
    """A request that may come again.

    Attributes:
        tenant: who asks.
        request_id: as the caller named it.
        fingerprint: sha256 of its contents, hex.
    """

    tenant: str
    request_id: str
    fingerprint: str

    @property
    def key(self) -> str:
        """Where its record lies."""
        name = hashlib.sha256(self.request_id.encode()).hexdigest()
        return f"{check_tenant(self.tenant)}/requests/{name}.json"


def known_job(objects: ObjectStore, request: CreationRequest) -> str | None:
    """Id of the job that the request made before; None where it comes for the first time.

    Raises:
        AlreadyExistsError: reason REQUEST_ID_REUSED; it had other contents then.
        EurekaError: the store is away.
    """
    try:
        given = Fields.of_bytes(objects.get(request.key), "request.json", RECORD_VERSION)
    except NotFoundError:
        return None
    if given.text("fingerprint") != request.fingerprint:
        message = f"request_id {request.request_id!r} was used for another request; draw a new one"
        raise AlreadyExistsError(message, reason="REQUEST_ID_REUSED")
    return check_job_id(given.text("job_id"))


def settle_job(objects: ObjectStore, request: CreationRequest, job_id: str) -> str:
    """Id of the job that the request makes: `job_id`, unless another writer was first.

    Raises: as `known_job`.
    """
    record = {"version": RECORD_VERSION, "fingerprint": request.fingerprint, "job_id": job_id}
    if objects.put_if_absent(request.key, to_bytes(record), content_type=JSON_TYPE):
        return job_id
    return known_job(objects, request) or job_id
