"""make demo: a sample made on the spot (or a file) is heard, judged and drawn.

The way from bytes to text is that of the other commands (`local`). What is said about the sample is
printed beside what was heard of it, with the error between them, and a picture is written. With --served
the sample goes through the local stack, too, and a longer recording is heard there as a job.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
import wave
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eureka.audio.log_mel import log_mel
from eureka.cli.demo_job import LongFile, show_job
from eureka.cli.demo_picture import DemoPicture, LaneItem, draw_picture, mel_ticks
from eureka.cli.demo_served import show_served
from eureka.cli.demo_text import Classified, DemoOutcome, outcome_lines, picture_texts
from eureka.cli.local import LocalModel, checkpoint_folder, open_local
from eureka.engine.audio_parts import RoutedTokens
from eureka.errors import EurekaError
from eureka.evaluation.demo_recording import make_demo_recording
from eureka.evaluation.demo_sample import DemoSample, make_demo_sample
from eureka.evaluation.sets import SOUND_LABELS
from eureka.pipeline.results import ResultBuilder
from eureka.runtime.settings import Settings, checkout_root, load_settings
from eureka.training.sound_labels import is_speech_phrase
from eureka.types import SAMPLE_RATE_HZ, SAMPLES_PER_AUDIO_TOKEN, Ending, HearingResult, Pcm, Task

DRAWN_SECONDS = 30.0
"""A longer file is heard to its end, but only so much of it is drawn and classified."""

SEED_LIMIT = 10_000
"""Seeds drawn for people who give none: short enough to type again."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; the exit status."""
    parser = argparse.ArgumentParser(
        prog="make demo", description="hear a sample made on the spot, or a file"
    )
    parser.add_argument("--seed", type=int, help="draws sentence, voice and sounds (default: by chance)")
    parser.add_argument("--audio", type=Path, help="hear this file instead")
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="checkpoint folder")
    parser.add_argument(
        "--output", type=Path, default=checkout_root() / "build" / "demo", help="folder to write to"
    )
    parser.add_argument(
        "--served",
        action="store_true",
        help="hear it through the local stack too, and a longer file as a job there, where these can run",
    )
    arguments = parser.parse_args(argv)
    try:
        run_demo(arguments)
    except EurekaError as error:
        print(f"demo: {error.message} ({error.reason})", file=sys.stderr)
        return 2
    return 0


def run_demo(arguments: argparse.Namespace) -> None:
    """Make or take the audio, hear it, print and draw.

    Raises:
        EurekaError: the settings, the checkpoint or the file cannot be used.
    """
    started = time.perf_counter()
    settings = load_settings()
    checkpoint = checkpoint_folder(settings, arguments.checkpoint)  # refused before anything is made
    arguments.output.mkdir(parents=True, exist_ok=True)
    seed, sample, path = None, None, arguments.audio
    if path is None:
        seed = secrets.randbelow(SEED_LIMIT) if arguments.seed is None else arguments.seed
        sample = make_demo_sample(seed, settings.data_folder)
        path = arguments.output / "sample.wav"
        write_wav(path, sample.pcm)
    with open_local(settings, arguments.checkpoint) as local:
        outcome = listen(local, path, sample, seed)
        print("\n".join(outcome_lines(outcome)), flush=True)
        picture = arguments.output / "demo.png"
        draw_picture(_picture_of(outcome, local), picture)
    print(f"picture   {picture}")
    if sample is not None:
        print(f"sample    {path}   (make demo SEED={seed} makes it again)")
    if arguments.served:
        print(f"took      {time.perf_counter() - started:.1f} s up to here\n", flush=True)
        long = partial(_long_file, arguments, settings, seed)
        then = partial(show_job, settings, make=long, output=arguments.output)
        show_served(settings, checkpoint, path, outcome.transcript.text, then)
        print(f"took      {time.perf_counter() - started:.1f} s in all")


def _long_file(arguments: argparse.Namespace, settings: Settings, seed: int | None) -> LongFile:
    """What the job hears: the user's file, or a recording made here that begins with the sample."""
    if seed is None:
        return LongFile(arguments.audio, "the same file")
    recording, path = make_demo_recording(seed, settings.data_folder), arguments.output / "recording.wav"
    write_wav(path, recording.pcm)
    seconds = len(recording.pcm) / SAMPLE_RATE_HZ
    note = f"{seconds:.1f} s: {len(recording.samples)} samples as above, silence behind each"
    return LongFile(path, note, recording.text)


def listen(local: LocalModel, path: Path, sample: DemoSample | None, seed: int | None) -> DemoOutcome:
    """Transcript and caption in one pass over the file, then the closed set; all as users get it."""
    recorder = _Recorder(local.pool.stream(str(path)))
    builder = ResultBuilder(str(path), local.config.name)
    started = time.perf_counter()
    with local.embedder.watched() as passes:
        for window in local.listener.hear(recorder, [Task.TRANSCRIBE, Task.CAPTION]):
            builder.add(window)
    seconds = time.perf_counter() - started
    transcript, caption = builder.build(Task.TRANSCRIBE), builder.build(Task.CAPTION)
    pcm = recorder.pcm
    classified = tuple(_classify(local, pcm, start, end) for start, end in _stretches(pcm, sample))
    shares = expert_shares_in_time(passes, local.num_experts, transcript, len(pcm))
    return DemoOutcome(transcript, caption, classified, pcm, shares, seconds, sample, seed)


def _stretches(pcm: Pcm, sample: DemoSample | None) -> list[tuple[float, float]]:
    """What is classified: each sound of a sample, or the file as a whole."""
    if sample is None:
        return [(0.0, len(pcm) / SAMPLE_RATE_HZ)]
    return [(sound.start_seconds, sound.end_seconds) for sound in sample.sounds]


def _classify(local: LocalModel, pcm: Pcm, start: float, end: float) -> Classified:
    part = pcm[int(start * SAMPLE_RATE_HZ) : int(end * SAMPLE_RATE_HZ)]
    result = local.listener.classify("", [part], SOUND_LABELS)
    return Classified(start, end, result.scores or {})


@dataclass(slots=True)
class _Recorder:
    """Passes blocks on and keeps the first `DRAWN_SECONDS` of them."""

    blocks: Iterable[Pcm]
    kept: list[Pcm] = field(default_factory=list)
    room_samples: int = int(DRAWN_SECONDS * SAMPLE_RATE_HZ)

    def __iter__(self) -> Iterator[Pcm]:
        for block in self.blocks:
            if self.room_samples > 0:
                self.kept.append(block[: self.room_samples])
                self.room_samples -= len(block)
            yield block

    @property
    def pcm(self) -> Pcm:
        """What was kept."""
        return np.concatenate(self.kept)


def expert_shares_in_time(
    passes: Sequence[RoutedTokens], num_experts: int, result: HearingResult, num_samples: int
) -> NDArray[np.float32]:
    """Weight of each expert in each audio token of the file, (A, E); zeros where nothing was heard.

    Each window that was not silent went through the router once, in order; where two windows heard the
    same token, the later one stands.
    """
    table = np.zeros((-(-num_samples // SAMPLES_PER_AUDIO_TOKEN), num_experts), dtype=np.float32)
    starts: dict[int, int] = {}
    for row in result.coverage:
        if row.ending is not Ending.SILENCE:
            starts.setdefault(row.window, row.heard.start_sample)
    for passed, start in zip(passes, starts.values(), strict=False):
        first = round(start / SAMPLES_PER_AUDIO_TOKEN)
        rows = passed.shares(num_experts)[: max(0, len(table) - first)]
        table[first : first + len(rows)] = rows
    return table


def _picture_of(outcome: DemoOutcome, local: LocalModel) -> DemoPicture:
    num_mel_bins = local.config.audio_encoder.num_mel_bins
    texts = picture_texts(outcome)
    return DemoPicture(
        title=texts.title,
        subtitle=texts.subtitle,
        log_mel=log_mel(outcome.pcm, num_mel_bins),
        said=_said_items(outcome.sample),
        words=_items(outcome.transcript, outcome.seconds_drawn, are_words=True),
        events=_items(outcome.caption, outcome.seconds_drawn, are_words=False),
        expert_shares=outcome.expert_shares,
        footer=texts.footer,
        hz_ticks=mel_ticks(num_mel_bins),
    )


def _said_items(sample: DemoSample | None) -> list[LaneItem]:
    if sample is None:
        return []
    texts = [sample.text if event.kind == "speech" else event.kind for event in sample.events]
    return [
        LaneItem(text, event.start_seconds, event.end_seconds)
        for text, event in zip(texts, sample.events, strict=True)
    ]


def _items(result: HearingResult, seconds: float, *, are_words: bool) -> list[LaneItem]:
    return [
        LaneItem(s.text, s.start_seconds, min(s.end_seconds, seconds), are_words or is_speech_phrase(s.text))
        for s in result.segments
        if s.start_seconds < seconds
    ]


def write_wav(path: Path, pcm: Pcm) -> None:
    """Write pcm (S,) as 16-bit mono WAV at 16 kHz."""
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE_HZ)
        writer.writeframes((np.clip(pcm, -1, 1) * 32767).astype("<i2").tobytes())


if __name__ == "__main__":
    sys.exit(main())
