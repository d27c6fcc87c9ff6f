"""Triton model audio_encoder: pcm (S,) and item_lengths (n,) in, encoder_frames (T, D) out."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils

from eureka.engine.messages import AUDIO_ENCODER, ENCODER_FRAMES, ITEM_LENGTHS, PCM
from eureka.runtime.tracing import tracer_of_environment
from eureka.serving.encoder import FrameEncoder, split_items
from eureka.serving.triton_metrics import EncoderMetrics
from eureka.serving.triton_model import Arrays, answer_each, prepare_process


class TritonPythonModel:
    """A FrameEncoder in a model process."""

    def initialize(self, args: dict[str, Any]) -> None:
        """Load the encoder and run it once."""
        parameters = prepare_process(pb_utils, args)
        self._encoder = FrameEncoder.from_checkpoint(parameters.checkpoint, parameters.choice)
        self._encoder.warm_up()
        self._tracer = tracer_of_environment(AUDIO_ENCODER.name)
        self._metrics = EncoderMetrics(pb_utils)

    def execute(self, requests: list[Any]) -> None:
        """One response a request."""
        answer_each(pb_utils, AUDIO_ENCODER, requests, self._encode, self._tracer)
        self._metrics.report(self._encoder.encoded_seconds)

    def _encode(self, inputs: Arrays) -> Arrays:
        items = split_items(inputs[PCM.name], inputs[ITEM_LENGTHS.name])
        return {ENCODER_FRAMES.name: self._encoder.encode(items)}
