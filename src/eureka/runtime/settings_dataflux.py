"""The section of the settings for DataFlux: the OpenAI-compatible endpoint of its roles."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from eureka.runtime.settings_sections import VisibleSecret


class DatafluxSettings(BaseModel):
    """An OpenAI-compatible endpoint (vLLM, SGLang, llama.cpp) for roles by `openai`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    base_url: str = Field("", pattern=r"^(https?://\S+)?$")
    """Up to and with /v1; empty where no role is by `openai`."""
    api_key: VisibleSecret = Field(SecretStr(""))
    """Sent as a bearer token where it is not empty; never printed."""
    model: str = ""
    """Model of roles whose recipe names none."""
    timeout_seconds: float = Field(120.0, gt=0)
    """Seconds of one attempt, its answer read."""
    max_attempts: int = Field(6, ge=1, le=20)
    """Attempts at one call before the run stops; 429, 5xx, time-outs and cut connections are tried again."""
    first_pause_seconds: float = Field(1.0, gt=0)
    """Pause after the first failed attempt; doubled after each, and never shorter than the server asks."""
    requests_per_minute: float = Field(0.0, ge=0)
    """Calls of one process that start in a minute; 0 is no limit."""
    audio_tokens_per_second: float = Field(50.0, gt=0)
    """Most tokens that the endpoint counts for a second of audio, for the budget."""
