"""The suite over a made-up ear: one that knows all answers, and one that hears nothing."""

import math
import re

import numpy as np
import pytest

from eureka.evaluation import goals, sets, suite
from eureka.evaluation.arguments import PARTS
from eureka.evaluation.hearing import Heard
from eureka.evaluation.metrics import TimedEvent
from eureka.evaluation.suite import SetSizes, Suite
from eureka.training.manifest import read_manifest
from eureka.training.questions import order_answer
from eureka.training.sound_labels import speaking_phrase
from eureka.types import Segment, SegmentSource, Task
from tests.helpers.small_pack import write_small_pack
from tests.helpers.speech_engines import espeak_or_skip, skip_without_flite

SIZES = SetSizes(
    digit_strings=3, synthetic=2, scenes=4, joined=2, quiet=5, foreign=9, speakers=6, demo_seeds=2
)


@pytest.fixture(scope="module")
def small_pack(tmp_path_factory):
    return write_small_pack(tmp_path_factory.mktemp("pack"))


def knowing_suite(folder):
    """An ear that reads the truth off the clip."""
    rows = {row.path: row for row in read_manifest(folder)}

    def answer(clip, question):
        if question.task is Task.TRANSCRIBE:
            return Heard(clip.text or "")
        if question.task is Task.CAPTION:
            events = clip.events or (TimedEvent(clip.label, 0, 1),)
            kinds = ["man speaking" if e.kind == "speech" else e.kind for e in events]
            segments = tuple(
                Segment(e.start_seconds, e.end_seconds, kind, SegmentSource.MODEL)
                for e, kind in zip(events, kinds, strict=True)
            )
            return Heard(", ".join(kinds), segments)
        if question.task is Task.ASK and clip.slots:
            return Heard(order_answer(clip.slots))
        if question.task is Task.ASK:
            row = rows[clip.clip_id]
            return Heard("a " + speaking_phrase(row.gender, row.age).removesuffix(" speaking"))
        known = clip.label or clip.text
        return Heard("", (), known, -0.1 if known in question.labels else -9.0)

    return Suite(folder, "dev", lambda clips, q: [answer(clip, q) for clip in clips], None, SIZES)


def deaf_suite(folder):
    heard = Heard("", (), None, math.log(0.1))
    return Suite(folder, "dev", lambda clips, question: [heard] * len(clips), None, SIZES)


def rows_of(made, parts):
    return {row.name: row for part in parts for row in suite.ROW_MAKERS[part](made)}


ENGINE_FREE = [part for part in suite.ROW_MAKERS if part not in ("synthetic", "demo")]


def test_suite_with_knowing_ear_meets_every_bar(small_pack):
    rows = rows_of(knowing_suite(small_pack), ENGINE_FREE)
    for row in rows.values():
        best = 1.0 if row.higher_is_better else 0.0
        assert row.value == pytest.approx(best), row.name
        assert row.meets_bar is not False, row.name
    assert rows["no_words"].num_clips == 8 + SIZES.quiet


def test_suite_with_deaf_ear_meets_only_the_wordless_bars(small_pack):
    rows = rows_of(deaf_suite(small_pack), ENGINE_FREE)
    met = {row.name for row in rows.values() if row.meets_bar}
    # Nothing is heard of the joined windows either, so they lose nothing by being joined.
    assert met == {"no_words", "joined_wer_rise"}
    assert rows["abstain_digits_auc"].value == pytest.approx(0.5)
    assert rows["read_speech_wer"].value == 1.0


def test_synthetic_rows_with_knowing_ear_have_no_errors(small_pack):
    espeak_or_skip()
    skip_without_flite()
    rows = rows_of(knowing_suite(small_pack), ["synthetic", "demo"])
    values = {name: row.value for name, row in rows.items()}
    assert {"synthetic_wer", "synthetic_cer", "demo_wer_median"} < values.keys()
    assert set(values.values()) == {0.0}
    whole, *kinds = [
        row.num_clips for name, row in rows.items() if re.fullmatch(r"synthetic_(\w+_)?wer", name)
    ]
    assert kinds and sum(kinds) == whole


def test_suite_parts_and_rows_stand_in_the_tables(small_pack):
    assert (*suite.ROW_MAKERS, "routing") == PARTS
    rows = rows_of(deaf_suite(small_pack), ENGINE_FREE)
    assert rows.keys() <= goals.GOALS.keys()
    ordered = [row.name for row in goals.in_report_order(list(rows.values())[::-1])]
    assert ordered == [name for name in goals.GOALS if name in rows]


def test_set_sizes_limited_never_grow():
    assert SetSizes().limited(30).synthetic == 30
    assert SIZES.limited(30) == SIZES
    assert SIZES.limited(None) is SIZES


def test_scenes_hold_two_clips_with_events_and_a_caption(small_pack):
    made = suite.composed_sets.scenes(small_pack, "dev", 6, seed=1)
    assert all(len(scene.parts) == 2 and scene.events for scene in made)
    assert all(scene.caption.startswith("<|") for scene in made)
    assert all(event.end_seconds <= scene.seconds for scene in made for event in scene.events)
    again = suite.composed_sets.scenes(small_pack, "dev", 6, seed=1)
    assert all(np.array_equal(a.pcm, b.pcm) for a, b in zip(made, again, strict=True))


def test_caption_kinds_fold_speakers_and_drop_silence():
    assert suite.caption_kinds("man speaking, dog bark, trumpet") == {"speech", "dog bark", "trumpet"}
    assert suite.caption_kinds("silence") == set()


def test_caption_events_keep_only_times_of_the_model():
    window = Segment(0, 2, "rain", SegmentSource.WINDOW)
    model = Segment(0.4, 1.2, "child speaking", SegmentSource.MODEL)
    assert suite.caption_events(Heard("", (window, model))) == (TimedEvent("speech", 0.4, 1.2),)


def test_time_error_is_the_mean_over_starts_and_ends():
    truth = [[TimedEvent("rain", 1.0, 2.0)], [TimedEvent("rain", 0.0, 1.0)]]
    found = [[TimedEvent("rain", 1.2, 2.6)], [TimedEvent("dog bark", 0.0, 1.0)]]
    assert suite.time_error(truth, found) == (pytest.approx(0.4), 1)


def test_label_sets_hold_the_labels_of_the_manifest(small_pack):
    labels = {clip.label for clip in sets.load_subset(small_pack, "esc10", "dev")}
    assert labels <= set(sets.SOUND_LABELS)
