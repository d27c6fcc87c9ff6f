import io

import numpy as np
import pytest

from eureka.audio.decode import AudioReader, DecodeLimits, decode_all, open_audio
from eureka.audio.resample import resample
from eureka.errors import AudioTooLongError, InvalidAudioError
from tests.unit.audio.audio_files import FORMATS, encode, silent_opus, tone, wav

LOSSLESS_STEP = 1 / 32_768


def loudness(pcm: np.ndarray) -> float:
    """RMS of the middle of the file."""
    return float(np.sqrt(np.mean(pcm[len(pcm) // 4 : -len(pcm) // 4] ** 2)))


def peak_hz(pcm: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    return float(np.argmax(spectrum) * 16_000 / len(pcm))


# The built-in Vorbis encoder writes stereo only.
@pytest.mark.parametrize(
    ("name", "num_channels"), [(name, n) for name in FORMATS for n in (1, 2) if (name, n) != ("vorbis", 1)]
)
def test_decode_every_format_gives_the_tone(name, num_channels):
    pcm = decode_all(encode(name, tone(2, 48_000), 48_000, num_channels))

    assert pcm.dtype == np.float32
    assert len(pcm) == pytest.approx(32_000, abs=1_200)  # encoders add up to two frames
    assert peak_hz(pcm) == pytest.approx(440, abs=1)
    assert loudness(pcm) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_decode_every_rate_equals_the_resampler(rate):
    samples = np.round(tone(1.1, rate) * 32_767).astype(np.int16)

    pcm = decode_all(wav(samples, rate))

    expected = resample((samples / 32_768).astype(np.float32), rate)
    assert np.abs(pcm - expected).max() < 1e-6


@pytest.mark.parametrize("num_channels", range(1, 9))
def test_decode_channels_are_averaged(num_channels):
    levels = np.arange(1, num_channels + 1) / 10
    samples = np.round(tone(0.5, level=1.0)[:, None] * levels * 32_767).astype(np.int16)

    pcm = decode_all(wav(samples))

    assert np.abs(pcm - samples.mean(axis=1) / 32_768).max() < 1e-6


@pytest.mark.parametrize("channel", range(3))
def test_decode_one_channel_is_heard_alone(channel):
    levels = np.arange(1, 4) / 10
    samples = np.round(tone(0.5, level=1.0)[:, None] * levels * 32_767).astype(np.int16)

    with open_audio(wav(samples), channel=channel) as reader:
        pcm = np.concatenate(list(reader))

    assert np.array_equal(pcm, samples[:, channel].astype(np.float32) / 32_768)


@pytest.mark.parametrize("channel", [-1, 2])
def test_decode_channel_that_the_audio_lacks_is_refused(channel):
    stereo = encode("flac", tone(0.2), num_channels=2)

    with pytest.raises(InvalidAudioError, match="2 channels") as caught:
        open_audio(stereo, channel=channel)

    assert caught.value.reason == "NO_SUCH_CHANNEL"


@pytest.mark.parametrize(
    ("dtype", "scale", "offset"),
    [("u1", 127, 128), ("<i2", 32_767, 0), ("<i4", 2**31 - 129, 0), ("<f4", 1, 0), ("<f8", 1, 0)],
)
def test_decode_every_sample_format_has_the_same_full_scale(dtype, scale, offset):
    samples = tone(0.2, level=0.5).astype(np.float64)
    encoded = samples * scale + offset
    if dtype[-2] != "f":
        encoded = np.round(encoded)

    pcm = decode_all(wav(encoded.astype(dtype)))

    assert np.abs(pcm - samples).max() < (1 / 60 if dtype == "u1" else 2 * LOSSLESS_STEP)


def test_decode_path_reader_and_bytes_are_equal(tmp_path):
    data = encode("flac", tone(1))
    path = tmp_path / "tone.flac"
    path.write_bytes(data)
    reader = io.BytesIO(data)
    reader.read(100)

    assert np.array_equal(decode_all(path), decode_all(data))
    assert np.array_equal(decode_all(str(path)), decode_all(data))
    assert np.array_equal(decode_all(reader), decode_all(data))
    assert not reader.closed


def test_decode_m4a_with_its_index_at_the_end_needs_no_path():
    data = encode("m4a", tone(1))

    assert data.find(b"moov") > len(data) // 2
    assert len(decode_all(io.BytesIO(data))) > 15_000


def test_decode_video_file_gives_its_sound():
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        video = output.add_stream("mpeg4", rate=10)
        video.width = video.height = 32
        sound = output.add_stream("aac", rate=16_000, layout="mono")
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        output.mux([*video.encode(picture), *video.encode(None)])
        frame = av.AudioFrame.from_ndarray(tone(1)[None], "fltp", "mono")
        frame.sample_rate = 16_000
        output.mux([*sound.encode(frame), *sound.encode(None)])

    assert peak_hz(decode_all(file.getvalue())) == pytest.approx(440, abs=1)


def test_decode_change_of_rate_in_mid_stream_keeps_the_pitch():
    data = encode("aac", tone(1, 16_000)) + encode("aac", tone(1, 48_000), 48_000)

    pcm = decode_all(data)

    assert len(pcm) == pytest.approx(32_000, abs=2_500)
    assert peak_hz(pcm[2_000:14_000]) == pytest.approx(440, abs=2)
    assert peak_hz(pcm[-14_000:-2_000]) == pytest.approx(440, abs=2)


def test_reader_blocks_are_about_one_second_and_info_is_complete_at_the_end():
    with open_audio(encode("wav", tone(5, 44_100), 44_100)) as reader:
        assert (reader.info.container, reader.info.codec) == ("wav", "pcm_s16le")
        assert (reader.info.source_hz, reader.info.num_channels) == (44_100, 1)
        assert reader.info.declared_seconds == pytest.approx(5)
        assert not reader.info.is_complete
        sizes = [len(block) for block in reader]

    assert sum(sizes) == 80_000 and max(sizes) < 20_000
    assert reader.info.is_complete and reader.info.num_samples == 80_000
    assert not reader.info.is_truncated and not reader.info.num_corrupt_packets
    assert reader.info.damage == ""


def test_reader_clipped_audio_stays_in_range():
    loud = np.clip(tone(0.5, level=3.0), -1, 1)

    assert np.array_equal(decode_all(wav(loud)), loud)
    assert np.abs(decode_all(wav(tone(0.5, level=3.0)))).max() == 1.0


def test_reader_too_long_audio_fails_at_the_limit():
    limits = DecodeLimits(max_decoded_seconds=2)
    with pytest.raises(AudioTooLongError) as declared:
        open_audio(encode("flac", tone(3)), limits)
    assert "3 s" in declared.value.message and "limit is 2 s" in declared.value.message

    with open_audio(encode("aac", tone(3)), limits) as reader, pytest.raises(AudioTooLongError) as decoded:
        list(reader)
    assert decoded.value.reason == "AUDIO_TOO_LONG" and reader.info.num_samples < 4 * 16_000


def test_reader_too_many_bytes_fail():
    with pytest.raises(AudioTooLongError) as caught:
        open_audio(wav(tone(1)), DecodeLimits(max_bytes=1_000))
    assert caught.value.reason == "TOO_MANY_BYTES" and "1,000" in caught.value.message


def test_reader_slow_decoding_fails_at_the_limit():
    seconds = iter(range(1_000_000))
    with (
        AudioReader(
            silent_opus(60), DecodeLimits(max_wall_seconds=50), clock=lambda: next(seconds)
        ) as reader,
        pytest.raises(AudioTooLongError) as caught,
    ):
        list(reader)
    assert caught.value.reason == "DECODE_TOO_SLOW" and "50 s" in caught.value.message


def test_reader_mp3_without_a_stated_length_is_never_called_truncated():
    data = encode("mp3", tone(3))
    assert b"Info" in data[:2_000] or b"Xing" in data[:2_000]
    with open_audio(data[: len(data) // 2]) as reader:
        list(reader)
    assert reader.info.is_truncated
    assert reader.info.damage.endswith("s could be read of the 3.0 s that it states")

    with open_audio(data.replace(b"Info", b"\0\0\0\0").replace(b"Xing", b"\0\0\0\0")) as reader:
        list(reader)
    assert reader.info.declared_seconds is None and not reader.info.is_truncated


def test_reader_too_many_channels_or_strange_rates_fail():
    with pytest.raises(InvalidAudioError) as channels:
        decode_all(wav(np.zeros((1_000, 9), np.int16)))
    with pytest.raises(InvalidAudioError) as rate:
        decode_all(wav(np.zeros(1_000, np.int16), 100))

    assert channels.value.reason == "TOO_MANY_CHANNELS" and "1 to 8" in channels.value.message
    assert rate.value.reason == "SAMPLE_RATE_OUT_OF_RANGE" and "4,000" in rate.value.message
