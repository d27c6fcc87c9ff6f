"""The fields of a checkpoint's config.json, read strictly.

Covers the shape of the three parts and how audio and prompts are laid out. Adapter fields that the
tensors themselves determine are settled by `adapter_spec`; here they are kept as written.
This module needs no torch: `text` and `audio` callers get their settings from it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from eureka.errors import InvalidCheckpointError

_T = TypeVar("_T")

RELEASED_PROMPTS = {
    "transcribe_system": "You are an advanced ASR (Automatic Speech Recognition) AI assistant.",
    "caption": "Please provide a comprehensive description of the input audio, covering all details.",
    "classify": "What is heard in this audio? Answer with a short label.",
}
"""Literal prompts of the released model; `classify` is ours, the release names none."""


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Whisper-style encoder; names as in Hugging Face's WhisperConfig. Defaults: large-v3."""

    num_mel_bins: int = 128
    d_model: int = 1280
    encoder_layers: int = 32
    encoder_attention_heads: int = 20
    encoder_ffn_dim: int = 5120
    max_source_positions: int = 1500


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """Qwen3-style decoder; names as in Hugging Face's Qwen3Config. Defaults: Qwen3-1.7B."""

    vocab_size: int = 151_936
    hidden_size: int = 2048
    intermediate_size: int = 6144
    num_hidden_layers: int = 28
    num_attention_heads: int = 16
    num_key_value_heads: int = 8
    head_dim: int = 128
    rms_norm_eps: float = 1e-6
    rope_theta: float = 1_000_000.0
    max_position_embeddings: int = 32_768
    tie_word_embeddings: bool = True


@dataclass(frozen=True, slots=True)
class EurekaConfig:
    """Everything config.json says about a checkpoint.

    Attributes:
        adapter: fields of the adapter as written in the file; read by `AdapterSpec`.
        windowing: `reference` (one stream in 30 s windows, constant padding) or `per_item`
            (each item and window at its true length).
        best_window_seconds: longest window that the planners give to this checkpoint.
        thinking: `empty_block` closes an empty think block in the generation prompt; `none` leaves it out.
        time_step_seconds: step of the time tokens `<|0.0|>`, ...; None where the vocabulary has none.
        repetition_penalty: penalty that this checkpoint decodes with unless a caller says otherwise.
        languages: language code -> name, as it may stand in a hint.
        ctc_head: whether `ctc_head.*` tensors may stand in the file.
    """

    name: str = "eureka-audio-instruct"
    audio_encoder: EncoderConfig = field(default_factory=EncoderConfig)
    adapter: dict[str, Any] = field(default_factory=dict)
    backbone: DecoderConfig = field(default_factory=DecoderConfig)
    stack_frames: int = 4
    windowing: str = "reference"
    best_window_seconds: float = 30.0
    thinking: str = "empty_block"
    time_step_seconds: float | None = None
    repetition_penalty: float = 1.05
    languages: dict[str, str] = field(default_factory=dict)
    prompts: dict[str, str] = field(default_factory=lambda: dict(RELEASED_PROMPTS))
    ctc_head: bool = False

    @property
    def adapter_input_size(self) -> int:
        """Width of one stacked audio token."""
        return self.audio_encoder.d_model * self.stack_frames

    @classmethod
    def from_folder(cls, folder: Path) -> EurekaConfig:
        """Read `config.json` of a checkpoint folder.

        Raises:
            InvalidCheckpointError: the file is missing, is no JSON object, or holds a bad value.
        """
        path = folder / "config.json"
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InvalidCheckpointError(f"cannot read {path}: {error}") from error
        return cls.from_dict(plain)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> EurekaConfig:
        """Build from the JSON object; unknown top-level names are Hugging Face's own and ignored."""
        if not isinstance(plain, dict):
            raise InvalidCheckpointError("config.json must hold one JSON object")
        config = _read(cls, plain)
        _check(config)
        return config

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of config.json."""
        return {"architectures": ["EurekaAudioForCausalLM"], "model_type": "eureka_audio", **asdict(self)}


def _read(kind: type[_T], plain: Any) -> _T:
    """A config dataclass from a JSON object: each value of the type of its default, sizes above zero."""
    if not isinstance(plain, dict):
        raise InvalidCheckpointError(f"{kind.__name__} must be a JSON object, not {type(plain).__name__}")
    default = kind()
    values: dict[str, Any] = {}
    for name in (f.name for f in fields(kind)):  # type: ignore[arg-type]  # only dataclasses come here
        if name not in plain:
            continue
        example = getattr(default, name)
        if isinstance(example, EncoderConfig | DecoderConfig):
            values[name] = _read(type(example), plain[name])
        elif _is_like(plain[name], example):
            values[name] = plain[name]
        else:
            raise InvalidCheckpointError(f"config.json: {name} cannot be {plain[name]!r}")
    return kind(**values)


def _is_like(value: Any, example: Any) -> bool:
    if isinstance(value, bool) or isinstance(example, bool):
        return isinstance(value, bool) and isinstance(example, bool)
    if example is None:
        return value is None or (isinstance(value, int | float) and value > 0)
    if isinstance(example, float):
        return isinstance(value, int | float) and value > 0
    if isinstance(example, int):
        return isinstance(value, int) and value > 0
    return isinstance(value, type(example))


def _check(config: EurekaConfig) -> None:
    if not config.repetition_penalty > 0:
        raise InvalidCheckpointError(f"repetition_penalty must be above 0, not {config.repetition_penalty}")
    if config.windowing not in ("reference", "per_item"):
        raise InvalidCheckpointError(f"windowing must be reference or per_item, not {config.windowing!r}")
    if config.thinking not in ("empty_block", "none"):
        raise InvalidCheckpointError(f"thinking must be empty_block or none, not {config.thinking!r}")
    if not 0 < config.best_window_seconds <= 30:
        raise InvalidCheckpointError(
            f"best_window_seconds must lie in (0, 30], not {config.best_window_seconds}"
        )
    encoder, decoder = config.audio_encoder, config.backbone
    if encoder.d_model % encoder.encoder_attention_heads:
        raise InvalidCheckpointError(
            f"d_model {encoder.d_model} is no multiple of encoder_attention_heads"
            f" {encoder.encoder_attention_heads}"
        )
    if decoder.num_attention_heads % decoder.num_key_value_heads:
        raise InvalidCheckpointError(
            f"num_attention_heads {decoder.num_attention_heads} is no multiple of num_key_value_heads"
            f" {decoder.num_key_value_heads}"
        )
