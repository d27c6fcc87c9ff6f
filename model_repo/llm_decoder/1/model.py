"""Triton model llm_decoder: prompts in; token_ids and delta out, in as many responses as it takes.

Inputs and outputs are told in config.pbtxt. The last response of a request carries the ending, or is an
error, and has the final flag.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from eureka.engine.messages import (
    LLM_DECODER,
    PROMPT_AUDIO,
    PROMPT_IDS,
    REQUEST,
    TOKEN_TYPE_IDS,
    DecoderCall,
    parse_request,
)
from eureka.runtime.tracing import tracer_of_environment
from eureka.serving.decoder import DecoderOptions, LlmDecoder
from eureka.serving.triton_metrics import DecoderMetrics
from eureka.serving.triton_model import TritonSender, prepare_process, read_inputs, request_span


class TritonPythonModel:
    """An LlmDecoder in a model process."""

    def initialize(self, args: dict[str, Any]) -> None:
        """Load the language model, start the engine and answer once."""
        parameters = prepare_process(pb_utils, args)
        self._tracer = tracer_of_environment(LLM_DECODER.name)
        self._decoder = LlmDecoder.from_checkpoint(
            parameters.checkpoint,
            parameters.choice,
            DecoderOptions(num_slots=parameters.num_slots, max_waiting=parameters.max_waiting),
            DecoderMetrics(pb_utils).report,
        )
        self._decoder.open()

    def execute(self, requests: list[Any]) -> None:
        """Hand the requests to the engine; responses come from the emitter's thread."""
        for request in requests:
            span = request_span(self._tracer, LLM_DECODER, request)
            sender = TritonSender(pb_utils, request.get_response_sender(), LLM_DECODER, span)
            try:
                call = self._read(request)
            except Exception as error:
                sender.fail(error)
            else:
                self._decoder.start(call, sender)

    def finalize(self) -> None:
        """Let answers end, then stop the engine."""
        self._decoder.close()

    def _read(self, request: Any) -> DecoderCall:
        inputs = read_inputs(pb_utils, LLM_DECODER, request)
        audio = inputs.get(PROMPT_AUDIO.name, np.zeros((0, 0), dtype=np.float32))
        ids, types = inputs[PROMPT_IDS.name], inputs[TOKEN_TYPE_IDS.name]
        return parse_request(inputs[REQUEST.name][0], ids, types, audio, self._decoder.now())
