"""Makes a recording and its transcript ready for `model check`."""

from __future__ import annotations

from pathlib import Path

import torch

from eureka.audio.decode import DecodeLimits
from eureka.audio.decode_pool import DecodePool
from eureka.audio.encoder_input import build_encoder_windows
from eureka.engine.request import AUDIO_TOKEN_TYPE
from eureka.errors import InvalidAudioError, InvalidInputError
from eureka.model.check import KnownPair
from eureka.model.config import EurekaConfig
from eureka.runtime.settings import load_settings
from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.types import Pcm


def read_known_pair(folder: Path, audio: str, text: str) -> KnownPair:
    """The pair in the form of the checkpoint in `folder`: its windows, prompt and tokens.

    Raises:
        EurekaError: the checkpoint's config or tokenizer, or the audio, cannot be used.
    """
    if not text.strip():
        raise InvalidInputError("--pair: the transcript is empty")
    config = EurekaConfig.from_folder(folder)
    tokenizer = Tokenizer.from_folder(folder)
    windows = build_encoder_windows(
        [_decode(audio)], config.windowing, config.audio_encoder.num_mel_bins, config.best_window_seconds
    )
    counts = tuple(window.num_audio_tokens for window in windows)
    prompt = PromptBuilder(tokenizer, config).transcribe(sum(counts))
    return KnownPair(
        log_mels=tuple(torch.from_numpy(window.log_mel) for window in windows),
        num_audio_tokens=counts,
        prompt_ids=torch.from_numpy(prompt.prompt_ids),
        is_audio=torch.from_numpy(prompt.token_type_ids == AUDIO_TOKEN_TYPE),
        target_ids=torch.tensor([*tokenizer.encode_plain(text), tokenizer.end_id]),
    )


def _decode(audio: str) -> Pcm:
    limits = DecodeLimits(**load_settings().audio.limits())
    with DecodePool(1, limits) as pool:
        pcm = pool.decode(audio)
    if not len(pcm):
        raise InvalidAudioError(f"{audio} holds no samples", reason="EMPTY_AUDIO")
    return pcm
