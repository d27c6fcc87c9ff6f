"""Trains nano's tokenizer: byte-level BPE over lower-case text, with task words and time tokens.

Covers the vocabulary only; the texts come from the caller. The result depends on the texts and the
size alone, so the same texts give the same file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import AddedToken, decoders, normalizers, pre_tokenizers
from tokenizers import Tokenizer as _Engine
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from eureka.errors import InvalidInputError
from eureka.text.tokenizer import Tokenizer

MARKERS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|audio_start|>",
    "<|audio_pad|>",
    "<|audio_end|>",
    "<think>",
    "</think>",
)
"""The released model's markers, under the same strings."""

TASK_WORDS = ("<|transcribe|>", "<|caption|>", "<|classify|>")
"""One token a task, where the released model has a sentence."""

LONGEST_TIME_TENTHS, TIME_STEP_TENTHS = 300, 2
"""Time tokens reach 30.0 s, the longest window, in steps of 0.2 s."""

TEMPLATE_LINES = ("system\n", "user\n", "assistant\n", "\n", "\n\n")
"""Pieces of every prompt; repeated in the texts so that each costs one or two tokens."""

_TEMPLATE_WEIGHT = 2_000


def time_tokens() -> list[str]:
    """`<|0.0|>`, `<|0.2|>`, ..., `<|30.0|>`: 151 strings."""
    tenths = range(0, LONGEST_TIME_TENTHS + 1, TIME_STEP_TENTHS)
    return [f"<|{t // 10}.{t % 10}|>" for t in tenths]


def train_tokenizer(texts: Iterable[str], folder: Path, vocab_size: int = 1_024) -> Tokenizer:
    """Train on `texts`, write `tokenizer.json` into `folder`, and return the tokenizer.

    Ids are markers and task words first, then time tokens, then bytes and merges.

    Args:
        texts: training texts; lower-cased here as the tokenizer will do.
        folder: created when missing.
        vocab_size: exact size of the whole vocabulary.

    Raises:
        InvalidInputError: the texts hold too few different words for `vocab_size`.
    """
    engine = _engine()
    specials = [*MARKERS, *TASK_WORDS, *time_tokens()]
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in specials],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    engine.train_from_iterator(_with_template(texts), trainer)
    if engine.get_vocab_size() != vocab_size:
        raise InvalidInputError(
            f"the texts give a vocabulary of {engine.get_vocab_size()}, not {vocab_size}; "
            "bring more varied texts or another size"
        )
    folder.mkdir(parents=True, exist_ok=True)
    engine.save(str(folder / "tokenizer.json"))
    return Tokenizer.from_folder(folder)


def _engine() -> _Engine:
    engine = _Engine(BPE())
    engine.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    engine.decoder = decoders.ByteLevel()
    return engine


def _with_template(texts: Iterable[str]) -> Iterator[str]:
    for _ in range(_TEMPLATE_WEIGHT):
        yield from TEMPLATE_LINES
    yield from texts
