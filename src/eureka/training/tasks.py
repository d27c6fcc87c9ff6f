"""What is asked of a sample: prompt and answer drawn from what is known about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eureka.model.config import EurekaConfig
from eureka.text.prompts import Prompt, PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.training.events import caption_text
from eureka.training.manifest import ChoiceQuestion
from eureka.training.nano import nano_config
from eureka.training.questions import ORDER_QUESTION, draw_question, order_answer
from eureka.training.samples import Truth

_HINTED_SHARE = 0.05
_PLAIN_ORDER_SHARE = 0.7
_LISTED_SHARE = 0.5
_MAX_LABEL_WORDS = 3

_SHARES: dict[str, dict[str, float]] = {
    "speech": {"transcribe": 0.80, "caption": 0.06, "classify": 0.09, "ask": 0.05},
    "order": {"order": 0.88, "caption": 0.07, "ask": 0.05},
    "injected_order": {"order": 0.45, "transcribe": 0.55},
    "injected": {"transcribe": 0.95, "classify": 0.05},
    "sound": {"caption": 0.42, "classify": 0.28, "transcribe": 0.12, "ask": 0.18},
    "scene": {"caption": 0.58, "transcribe": 0.17, "ask": 0.25},
    "choice": {"choose": 1.0},
}
"""Share of each task by what the sample is; tasks whose answer is unknown are left out."""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """Prompt and answer of one sample; the answer closes with the end of turn."""

    prompt: Prompt
    answer_ids: Sequence[int]

    @property
    def length(self) -> int:
        """Positions of prompt and answer."""
        return len(self.prompt.prompt_ids) + len(self.answer_ids)


class TaskWriter:
    """Writes task rows.

    Args:
        tokenizer_folder: checkpoint folder or other folder with tokenizer.json.
        config: prompts and languages; those of the nano when None.
    """

    def __init__(self, tokenizer_folder: Path, config: EurekaConfig | None = None) -> None:
        config = config or nano_config()
        self._tokenizer = Tokenizer.from_folder(tokenizer_folder)
        self._prompts = PromptBuilder(self._tokenizer, config)
        self._languages = list(config.languages)
        self.pad_id = self._tokenizer.special_id("<|endoftext|>")
        self._writers: dict[str, Callable[[Truth, int, np.random.Generator], TaskRow]] = {
            "transcribe": self._transcribe,
            "caption": self._caption,
            "classify": self._classify,
            "order": self._order,
            "ask": self._ask,
            "choose": self._choose,
        }

    def write(self, truth: Truth, num_audio_tokens: int, rng: np.random.Generator) -> TaskRow:
        """A drawn task whose answer is known."""
        known = possible_tasks(truth)
        names = list(known)
        weights = np.array([known[name] for name in names])
        name = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        return self._writers[name](truth, num_audio_tokens, rng)

    def shortest(self, truth: Truth, num_audio_tokens: int, rng: np.random.Generator) -> TaskRow:
        """The possible task of the fewest positions."""
        names = [name for name in possible_tasks(truth) if name != "ask"]
        rows = [self._writers[name](truth, num_audio_tokens, rng) for name in names]
        return min(rows, key=lambda row: row.length)

    def longest_answer(self, truth: Truth) -> int:
        """Positions that the longest usual answer takes, an order's question included."""
        texts = [truth.words or "", caption_text(truth.events or ()), ""]
        if truth.slots:
            texts.append(ORDER_QUESTION + order_answer(truth.slots))
        texts += [f"{listed_question(asked)} {asked.answer}" for asked in truth.questions]
        return 1 + max(len(self._tokenizer.encode(text)) for text in texts)

    def _row(self, prompt: Prompt, answer: str) -> TaskRow:
        return TaskRow(prompt, [*self._tokenizer.encode(answer), self._tokenizer.end_id])

    def _transcribe(self, truth: Truth, count: int, rng: np.random.Generator) -> TaskRow:
        language = self._languages[0] if rng.random() < _HINTED_SHARE and self._languages else None
        return self._row(self._prompts.transcribe(count, language), truth.words or "")

    def _caption(self, truth: Truth, count: int, rng: np.random.Generator) -> TaskRow:
        return self._row(self._prompts.caption(count), caption_text(truth.events or ()))

    def _classify(self, truth: Truth, count: int, rng: np.random.Generator) -> TaskRow:
        return self._row(self._prompts.classify(count), truth.label or truth.words or "")

    def _order(self, truth: Truth, count: int, rng: np.random.Generator) -> TaskRow:
        assert truth.slots is not None
        drawn = draw_question(rng, None, None, truth.slots)
        plain = drawn is None or rng.random() < _PLAIN_ORDER_SHARE
        question = ORDER_QUESTION if plain or drawn is None else drawn.question
        return self._row(self._prompts.ask(question, count), order_answer(truth.slots))

    def _choose(self, truth: Truth, count: int, rng: np.random.Generator) -> TaskRow:
        """A listening question, with its options named or without, and the right one as the answer."""
        asked = truth.questions[int(rng.integers(len(truth.questions)))]
        is_listed = rng.random() < _LISTED_SHARE
        question = listed_question(asked) if is_listed else plain_question(asked.question)
        return self._row(self._prompts.ask(question, count), asked.answer)

    def _ask(self, truth: Truth, count: int, rng: np.random.Generator) -> TaskRow:
        drawn = draw_question(rng, truth.events, truth.words, truth.slots)
        if drawn is None:
            return self.shortest(truth, count, rng)
        return self._row(self._prompts.ask(drawn.question, count), drawn.answer)


def possible_tasks(truth: Truth) -> dict[str, float]:
    """Tasks that what is known answers, with their shares."""
    shares = dict(_SHARES[_sort_of(truth)])
    is_short = truth.words and len(truth.words.split()) <= _MAX_LABEL_WORDS
    if truth.words is None:
        shares.pop("transcribe", None)
    if truth.events is None:
        shares.pop("caption", None)
        shares.pop("ask", None)
    if not (truth.label or is_short):
        shares.pop("classify", None)
    return shares


def plain_question(question: str) -> str:
    """A question in the way in which all others are asked: lower case, no mark at its end."""
    return question.lower().rstrip("?. ")


def listed_question(asked: ChoiceQuestion) -> str:
    """A question with its options: `which sound comes first: rain, dog bark or birds`."""
    *most, last = asked.options
    return f"{plain_question(asked.question)}: {', '.join(most)} or {last}"


def _sort_of(truth: Truth) -> str:
    if truth.questions:
        return "choice"
    if truth.kind == "injected":
        return "injected_order" if truth.slots else "injected"
    if truth.slots and truth.words is None:
        return "order"
    if truth.kind in ("scenes", "quiet"):
        return "scene"
    return "speech" if truth.words else "sound"
