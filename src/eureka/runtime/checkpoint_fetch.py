"""`python -m eureka.runtime.checkpoint_fetch FOLDER --sha256 HEX [--prefix KEY/]`: a checkpoint for a pod.

With `--prefix` the objects below it are fetched into FOLDER, from the store that the settings of
EUREKA_STORAGE__ name; who may list and read may fetch. Without it FOLDER is there already. Then
the folder must have the checksum that `(cd FOLDER && sha256sum * | sha256sum)` gives in the C locale; one
that has it is not fetched again.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from eureka.errors import DataLossError, EurekaError, NotFoundError
from eureka.runtime.settings import load_settings
from eureka.runtime.storage import open_to_read
from eureka.storage.store import ObjectStore, is_segment

BLOCK_BYTES = 1 << 20
"""Bytes that are held at a time (1 MiB)."""

_PARTIAL = ".partial"


def folder_sha256(folder: Path) -> str:
    """Checksum of the files of a folder, hex: of the lines `SHA256  NAME` in the order of the names."""
    total = hashlib.sha256()
    for path in sorted(_files(folder), key=lambda one: one.name.encode()):
        total.update(f"{_file_sha256(path)}  {path.name}\n".encode())
    return total.hexdigest()


def fetch(store: ObjectStore, prefix: str, folder: Path) -> int:
    """Write the objects right below `prefix` into `folder`; how many they are.

    Raises:
        NotFoundError: reason CHECKPOINT_NOT_FOUND; there are none.
        EurekaError: as `store.open`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for key in _keys(store, prefix):
        partial = folder / f"{key[len(prefix) :]}{_PARTIAL}"
        with store.open(key) as source, partial.open("wb") as target:
            shutil.copyfileobj(source, target, BLOCK_BYTES)
        partial.rename(folder / key[len(prefix) :])
        count += 1
    if count == 0:
        message = f"there is no checkpoint below {prefix!r} in the object store"
        raise NotFoundError(message, reason="CHECKPOINT_NOT_FOUND")
    return count


def check(folder: Path, sha256: str) -> None:
    """Refuse a folder with another checksum.

    Raises:
        DataLossError: reason CHECKSUM_MISMATCH.
    """
    found = folder_sha256(folder)
    if found != sha256:
        message = f"{folder} has the checksum {found}, not {sha256}; fetch it again, or mend the value"
        raise DataLossError(message, reason="CHECKSUM_MISMATCH")


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if path.is_file() and path.suffix != _PARTIAL)


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _keys(store: ObjectStore, prefix: str) -> Iterator[str]:
    """Keys right below `prefix`; folders in it are no part of a checkpoint."""
    after: str | None = ""
    while after is not None:
        page = store.list_objects(prefix, start_after=after)
        after = page.next_start_after
        yield from (one.key for one in page.objects if is_segment(one.key[len(prefix) :]))


def _prepared(folder: Path, prefix: str | None, sha256: str) -> None:
    if prefix is not None and folder_sha256(folder) != sha256:
        fetch(open_to_read(load_settings().storage), f"{prefix.rstrip('/')}/", folder)
    check(folder, sha256)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch and check; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m eureka.runtime.checkpoint_fetch", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--prefix", help="what the keys of the checkpoint begin with; without it none is fetched"
    )
    parser.add_argument("--sha256", required=True, help="checksum that the folder must have")
    given = parser.parse_args(arguments)
    try:
        _prepared(given.folder, given.prefix, given.sha256)
    except EurekaError as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr)
        return 1
    print(f"the checkpoint is there: {given.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
