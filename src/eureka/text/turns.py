"""Which turns a conversation may hold, whatever its tokenizer; for both ends of the seam that speaks text."""

from __future__ import annotations

from eureka.errors import InvalidInputError
from eureka.types import TextPart, Turn

ROLES = ("system", "user", "assistant")


def check_turn(turn: Turn) -> None:
    """Refuse a turn without parts, and a caller's whose text is blank; audio alone may be a whole turn.

    Raises:
        InvalidInputError: reason UNKNOWN_ROLE, EMPTY_TURN or EMPTY_QUESTION.
    """
    if turn.role not in ROLES:
        message = f"role {turn.role!r} is not one of {', '.join(ROLES)}"
        raise InvalidInputError(message, reason="UNKNOWN_ROLE")
    if not turn.parts:
        raise InvalidInputError(f"a turn of role {turn.role!r} is empty", reason="EMPTY_TURN")
    texts = [part.text for part in turn.parts if isinstance(part, TextPart)]
    if turn.role == "user" and texts and not any(text.strip() for text in texts):
        raise InvalidInputError("the question is empty", reason="EMPTY_QUESTION")
