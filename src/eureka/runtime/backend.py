"""From settings to what computes."""

from __future__ import annotations

from eureka.engine.choice import GRAPHS, BackendChoice
from eureka.runtime.settings import Settings


def backend_choice(settings: Settings, device: str = "cpu") -> BackendChoice:
    """What the settings ask for, on a device.

    Raises:
        InvalidInputError: they do not go together (BACKEND_MISMATCH).
    """
    return BackendChoice(
        settings.backend,
        settings.numerics,
        settings.dtype,
        device,
        settings.num_threads,
        settings.cache_folder / GRAPHS,
        settings.batch_invariant,
    )
