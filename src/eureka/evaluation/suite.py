"""The suite `nano`: every row that the shipped checkpoint is judged by, on one split.

Each function makes the rows of one kind of clip: it loads or composes the clips, has them heard, and
scores the answers. `dev` decides; nothing here is ever trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from eureka.errors import NotFoundError
from eureka.evaluation import composed_sets, metrics, sets
from eureka.evaluation.demo_sample import make_demo_sample
from eureka.evaluation.goals import missing_row, tally_row, value_row
from eureka.evaluation.hearing import Heard, Question
from eureka.evaluation.metrics import Tally, TimedEvent
from eureka.evaluation.report import Row
from eureka.evaluation.sets import EvaluationClip
from eureka.pipeline.pieces import NOTHING_HEARD
from eureka.training.manifest import MAX_CHILD_AGE, ManifestClip, read_manifest
from eureka.training.questions import ORDER_QUESTION, parse_order_answer, slot_words
from eureka.training.sound_labels import speaking_phrase
from eureka.training.text_generator import TEST_KINDS
from eureka.types import SegmentSource, Task

SEED = 20_260
"""Draws every composed set; another number is another test."""

TRANSCRIBE, CAPTION = Question(Task.TRANSCRIBE), Question(Task.CAPTION)
SPEAKER_QUESTION = "who is speaking"
LABEL_SETS = {
    "abstain_digits_auc": sets.DIGIT_LABELS,
    "abstain_wake_words_auc": sets.WAKE_LABELS,
    "abstain_sounds_auc": sets.SOUND_LABELS,
}

HearFunction = Callable[[Sequence[EvaluationClip], Question], list[Heard]]
"""Answers to one question about each clip, in order."""


@dataclass(frozen=True, slots=True)
class SetSizes:
    """Clips of the sets that are composed, or of which a part is enough."""

    digit_strings: int = 150
    synthetic: int = 200
    scenes: int = 150
    joined: int = 40
    quiet: int = 50
    foreign: int = 120
    speakers: int = 150
    demo_seeds: int = 20

    def limited(self, limit: int | None) -> SetSizes:
        """No set larger than `limit`."""
        if limit is None:
            return self
        return SetSizes(*(min(limit, getattr(self, name)) for name in self.__dataclass_fields__))


@dataclass(frozen=True, slots=True)
class Suite:
    """What the rows are measured on.

    Attributes:
        data_folder: pack with manifest.jsonl.
        split: `dev`, or `train` to see what was memorised.
        hear: the model under test.
        limit: at most this many clips a set; None for all.
        sizes: of composed sets, limited already.
    """

    data_folder: Path
    split: str
    hear: HearFunction
    limit: int | None = None
    sizes: SetSizes = field(default_factory=SetSizes)

    def load(self, subset: str, limit: int | None = None) -> list[EvaluationClip]:
        """Clips of a subset, at most the smaller of both limits."""
        limits = [value for value in (limit, self.limit) if value is not None]
        return sets.load_subset(self.data_folder, subset, self.split, min(limits, default=None))

    def transcribe(self, clips: Sequence[EvaluationClip]) -> list[str]:
        """Transcripts."""
        return [heard.text for heard in self.hear(clips, TRANSCRIBE)]


def digit_rows(suite: Suite) -> list[Row]:
    """FSDD: one digit by transcription and by classify, strings of four."""
    digits = suite.load("fsdd")
    texts = [clip.text or "" for clip in digits]
    labels = [heard.label for heard in suite.hear(digits, Question(Task.CLASSIFY, sets.DIGIT_LABELS))]
    strings = sets.digit_strings(digits, suite.sizes.digit_strings, SEED) if digits else []
    return [
        tally_row("digit_transcribe", metrics.exact_answers(texts, suite.transcribe(digits))),
        tally_row("digit_classify", metrics.exact_answers(texts, labels)),
        _wer_row(suite, "digit_strings_wer", strings, "digits of one speaker, pauses of 0 to 0.3 s"),
    ]


def wake_word_rows(suite: Suite) -> list[Row]:
    """Wake words by transcription and by classify."""
    clips = suite.load("wake_words")
    texts = [clip.text or "" for clip in clips]
    labels = [heard.label for heard in suite.hear(clips, Question(Task.CLASSIFY, sets.WAKE_LABELS))]
    note = "voices may recur in train"
    return [
        tally_row("wake_words_exact", metrics.exact_answers(texts, suite.transcribe(clips)), note),
        tally_row("wake_words_classify", metrics.exact_answers(texts, labels), note),
    ]


def sound_rows(suite: Suite) -> list[Row]:
    """ESC-10 by classify and by caption; and no words from any of them, nor from silence and noise."""
    clips = suite.load("esc10")
    labels = [clip.label or "" for clip in clips]
    chosen = [heard.label for heard in suite.hear(clips, Question(Task.CLASSIFY, sets.SOUND_LABELS))]
    captions = [heard.text for heard in suite.hear(clips, CAPTION)]
    quiet = sets.quiet_clips(suite.sizes.quiet, SEED)
    wordless = [_is_wordless(text) for text in suite.transcribe([*clips, *quiet])]
    return [
        tally_row("sounds_classify", metrics.exact_answers(labels, chosen)),
        tally_row("sounds_caption", metrics.caption_hits(labels, captions)),
        tally_row("no_words", Tally.of(wordless), "ten sounds, digital silence, noise of four colours"),
        tally_row("no_words_sounds", Tally.of(wordless[: len(clips)])),
        tally_row("no_words_quiet", Tally.of(wordless[len(clips) :])),
    ]


def _is_wordless(text: str) -> tuple[float, float]:
    return float(not metrics.normalise_text(text)), 1.0


def order_rows(suite: Suite) -> list[Row]:
    """Coffee orders: slots of the answer to one question."""
    clips = suite.load("coffee_orders")
    truths = [{slot_words(name): value for name, value in clip.slots.items()} for clip in clips]
    answers = suite.hear(clips, Question(Task.ASK, text=ORDER_QUESTION))
    found = [parse_order_answer(heard.text) for heard in answers]
    note = f"question {ORDER_QUESTION!r}; name and value exact; voices may recur in train"
    return [tally_row("orders_slot_f1", metrics.slot_f1(truths, found), note)]


def synthetic_rows(suite: Suite) -> list[Row]:
    """Synthetic speech in unheard voices and texts."""
    names = ("synthetic_wer", "synthetic_cer")
    try:
        clips = composed_sets.synthetic_speech(suite.sizes.synthetic, SEED)
    except NotFoundError as error:
        return [missing_row(name, error.message) for name in names]
    texts, heard = [clip.text or "" for clip in clips], suite.transcribe(clips)
    rows = [
        tally_row(names[0], metrics.word_errors(texts, heard), "espeak-ng and flite, voices set aside"),
        tally_row(names[1], metrics.character_errors(texts, heard)),
    ]
    kinds = [clip.clip_id.rsplit("-", 1)[1] for clip in clips]
    for kind in [kind for kind in TEST_KINDS if kind in kinds]:
        own = [place for place, of in enumerate(kinds) if of == kind]
        errors = metrics.word_errors([texts[i] for i in own], [heard[i] for i in own])
        rows.append(tally_row(f"synthetic_{kind}_wer", errors))
    return rows


def scene_rows(suite: Suite) -> list[Row]:
    """Scenes of two clips: what the caption names, and when."""
    scenes = composed_sets.scenes(suite.data_folder, suite.split, suite.sizes.scenes, SEED)
    heard = suite.hear(scenes, CAPTION)
    truths = [scene.events for scene in scenes]
    found = [caption_events(answer) for answer in heard]
    named = [[event.kind for event in events] for events in truths]
    spoken = [scene for scene in scenes if scene.text]
    error, num_pairs = time_error(truths, found)
    return [
        tally_row("scene_event_f1", metrics.set_f1(named, [caption_kinds(a.text) for a in heard])),
        tally_row("scene_timed_f1", metrics.timed_f1(truths, found), "who speaks does not matter"),
        tally_row("scene_start_f1", metrics.timed_f1(truths, found, with_ends=False)),
        value_row("scene_time_error", error, num_pairs, note="nearest events of the same kind"),
        _wer_row(suite, "scene_speech_wer", spoken),
    ]


def caption_kinds(caption: str) -> set[str]:
    """Kinds of the events that a caption names."""
    phrases = (phrase.strip() for phrase in caption.split(","))
    return {composed_sets.event_kind(phrase) for phrase in phrases if phrase and phrase != NOTHING_HEARD}


def caption_events(heard: Heard) -> tuple[TimedEvent, ...]:
    """Events of a caption to which the model itself gave times."""
    return tuple(
        TimedEvent(composed_sets.event_kind(s.text), s.start_seconds, s.end_seconds)
        for s in heard.segments
        if s.source is SegmentSource.MODEL
    )


def time_error(
    truths: Sequence[Sequence[TimedEvent]], found: Sequence[Sequence[TimedEvent]]
) -> tuple[float, int]:
    """Mean of |start error| and |end error| over pairs of one kind, however far apart, and the pairs."""
    pairs = [
        pair
        for truth, answer in zip(truths, found, strict=True)
        for pair in metrics.match_events(truth, answer, tolerance_seconds=60.0)
    ]
    errors = [
        (abs(a.start_seconds - b.start_seconds) + abs(a.end_seconds - b.end_seconds)) / 2 for a, b in pairs
    ]
    return (float(np.mean(errors)) if errors else float("nan")), len(pairs)


def read_speech_rows(suite: Suite) -> list[Row]:
    """speechocean762, as a whole, by age group, and who speaks; audiobooks beside it."""
    clips = suite.load("speechocean762")
    rows = {row.path: row for row in read_manifest(suite.data_folder, suite.split)}
    texts, heard = [clip.text or "" for clip in clips], suite.transcribe(clips)
    words = metrics.word_errors(texts, heard)
    is_child = np.array([(rows[clip.clip_id].age or 0) <= MAX_CHILD_AGE for clip in clips], dtype=bool)
    return [
        tally_row("read_speech_wer", words),
        tally_row("read_speech_cer", metrics.character_errors(texts, heard)),
        tally_row("read_speech_child_wer", _part(words, is_child)),
        tally_row("read_speech_adult_wer", _part(words, ~is_child)),
        _speaker_row(suite, sets.spread_over_labels(clips, suite.sizes.speakers), rows),
        _wer_row(suite, "audiobook_wer", suite.load("read_speech")),
    ]


def _part(tally: Tally, chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Tally:
    return Tally(tally.numerators[chosen], tally.denominators[chosen])


def _speaker_row(suite: Suite, clips: Sequence[EvaluationClip], rows: dict[str, ManifestClip]) -> Row:
    phrases = [speaking_phrase(rows[c.clip_id].gender, rows[c.clip_id].age) for c in clips]
    kinds = [f"a {phrase.removesuffix(' speaking')}" for phrase in phrases]
    answers = [heard.text for heard in suite.hear(clips, Question(Task.ASK, text=SPEAKER_QUESTION))]
    return tally_row("speaker_kind", metrics.exact_answers(kinds, answers), f"question {SPEAKER_QUESTION!r}")


def joined_rows(suite: Suite) -> list[Row]:
    """Windows of 20-30 s joined from clips, against the same clips alone."""
    pool = [clip for subset in sets.SPEECH_SUBSETS for clip in suite.load(subset)]
    windows = sets.joined_windows(pool, suite.sizes.joined, SEED)
    if not windows:
        return [missing_row(name, "too few clips") for name in ("joined_wer_rise", "joined_wer")]
    by_id = {clip.clip_id: clip for clip in pool}
    parts = [by_id[part] for window in windows for part in window.parts]
    alone = metrics.word_errors([clip.text or "" for clip in parts], suite.transcribe(parts))
    ends = np.cumsum([len(window.parts) for window in windows])[:-1]
    alone_errors = np.array([part.sum() for part in np.split(alone.numerators, ends)])
    joined = metrics.word_errors([window.text or "" for window in windows], suite.transcribe(windows))
    rise = Tally(joined.numerators - alone_errors, joined.denominators)
    note = f"alone {alone.value:.3f}, joined {joined.value:.3f}; pauses of 0 to 0.3 s"
    return [tally_row("joined_wer_rise", rise, note), tally_row("joined_wer", joined)]


def abstain_rows(suite: Suite) -> list[Row]:
    """How well the log-probability of the best label tells clips of a closed set from foreign audio."""
    count = suite.sizes.foreign
    kinds = {
        "abstain_digits_auc": sets.spread_over_labels(suite.load("fsdd"), count),
        "abstain_wake_words_auc": suite.load("wake_words"),
        "abstain_sounds_auc": suite.load("esc10"),
        "orders": sets.spread_over_labels(suite.load("coffee_orders"), count // 3),
        "sentences": sets.spread_over_labels(suite.load("speechocean762"), count // 3),
    }
    return [_abstain_row(suite, name, labels, kinds) for name, labels in LABEL_SETS.items()]


def _abstain_row(
    suite: Suite, name: str, labels: tuple[str, ...], kinds: dict[str, list[EvaluationClip]]
) -> Row:
    question = Question(Task.CLASSIFY, labels)
    foreign = [
        clip
        for kind, clips in kinds.items()
        if kind != name
        for clip in sets.spread_over_labels(clips, suite.sizes.foreign // 3)
    ]
    own = [heard.log_probability for heard in suite.hear(kinds[name], question)]
    other = [heard.log_probability for heard in suite.hear(foreign, question)]
    if not own or not other:
        return missing_row(name, "no clips")
    return value_row(
        name,
        metrics.area_under_curve(own, other),
        len(own) + len(other),
        metrics.area_interval(own, other),
        f"{len(own)} own, {len(other)} of the other sets, orders and sentences",
    )


def demo_rows(suite: Suite) -> list[Row]:
    """The demo's own sentence, as `eureka.cli.demo` draws it for seeds 0, 1, 2, ..."""
    samples = [make_demo_sample(seed, suite.data_folder) for seed in range(suite.sizes.demo_seeds)]
    clips = [EvaluationClip(f"demo-{i}", s.pcm, s.text, speaker=s.speaker) for i, s in enumerate(samples)]
    errors = metrics.word_errors([clip.text or "" for clip in clips], suite.transcribe(clips))
    rates = (errors.numerators / errors.denominators).tolist()
    note = f"mean {float(np.mean(rates)):.3f}; " + ", ".join(f"{rate:.2f}" for rate in rates)
    interval = metrics.median_interval(rates)
    return [value_row("demo_wer_median", float(np.median(rates)), len(rates), interval, note)]


def _wer_row(suite: Suite, name: str, clips: Sequence[EvaluationClip], note: str = "") -> Row:
    return tally_row(name, metrics.word_errors([c.text or "" for c in clips], suite.transcribe(clips)), note)


ROW_MAKERS: dict[str, Callable[[Suite], list[Row]]] = {
    "digits": digit_rows,
    "wake_words": wake_word_rows,
    "sounds": sound_rows,
    "orders": order_rows,
    "synthetic": synthetic_rows,
    "scenes": scene_rows,
    "read_speech": read_speech_rows,
    "joined": joined_rows,
    "abstain": abstain_rows,
    "demo": demo_rows,
}
"""Name of a part of the suite -> what makes its rows."""
