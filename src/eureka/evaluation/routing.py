"""Whether the router earns its keep: load of each expert, and the loss when chance takes its place.

Both are measured on known answers (teacher-forced), over a mixed set of clips. The adapter is watched and
replaced by a hook on its router; the rest is the model as it serves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.module import register_module_forward_hook

from eureka.engine.reference_parts import reference_embedder
from eureka.evaluation import composed_sets, sets
from eureka.evaluation.goals import value_row
from eureka.evaluation.report import Row
from eureka.evaluation.sets import EvaluationClip
from eureka.evaluation.suite import SEED, Suite
from eureka.model.adapter import Router
from eureka.model.eureka_audio import EurekaAudio
from eureka.model.weights import load_checkpoint
from eureka.text.prompts import Prompt, PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.training.questions import ORDER_QUESTION, order_answer
from eureka.types import SAMPLES_PER_AUDIO_TOKEN, Pcm

CLIPS_EACH = 40
"""Clips of each kind in the mixed set."""

RANDOM_ROUNDS = 3
"""Draws of the random router; the loss is their mean."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """A clip with a prompt and the answer that is known, end token included."""

    pcm: Pcm
    prompt: Prompt
    answer_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class WatchedModel:
    """A checkpoint in torch, where single steps can be watched and replaced."""

    model: EurekaAudio
    tokenizer: Tokenizer
    prompts: PromptBuilder

    @classmethod
    def from_folder(cls, folder: Path) -> WatchedModel:
        """Load a checkpoint folder in float32.

        Raises:
            InvalidCheckpointError: the folder does not fit.
        """
        torch.set_num_threads(1)  # processes run beside each other; more threads cost more than they bring
        model, _ = load_checkpoint(folder)
        tokenizer = Tokenizer.from_folder(folder)
        return cls(model, tokenizer, PromptBuilder(tokenizer, model.config))


def routing_rows(suite: Suite, watched: WatchedModel) -> list[Row]:
    """Shares of the experts on the mixed set, and the rise of the loss with a random router."""
    lessons = mixed_lessons(suite, watched)
    shares = expert_shares(watched, lessons)
    num_experts = len(shares)
    plain = np.array([mean_loss(watched, lesson) for lesson in lessons])
    chance = np.array([random_loss(watched, lesson, number) for number, lesson in enumerate(lessons)])
    weights = np.array([len(lesson.answer_ids) for lesson in lessons])
    before, after = (float((losses * weights).sum() / weights.sum()) for losses in (plain, chance))
    listed = ", ".join(f"{share:.3f}" for share in shares)
    least, most = 1 / (3 * num_experts), 3 / num_experts
    return [
        _share_row("expert_share_least", float(shares.min()), least, len(lessons), listed),
        _share_row("expert_share_most", float(shares.max()), most, len(lessons), listed),
        value_row(
            "random_router_loss_rise",
            after / before - 1,
            len(lessons),
            note=f"loss an answer token {before:.4f} -> {after:.4f}; random experts, equal gates",
        ),
    ]


def _share_row(name: str, share: float, bar: float, num_clips: int, note: str) -> Row:
    """Bars of the shares follow the number of experts."""
    row = value_row(name, share, num_clips, note=note)
    return Row(row.name, row.title, share, num_clips, None, bar, None, row.higher_is_better, note)


def mixed_lessons(suite: Suite, watched: WatchedModel) -> list[Lesson]:
    """Transcripts, labels, captions and orders of all kinds of clips, the same number of each."""
    count = CLIPS_EACH if suite.limit is None else min(CLIPS_EACH, suite.limit)
    prompts = watched.prompts

    def told(clips: Sequence[EvaluationClip]) -> list[Lesson]:
        return [_lesson(watched, c, prompts.transcribe(_tokens(c)), c.text or "") for c in clips]

    def labelled(clips: Sequence[EvaluationClip]) -> list[Lesson]:
        return [_lesson(watched, c, prompts.classify(_tokens(c)), c.label or c.text or "") for c in clips]

    words = [c for s in ("fsdd", "wake_words") for c in sets.spread_over_labels(suite.load(s), count)]
    sounds = sets.spread_over_labels(suite.load("esc10"), count)
    sentences = sets.spread_over_labels(suite.load("speechocean762"), count)
    scenes = composed_sets.scenes(suite.data_folder, suite.split, count, SEED) if sounds else []
    orders = sets.spread_over_labels(suite.load("coffee_orders"), count)
    return [
        *told([*words, *sentences]),
        *labelled([*words, *sounds]),
        *(_lesson(watched, c, prompts.caption(_tokens(c)), c.caption or "", is_trusted=True) for c in scenes),
        *(
            _lesson(watched, c, prompts.ask(ORDER_QUESTION, _tokens(c)), order_answer(c.slots))
            for c in orders
        ),
    ]


def _tokens(clip: EvaluationClip) -> int:
    return -(-len(clip.pcm) // SAMPLES_PER_AUDIO_TOKEN)


def _lesson(
    watched: WatchedModel, clip: EvaluationClip, prompt: Prompt, answer: str, *, is_trusted: bool = False
) -> Lesson:
    """`is_trusted` answers hold time tokens; all others are plain text."""
    tokenizer = watched.tokenizer
    ids = tokenizer.encode(answer) if is_trusted else tokenizer.encode_plain(answer)
    return Lesson(clip.pcm, prompt, (*ids, tokenizer.end_id))


def expert_shares(watched: WatchedModel, lessons: Sequence[Lesson]) -> NDArray[np.float64]:
    """Share of all assignments that each expert gets, (E,); sums to 1."""
    counts = np.zeros(watched.model.audio_moe_adaptor.spec.num_experts)
    embedder = reference_embedder(watched.model)
    with watched_routers() as seen:
        for lesson in lessons:
            embedder.embed([lesson.pcm])
    for passed in seen:
        counts += np.bincount(passed.selected.ravel(), minlength=len(counts))
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


@dataclass(frozen=True, slots=True, eq=False)
class RouterPass:
    """What a router decided in one pass: `selected` experts and their `gates`, (N, k) each; E experts."""

    selected: NDArray[np.int64]
    gates: NDArray[np.float32]
    num_experts: int

    @property
    def shares(self) -> NDArray[np.float32]:
        """Weight of each expert in each audio token, (N, E); rows sum to 1."""
        table = np.zeros((len(self.selected), self.num_experts), dtype=np.float32)
        np.put_along_axis(table, self.selected, self.gates, axis=1)
        return table


@contextmanager
def watched_routers() -> Iterator[list[RouterPass]]:
    """Collects every pass of any router of this process while entered, in order."""
    seen: list[RouterPass] = []

    def note(module: nn.Module, inputs: Any, outputs: Any) -> None:
        if isinstance(module, Router):
            gates, selected, probabilities = outputs
            passed = RouterPass(
                selected.cpu().numpy(), gates.float().cpu().numpy(), int(probabilities.shape[1])
            )
            seen.append(passed)

    handle = register_module_forward_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


@contextmanager
def random_router(router: nn.Module, seed: int) -> Iterator[None]:
    """While entered, the router picks k different experts by chance and weighs them equally."""
    chance = torch.Generator().manual_seed(seed)

    def replace(module: nn.Module, inputs: Any, outputs: tuple[Tensor, Tensor, Tensor]) -> Any:
        gates, selected, probabilities = outputs
        draws = torch.rand(probabilities.shape, generator=chance).to(selected.device)  # (N, E)
        drawn = draws.argsort(dim=-1)[:, : selected.shape[1]]
        return torch.full_like(gates, 1 / selected.shape[1]), drawn, probabilities

    handle = router.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


@torch.inference_mode()
def mean_loss(watched: WatchedModel, lesson: Lesson) -> float:
    """Mean cross-entropy of the answer's tokens, in nats."""
    model = watched.model
    device = model.backbone.model.embed_tokens.weight.device
    audio = torch.from_numpy(reference_embedder(model).embed([lesson.pcm]))
    ids = np.concatenate([lesson.prompt.prompt_ids, lesson.answer_ids])
    embeddings = model.backbone.embed(torch.from_numpy(ids).to(device))  # (L, W)
    places = np.flatnonzero(lesson.prompt.token_type_ids)
    embeddings[torch.from_numpy(places).to(device)] = audio.to(device, embeddings.dtype)
    hidden = model.backbone(embeddings[None])[0]  # (L, W)
    count = len(lesson.answer_ids)
    logits = model.backbone.logits(hidden[-count - 1 : -1]).float()
    targets = torch.tensor(lesson.answer_ids, device=device)
    return float(functional.cross_entropy(logits, targets))


def random_loss(watched: WatchedModel, lesson: Lesson, number: int) -> float:
    """`mean_loss` under a random router, mean of `RANDOM_ROUNDS` draws."""
    losses = []
    for draw in range(RANDOM_ROUNDS):
        with random_router(watched.model.audio_moe_adaptor.router, SEED + number * RANDOM_ROUNDS + draw):
            losses.append(mean_loss(watched, lesson))
    return float(np.mean(losses))
