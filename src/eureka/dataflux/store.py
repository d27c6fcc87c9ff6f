"""Records of a run in an object store: each is written once, and its first writer wins.

dataflux/{name}/start.json                      recipe and plan as they were started last
dataflux/{name}/{stage}/{digest[:2]}/{digest}   one record
dataflux/{name}/spend/{number}.json             the ledger of the budget
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eureka.dataflux.records import canonical, from_json
from eureka.errors import InvalidInputError, NotFoundError
from eureka.storage.store import ObjectStore, is_segment

JSON_TYPE = "application/json"


class RecordStore:
    """The records of one run.

    Args:
        objects: where they lie.
        name: of the run.

    Raises:
        InvalidInputError: the name cannot be a folder.
    """

    def __init__(self, objects: ObjectStore, name: str) -> None:
        if not is_segment(name):
            raise InvalidInputError(f"{name!r} cannot name a run", reason="INVALID_RECIPE")
        self._objects = objects
        self._folder = f"dataflux/{name}/"

    @property
    def objects(self) -> ObjectStore:
        """The store itself."""
        return self._objects

    def key(self, stage: str, digest: str) -> str:
        """Where a record lies; folders of some hundred files each."""
        return f"{self._folder}{stage}/{digest[:2]}/{digest}.json"

    def find(self, stage: str, digest: str) -> dict[str, Any] | None:
        """The record, None where it is not written yet.

        Raises:
            DataLossError: it is not what was written.
        """
        key = self.key(stage, digest)
        try:
            return from_json(self._objects.get(key), key)
        except NotFoundError:
            return None

    def once(self, stage: str, digest: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The record, made unless it is there; of two that make it at a time both get the first one's."""
        found = self.find(stage, digest)
        if found is not None:
            return found
        content = canonical(make())
        key = self.key(stage, digest)
        if not self._objects.put_if_absent(key, content, content_type=JSON_TYPE):
            content = self._objects.get(key)
        return from_json(content, key)

    def write_start(self, started: dict[str, Any]) -> None:
        """Keep what a run was started with, for workers, `status`, `report` and `export`."""
        self._objects.put(self._start_key, canonical(started), content_type=JSON_TYPE)

    def start(self) -> dict[str, Any]:
        """What the run was started with last.

        Raises:
            NotFoundError: reason RUN_NOT_FOUND; there was no such run.
        """
        try:
            return from_json(self._objects.get(self._start_key), self._start_key)
        except NotFoundError as error:
            message = f"no run of that name in this store ({self._folder}); start it by `eureka dataflux run`"
            raise NotFoundError(message, reason="RUN_NOT_FOUND") from error

    @property
    def _start_key(self) -> str:
        return f"{self._folder}start.json"

    @property
    def spend_folder(self) -> str:
        """Entries of the ledger lie below."""
        return f"{self._folder}spend/"
