"""Parking: takes what a slot holds out of it and puts it back, for pauses and for prefixes used again."""

from __future__ import annotations

import logging

from eureka.engine.backend import Backend
from eureka.engine.chunks import Chunk
from eureka.engine.live import LiveRequest, Parked
from eureka.engine.prefix_cache import PrefixCache
from eureka.engine.sampler import Sampler

_log = logging.getLogger(__name__)


class Parking:
    """Moves keys, values and sampler state between slots and memory; for the engine's step alone.

    Args:
        backend: holds the slots.
        sampler: knows the sequences in them.
        prefixes: where prompts up to the end of their audio are kept.
    """

    def __init__(self, backend: Backend, sampler: Sampler, prefixes: PrefixCache) -> None:
        self._backend = backend
        self._sampler = sampler
        self.prefixes = prefixes

    def park(self, live: LiveRequest) -> None:
        """Save all that a request has in its slot and empty that.

        Raises: what the backend raises; the slot is as it was then.
        """
        num_held = live.num_held_tokens
        prefix = self._backend.save_prefix(live.slot, num_held) if num_held else None
        sampler = self._sampler.save(live.slot) if live.is_prefilled else None
        self._backend.release(live.slot)
        self._sampler.release(live.slot)
        live.parked = Parked(prefix, sampler)

    def restore(self, live: LiveRequest) -> None:
        """Put back what `park` saved, into the slot that the request has now.

        Raises: what the backend raises.
        """
        parked, live.parked = live.parked, None
        if parked is not None and parked.prefix is not None:
            self._backend.load_prefix(live.slot, parked.prefix)
        if parked is not None and parked.sampler is not None:
            self._sampler.admit_saved(live.slot, parked.sampler)

    def reuse(self, live: LiveRequest) -> int:
        """Load the kept prefix of a request that has nothing in its slot; tokens saved, 0 where none is kept.

        Raises: what the backend raises.
        """
        prefix = self.prefixes.get(live.prefix.digest) if live.prefix is not None else None
        if prefix is None:
            return 0
        self._backend.load_prefix(live.slot, prefix)
        live.num_prefilled = prefix.num_tokens
        return prefix.num_tokens

    def keep(self, chunk: Chunk) -> None:
        """Keep the prefix that ends in a chunk just run, if one does; failing to costs others only time."""
        live = chunk.live
        if live.prefix is None or not chunk.start < live.prefix.num_tokens <= chunk.end:
            return
        if live.prefix.digest in self.prefixes:
            return
        try:
            saved = self._backend.save_prefix(live.slot, live.prefix.num_tokens)
        except Exception:
            _log.exception("prefix_not_kept", extra={"request_id": live.request.request_id})
            return
        self.prefixes.add(live.prefix.digest, saved)
