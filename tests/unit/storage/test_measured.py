from __future__ import annotations

import hashlib
import io
import os

import pytest

from eureka.storage.measured import MAX_SPOOLED_BYTES, measured


class _Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        raise io.UnsupportedOperation("a pipe")


@pytest.mark.parametrize("num_bytes", [0, 5, MAX_SPOOLED_BYTES + 3])
@pytest.mark.parametrize("wrap", [bytes, io.BytesIO, _Pipe])
def test_what_was_measured_is_what_is_read(num_bytes: int, wrap: type) -> None:
    content = os.urandom(num_bytes)
    with measured(wrap(content)) as whole:
        assert (whole.num_bytes, whole.sha256) == (num_bytes, hashlib.sha256(content).hexdigest())
        assert whole.stream.read() == content
