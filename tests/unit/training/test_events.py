from __future__ import annotations

import numpy as np

from eureka.training.events import (
    Event,
    caption_text,
    clip_events,
    frame_event_targets,
    known_event_classes,
    manifest_events,
    merge_events,
)
from eureka.training.feature_pack import Clip
from eureka.training.manifest import ManifestClip
from eureka.training.sound_labels import EVENT_CLASS_INDEX


def _clip(**fields: object) -> Clip:
    return Clip("id", "kind", "train", 0, 500, **fields)  # type: ignore[arg-type]


def test_clip_events_of_a_sound_merge_parts_closer_than_the_gap() -> None:
    events = clip_events(_clip(label="dog_bark", active=((0.1, 0.4), (0.9, 1.5), (2.2, 2.4))))
    assert events == (Event("dog bark", 0.1, 1.5), Event("dog bark", 2.2, 2.4))


def test_clip_events_of_a_lasting_sound_are_one() -> None:
    assert clip_events(_clip(label="rain", active=((0.0, 1.0), (3.0, 5.0)))) == (Event("rain", 0.0, 5.0),)


def test_clip_events_of_speech_name_the_speaker_and_bridge_pauses() -> None:
    clip = _clip(text="hello there", active=((0.2, 1.0), (2.0, 3.0)), about={"gender": "f", "age": 30})
    assert clip_events(clip) == (Event("woman speaking", 0.2, 3.0),)


def test_clip_events_of_an_order_without_transcript_are_speech() -> None:
    assert clip_events(_clip(slots={"size": "small"})) == (Event("person speaking", 0.0, 5.0),)


def test_clip_events_of_an_unlabelled_clip_are_none() -> None:
    assert clip_events(_clip()) == ()


def test_manifest_events_follow_the_same_rule_as_packs() -> None:
    active = ((0.1, 0.4), (0.9, 1.5), (2.2, 2.4))
    row = ManifestClip("p", "esc10", "dev", 5.0, 16_000, "CC0", "s", label="dog_bark", active=active)
    assert manifest_events(row) == clip_events(_clip(label="dog_bark", active=active))


def test_merge_events_joins_a_sound_that_two_clips_brought() -> None:
    merged = merge_events([Event("dog bark", 2.0, 3.0), Event("rain", 0.0, 4.0), Event("dog bark", 2.5, 3.5)])
    assert merged == (Event("rain", 0.0, 4.0), Event("dog bark", 2.0, 3.5))


def test_caption_text_rounds_times_and_orders_by_start() -> None:
    events = [Event("man speaking", 2.04, 4.61), Event("dog bark", 0.35, 1.12)]
    assert caption_text(events) == "<|0.4|>dog bark<|1.2|><|2.0|>man speaking<|4.6|>"


def test_caption_text_gives_short_events_one_step_and_stays_within_the_vocabulary() -> None:
    assert caption_text([Event("beep", 1.0, 1.04)]) == "<|1.0|>beep<|1.2|>"
    assert caption_text([Event("beep", 29.98, 30.4)]) == "<|29.8|>beep<|30.0|>"


def test_caption_text_of_nothing_is_silence() -> None:
    assert caption_text([]) == "silence"


def test_frame_event_targets_are_on_where_the_event_is() -> None:
    targets = frame_event_targets([Event("tabla", 0.5, 1.0)], 100)
    for name in ("music", "drums"):
        np.testing.assert_array_equal(np.flatnonzero(targets[:, EVENT_CLASS_INDEX[name]]), np.arange(25, 50))
    assert targets.sum() == 50


def test_frame_event_targets_past_the_end_are_cut() -> None:
    assert frame_event_targets([Event("rain", 0.9, 9.0)], 50)[:, EVENT_CLASS_INDEX["rain"]].sum() == 5


def test_known_event_classes_leave_an_unknown_speaker_open() -> None:
    known = known_event_classes([Event("person speaking", 0.0, 1.0)])
    assert {name for name, index in EVENT_CLASS_INDEX.items() if not known[index]} == {
        "man",
        "woman",
        "child",
    }
    assert known_event_classes([Event("man speaking", 0.0, 1.0)]).all()
