import numpy as np
import pytest

from eureka.errors import NotFoundError
from eureka.training.phones import PHONES
from eureka.training.speech_synthesis import (
    DEMO_ESPEAK_VARIANTS,
    TEST_ESPEAK_VARIANTS,
    TEST_FLITE_VOICES,
    TRAIN_ESPEAK_VARIANTS,
    Synthesizer,
    Voice,
    change_speed,
    random_test_voice,
    random_train_voice,
    trim_and_level,
)
from tests.helpers.speech_engines import espeak_or_skip, skip_without_flite


@pytest.fixture(scope="module")
def synthesizer() -> Synthesizer:
    espeak_or_skip()
    return Synthesizer()


def _level(pcm: np.ndarray, start: float, end: float) -> float:
    part = pcm[round(start * 16_000) : round(end * 16_000)]
    return float(np.sqrt(np.mean(part**2))) if len(part) else 0.0


def test_espeak_phones_stand_in_order_and_name_the_words(synthesizer: Synthesizer) -> None:
    speech = synthesizer.speak("alexa stop.", Voice("espeak", "en-us"))
    assert " ".join(PHONES[p.phone] for p in speech.phones) == "AX L EH K S AX S T AA P"
    starts = [p.start_seconds for p in speech.phones]
    assert starts == sorted(starts)
    assert speech.phones[-1].end_seconds <= len(speech.pcm) / 16_000


@pytest.mark.parametrize(
    "voice", [Voice("espeak", "en-gb+f3", speed=1.1), Voice("flite", "kal16", speed=0.9)]
)
def test_energy_lies_under_the_vowels_not_in_the_pause(synthesizer: Synthesizer, voice: Voice) -> None:
    if voice.engine == "flite":
        skip_without_flite()
    speech = synthesizer.speak("the moon, the sea.", voice)
    vowels = [p for p in speech.phones if PHONES[p.phone] in ("UW", "IY")]
    assert [PHONES[p.phone] for p in vowels] == ["UW", "IY"]
    gaps = zip(speech.phones, speech.phones[1:], strict=False)
    pause_start, pause_end = max(
        ((a.end_seconds, b.start_seconds) for a, b in gaps), key=lambda gap: gap[1] - gap[0]
    )
    assert pause_end - pause_start > 0.05
    loudest_pause = _level(speech.pcm, pause_start + 0.04, pause_end - 0.02)
    for vowel in vowels:
        assert _level(speech.pcm, vowel.start_seconds, vowel.end_seconds) > 5 * loudest_pause


def test_speed_shortens_the_speech_and_its_times_alike(synthesizer: Synthesizer) -> None:
    plain = synthesizer.speak("seven", Voice("espeak", "en-us"))
    fast = synthesizer.speak("seven", Voice("espeak", "en-us", speed=1.15))
    assert fast.voice.speed == pytest.approx(1.15, rel=0.02)
    assert len(plain.pcm) / len(fast.pcm) == pytest.approx(fast.voice.speed, rel=1e-3)
    for slow_phone, fast_phone in zip(plain.phones, fast.phones, strict=True):
        assert slow_phone.start_seconds == pytest.approx(fast_phone.start_seconds * fast.voice.speed)


@pytest.mark.parametrize("sample_rate_hz", [8000, 22_050])
def test_change_speed_of_a_tone_moves_its_pitch(sample_rate_hz: int) -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(sample_rate_hz) / sample_rate_hz).astype(np.float32)
    for wanted in (1.0, 0.87, 1.17):
        pcm, speed = change_speed(tone, sample_rate_hz, wanted)
        assert speed == pytest.approx(wanted, rel=0.01)
        assert len(pcm) == pytest.approx(16_000 / speed, abs=1)
        times = np.arange(len(pcm)) / 16_000
        expected = np.sin(2 * np.pi * 500 * speed * times)
        inner = slice(800, -800)  # the cut spectrum rings at the ends
        np.testing.assert_allclose(pcm[inner], expected[inner], atol=0.02)


def test_trim_and_level_leaves_short_silences_and_a_natural_loudness(synthesizer: Synthesizer) -> None:
    speech = synthesizer.speak("good morning.", Voice("espeak", "en-us+m1"))
    for seed in range(20):
        trimmed = trim_and_level(speech, np.random.default_rng(seed))
        after = len(trimmed.pcm) / 16_000 - trimmed.phones[-1].end_seconds
        assert 0.099 < trimmed.phones[0].start_seconds < 0.301
        assert 0.099 < after < 0.301
        assert np.abs(trimmed.pcm).max() <= 0.951
        assert -39 < 20 * np.log10(np.sqrt(np.mean(trimmed.pcm**2))) < -13


def test_training_voices_are_never_test_or_demo_voices() -> None:
    rng = np.random.default_rng(0)
    unheard = {*TEST_ESPEAK_VARIANTS, *DEMO_ESPEAK_VARIANTS}
    assert not unheard & set(TRAIN_ESPEAK_VARIANTS)
    for voice in (random_train_voice(rng) for _ in range(2000)):
        assert voice.name not in TEST_FLITE_VOICES
        assert voice.name.partition("+")[2] not in unheard


def test_test_voices_are_never_training_voices() -> None:
    rng = np.random.default_rng(0)
    for voice in (random_test_voice(rng) for _ in range(500)):
        assert voice.name in TEST_FLITE_VOICES or voice.name.partition("+")[2] in TEST_ESPEAK_VARIANTS


def test_every_training_variant_is_installed(synthesizer: Synthesizer) -> None:
    for variant in TRAIN_ESPEAK_VARIANTS + TEST_ESPEAK_VARIANTS + DEMO_ESPEAK_VARIANTS:
        name = f"en-us+{variant}" if variant else "en-us"
        assert synthesizer.speak("two", Voice("espeak", name)).phones


def test_unknown_voice_is_not_found(synthesizer: Synthesizer) -> None:
    with pytest.raises(NotFoundError, match="no voice"):
        synthesizer.speak("two", Voice("espeak", "xx-nowhere"))


def test_text_without_sound_is_not_found(synthesizer: Synthesizer) -> None:
    with pytest.raises(NotFoundError, match="said nothing"):
        synthesizer.speak(" ", Voice("espeak", "en-us"))
