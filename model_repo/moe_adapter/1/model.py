"""Triton model moe_adapter: encoder_frames (T, D) in, audio_embeddings (T / 4, W) out."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils

from eureka.engine.messages import AUDIO_EMBEDDINGS, ENCODER_FRAMES, MOE_ADAPTER
from eureka.runtime.tracing import tracer_of_environment
from eureka.serving.adapter import FrameAdapter
from eureka.serving.triton_metrics import AdapterMetrics
from eureka.serving.triton_model import Arrays, answer_each, prepare_process


class TritonPythonModel:
    """A FrameAdapter in a model process."""

    def initialize(self, args: dict[str, Any]) -> None:
        """Load the adapter and run it once."""
        parameters = prepare_process(pb_utils, args)
        self._adapter = FrameAdapter.from_checkpoint(parameters.checkpoint, parameters.choice)
        self._adapter.warm_up()
        self._tracer = tracer_of_environment(MOE_ADAPTER.name)
        self._metrics = AdapterMetrics(pb_utils, len(self._adapter.expert_tokens))

    def execute(self, requests: list[Any]) -> None:
        """One response a request."""
        answer_each(pb_utils, MOE_ADAPTER, requests, self._adapt, self._tracer)
        self._metrics.report(self._adapter.expert_tokens)

    def _adapt(self, inputs: Arrays) -> Arrays:
        return {AUDIO_EMBEDDINGS.name: self._adapter.adapt(inputs[ENCODER_FRAMES.name])}
