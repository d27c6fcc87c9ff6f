"""PrefixCache: prompts up to the end of their audio, kept for later questions about the same audio."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from eureka.engine.backend import SavedPrefix
from eureka.engine.request import Request

_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class AudioPrefix:
    """The part of a prompt that other questions on its audio share.

    Attributes:
        num_tokens: length, less than the prompt's.
        digest: of its ids, token types and audio embeddings; equal only for equal prefixes.
    """

    num_tokens: int
    digest: bytes


def audio_prefix(request: Request, multiple: int = 1) -> AudioPrefix | None:
    """What `request` shares with other questions on its audio; None without audio.

    It reaches to the last audio position, cut to a multiple of `multiple`, and leaves at least one token of
    the prompt, whose logits are needed.
    """
    positions = request.audio_positions
    audio_end = int(positions[-1]) + 1 if len(positions) else 0
    end = min(audio_end, request.num_prompt_tokens - 1) // multiple * multiple
    num_rows = int(np.searchsorted(positions, end))
    if num_rows == 0:
        return None
    digest = hashlib.blake2b(end.to_bytes(8, "little"), digest_size=_DIGEST_BYTES)
    digest.update(request.prompt_ids[:end].astype(np.int64, copy=False).tobytes())
    digest.update(request.token_type_ids[:end].astype(np.int64, copy=False).tobytes())
    digest.update(request.audio_embeddings[:num_rows].astype(np.float32, copy=False).tobytes())
    return AudioPrefix(end, digest.digest())


class PrefixCache:
    """Saved prefixes within a budget of memory; the least recently used leave first.

    Not thread-safe: for the engine's step alone.

    Args:
        max_bytes: budget; nothing is kept with 0.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, SavedPrefix] = OrderedDict()  # least recently used first
        self.num_bytes = 0

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._entries

    def get(self, digest: bytes) -> SavedPrefix | None:
        """The prefix of this digest, which counts as used now; None where it is not kept."""
        if digest in self._entries:
            self._entries.move_to_end(digest)
        return self._entries.get(digest)

    def add(self, digest: bytes, prefix: SavedPrefix) -> None:
        """Keep a prefix that is not kept yet; one larger than the whole budget is dropped at once."""
        assert digest not in self._entries, "kept already"
        if prefix.num_bytes > self._max_bytes:
            return
        while self.num_bytes + prefix.num_bytes > self._max_bytes:
            self.num_bytes -= self._entries.popitem(last=False)[1].num_bytes
        self._entries[digest] = prefix
        self.num_bytes += prefix.num_bytes

    def check(self) -> None:
        """Assert that the memory counted is the memory held, and within the budget."""
        held = sum(prefix.num_bytes for prefix in self._entries.values())
        assert held == self.num_bytes <= max(self._max_bytes, 0), "the prefix cache lost count"
