"""What the pipeline needs from the model: audio to embeddings, prompt to tokens, prompt to scores.

The gateway, the workers and the local command give different objects; the way of the data above
them is the same code. Requests, deltas and scores are the engine's own value types.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eureka.engine.request import Delta, Label, LabelScores, Request
from eureka.types import Pcm

AudioEmbeddings = NDArray[np.float32]
"""(A, W): one row an audio token of 80 ms, in the decoder's width."""


class AudioEmbedder(Protocol):
    """Encoder and adapter behind one call."""

    def embed(self, items: Sequence[Pcm]) -> AudioEmbeddings:
        """Rows of all items in order; an item of S samples gives ceil(S / 1280) rows.

        Raises:
            EurekaError: the audio cannot be embedded.
        """
        ...


class TextDecoder(Protocol):
    """The decoder's engine, wherever it runs."""

    def generate(self, request: Request) -> Iterator[Delta]:
        """Deltas of one request; the last one, and only that, carries its ending.

        Closing the iterator early cancels the request.

        Raises:
            EurekaError: the request was not accepted.
        """
        ...

    def score(self, request: Request, labels: Sequence[Label]) -> LabelScores:
        """Scores of a closed set of answers.

        Raises:
            EurekaError: not accepted, cancelled or late.
        """
        ...
