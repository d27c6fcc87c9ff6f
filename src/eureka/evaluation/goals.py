"""What the nano must reach and what would be good, row by row: the one table of bars.

Values are shares of 1 unless the title says otherwise. Direction: errors are to be low, all else high.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eureka.evaluation.counts import Counts, one
from eureka.evaluation.metrics import Interval, Tally
from eureka.evaluation.report import Row
from eureka.training.text_generator import TEST_KINDS


@dataclass(frozen=True, slots=True)
class Goal:
    """Title, bar and ambition of a row; a row without a bar only informs."""

    title: str
    bar: float | None = None
    ambition: float | None = None
    higher_is_better: bool = True


GOALS: dict[str, Goal] = {
    "digit_transcribe": Goal("FSDD, one digit exact by transcription", 0.88, 0.95),
    "digit_classify": Goal("FSDD, one digit exact by classify", 0.92, 0.97),
    "digit_strings_wer": Goal("FSDD, strings of four, WER", 0.06, 0.02, False),
    "wake_words_exact": Goal("wake words exact by transcription", 0.96, 1.0),
    "wake_words_classify": Goal("wake words exact by classify"),
    "sounds_classify": Goal("ESC-10, named by classify", 0.86, 0.92),
    "sounds_caption": Goal("ESC-10, named by the caption", 0.83, 0.90),
    "orders_slot_f1": Goal("coffee orders, slot F1", 0.88, 0.95),
    "synthetic_wer": Goal("synthetic speech, unheard voices and texts, WER", 0.07, 0.03, False),
    "synthetic_cer": Goal("synthetic speech, unheard voices and texts, CER", higher_is_better=False),
    **{f"synthetic_{kind}_wer": Goal(f"of it, {kind}, WER", higher_is_better=False) for kind in TEST_KINDS},
    "scene_event_f1": Goal("scenes of two dev clips, caption event F1", 0.75, 0.82),
    "scene_timed_f1": Goal("scenes, event F1 with start and end within 0.5 s", 0.60, 0.72),
    "scene_start_f1": Goal("scenes, event F1 with the start within 0.5 s"),
    "scene_time_error": Goal(
        "scenes, mean error of start and end of events of the right kind (s)", None, None, False
    ),
    "scene_speech_wer": Goal("scenes with speech, WER of what is said", higher_is_better=False),
    "read_speech_wer": Goal("speechocean762, WER", 0.70, 0.55, False),
    "read_speech_cer": Goal("speechocean762, CER", higher_is_better=False),
    "read_speech_child_wer": Goal("speechocean762, children up to 14, WER", higher_is_better=False),
    "read_speech_adult_wer": Goal("speechocean762, older speakers, WER", higher_is_better=False),
    "speaker_kind": Goal("speechocean762, man, woman or child by the question who is speaking"),
    "audiobook_wer": Goal("read_speech (LibriSpeech, LibriVox, Kennedy), WER", higher_is_better=False),
    "abstain_digits_auc": Goal("digits against foreign audio, AUC", 0.95),
    "abstain_wake_words_auc": Goal("wake words against foreign audio, AUC", 0.95),
    "abstain_sounds_auc": Goal("ten sounds against foreign audio, AUC", 0.95),
    "no_words": Goal("no words from clips without speech, silence and noise", 0.90),
    "no_words_sounds": Goal("no words from the ten sounds"),
    "no_words_quiet": Goal("no words from silence and noise"),
    "joined_wer_rise": Goal("windows of 20-30 s, WER above the same clips alone", 0.02, None, False),
    "joined_wer": Goal("windows of 20-30 s joined from clips, WER", higher_is_better=False),
    "demo_wer_median": Goal("the demo's own sentence, median WER over seeds", 0.10, None, False),
    "expert_share_least": Goal("least share of assignments of an expert (bar: 1/(3E))"),
    "expert_share_most": Goal("largest share of assignments of an expert (bar: 3/E)", None, None, False),
    "random_router_loss_rise": Goal("rise of the dev loss with the router replaced by chance", 0.05),
}
"""Row name -> goal, in the order of the report."""


def tally_row(name: str, tally: Tally, note: str = "") -> Row:
    """The row of a score that is a ratio of sums over clips."""
    if not tally.num_clips:
        return missing_row(name, note or "no clips")
    row = value_row(name, tally.value, tally.num_clips, tally.interval(), note)
    return replace(row, counts=_counts(tally))


def _counts(tally: Tally) -> dict[str, Counts]:
    """What each clip contributes, by its place in the set: a set is the same in every run."""
    pairs = zip(tally.numerators.tolist(), tally.denominators.tolist(), strict=True)
    return {str(place): one(*pair) for place, pair in enumerate(pairs)}


def value_row(
    name: str, value: float, num_clips: int, interval: Interval | None = None, note: str = ""
) -> Row:
    """The row of any other number."""
    goal = GOALS[name]
    return Row(
        name=name,
        title=goal.title,
        value=value,
        num_clips=num_clips,
        interval=interval,
        bar=goal.bar,
        ambition=goal.ambition,
        higher_is_better=goal.higher_is_better,
        note=note,
    )


def missing_row(name: str, why: str) -> Row:
    """The row of something that could not be measured."""
    return value_row(name, float("nan"), 0, note=why)


def in_report_order(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Rows in the order of `GOALS`."""
    order = list(GOALS)
    return tuple(sorted(rows, key=lambda row: order.index(row.name)))
