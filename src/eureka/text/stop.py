"""Stop strings: where an answer ends because its text says one of the caller's words.

The reference stops at each token id that a stop string encodes to, alone. Here the strings are looked for
in the text, character by character: a string may straddle tokens, may begin or end inside one, and a token
that is only a part of it does not stop anything. The text is that which the tokens spell, spaces included;
special tokens spell nothing, and no string reaches over a time mark.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from eureka.text.tokenizer import Tokenizer


def cut_before_stop(text: str, strings: Sequence[str]) -> str:
    """The text up to the first place where one of `strings` stands; all of it where none does."""
    places = [place for string in strings if (place := text.find(string)) >= 0]
    return text[: min(places, default=len(text))]


class StopText:
    """Lets text through up to the first of some strings; holds back what may be the beginning of one.

    Args:
        strings: none of them empty.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = tuple(strings)
        self._held = ""
        self.is_met = False

    def push(self, text: str) -> str:
        """Text that no stop string can take back; nothing more once one is met."""
        if self.is_met:
            return ""
        text = self._held + text
        before = cut_before_stop(text, self._strings)
        self.is_met = len(before) < len(text)
        sure = before if self.is_met else text[: len(text) - self._num_open(text)]
        self._held = "" if self.is_met else text[len(sure) :]
        return sure

    def flush(self) -> str:
        """What was held back; the next text is a new one."""
        held, self._held = self._held, ""
        return held

    def _num_open(self, text: str) -> int:
        """Length of the longest end of `text` with which a stop string begins."""
        return max((_overlap(text, string) for string in self._strings), default=0)


class StopStrings:
    """Tells the engine, token by token, when an answer has said one of some strings.

    Serves one answer. Bytes of a character that is not complete yet wait for the rest of it.

    Args:
        tokenizer: of the checkpoint.
        strings: none of them empty.
    """

    def __init__(self, tokenizer: Tokenizer, strings: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._text = StopText(strings)

    def push(self, token_id: int) -> bool:
        """Take the next token; True once the answer's text contains one of the strings."""
        is_mark = self._tokenizer.time_token_seconds(token_id) is not None
        self._text.push(self._decoder.decode(self._tokenizer.token_bytes(token_id), final=is_mark))
        if is_mark:
            self._text.flush()
        return self._text.is_met


def _overlap(text: str, string: str) -> int:
    longest = min(len(text), len(string) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(string[:size])), 0)
