"""Every setting of the platform, read from the environment once, in roots only.

Names start with EUREKA_; sections are joined with two underscores: EUREKA_AUDIO__MAX_CHANNELS.
A name that no field has and a value that cannot be read stop the start with one error that lists
all of them. Lower floors never see these classes: roots hand them plain values and dataclasses.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from eureka.errors import InvalidInputError
from eureka.runtime.settings_burst import BurstSettings
from eureka.runtime.settings_dataflux import DatafluxSettings
from eureka.runtime.settings_jobs import JobSettings, QueueSettings, WorkerSettings
from eureka.runtime.settings_sections import (
    AdapterSettings,
    AudioSettings,
    DecoderSettings,
    EncoderSettings,
    FolderPath,
    GatewaySettings,
    StackSettings,
    StorageSettings,
    TargetOrNothing,
    TlsSettings,
    TritonSettings,
    VisibleSecret,
    checkout_root,
)
from eureka.runtime.settings_tracing import TracingSettings

__all__ = ["AudioSettings", "Settings", "checkout_root", "known_names", "load_settings", "unknown_names"]

PREFIX = "EUREKA_"
DELIMITER = "__"


class Settings(BaseSettings):
    """All settings; build it with `load_settings`, which also refuses unknown names."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
    )

    checkpoint: FolderPath = Field(Path("checkpoints/eureka-nano"), validate_default=True)
    """Checkpoint folder; a relative path starts at the checkout."""
    data_folder: FolderPath = Field(Path("../shared/data"), validate_default=True)
    """Folder of real recordings with manifest.jsonl, for training, evaluation and some tests."""
    cache_folder: FolderPath = Field(Path(".cache"), validate_default=True)
    """Folder of generated material (features, synthetic speech); may be deleted at any time."""
    target: TargetOrNothing = Field("")
    """Gateway of the commands, host:port; empty takes the running local stack, else this process."""
    api_key: VisibleSecret = Field(SecretStr(""))
    """Key that the commands send to a gateway; never printed."""
    backend: Literal["auto", "cuda", "native", "onnx", "reference"] = "auto"
    """What computes: native (own kernels, CPU), onnx (CPU), cuda (own kernels, GPU; reference where there is
    none), reference (torch), or auto: native for float32 on a CPU, onnx where the kernels are not built or do
    not fit, cuda on a GPU."""
    numerics: Literal["exact", "fast", "int8"] = "exact"
    """exact: float32 throughout. fast: bfloat16 products on native and cuda, int8 in the decoder's
    blocks on onnx. int8: on all three, on cuda of weights alone. The last two are not for reference."""
    batch_invariant: bool = False
    """Results are the same bytes whatever else runs, for a part of the speed."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the model; all but float32 need the backends reference or cuda."""
    num_threads: int = Field(1, ge=1, le=256)
    """Threads inside one tensor operation; more than one often costs more than it brings."""
    max_ask_audio_seconds: float = Field(120.0, gt=0)
    """Audio seconds that one question may carry, over all its items."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    """Least level that is logged, to stderr."""
    log_format: Literal["text", "json"] = "text"
    """One line an event: words, or a JSON object."""
    max_message_bytes: int = Field(64 << 20, ge=1 << 20, le=1 << 30)
    """Bytes of one gRPC message (64 MiB), the same at every server and channel."""
    audio: AudioSettings = AudioSettings()
    """Section of audio limits, EUREKA_AUDIO__..."""
    gateway: GatewaySettings = GatewaySettings()
    """Section of the public server, EUREKA_GATEWAY__..."""
    encoder: EncoderSettings = EncoderSettings()
    """Section of the encoder service, EUREKA_ENCODER__..."""
    adapter: AdapterSettings = AdapterSettings()
    """Section of the adapter service, EUREKA_ADAPTER__..."""
    decoder: DecoderSettings = DecoderSettings()
    """Section of the decoder service, EUREKA_DECODER__..."""
    triton: TritonSettings = TritonSettings()
    """Section of the model server, EUREKA_TRITON__..."""
    tls: TlsSettings = TlsSettings()
    """Section of TLS files, EUREKA_TLS__..."""
    storage: StorageSettings = StorageSettings()
    """Section of the object store, EUREKA_STORAGE__..."""
    queue: QueueSettings = QueueSettings()
    """Section of the queue of background work, EUREKA_QUEUE__..."""
    jobs: JobSettings = JobSettings()
    """Section of what callers may have of jobs, EUREKA_JOBS__..."""
    worker: WorkerSettings = WorkerSettings()
    """Section of the workers, EUREKA_WORKER__..."""
    burst: BurstSettings = BurstSettings()
    """Section of workers for one large batch, EUREKA_BURST__..."""
    tracing: TracingSettings = TracingSettings()
    """Section of traces, EUREKA_TRACING__..."""
    dataflux: DatafluxSettings = DatafluxSettings()
    """Section of data synthesis, EUREKA_DATAFLUX__..."""
    stack: StackSettings = StackSettings()
    """Section of the local stack, EUREKA_STACK__..."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment; no .env file is read behind the user's back."""
        return init_settings, env_settings


def load_settings() -> Settings:
    """Read all settings from the environment and check them.

    Raises:
        InvalidInputError: reason INVALID_SETTINGS; names each unknown name and unreadable value.
    """
    problems = [_unknown(name) for name in unknown_names(os.environ)]
    try:
        settings = Settings()
    except (ValidationError, SettingsError) as error:
        problems += list(_unreadable(error))
    if problems:
        raise InvalidInputError(_message(problems), reason="INVALID_SETTINGS")
    return settings


def known_names(model: type[BaseModel] = Settings, prefix: str = PREFIX) -> list[str]:
    """The environment variable of every field, sections opened."""
    names: list[str] = []
    for name, field in model.model_fields.items():
        variable = f"{prefix}{name.upper()}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += known_names(field.annotation, variable + DELIMITER)
        else:
            names.append(variable)
    return names


def unknown_names(environ: Mapping[str, str]) -> list[str]:
    """Names in `environ` that start with the prefix, in any case, and are no field's variable.

    pydantic-settings ignores unknown top-level variables even with extra="forbid", and takes
    lower-case names for upper-case ones; here each field has exactly one name.
    """
    known = set(known_names())
    return sorted(name for name in environ if name.upper().startswith(PREFIX) and name not in known)


def _unknown(name: str) -> str:
    near = get_close_matches(name.upper(), known_names(), n=1, cutoff=0.8)
    return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")


def _unreadable(error: ValidationError | SettingsError) -> Iterator[str]:
    """One line a bad value, without the value: a setting may be a secret."""
    if isinstance(error, SettingsError):
        yield str(error)
        return
    for problem in error.errors():
        if problem["type"] != "extra_forbidden":  # already named as unknown
            yield f"{PREFIX}{DELIMITER.join(map(str, problem['loc'])).upper()}: {problem['msg']}"


def _message(problems: list[str]) -> str:
    return "; ".join(problems) + ". Known settings: " + ", ".join(known_names())
