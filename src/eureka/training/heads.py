"""Auxiliary heads on encoder frames, used in training only: phones and sound events."""

from __future__ import annotations

from torch import Tensor, nn

from eureka.training.phones import PHONES
from eureka.training.sound_labels import EVENT_CLASSES


class FrameHeads(nn.Module):
    """One linear layer each for phones and events over encoder frames (B, T, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.phone_head = nn.Linear(width, len(PHONES))
        self.event_head = nn.Linear(width, len(EVENT_CLASSES))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of phones (B, T, 41) and of events (B, T, C)."""
        return self.phone_head(frames), self.event_head(frames)
