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
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from eureka.errors import InvalidInputError

PREFIX = "EUREKA_"
DELIMITER = "__"

_PACKAGE_PARENT = Path(__file__).resolve().parents[3]


def checkout_root() -> Path:
    """Root of the checkout; the current folder when the package runs from a bare wheel."""
    return _PACKAGE_PARENT if (_PACKAGE_PARENT / "pyproject.toml").is_file() else Path.cwd()


def _from_root(path: Path) -> Path:
    """Absolute path; relative ones start at the checkout, so that commands work from any folder."""
    return Path(os.path.normpath(checkout_root() / path.expanduser()))


FolderPath = Annotated[Path, AfterValidator(_from_root)]


class AudioSettings(BaseModel):
    """Limits on audio from outside, and where silence begins."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_decoded_seconds: float = Field(21_600.0, gt=0, le=604_800)
    """Seconds of audio that one file may decode to (6 h)."""
    max_bytes: int = Field(4 << 30, gt=0)
    """Size of one file in bytes (4 GiB)."""
    max_channels: int = Field(8, ge=1, le=64)
    """Channels of one stream; they are averaged."""
    min_source_hz: int = Field(4_000, ge=1)
    """Lowest sample rate of a file."""
    max_source_hz: int = Field(384_000, ge=1)
    """Highest sample rate of a file."""
    max_wall_seconds: float = Field(600.0, gt=0)
    """Seconds that the decoding of one file may take, waits for its consumer not counted."""
    max_memory_bytes: int = Field(2 << 30, gt=0)
    """Address space of a decoding child process (2 GiB)."""
    silence_dbfs: float = Field(-70.0, ge=-200, lt=0)
    """A span is silent when every 100 ms of it lie below this level, in dB of full scale."""
    num_workers: int = Field(1, ge=1, le=64)
    """Child processes that decode; each is started before the first file."""

    def limits(self) -> dict[str, Any]:
        """Keyword arguments of `eureka.audio.decode.DecodeLimits`."""
        return self.model_dump(exclude={"silence_dbfs", "num_workers"})


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
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the model."""
    num_threads: int = Field(1, ge=1, le=256)
    """Threads inside one tensor operation; more than one often costs more than it brings."""
    max_ask_audio_seconds: float = Field(120.0, gt=0)
    """Audio seconds that one question may carry, over all its items."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    """Least level that is logged, to stderr."""
    log_format: Literal["text", "json"] = "text"
    """One line an event: words, or a JSON object."""
    audio: AudioSettings = AudioSettings()
    """Section of audio limits, EUREKA_AUDIO__..."""

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
