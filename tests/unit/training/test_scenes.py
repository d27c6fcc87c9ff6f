from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from eureka.audio.log_mel import raw_log_mel
from eureka.errors import InvalidInputError
from eureka.training.activity import active_parts
from eureka.training.events import Event
from eureka.training.feature_pack import FeaturePack, FeaturePackWriter
from eureka.training.manifest import ManifestClip
from eureka.training.scene_material import ClipPlace, SceneMaterial, SceneMix
from eureka.training.scenes import (
    PcmScene,
    Scene,
    SceneClip,
    SceneRules,
    compose_pcm_scene,
    compose_scene,
    scene_clip_of_pcm,
)

RAIN = Event("rain", 0.0, 5.0)


def _pcm(spans: list[tuple[float, float]], seconds: float = 5.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pcm = np.zeros(int(seconds * 16_000), np.float32)
    for start, end in spans:
        part = slice(int(start * 16_000), int(end * 16_000))
        pcm[part] = rng.normal(0, 0.1, part.stop - part.start)
    return pcm


def _material(event: Event | list[Event], seed: int = 0, words: str | None = "") -> SceneClip:
    events = event if isinstance(event, list) else [event]
    pcm = _pcm([(e.start_seconds, e.end_seconds) for e in events], seed=seed)
    phones = None
    if words:
        start = round(events[0].start_seconds * 100)
        phones = np.array([[1, start, start + 20], [2, start + 20, start + 50]], np.int32)
    return SceneClip(raw_log_mel(pcm, 80).T, tuple(events), words, phones, pcm)


DOG = _material([Event("dog bark", 0.5, 1.0), Event("dog bark", 3.0, 3.5)], 1)
SNEEZE = _material(Event("person sneeze", 1.0, 2.0), 2)
SPEECH = _material(Event("man speaking", 1.0, 3.0), 3, "good morning")
LONG_RAIN = _material(RAIN, 4)


def _scenes(count: int = 25) -> list[Scene]:
    return [compose_scene([DOG, SNEEZE, SPEECH], np.random.default_rng(seed)) for seed in range(count)]


def test_scene_of_the_same_seed_is_the_same() -> None:
    first, again = (compose_scene([DOG, SPEECH], np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first.raw, again.raw)
    assert first.events == again.events and first.placements == again.placements


def test_scene_events_lie_where_the_power_is() -> None:
    rules = SceneRules(overlap_probability=0.0)
    for seed in range(25):
        scene = compose_scene([SNEEZE, SPEECH], np.random.default_rng(seed), rules)
        heard = active_parts(scene.raw)
        for part, event in zip(heard, scene.events, strict=True):
            assert part == pytest.approx((event.start_seconds, event.end_seconds), abs=0.06)


def test_scene_sounds_one_after_the_other_do_not_overlap() -> None:
    rules = SceneRules(overlap_probability=0.0)
    scene = compose_scene([SNEEZE, SNEEZE, SPEECH], np.random.default_rng(0), rules)
    spans = sorted((p.at_frame, p.at_frame + p.num_frames) for p in scene.placements)
    assert all(next_start - end >= 20 for (_, end), (next_start, _) in pairwise(spans))


def test_scene_length_is_in_range_and_in_whole_audio_tokens() -> None:
    for scene in _scenes():
        assert len(scene.raw) % 8 == 0 and 300 <= len(scene.raw) <= 1_000
        assert all(e.end_seconds <= len(scene.raw) / 100 for e in scene.events)


def test_scene_of_an_asked_length_has_it() -> None:
    scene = compose_scene([DOG, SNEEZE], np.random.default_rng(0), num_frames=240)
    assert scene.raw.shape == (240, 80)


def test_scene_speech_is_whole_with_its_words_and_phones() -> None:
    for scene in _scenes():
        assert scene.words == "good morning"
        speech = next(event for event in scene.events if event.phrase == "man speaking")
        assert speech.end_seconds - speech.start_seconds == pytest.approx(2.0, abs=0.03)
        assert scene.phones is not None
        assert scene.phones[:, 0].tolist() == [1, 2]
        assert scene.phones[0, 1] == pytest.approx(speech.start_seconds * 100, abs=1)
        assert (scene.phones[:, 2] - scene.phones[:, 1]).tolist() == [20, 30]


def test_scene_with_speech_of_unknown_words_has_none() -> None:
    order = _material(Event("person speaking", 1.0, 3.0), 3, None)
    scene = compose_scene([order, DOG], np.random.default_rng(0))
    assert scene.words is None and scene.phones is None


def test_scene_without_speech_has_no_words_and_no_phones() -> None:
    scene = compose_scene([DOG], np.random.default_rng(0))
    assert scene.words == "" and scene.phones is not None and scene.phones.shape == (0, 3)


def test_scene_speech_longer_than_the_scene_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="longer"):
        compose_scene([SPEECH], np.random.default_rng(0), num_frames=160)


def test_scene_without_clips_or_events_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        compose_scene([], np.random.default_rng(0))
    with pytest.raises(InvalidInputError):
        compose_scene([SceneClip(DOG.mel, ())], np.random.default_rng(0))


def test_scene_background_is_one_event_over_everything() -> None:
    scene = compose_scene([SNEEZE], np.random.default_rng(0), num_frames=800, background=LONG_RAIN)
    assert scene.events[0] == Event("rain", 0.0, 8.0)
    assert (scene.raw.max(axis=1) > -5).all()


def test_scene_piece_of_a_lasting_sound_is_cut_short() -> None:
    for seed in range(10):
        scene = compose_scene([LONG_RAIN], np.random.default_rng(seed))
        assert 1.1 < scene.events[0].end_seconds - scene.events[0].start_seconds < 4.1


def test_scene_caption_is_timed() -> None:
    scene = compose_scene([SNEEZE], np.random.default_rng(0))
    start, end = scene.events[0].start_seconds, scene.events[0].end_seconds
    assert scene.caption == f"<|{round(start * 5) / 5:.1f}|>person sneeze<|{round(end * 5) / 5:.1f}|>"


def test_pcm_scene_has_the_plan_and_the_mels_of_the_mel_scene() -> None:
    for seed in range(8):
        clips = [DOG, SPEECH, LONG_RAIN]
        rendered = compose_pcm_scene(clips, np.random.default_rng(seed))
        scene = compose_scene(clips, np.random.default_rng(seed))
        assert rendered.placements == scene.placements and rendered.events == scene.events
        assert len(rendered.pcm) == len(scene.raw) * 160
        mel = raw_log_mel(rendered.pcm, 80).T
        # Where sounds overlap, samples have cross terms that powers lack.
        heard = scene.raw.max(axis=1) > -2
        offset = (mel - scene.raw)[heard]
        assert np.abs(np.median(offset)) < 0.5
        assert np.median(np.abs(offset - np.median(offset))) < 0.1


def test_pcm_scene_of_loud_clips_does_not_clip() -> None:
    rules = SceneRules(sound_db=(30.0, 30.0))
    scene: PcmScene = compose_pcm_scene([DOG, SNEEZE], np.random.default_rng(0), rules)
    assert np.abs(scene.pcm).max() <= 0.981


def test_pcm_scene_of_clips_without_samples_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="samples"):
        compose_pcm_scene([SceneClip(DOG.mel, DOG.events)], np.random.default_rng(0))


def test_scene_clip_of_pcm_without_given_parts_measures_them() -> None:
    row = ManifestClip("p", "ambience", "dev", 5.0, 16_000, "CC0", "s", label="door")
    clip = scene_clip_of_pcm(_pcm([(1.0, 2.0)]), row)
    assert clip.words == "" and len(clip.events) == 1
    event = clip.events[0]
    assert (event.start_seconds, event.end_seconds) == pytest.approx((1.0, 2.0), abs=0.05)


def _pack(folder: Path, split: str = "train") -> FeaturePack:
    writer = FeaturePackWriter(folder, 80)
    for number, label in enumerate(["rain", "dog_bark", "rooster", "wind", "piano"]):
        pcm = _pcm([(0.2, 2.0)], 3.0, seed=number)
        writer.add(pcm, {"id": label, "kind": "x", "split": split, "label": label, "active": [[0.2, 2.0]]})
    said = {"text": "yes", "gender": "m", "phones": [[3, 20, 80]], "active": [[0.2, 0.8]]}
    writer.add(_pcm([(0.2, 0.8)], 1.0), {"id": "yes", "kind": "y", "split": split, **said})
    writer.close()
    return FeaturePack(folder)


def test_scene_material_draws_scenes_of_the_asked_length(tmp_path: Path) -> None:
    pack = _pack(tmp_path)
    mix = SceneMix(speech_probability=0.5, background_probability=0.5)
    material = SceneMaterial([ClipPlace(pack, i) for i in range(5)], [ClipPlace(pack, 5)], mix)
    rng = np.random.default_rng(0)
    scenes = [material.draw(rng, 8 * int(rng.integers(15, 120))) for _ in range(60)]
    assert {scene.words for scene in scenes} == {"", "yes"}
    heard = {event.phrase for scene in scenes for event in scene.events}
    assert heard == {"rain", "dog bark", "rooster", "wind", "piano", "man speaking"}
    assert all(np.isfinite(scene.raw).all() for scene in scenes)


def test_scene_material_of_another_split_is_refused(tmp_path: Path) -> None:
    pack = _pack(tmp_path, "dev")
    with pytest.raises(InvalidInputError, match="dev"):
        SceneMaterial([ClipPlace(pack, 0)], [])
