import pytest

from eureka.training.espeak import Espeak
from eureka.training.phones import PHONE_IDS, PHONES, SILENCE, phones_of_espeak, phones_of_flite
from eureka.training.speech_synthesis import ESPEAK_ACCENTS
from eureka.training.word_lists import word_lists
from tests.helpers.speech_engines import espeak_or_skip


@pytest.fixture(scope="module")
def espeak() -> Espeak:
    return espeak_or_skip()


def _names(ids: tuple[int, ...]) -> str:
    return " ".join(PHONES[phone] for phone in ids)


def test_phones_are_forty_after_silence() -> None:
    assert PHONES[SILENCE] == "SIL"
    assert len(PHONES) == 41
    assert len(PHONE_IDS) == 41


@pytest.mark.parametrize(
    ("ipa", "names"),
    [
        ("", ""),
        ("tʃ", "CH"),
        ("ɹˈeɪnbəʊ", "R EY N B OW"),
        ("eə", "EH AX"),
        ("bˈɑːɾəl", "B AA T AX L"),
        ("dʒˈɑːɹvɪs", "JH AA R V IH S"),
        ("fˈaɪɚ", "F AY ER"),
    ],
)
def test_espeak_ipa_maps_longest_sign_first(ipa: str, names: str) -> None:
    assert _names(phones_of_espeak(ipa)) == names


def test_espeak_ipa_with_an_unknown_sign_fails() -> None:
    with pytest.raises(KeyError, match=r"U\+0041"):
        phones_of_espeak("tA")


def test_flite_names_map_and_pauses_vanish() -> None:
    assert _names(phones_of_flite("axr") + phones_of_flite("dh")) == "ER DH"
    assert phones_of_flite("pau") == ()


@pytest.mark.parametrize("accent", ESPEAK_ACCENTS)
def test_every_sign_of_every_accent_is_known(espeak: Espeak, accent: str) -> None:
    for start in range(0, len(word_lists().every), 200):
        assert espeak.phones_of(" ".join(word_lists().every[start : start + 200]), accent)
