"""What the pipeline needs from the model: audio to embeddings, instruction to text, instruction to scores.

The gateway, the workers and the local command give different objects; the way of the data above them is
the same code. Tokenizer and prompt layouts stay behind `TextDecoder`: a process that only listens has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eureka.engine.request import LabelScores
from eureka.types import Instruction, Pcm, TextDelta, TextRequest

AudioEmbeddings = NDArray[np.float32]
"""(A, W): one row an audio token of 80 ms, in the decoder's width."""


class AudioEmbedder(Protocol):
    """Encoder and adapter behind one call."""

    def embed(self, items: Sequence[Pcm]) -> AudioEmbeddings:
        """Rows (A, W) float32 of all items in order; an item of S samples gives ceil(S / 1280) rows.

        Raises:
            EurekaError: the audio cannot be embedded.
        """
        ...


class TextDecoder(Protocol):
    """Tokenizer, prompt layouts and engine of a checkpoint, wherever they run."""

    def check(self, instruction: Instruction) -> None:
        """Refuse an instruction that the checkpoint cannot lay out, before any audio is decoded.

        The counts of its audio parts may be stand-ins; 1 or more each.

        Raises:
            InvalidInputError: an unknown language or role, a blank question, no turn.
        """
        ...

    def generate(self, request: TextRequest) -> Iterator[TextDelta]:
        """Deltas of one answer; the last one, and only that, carries ending, phrases and usage.

        Closing the iterator early cancels the request.

        Raises:
            EurekaError: the request was not accepted.
        """
        ...

    def score(self, request: TextRequest, labels: Sequence[str]) -> LabelScores:
        """Scores of a closed set of answers, named as `labels` are; underscores are read as spaces.

        Raises:
            EurekaError: not accepted, cancelled or late.
        """
        ...
