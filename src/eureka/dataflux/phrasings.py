"""How the grounded writer asks, for somebody who listens; several ways for each skill."""

from __future__ import annotations

PHRASINGS: dict[str, tuple[str, ...]] = {
    "what": (
        "What do you hear?",
        "What can be heard?",
        "Which of these sounds is in the recording?",
        "Which of these do you hear?",
    ),
    "what-not": (
        "Which of these sounds is not in the recording?",
        "Which of these do you not hear?",
        "Which sound is missing here?",
    ),
    "first": ("Which sound comes first?", "What do you hear first?", "What is the first sound?"),
    "last": ("Which sound comes last?", "What starts last?", "What is the last sound to start?"),
    "count": (
        "How many different sounds are there?",
        "How many different sounds do you hear, voices included?",
        "Count the different sounds.",
    ),
    "when": (
        "When does this begin: {about}?",
        "At what time do you first hear this: {about}?",
        "When do you first hear {about}?",
    ),
    "how-long": ("How long does this last: {about}?", "For how long do you hear {about}?"),
    "said": ("What is said?", "What are the words?", "Which words do you hear?", "What does the voice say?"),
    "word": ("Which of these words is said?", "Which of these words do you hear?"),
    "who": ("Who is speaking?", "Who speaks?", "Whose voice do you hear?"),
    "order": ("Which {about} is ordered?", "What {about} does the order name?"),
    "background": (
        "What is heard in the background?",
        "Over what background are the other sounds heard?",
        "What goes on under the other sounds?",
    ),
}
"""Skill -> questions; {about} is the phrase or slot that is asked about."""
