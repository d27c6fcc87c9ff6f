"""Token ids to text while they arrive: no half characters, no time marks, no loose spaces.

The deltas of one answer, joined, are the text that its phrases (`phrases.answer_phrases`) give.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence

from eureka.text.segments import PHRASE_SEPARATOR
from eureka.text.stop import StopText
from eureka.text.tokenizer import Tokenizer


class IncrementalDetokenizer:
    """Turns one answer's ids into text deltas.

    Bytes of a character that is not complete yet are held back, as are spaces that may turn out to
    be the last, and the beginning of a stop string. Time tokens between two phrases become ", "; other
    special tokens vanish.

    Args:
        tokenizer: of the checkpoint.
        stop: strings before the first of which the text ends; see `stop` for what they are compared with.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stop = StopText(stop)
        self._held_space = ""
        self._has_text = False
        self._starts_phrase = True

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string was met; no text follows."""
        return self._stop.is_met

    def push(self, ids: Iterable[int]) -> str:
        """Text that these ids complete; may be empty."""
        return "".join(self._push_one(token_id) for token_id in ids)

    def flush(self) -> str:
        """The rest, at the end of the answer: an unfinished character comes out as U+FFFD."""
        text = self._stop.push(self._decoder.decode(b"", final=True))
        return self._emit(text + self._stop.flush())

    def _push_one(self, token_id: int) -> str:
        if self._tokenizer.time_token_seconds(token_id) is None:
            return self._emit(self._stop.push(self._decoder.decode(self._tokenizer.token_bytes(token_id))))
        delta = self.flush()
        self._starts_phrase = True
        self._held_space = ""
        return delta

    def _emit(self, text: str) -> str:
        text = self._held_space + text
        if self._starts_phrase:
            text = text.lstrip()
        body = text.rstrip()
        self._held_space = text[len(body) :]
        if not body:
            return ""
        separator = PHRASE_SEPARATOR if self._starts_phrase and self._has_text else ""
        self._has_text, self._starts_phrase = True, False
        return separator + body
