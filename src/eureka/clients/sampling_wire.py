"""SamplingParams and Constraint messages from and to value types.

The messages of eureka.api.v1 and of eureka.stage.v1 are alike but for banned tokens, which stand between
stages only; so they are `Any` here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eureka.types import Constraint, SamplingParams

_SINGLE_VALUED = (
    "max_new_tokens",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "top_logprobs",
)
"""Fields with presence, named alike in messages and `SamplingParams`."""


def fill_sampling(message: Any, sampling: SamplingParams) -> None:
    """Write all of `sampling` but its bans into an empty message; of a constraint, one kind.

    Raises:
        ValueError, TypeError: a value that the message cannot hold.
    """
    for name in _SINGLE_VALUED:
        if (value := getattr(sampling, name)) is not None:
            setattr(message, name, value)
    message.stop.extend(sampling.stop)
    if sampling.constraint is not None:
        _fill_constraint(message.constraint, sampling.constraint)


def sampling_of(message: Any) -> SamplingParams:
    """What a message says; what it leaves unset has its default, bans are left out."""
    given = {name: as_written(getattr(message, name)) for name in _SINGLE_VALUED if message.HasField(name)}
    constraint = _constraint_of(message.constraint) if message.HasField("constraint") else None
    return SamplingParams(**given, stop=tuple(message.stop), constraint=constraint)


def as_written(value: Any) -> Any:
    """0.4 again for the float32 next to 0.4, so that a served answer samples as one in this process."""
    return value if isinstance(value, int) else float(str(np.float32(value)))


def _fill_constraint(message: Any, constraint: Constraint) -> None:
    message.SetInParent()
    if constraint.choices is not None:
        message.choices.SetInParent()  # an empty list is refused where it arrives
        message.choices.values.extend(constraint.choices)
    elif constraint.regex is not None:
        message.regex = constraint.regex
    elif constraint.json_schema is not None:
        message.json_schema = constraint.json_schema


def _constraint_of(message: Any) -> Constraint:
    kind = message.WhichOneof("kind")
    return Constraint(
        tuple(message.choices.values) if kind == "choices" else None,
        message.regex if kind == "regex" else None,
        message.json_schema if kind == "json_schema" else None,
    )
