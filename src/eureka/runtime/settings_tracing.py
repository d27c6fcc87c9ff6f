"""The section of the settings for traces; `settings.py` reads it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from eureka.runtime.settings_sections import Endpoint, OptionalFile
from eureka.runtime.tracing import TracingConfig


class TracingSettings(BaseModel):
    """Where spans of calls and jobs go; off without an endpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    endpoint: Endpoint = Field("")
    """http://host:port or https://host:port of a receiver that speaks OTLP over gRPC; empty is off."""
    sample_ratio: float = Field(1.0, ge=0, le=1)
    """Share of the traces that begin here and are recorded; who brings a trace context decides for itself."""
    ca_file: OptionalFile = Field(None, validate_default=True)
    """PEM of who signed the receiver's certificate; without it the usual authorities."""
    export_seconds: float = Field(2.0, gt=0)
    """Seconds between two sendings."""

    def config(self) -> TracingConfig:
        """What `tracing.open_tracer` takes."""
        return TracingConfig(self.endpoint, self.sample_ratio, self.ca_file, self.export_seconds)
