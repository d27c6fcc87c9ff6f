"""Deleting a job: the mark first, so that a half-done deletion is finished by the next sweep."""

from __future__ import annotations

from eureka.jobs.documents import JSON_TYPE, to_bytes
from eureka.jobs.job_store import MARK_VERSION
from eureka.storage.keys import JobKeys
from eureka.storage.store import ObjectStore


def delete_job(objects: ObjectStore, keys: JobKeys) -> None:
    """Remove everything of a job, all versions included; a job that is gone is no error.

    From the first step on the job is gone for its readers. The mark goes last: a worker that writes meanwhile
    leaves rounds without a spec, which sweeps remove, too.

    Raises:
        EurekaError: the store is away; deleting again goes on.
    """
    objects.put_if_absent(keys.delete, to_bytes({"version": MARK_VERSION}), content_type=JSON_TYPE)
    objects.delete(keys.spec)
    objects.delete(keys.audio)
    objects.delete_prefix(keys.rounds_folder)
    objects.delete_prefix(keys.events_folder)
    objects.delete(keys.cancel)
    objects.delete(keys.delete)
    objects.delete_prefix(keys.folder)
