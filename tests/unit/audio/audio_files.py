"""Audio files made in memory: good ones by PyAV, odd ones by hand."""

import io
import struct

import av
import numpy as np

FORMATS = {
    "wav": ("wav", "pcm_s16le", "s16"),
    "flac": ("flac", "flac", "s16"),
    "mp3": ("mp3", "libmp3lame", "fltp"),
    "m4a": ("ipod", "aac", "fltp"),
    "fragmented m4a": ("mp4", "aac", "fltp"),
    "aac": ("adts", "aac", "fltp"),
    "opus": ("ogg", "libopus", "flt"),
    "webm": ("webm", "libopus", "flt"),
    "vorbis": ("ogg", "vorbis", "fltp"),
}
"""Name -> container, encoder, sample format."""


def tone(seconds: float, rate: int = 16_000, hz: float = 440.0, level: float = 0.3) -> np.ndarray:
    """(S,) float32."""
    n = np.arange(round(seconds * rate))
    return (level * np.sin(2 * np.pi * hz * n / rate)).astype(np.float32)


def encode(name: str, pcm: np.ndarray, rate: int = 16_000, num_channels: int = 1) -> bytes:
    """A file of the format with the same pcm (S,) in every channel."""
    container, codec, sample_format = FORMATS[name]
    layout = {1: "mono", 2: "stereo"}[num_channels]
    file = io.BytesIO()
    options = {"movflags": "frag_keyframe+empty_moov"} if name.startswith("fragmented") else {}
    with av.open(file, "w", format=container, options=options) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout, options={"strict": "experimental"})
        frame = av.AudioFrame.from_ndarray(
            _as_format(pcm, sample_format, num_channels), sample_format, layout
        )
        frame.sample_rate, frame.pts = rate, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    return file.getvalue()


def _as_format(pcm: np.ndarray, sample_format: str, num_channels: int) -> np.ndarray:
    channels = np.tile(pcm, (num_channels, 1))
    if sample_format == "s16":
        channels = np.round(channels * 32_767).astype(np.int16)
    if sample_format.endswith("p"):
        return np.ascontiguousarray(channels)
    return np.ascontiguousarray(channels.T.reshape(1, -1))


def wav(
    samples: np.ndarray,
    rate: int = 16_000,
    *,
    format_tag: int | None = None,
    num_channels: int | None = None,
    data_bytes: int | None = None,
) -> bytes:
    """A WAV file by hand, of samples (S,) or (S, channels); the header may be made to lie."""
    data = np.ascontiguousarray(samples).tobytes()
    channels = num_channels if num_channels is not None else (1 if samples.ndim == 1 else samples.shape[1])
    bits = samples.dtype.itemsize * 8
    tag = format_tag if format_tag is not None else (3 if samples.dtype.kind == "f" else 1)
    frame_bytes = channels * bits // 8 & 0xFFFF
    layout = struct.pack("<HHIIHH", tag, channels, rate, rate * frame_bytes & 0xFFFFFFFF, frame_bytes, bits)
    size = len(data) if data_bytes is None else data_bytes
    riff = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", min(36 + size, 0xFFFFFFFF)) + riff


def silent_opus(seconds: float) -> bytes:
    """An Ogg Opus file of empty packets of 120 ms: about 1 byte for 40 ms of silence."""
    head = b"OpusHead\x01\x01" + struct.pack("<HIhB", 0, 48_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", 4) + b"none" + struct.pack("<I", 0)
    # Code 3, 20 ms of CELT a frame, 6 frames of 0 bytes each.
    packet = bytes([31 << 3 | 3, 6])
    packets_per_page, samples_per_packet = 255, 5_760
    pages = [_ogg_page(0, 0, [head], flags=2), _ogg_page(0, 1, [tags])]
    num_pages = max(1, round(seconds * 48_000 / samples_per_packet / packets_per_page))
    body = np.frombuffer(_ogg_page(0, 0, [packet] * packets_per_page), np.uint8)
    many = np.tile(body, (num_pages, 1))
    number = np.arange(1, num_pages + 1)
    many[:, 5] = np.where(number == num_pages, 4, 0)
    many[:, 6:14] = (
        (number * packets_per_page * samples_per_packet).astype("<u8").view(np.uint8).reshape(-1, 8)
    )
    many[:, 18:22] = (number + 1).astype("<u4").view(np.uint8).reshape(-1, 4)
    many[:, 22:26] = 0
    many[:, 22:26] = _ogg_crc(many).astype("<u4").view(np.uint8).reshape(-1, 4)
    return b"".join(pages) + many.tobytes()


def _ogg_page(granule: int, number: int, packets: list[bytes], flags: int = 0) -> bytes:
    header = b"OggS\x00" + struct.pack("<BqIII", flags, granule, 1, number, 0)
    page = header + bytes([len(packets), *map(len, packets)]) + b"".join(packets)
    crc = int(_ogg_crc(np.frombuffer(page, np.uint8)[None])[0])
    return page[:22] + struct.pack("<I", crc) + page[26:]


def _ogg_crc(pages: np.ndarray) -> np.ndarray:
    """CRC of each page (pages, bytes): polynomial 0x04c11db7, not reflected."""
    table = np.arange(256, dtype=np.uint32) << np.uint32(24)
    for _ in range(8):
        table = (table << np.uint32(1)) ^ np.where(
            table >> np.uint32(31), np.uint32(0x04C11DB7), np.uint32(0)
        )
    crc = np.zeros(len(pages), np.uint32)
    for column in pages.T:
        crc = (crc << np.uint32(8)) ^ table[(crc >> np.uint32(24)) ^ column]
    return crc
