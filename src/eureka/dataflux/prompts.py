"""Prompts: text files with placeholders in double braces, filled in once and completely."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from eureka.errors import InvalidInputError

_PLACEHOLDER = re.compile(r"\{\{([A-Z_]+)\}\}")


@cache
def prompt_text(name: str) -> str:
    """The prompt of a name, placeholders and all."""
    path = files("eureka.dataflux") / "assets" / "prompts" / f"{name}.txt"
    return path.read_text(encoding="utf-8").strip()


def fill(name: str, values: Mapping[str, str]) -> str:
    """The prompt with its placeholders filled in; what stands in a value is never filled in again.

    Raises:
        InvalidInputError: the values are not those that the prompt has places for.
    """
    text = prompt_text(name)
    wanted = set(_PLACEHOLDER.findall(text))
    if wanted != set(values):
        message = f"prompt {name} has places for {sorted(wanted)}, not for {sorted(values)}"
        raise InvalidInputError(message, reason="INVALID_PROMPT")
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def prompt_digest(name: str) -> str:
    """What tells one wording from another, for the names of records."""
    return hashlib.sha256(prompt_text(name).encode()).hexdigest()[:16]


@cache
def few_shot(skill: str) -> str:
    """Examples of a skill, one below the other."""
    path = files("eureka.dataflux") / "assets" / "prompts" / "few_shot.toml"
    examples = tomllib.loads(path.read_text(encoding="utf-8"))["examples"]
    return "\n\n".join(examples.get(skill) or examples["open"])
