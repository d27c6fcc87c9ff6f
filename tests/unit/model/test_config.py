"""config.json is read strictly, and defaults are the release."""

from __future__ import annotations

import json

import pytest

from eureka.errors import InvalidCheckpointError
from eureka.model.config import EurekaConfig
from tests.helpers.synthetic_checkpoint import TINY_CONFIG


def test_config_survives_json(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(TINY_CONFIG.to_dict()), encoding="utf-8")
    assert EurekaConfig.from_folder(tmp_path) == TINY_CONFIG


def test_config_defaults_are_the_release():
    config = EurekaConfig.from_dict({"torch_dtype": "bfloat16", "audio_encoder": {"d_model": 1280}})
    assert config == EurekaConfig()
    assert config.adapter_input_size == 5120
    assert config.backbone.head_dim == 128


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ([], "one JSON object"),
        ({"windowing": "whole"}, "windowing"),
        ({"thinking": "maybe"}, "thinking"),
        ({"best_window_seconds": 31}, "best_window_seconds"),
        ({"backbone": 3}, "DecoderConfig"),
        ({"adapter": [1]}, "adapter"),
        ({"audio_encoder": {"d_model": "wide"}}, "d_model"),
        ({"audio_encoder": {"encoder_attention_heads": 3}}, "encoder_attention_heads"),
        ({"backbone": {"num_key_value_heads": 5}}, "num_key_value_heads"),
        ({"backbone": {"vocab_size": 0}}, "vocab_size"),
        ({"best_window_seconds": "long"}, "best_window_seconds"),
        ({"stack_frames": 0}, "stack_frames"),
    ],
)
def test_config_with_bad_value_is_refused_by_name(plain, message):
    with pytest.raises(InvalidCheckpointError, match=message):
        EurekaConfig.from_dict(plain)


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_config_file_that_is_broken_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(InvalidCheckpointError, match=r"config\.json"):
        EurekaConfig.from_folder(tmp_path)
