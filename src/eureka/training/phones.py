"""The phones that frames are labelled with, and how the speech engines' own names map to them.

The set is that of the CMU dictionary without stress, with a schwa of its own (AX): 40 phones after the
silence. espeak-ng speaks IPA and flite its radio alphabet; both end here, whatever the accent.
"""

from __future__ import annotations

SILENCE = 0
"""Id of silence."""

PHONES: tuple[str, ...] = (
    "SIL",
    *("AA", "AE", "AH", "AO", "AW", "AX", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"),
    *("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH", "T"),
    *("TH", "V", "W", "Y", "Z", "ZH"),
)
"""Names by id; 0 is silence, 1-16 are vowels, the rest consonants."""

PHONE_IDS: dict[str, int] = {name: number for number, name in enumerate(PHONES)}

VOICELESS_STOPS = frozenset(PHONE_IDS[name] for name in ("P", "T", "K", "CH"))
"""Phones that begin with a silent closure."""

_IPA: dict[str, str] = {
    # Vowels. Accents share a class where the word would be spelled the same: British lot is AA.
    **{"iː": "IY", "i": "IY", "ɪ": "IH", "ᵻ": "IH", "ɨ": "IH", "y": "IY", "ɛ": "EH", "e": "EH", "ɛː": "EH"},
    **{"æ": "AE", "a": "AE", "aː": "AA", "ɑː": "AA", "ɑ": "AA", "ɒ": "AA", "ɔ": "AO", "ɔː": "AO"},
    **{"o": "AO", "oː": "AO", "ʌ": "AH", "ɐ": "AX", "ə": "AX", "ɚ": "ER", "ɜː": "ER", "ɜ": "ER"},
    **{"əɪ": "ER", "ʊ": "UH", "u": "UW", "uː": "UW", "ʉ": "UW", "ʉː": "UW"},
    # Diphthongs and vowels that carry an r or a schwa with them.
    **{"oʊ": "OW", "əʊ": "OW", "ɔʊ": "OW", "eɪ": "EY", "eː": "EY", "aɪ": "AY", "ɑɪ": "AY", "ʌɪ": "AY"},
    **{"ɔɪ": "OY", "oɪ": "OY", "aʊ": "AW", "ʌʊ": "AW", "æʊ": "AW", "iə": "IY AX", "ɪə": "IH AX"},
    **{"eə": "EH AX", "ɛə": "EH AX", "ʊə": "UH AX", "ɔə": "AO AX", "aɪə": "AY AX", "aɪɚ": "AY ER"},
    **{"aʊə": "AW AX", "aʊɚ": "AW ER", "ʌɹ": "ER", "əl": "AX L", "l̩": "AX L", "n̩": "AX N", "m̩": "AX M"},
    # Consonants. The flap and the glottal stop are ways to say T.
    **{"p": "P", "b": "B", "t": "T", "d": "D", "k": "K", "ɡ": "G", "g": "G", "f": "F", "v": "V", "θ": "TH"},
    **{"ð": "DH", "s": "S", "z": "Z", "ʃ": "SH", "ʒ": "ZH", "h": "HH", "m": "M", "n": "N", "ŋ": "NG"},
    **{"l": "L", "ɫ": "L", "ɬ": "L", "ɹ": "R", "r": "R", "ɾ": "T", "ʔ": "T", "j": "Y", "w": "W", "ʍ": "W"},
    **{"tʃ": "CH", "dʒ": "JH", "x": "K", "ç": "HH", "ɲ": "N Y", "c": "K", "ʁ": "R", "ɣ": "G"},
}

_IPA_IDS = {ipa: tuple(PHONE_IDS[name] for name in names.split()) for ipa, names in _IPA.items()}
_LONGEST_IPA = max(len(ipa) for ipa in _IPA_IDS)

_SKIPPED_IPA = frozenset("ˈˌːˑ:ʲʰʷ̪̃‿-_ |͡;")
"""Stress, length that made no class of its own, and joints."""

_FLITE_ODD: dict[str, int] = {"pau": SILENCE, "h#": SILENCE, "ssil": SILENCE, "axr": PHONE_IDS["ER"]}


def phones_of_espeak(ipa: str) -> tuple[int, ...]:
    """Phone ids of a piece of espeak-ng's IPA; empty for a pause.

    Raises:
        KeyError: a sign that is not known, which a test over all voices rules out.
    """
    ids: list[int] = []
    at = 0
    while at < len(ipa):
        for size in range(min(_LONGEST_IPA, len(ipa) - at), 0, -1):
            found = _IPA_IDS.get(ipa[at : at + size])
            if found is not None:
                ids.extend(found)
                at += size
                break
        else:
            if ipa[at] not in _SKIPPED_IPA:
                raise KeyError(f"no phone for {ipa[at]!r} (U+{ord(ipa[at]):04X}) in {ipa!r}")
            at += 1
    return tuple(ids)


def phones_of_flite(name: str) -> tuple[int, ...]:
    """Phone ids of one of flite's segment names; empty for a pause.

    Raises:
        KeyError: a name that is not known.
    """
    number = _FLITE_ODD.get(name)
    if number is None:
        number = PHONE_IDS[name.upper()]
    return () if number == SILENCE else (number,)
