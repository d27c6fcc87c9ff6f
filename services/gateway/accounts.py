"""What is noted of each answered call: metrics, one log line, and that the stages answered."""

from __future__ import annotations

import logging

from eureka.runtime.calls import current_call, current_span
from eureka.runtime.health import HealthMonitor
from eureka.runtime.metrics import Metrics
from eureka.types import SAMPLE_RATE_HZ, Usage

logger = logging.getLogger(f"eureka.{__name__}")


class Accounts:
    """Notes answered calls.

    Args:
        metrics: of the gateway.
        monitor: told of answers that went through all stages.
    """

    def __init__(self, metrics: Metrics, monitor: HealthMonitor) -> None:
        self.metrics = metrics
        self._monitor = monitor

    def note(self, method: str, usage: Usage, num_samples: int) -> None:
        """A call was answered."""
        audio_seconds = num_samples / SAMPLE_RATE_HZ
        self.metrics.record_usage(
            prompt_tokens=usage.prompt_tokens,
            generated_tokens=usage.generated_tokens,
            audio_seconds=audio_seconds,
        )
        self.metrics.record_stages(usage.seconds)
        span = current_span()
        span.set(audio_seconds=audio_seconds, prompt_tokens=usage.prompt_tokens)
        span.set(generated_tokens=usage.generated_tokens)
        span.set(**{f"{stage}_seconds": seconds for stage, seconds in usage.seconds.items()})
        if "embed" in usage.seconds:  # not so where all was silent, or there was no audio
            self._monitor.record_answer()
        logger.info(
            "call_answered",
            extra={
                "method": method,
                "request_id": current_call().request_id,
                "audio_seconds": round(audio_seconds, 3),
                "prompt_tokens": usage.prompt_tokens,
                "generated_tokens": usage.generated_tokens,
                **{f"{stage}_seconds": round(seconds, 4) for stage, seconds in usage.seconds.items()},
            },
        )
