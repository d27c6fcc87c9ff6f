"""A listener over the tone model; each test may give faults, settings or its own tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from eureka.model.config import EurekaConfig
from eureka.pipeline.listener import Listener
from eureka.pipeline.options import ListenerSettings
from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer
from tests.helpers.tokenizers import small_nano_tokenizer
from tests.helpers.tone_model import Fault, ToneDecoder, ToneEmbedder

CONFIG = EurekaConfig(
    prompts={"transcribe_system": "<|transcribe|>", "caption": "<|caption|>", "classify": "<|classify|>"},
    thinking="none",
    languages={"en": "English"},
    best_window_seconds=10.0,
)


@dataclass(frozen=True)
class Ears:
    """A listener and the model behind it, for looking at what it was asked."""

    listener: Listener
    embedder: ToneEmbedder
    decoder: ToneDecoder


MakeEars = Callable[..., Ears]


@pytest.fixture(scope="session")
def tone_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_nano_tokenizer(tmp_path_factory.mktemp("tone"))


@pytest.fixture
def make_ears(tone_tokenizer: Tokenizer) -> MakeEars:
    def make(
        fault: Fault = lambda request, number: None,
        settings: ListenerSettings = ListenerSettings(model="tones", best_window_seconds=10.0),  # noqa: B008
    ) -> Ears:
        embedder = ToneEmbedder()
        decoder = ToneDecoder(tone_tokenizer, PromptBuilder(tone_tokenizer, CONFIG), fault)
        return Ears(Listener(embedder, decoder, settings), embedder, decoder)

    return make
