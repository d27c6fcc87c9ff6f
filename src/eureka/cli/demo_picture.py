"""The picture of `make demo`: what lay in the audio, what was heard of it, and which experts listened.

One figure, time running left to right through all of it: lanes of truth and of what the model heard,
the log-mel spectrogram, and the share of each expert in every audio token. Only this module imports
matplotlib, and draws without a display.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MEL_FRAMES_PER_SECOND = 100
AUDIO_TOKENS_PER_SECOND = 12.5

NIGHT, INK, PAPER, MUTED, GRID = "#0e1224", "#171d36", "#f4efe6", "#8f97b3", "#2a3154"
"""Ground, panels, text, quiet text and lines."""

TRUTH_COLOURS = ("#5b6694", "#4a5480")
SPEECH_COLOUR, SOUND_COLOUR = "#f2b45b", "#5cc8b4"
"""What was heard as speech and as sound; both readable on the dark ground and for the colour-blind."""

EXPERT_COLOURS = ("#7aa2f7", "#e0709a", "#b9a3ee", "#9bcf86", "#e8a06a", "#6cc3e8", "#d6c26e", "#8d7fd6")

SPECTROGRAM_COLOURS = ("#0e1224", "#1f2350", "#473083", "#8a3a8c", "#cf5673", "#f2965f", "#fbd98b", "#fff8e3")
"""From silence to loud: the ground's own blue rising through violet to cream."""


@dataclass(frozen=True, slots=True)
class LaneItem:
    """One bar of a lane: a phrase from `start_seconds` to `end_seconds`."""

    text: str
    start_seconds: float
    end_seconds: float
    is_speech: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class DemoPicture:
    """Everything that the picture shows.

    Attributes:
        title: one line above all.
        subtitle: one quieter line below it.
        log_mel: (M, F) float32, normalised as the model sees it.
        said: what is known to lie in the audio; empty when nothing is known.
        words: what the model heard spoken.
        events: what else it heard, with times; speaking counts here as an event.
        expert_shares: (A, E) weight of each expert in each audio token; rows sum to 1.
        footer: one line at the bottom.
        hz_ticks: mel row and its frequency, for the left axis.
    """

    title: str
    subtitle: str
    log_mel: NDArray[np.float32]
    said: Sequence[LaneItem]
    words: Sequence[LaneItem]
    events: Sequence[LaneItem]
    expert_shares: NDArray[np.float32]
    footer: str = ""
    hz_ticks: Sequence[tuple[float, str]] = field(default_factory=tuple)

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return self.log_mel.shape[1] / MEL_FRAMES_PER_SECOND


def draw_picture(picture: DemoPicture, path: Path) -> None:
    """Write the picture as PNG of 1920 by 1080 pixels; the folder is made."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    style: Any = {
        "font.family": "DejaVu Sans",
        "text.color": PAPER,
        "axes.labelcolor": MUTED,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "axes.edgecolor": GRID,
    }
    with plt.rc_context(style):
        figure = plt.figure(figsize=(16, 9), dpi=120, facecolor=NIGHT)
        panels = _panels(figure, bool(picture.said))
        _draw_titles(figure, picture)
        if picture.said:
            _draw_lane(panels["said"], picture.said, picture.seconds, "in it", is_truth=True)
        _draw_lane(panels["words"], picture.words, picture.seconds, "words", is_truth=False)
        _draw_lane(panels["events"], picture.events, picture.seconds, "sounds", is_truth=False)
        _draw_spectrogram(panels["mel"], picture)
        _draw_experts(panels["experts"], picture)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, facecolor=NIGHT)
        plt.close(figure)


def _panels(figure: Any, has_truth: bool) -> dict[str, Any]:
    names = [*(["said"] if has_truth else []), "words", "events", "mel", "experts"]
    heights = {"said": 0.8, "words": 0.8, "events": 0.8, "mel": 4.6, "experts": 1.7}
    grid = figure.add_gridspec(
        len(names), 1, height_ratios=[heights[n] for n in names],
        left=0.085, right=0.965, top=0.845, bottom=0.105, hspace=0.13,
    )  # fmt: skip
    return {name: figure.add_subplot(grid[i]) for i, name in enumerate(names)}


def _draw_titles(figure: Any, picture: DemoPicture) -> None:
    size = 25 if len(picture.title) < 68 else 25 * 68 / len(picture.title)
    figure.text(0.085, 0.925, picture.title, fontsize=max(size, 13), fontweight="bold", va="baseline")
    figure.text(0.085, 0.878, picture.subtitle, fontsize=13, color=MUTED, va="baseline")
    figure.text(0.965, 0.035, picture.footer, fontsize=10, color=MUTED, ha="right")


def _draw_lane(axis: Any, items: Sequence[LaneItem], seconds: float, name: str, *, is_truth: bool) -> None:
    """Rounded bars with their phrase inside; bars that overlap in time share the height."""
    axis.set_xlim(0, seconds)
    axis.set_ylim(0, 1)
    axis.axis("off")
    axis.text(-0.012, 0.5, name, transform=axis.transAxes, ha="right", va="center", fontsize=13, color=MUTED)
    rows = stack_rows(items)
    count = max(rows, default=0) + 1
    for item, row in zip(items, rows, strict=True):
        top = 1 - row / count
        _draw_bar(axis, item, seconds, (top - 1 / count, top), is_truth)
    if not items:
        axis.text(0.5, 0.5, "nothing", transform=axis.transAxes, ha="center", va="center", color=MUTED)


def stack_rows(items: Sequence[LaneItem]) -> list[int]:
    """Row of each item, in the order given, so that no two items of one row overlap."""
    ends: list[float] = []
    rows = [0] * len(items)
    for index in sorted(range(len(items)), key=lambda i: items[i].start_seconds):
        item = items[index]
        free = [row for row, end in enumerate(ends) if end <= item.start_seconds + 1e-6]
        row = free[0] if free else len(ends)
        ends[row : row + 1] = [item.end_seconds]
        rows[index] = row
    return rows


def _draw_bar(axis: Any, item: LaneItem, seconds: float, band: tuple[float, float], is_truth: bool) -> None:
    from matplotlib.patches import FancyBboxPatch

    colour = TRUTH_COLOURS[0] if is_truth else (SPEECH_COLOUR if item.is_speech else SOUND_COLOUR)
    length = max(item.end_seconds - item.start_seconds, seconds * 0.004)
    low, high = band[0] + 0.05, band[1] - 0.05
    # The lane is about 15 times as wide as high; aspect keeps the corners round in both directions.
    bar = FancyBboxPatch(
        (item.start_seconds, low), length, high - low,
        boxstyle="round,pad=0,rounding_size=0.09", mutation_aspect=1.0, mutation_scale=1.0,
        facecolor=colour, edgecolor="none", alpha=0.95, clip_on=False,
    )  # fmt: skip
    axis.add_patch(bar)
    room = length / seconds * 125  # characters of size 11 that fit the bar
    text = fit_text(item.text, int(room))
    axis.text(
        item.start_seconds + length / 2, (low + high) / 2, text, ha="center", va="center",
        fontsize=12 if band[1] - band[0] > 0.6 else 10, color=PAPER if is_truth else NIGHT,
        fontweight="normal" if is_truth else "bold", clip_on=False,
    )  # fmt: skip


def fit_text(text: str, room: int) -> str:
    """The text in one or two lines of at most `room` characters; cut with an ellipsis where it is longer."""
    if len(text) <= room:
        return text
    words = text.split()
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > room:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    if len(lines) <= 2 and max(map(len, lines)) <= room:
        return "\n".join(lines)
    return text[: room - 1].rstrip() + "…" if room > 3 else ""


def _draw_spectrogram(axis: Any, picture: DemoPicture) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("night", list(SPECTROGRAM_COLOURS))
    num_mel_bins = picture.log_mel.shape[0]
    axis.imshow(
        picture.log_mel, origin="lower", aspect="auto", cmap=colours, interpolation="bilinear",
        extent=(0, picture.seconds, 0, num_mel_bins),
        vmin=float(np.percentile(picture.log_mel, 20)), vmax=float(picture.log_mel.max()),
    )  # fmt: skip
    axis.set_ylabel("frequency (Hz)", fontsize=12)
    if picture.hz_ticks:
        axis.set_yticks([at for at, _ in picture.hz_ticks], [text for _, text in picture.hz_ticks])
    for item in picture.events:
        colour = SPEECH_COLOUR if item.is_speech else SOUND_COLOUR
        for edge in (item.start_seconds, item.end_seconds):
            if 0 < edge < picture.seconds:
                axis.axvline(edge, color=colour, linewidth=1.0, alpha=0.55, linestyle=(0, (2, 3)))
    axis.tick_params(labelbottom=False, length=0)
    _quiet_frame(axis)


def _draw_experts(axis: Any, picture: DemoPicture) -> None:
    """Stacked shares, one colour an expert, a step a token of 80 ms."""
    shares = picture.expert_shares
    starts = np.arange(len(shares)) / AUDIO_TOKENS_PER_SECOND
    floor = np.zeros(len(shares))
    for expert in range(shares.shape[1]):
        axis.bar(
            starts, shares[:, expert], bottom=floor, width=1 / AUDIO_TOKENS_PER_SECOND, align="edge",
            color=EXPERT_COLOURS[expert % len(EXPERT_COLOURS)], linewidth=0,
            label=f"expert {expert + 1}: {shares[:, expert].mean():.0%}",
        )  # fmt: skip
        floor += shares[:, expert]
    axis.set_xlim(0, picture.seconds)
    axis.set_ylim(0, 1)
    axis.set_yticks([0, 0.5, 1], ["0", "½", "1"])
    axis.set_ylabel("expert share", fontsize=12)
    axis.set_xlabel("time (s)", fontsize=12)
    axis.tick_params(length=0)
    _quiet_frame(axis)
    axis.legend(
        loc="upper left", bbox_to_anchor=(-0.005, -0.28), ncols=8, frameon=False, fontsize=11,
        handlelength=0.9, handleheight=0.9, columnspacing=1.6, labelcolor=PAPER, borderaxespad=0,
    )  # fmt: skip


def _quiet_frame(axis: Any) -> None:
    axis.set_facecolor(INK)
    for side in axis.spines.values():
        side.set_visible(False)


def mel_ticks(num_mel_bins: int) -> list[tuple[float, str]]:
    """Mel rows of round frequencies, on the Slaney scale that the filters follow, for 0 to 8 kHz."""
    wanted = {200: "200", 500: "500", 1000: "1k", 2000: "2k", 4000: "4k", 7000: "7k"}
    top = _slaney_mel(8000.0)
    return [(_slaney_mel(float(hz)) / top * num_mel_bins, text) for hz, text in wanted.items()]


def _slaney_mel(hz: float) -> float:
    """Linear to 1 kHz (15 mel), then 27 mel a factor of 6.4."""
    return hz * 3 / 200 if hz < 1000 else 15 + float(np.log(hz / 1000) / np.log(6.4)) * 27
