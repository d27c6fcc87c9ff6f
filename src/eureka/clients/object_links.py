"""Files over links that an object store made: HTTP by the standard library, errors as ours."""

from __future__ import annotations

import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import BinaryIO
from urllib.error import URLError

from eureka.errors import EurekaError, StageUnavailableError

PIECE_BYTES = 1 << 20
"""Read and written at a time."""


def put_file(
    url: str, file: BinaryIO, num_bytes: int, timeout_seconds: float | None, uses_proxy: bool
) -> None:
    """Send a file to a link.

    Raises:
        StageUnavailableError: reason LINK_FAILED; the store is not reachable from here, or refuses.
    """
    headers = {"Content-Length": str(num_bytes), "Content-Type": "application/octet-stream"}
    request = urllib.request.Request(_checked(url), data=file, method="PUT", headers=headers)
    with _link_errors(), _opener(uses_proxy).open(request, timeout=timeout_seconds) as answer:
        answer.read()


def get_file(url: str, file: BinaryIO, timeout_seconds: float | None, uses_proxy: bool) -> None:
    """Write what a link leads to; raises as `put_file`."""
    with _link_errors(), _opener(uses_proxy).open(_checked(url), timeout=timeout_seconds) as answer:
        shutil.copyfileobj(answer, file, PIECE_BYTES)


def _opener(uses_proxy: bool) -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler(None if uses_proxy else {}))


def _checked(url: str) -> str:
    if url.startswith(("http://", "https://")):
        return url
    raise EurekaError("the gateway gave a link that is neither http nor https", reason="INVALID_LINK")


@contextmanager
def _link_errors() -> Iterator[None]:
    try:
        yield
    except (URLError, HTTPException, OSError) as error:
        message = f"the object store cannot be used by its link: {error}"
        raise StageUnavailableError(message, reason="LINK_FAILED") from error
