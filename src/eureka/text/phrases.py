"""Ids of an answer to phrases with time marks; the decoder's half of what `segments` finishes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eureka.text.stop import cut_before_stop
from eureka.text.tokenizer import Tokenizer
from eureka.types import Phrase

_LONGEST_LOOP_TOKENS = 64
"""Longest pattern looked for when a loop is collapsed; the engine's own limit is below this."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Ids between two marks, or an edge and a mark; `mark` is the one behind them, in seconds."""

    token_ids: tuple[int, ...]
    mark: float | None


def answer_phrases(ids: Sequence[int], tokenizer: Tokenizer, stop: Sequence[str] = ()) -> tuple[Phrase, ...]:
    """Phrases of one answer, each with the nearest mark before and behind it.

    `<|0.4|>dog bark<|1.2|>` is a phrase from 0.4 to 1.2 s. One mark between two phrases ends the first and
    starts the second; further marks between them belong to none. A phrase holds text: marks with nothing
    between them make none.

    Args:
        ids: generated ids, the last of them the one that met a stop string, if any did.
        tokenizer: knows which ids are time tokens.
        stop: strings before which the text ends.
    """
    phrases: list[Phrase] = []
    text = ""
    start: float | None = None
    marks: tuple[float, ...] = ()
    for run in _runs(ids, tokenizer):
        if said := cut_before_stop(_spelled(run.token_ids, tokenizer), stop).strip():
            if text:
                phrases.append(Phrase(text, start, marks[0]))
            text, start, marks = said, marks[-1] if marks else None, ()
        if run.mark is not None:
            marks += (run.mark,)
    if text:
        phrases.append(Phrase(text, start, marks[0] if marks else None))
    return tuple(phrases)


def collapse_loop(ids: Sequence[int]) -> tuple[int, ...]:
    """The ids with a pattern that fills their end in three or more copies kept once."""
    for period in range(1, min(_LONGEST_LOOP_TOKENS, len(ids) // 3) + 1):
        run = _matching_tail(ids, period)
        if run >= 2 * period:
            return tuple(ids[: len(ids) - run])
    return tuple(ids)


def _runs(ids: Sequence[int], tokenizer: Tokenizer) -> Iterator[_Run]:
    run: list[int] = []
    for token_id in ids:
        seconds = tokenizer.time_token_seconds(token_id)
        if seconds is None:
            run.append(token_id)
            continue
        yield _Run(tuple(run), seconds)
        run = []
    yield _Run(tuple(run), None)


def _spelled(ids: Sequence[int], tokenizer: Tokenizer) -> str:
    """Text of ids, spaces at the edges kept: a stop string may ask for one."""
    return b"".join(map(tokenizer.token_bytes, ids)).decode("utf-8", errors="replace")


def _matching_tail(ids: Sequence[int], period: int) -> int:
    """How many of the last ids equal the one `period` places before."""
    run = 0
    for place in range(len(ids) - 1, period - 1, -1):
        if ids[place] != ids[place - period]:
            break
        run += 1
    return run
