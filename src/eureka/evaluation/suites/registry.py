"""All published suites, by name."""

from __future__ import annotations

from eureka.errors import NotFoundError
from eureka.evaluation.suites import (
    aishell2,
    audio_choice,
    captions,
    emotions,
    fleurs,
    librispeech,
    questions,
    sounds,
    voicebench,
    wenetspeech,
)
from eureka.evaluation.suites.suite import PublicSuite

SUITES: dict[str, PublicSuite] = {
    suite.name: suite
    for suite in (
        librispeech.SUITE,
        fleurs.ENGLISH_SUITE,
        fleurs.MANDARIN_SUITE,
        aishell2.SUITE,
        wenetspeech.SUITE,
        voicebench.MMSU,
        voicebench.OPENBOOKQA,
        voicebench.ADVBENCH,
        voicebench.IFEVAL,
        audio_choice.MMAU,
        audio_choice.MMAR,
        captions.MMAU_CAPTION,
        captions.MMAR_CAPTION,
        emotions.RAVDESS,
        emotions.CREMA_D,
        sounds.ESC50,
        sounds.DESED,
        questions.SUITE,
    )
}
"""Name -> suite, in the order of the paper's tables; what it does not measure comes last."""


def suite_named(name: str) -> PublicSuite:
    """The suite of that name.

    Raises:
        NotFoundError: there is none.
    """
    try:
        return SUITES[name]
    except KeyError:
        raise NotFoundError(f"there is no suite {name!r}; there are {', '.join(SUITES)}") from None
