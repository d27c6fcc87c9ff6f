"""Small tokenizers for tests: one with Qwen's special strings, one like nano's."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tokenizers import pre_tokenizers

from eureka.text.tokenizer import Tokenizer
from eureka.training.tokenizer_recipe import train_tokenizer

QWEN_SPECIAL_IDS = {
    "<|endoftext|>": 151643,
    "<|im_start|>": 151644,
    "<|im_end|>": 151645,
    "<think>": 151667,
    "</think>": 151668,
    "<|audio_start|>": 151669,
    "<|audio_end|>": 151670,
    "<|audio_pad|>": 151675,
}
QWEN_WORD_IDS = {"system": 8948, "user": 872, "assistant": 77091, "\u010a": 198, "\u010a\u010a": 271}
"""Ids of the template's words in Qwen's vocabulary; U+010A stands for the byte of a line feed."""

QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def qwen_like_definition(special_ids: dict[str, int] | None = None) -> dict[str, Any]:
    """tokenizer.json of a byte-level BPE that knows five words and Qwen's special strings.

    All other text costs one token a byte. `<think>` and `</think>` are not marked special, as in
    the released file.
    """
    special_ids = special_ids or QWEN_SPECIAL_IDS
    vocab = {char: 300 + i for i, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: list[str] = []
    for word, word_id in QWEN_WORD_IDS.items():
        for end in range(2, len(word) + 1):
            merge = f"{word[: end - 1]} {word[end - 1]}"
            if merge not in merges:
                merges.append(merge)
            vocab.setdefault(word[:end], 1000 + len(vocab))
        vocab[word] = word_id
    return {
        "version": "1.0",
        "added_tokens": [_added(token, token_id) for token, token_id in special_ids.items()],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": QWEN_SPLIT}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
            ],
        },
        "post_processor": None,
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": False,
            "use_regex": False,
        },
        "model": {"type": "BPE", "vocab": vocab | special_ids, "merges": merges, "ignore_merges": False},
    }


def qwen_like_tokenizer() -> Tokenizer:
    """A tokenizer with the released model's special strings and ids."""
    return Tokenizer(qwen_like_definition())


def small_nano_tokenizer(folder: Path, vocab_size: int = 600) -> Tokenizer:
    """A tokenizer of nano's recipe, trained on made-up words."""
    rng = random.Random(0)
    syllables = [c + v for c in "bdfgklmnprst" for v in ("a", "e", "i", "o", "an", "er")]
    words = ["".join(rng.choices(syllables, k=rng.randint(1, 3))) for _ in range(400)]
    texts = [" ".join(rng.choices(words, k=8)) for _ in range(500)]
    return train_tokenizer([*texts, "dog bark", "man speaking", "rain"] * 2, folder, vocab_size=vocab_size)


def _added(token: str, token_id: int) -> dict[str, Any]:
    return {
        "id": token_id,
        "content": token,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": "think" not in token,
    }
