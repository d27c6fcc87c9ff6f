import pytest

from eureka.pipeline.speech import tells_of_speech


@pytest.mark.parametrize(
    "caption",
    [
        "man speaking",
        "rain, child speaking, dog bark",
        "Two women talk while a car passes.",
        "A narrator reads; Speech in a hall",
        "people having a conversation",
    ],
)
def test_caption_with_a_speaker_tells_of_speech(caption: str) -> None:
    assert tells_of_speech(caption)


@pytest.mark.parametrize("caption", ["", "silence", "rain, wind", "baby cry", "loudspeakers hum", "singing"])
def test_caption_without_a_speaker_does_not(caption: str) -> None:
    assert not tells_of_speech(caption)
