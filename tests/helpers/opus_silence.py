"""Hours of silence as a small Ogg Opus file, written page by page: an encoder would take minutes."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

_PACKET = bytes([0xFB, 6])
"""Six frames of 20 ms of nothing: fullband CELT, mono, code 3, constant size 0."""

_PACKET_SECONDS, _PACKETS_A_PAGE = 0.12, 255
_GRANULES_A_SECOND = 48_000
_SERIAL = 7
_FIRST, _LAST = 2, 4


def opus_silence(seconds: float) -> bytes:
    """A file of so many seconds, up to 30.6 s more: whole pages."""
    num_pages = -(-round(seconds / _PACKET_SECONDS) // _PACKETS_A_PAGE)
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, 48_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I4sI", 4, b"none", 0)
    pages = [_page(0, 0, [head], _FIRST), _page(1, 0, [tags], 0)]
    pages += _silent_pages(num_pages)
    return b"".join(pages)


def _silent_pages(number: int) -> Iterator[bytes]:
    granules = round(_PACKETS_A_PAGE * _PACKET_SECONDS * _GRANULES_A_SECOND)
    for index in range(number):
        flag = _LAST if index == number - 1 else 0
        yield _page(index + 2, (index + 1) * granules, [_PACKET] * _PACKETS_A_PAGE, flag)


def _page(number: int, granule: int, packets: Sequence[bytes], flag: int) -> bytes:
    """One page; packets are shorter than 255 bytes."""
    lengths = bytes(len(packet) for packet in packets)
    fields = struct.pack("<4sBBqIIIB", b"OggS", 0, flag, granule, _SERIAL, number, 0, len(packets))
    page = fields + lengths + b"".join(packets)
    return page[:22] + struct.pack("<I", _crc(page)) + page[26:]


def _crc(page: bytes) -> int:
    crc = 0
    for byte in page:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _TABLE[crc >> 24 ^ byte]
    return crc


def _entry(value: int) -> int:
    crc = value << 24
    for _ in range(8):
        crc = (crc << 1 & 0xFFFFFFFF) ^ (0x04C11DB7 if crc & 0x80000000 else 0)
    return crc


_TABLE = [_entry(value) for value in range(256)]
"""CRC-32 of Ogg: polynomial 0x04C11DB7, not reflected, from 0."""
