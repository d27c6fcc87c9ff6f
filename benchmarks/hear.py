"""Seconds of work a second of audio: eureka against the same weights in transformers' classes.

Ours is the way of `eureka transcribe --local`: windows planned at pauses, each at its true length,
embedder and engine. The peer is WhisperEncoder and Qwen3ForCausalLM with our weights, its input padded
to 30 s, as Whisper-style models are usually run; the adapter between them is ours, for transformers has
none. Both run in float32 on one thread, in turns within one process, and both generate the same number
of tokens a second of audio, greedily and without an early end, so that only the way differs.

    python benchmarks/hear.py [--checkpoint DIR] [--rounds N] [--output FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM, WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from eureka import __version__
from eureka.audio.plan import plan_windows
from eureka.engine.embedder import ReferenceEmbedder
from eureka.engine.engine import Engine, EngineLimits
from eureka.engine.reference import ReferenceBackend
from eureka.engine.repetition import RepetitionRule
from eureka.engine.request import Request
from eureka.model.encoder import stack_frames
from eureka.model.eureka_audio import EurekaAudio
from eureka.model.weights import load_checkpoint
from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.types import SAMPLE_RATE_HZ, SAMPLES_PER_AUDIO_TOKEN, Pcm, SamplingParams

REPOSITORY = Path(__file__).resolve().parent.parent
CLIP_SECONDS = (5.0, 10.0, 30.0)
TOKENS_PER_SECOND = 3.0
"""About what English speech costs with the nano's vocabulary."""

PEER_WINDOW_SECONDS = 30
WARM_UP_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Spent:
    """Wall seconds of one clip: everything up to the audio embeddings, and all tokens."""

    embed: float
    generate: float

    @property
    def total(self) -> float:
        return self.embed + self.generate


class Ours:
    """Embedder, prompts and engine as the local commands build them."""

    def __init__(self, model: EurekaAudio, tokenizer: Tokenizer) -> None:
        self.embedder = ReferenceEmbedder(model)
        self.prompts = PromptBuilder(tokenizer, model.config)
        # Forced to go on past its end, an answer may loop; here that must not stop it.
        limits = EngineLimits(repetition=RepetitionRule(min_tokens=10**6))
        self.engine = Engine(ReferenceBackend(model.backbone, num_slots=1), tokenizer.end_id, limits=limits)
        self.window_seconds = model.config.best_window_seconds
        self._count = 0

    def hear(self, pcm: Pcm) -> Spent:
        """Plan, embed and decode one clip."""
        embed = generate = 0.0
        started = time.perf_counter()
        for window in plan_windows([pcm], self.window_seconds):
            embeddings = self.embedder.embed([window.pcm])
            embedded = time.perf_counter()
            self.generate(embeddings, num_tokens(len(window.pcm)))
            ended = time.perf_counter()
            embed, generate = embed + embedded - started, generate + ended - embedded
            started = ended
        return Spent(embed, generate)

    def generate(self, embeddings: NDArray[np.float32], count: int) -> list[int]:
        """Exactly `count` greedy tokens about the embeddings (A, W)."""
        prompt = self.prompts.transcribe(len(embeddings))
        self._count += 1
        sampling = SamplingParams(
            max_new_tokens=count, repetition_penalty=1.0, ban_token_ids=(self.engine.end_token_id,)
        )
        request = Request(
            str(self._count), prompt.prompt_ids, prompt.token_type_ids, embeddings, sampling=sampling
        )
        return [i for delta in self.engine.submit(request) for i in delta.token_ids]


class Peer:
    """The same weights in transformers' classes, audio padded to 30 s."""

    def __init__(self, model: EurekaAudio, tokenizer: Tokenizer) -> None:
        config = model.config
        self.features = WhisperFeatureExtractor(feature_size=config.audio_encoder.num_mel_bins)
        self.encoder = _whisper_of(model)
        self.adapter = model.audio_moe_adaptor
        self.stack_frames = config.stack_frames
        self.decoder = _qwen_of(model)
        self.prompts = PromptBuilder(tokenizer, config)
        self.end_id = tokenizer.end_id

    @torch.inference_mode()
    def hear(self, pcm: Pcm) -> Spent:
        """Pad, embed and decode one clip."""
        started = time.perf_counter()
        features = self.features(pcm, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        frames = self.encoder(features.input_features).last_hidden_state  # (1, 1500, D)
        tokens = stack_frames(frames, self.stack_frames)[0]  # (375, 4*D)
        embeddings = self.adapter(tokens)[: -(-len(pcm) // SAMPLES_PER_AUDIO_TOKEN)]
        embedded = time.perf_counter()
        self.generate(embeddings, num_tokens(len(pcm)))
        return Spent(embedded - started, time.perf_counter() - embedded)

    @torch.inference_mode()
    def generate(self, embeddings: Tensor, count: int) -> list[int]:
        """Exactly `count` greedy tokens about the embeddings (A, W)."""
        prompt = self.prompts.transcribe(len(embeddings))
        inputs = self.decoder.get_input_embeddings()(torch.from_numpy(prompt.prompt_ids))  # (L, W)
        inputs[torch.from_numpy(np.flatnonzero(prompt.token_type_ids))] = embeddings
        ids = self.decoder.generate(
            inputs_embeds=inputs[None],
            attention_mask=torch.ones(1, len(inputs), dtype=torch.int64),
            max_new_tokens=count,
            do_sample=False,
            suppress_tokens=[self.end_id],
            eos_token_id=self.end_id,
            pad_token_id=self.end_id,
        )
        return [int(i) for i in ids[0]]


def _whisper_of(model: EurekaAudio) -> WhisperEncoder:
    ours = model.config.audio_encoder
    encoder = WhisperEncoder(
        WhisperConfig(
            num_mel_bins=ours.num_mel_bins,
            d_model=ours.d_model,
            encoder_layers=ours.encoder_layers,
            encoder_attention_heads=ours.encoder_attention_heads,
            encoder_ffn_dim=ours.encoder_ffn_dim,
            max_source_positions=ours.max_source_positions,
        )
    )
    encoder.load_state_dict(model.audio_encoder.speech_encoder.state_dict())
    return encoder.eval()


def _qwen_of(model: EurekaAudio) -> Qwen3ForCausalLM:
    ours = model.config.backbone
    decoder = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=ours.vocab_size,
            hidden_size=ours.hidden_size,
            intermediate_size=ours.intermediate_size,
            num_hidden_layers=ours.num_hidden_layers,
            num_attention_heads=ours.num_attention_heads,
            num_key_value_heads=ours.num_key_value_heads,
            head_dim=ours.head_dim,
            rms_norm_eps=ours.rms_norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": ours.rope_theta},
            max_position_embeddings=ours.max_position_embeddings,
            tie_word_embeddings=ours.tie_word_embeddings,
        )
    )
    missing, unexpected = decoder.load_state_dict(model.backbone.state_dict(), strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    decoder.tie_weights()
    return decoder.eval()


def num_tokens(num_samples: int) -> int:
    """Tokens that are generated for so much audio."""
    return max(1, round(num_samples / SAMPLE_RATE_HZ * TOKENS_PER_SECOND))


def make_clip(seconds: float) -> Pcm:
    """Noise in bursts with pauses, so that windows can be cut as in speech; the same each time."""
    draw = np.random.default_rng(int(seconds))
    times = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    bursts = np.clip(np.sin(2 * np.pi * times / 3.0) * 4 + 3.2, 0.01, 1.0)
    return (0.1 * bursts * draw.normal(size=len(times))).astype(np.float32)


def measure(ours: Ours, peer: Peer, seconds: float, rounds: int) -> dict[str, Any]:
    """Both on one clip, in turns, the first to go changing each round."""
    clip = make_clip(seconds)
    runs: dict[str, list[Spent]] = {"ours": [], "peer": []}
    pair: list[tuple[str, Callable[[Pcm], Spent]]] = [("ours", ours.hear), ("peer", peer.hear)]
    for turn in range(WARM_UP_ROUNDS + rounds):
        for name, hear in pair if turn % 2 == 0 else pair[::-1]:
            spent = hear(clip)
            if turn >= WARM_UP_ROUNDS:
                runs[name].append(spent)
    summed = {name: summary(spent, seconds) for name, spent in runs.items()}
    ratios = [b.total / a.total for a, b in zip(runs["ours"], runs["peer"], strict=True)]
    return {
        "audio_seconds": seconds,
        **summed,
        "times_faster": round(statistics.median(ratios), 2),
        "times_faster_spread": [round(min(ratios), 2), round(max(ratios), 2)],
    }


def summary(runs: Sequence[Spent], seconds: float) -> dict[str, Any]:
    """Seconds a second of audio: median, least, most, and the median of each stage."""
    rates = sorted(run.total / seconds for run in runs)
    return {
        "seconds_per_audio_second": round(statistics.median(rates), 5),
        "spread": [round(rates[0], 5), round(rates[-1], 5)],
        "embed": round(statistics.median(run.embed for run in runs) / seconds, 5),
        "generate": round(statistics.median(run.generate for run in runs) / seconds, 5),
    }


def agree(ours: Ours, peer: Peer) -> bool:
    """Whether both decoders, given the same audio embeddings, write the same tokens."""
    embeddings = ours.embedder.embed([make_clip(5.0)])
    return ours.generate(embeddings, 15) == peer.generate(torch.from_numpy(embeddings), 15)


def machine() -> str:
    """Processor and cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="seconds of work a second of audio, against transformers")
    parser.add_argument("--checkpoint", type=Path, default=REPOSITORY / "checkpoints" / "eureka-nano")
    parser.add_argument("--rounds", type=int, default=15, help="timed rounds a clip length")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "benchmarks" / "hear.json")
    arguments = parser.parse_args(argv)
    if not arguments.checkpoint.is_dir():
        print(f"there is no checkpoint folder {arguments.checkpoint}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    model, _ = load_checkpoint(arguments.checkpoint)
    tokenizer = Tokenizer.from_folder(arguments.checkpoint)
    ours, peer = Ours(model, tokenizer), Peer(model, tokenizer)
    report = {
        "benchmark": "hear",
        "command": " ".join(["python", "benchmarks/hear.py", *(sys.argv[1:] if argv is None else argv)]),
        "checkpoint": model.config.name,
        "machine": machine(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {
            "eureka": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
        "threads": 1,
        "dtype": "float32",
        "rounds": arguments.rounds,
        "tokens_per_audio_second": TOKENS_PER_SECOND,
        "peer_window_seconds": PEER_WINDOW_SECONDS,
        "same_tokens_from_same_embeddings": agree(ours, peer),
        "results": [measure(ours, peer, seconds, arguments.rounds) for seconds in CLIP_SECONDS],
    }
    text = json.dumps(report, indent=2)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
