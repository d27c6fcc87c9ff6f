import struct

import numpy as np
import pytest

from eureka.cli.demo_picture import DemoPicture, LaneItem, draw_picture, fit_text, mel_ticks, stack_rows


def test_stack_rows_keeps_overlapping_items_apart():
    items = [LaneItem("a", 2, 4), LaneItem("b", 0, 3), LaneItem("c", 3, 5), LaneItem("d", 4, 6)]
    assert stack_rows(items) == [1, 0, 0, 1]
    assert stack_rows([]) == []


@pytest.mark.parametrize(
    ("text", "room", "expected"),
    [
        ("rain", 10, "rain"),
        ("turn the lights on", 10, "turn the\nlights on"),
        ("one two three four five six", 9, "one two…"),
        ("chainsaw", 3, ""),
    ],
)
def test_fit_text_breaks_once_and_then_cuts(text, room, expected):
    assert fit_text(text, room) == expected


def test_mel_ticks_rise_within_the_bins_and_follow_the_filters():
    ticks = mel_ticks(80)
    places = [at for at, _ in ticks]
    assert places == sorted(places)
    assert 0 < places[0] < places[-1] < 80
    # 1 kHz is mel 15 of 45.245, so a third of all bins.
    assert dict((text, at) for at, text in ticks)["1k"] == pytest.approx(80 * 15 / 45.245, abs=0.02)


@pytest.mark.parametrize("has_truth", [True, False])
def test_draw_picture_writes_a_full_hd_png(tmp_path, has_truth):
    draw = np.random.default_rng(0)
    shares = draw.dirichlet(np.ones(4), size=25).astype(np.float32)
    path = tmp_path / "new" / "picture.png"
    item = LaneItem("rain", 0.2, 1.4)
    draw_picture(
        DemoPicture(
            title="a title that is so long that it would run out of the picture if it were not set smaller",
            subtitle="",
            log_mel=draw.normal(size=(80, 200)).astype(np.float32),
            said=[item] if has_truth else [],
            words=[LaneItem("turn it off", 0.0, 2.0, is_speech=True)],
            events=[item, LaneItem("man speaking", 1.0, 2.0, is_speech=True)],
            expert_shares=shares,
            hz_ticks=mel_ticks(80),
        ),
        path,
    )
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (1920, 1080)
