"""What goes into the engine and what comes out: Request and its conditions, Label, Delta, LabelScores.

Token ids only: text, templates and audio are the callers' affair. No torch here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eureka.errors import InvalidInputError
from eureka.types import Constraint, Ending, Priority, SamplingParams, TokenLogprobs, Usage

TEXT_TOKEN_TYPE = 0
"""`token_type_ids` of text positions (eureka-audio.md 6, assembly)."""

AUDIO_TOKEN_TYPE = 3
"""`token_type_ids` of positions whose embedding is an audio embedding."""

MAX_STOP_STRINGS, MAX_STOP_CHARACTERS = 8, 64
"""Bounds of `SamplingParams.stop`: each new token is compared with all of them."""

MAX_TOP_LOGPROBS = 20
"""Bound of `SamplingParams.top_logprobs`: each entry travels with each token."""

MAX_CHOICES, MAX_CHOICE_CHARACTERS = 256, 256
"""Bounds of `Constraint.choices`."""

MAX_REGEX_CHARACTERS = 4_096
"""Bound of `Constraint.regex`."""

MAX_SCHEMA_BYTES = 64 * 1024
"""Bound of `Constraint.json_schema`, in UTF-8."""

MAX_COUNT_PENALTY = 2.0
"""Bound of `SamplingParams.presence_penalty` and `frequency_penalty`, either way, as of the OpenAI API."""

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]


def _no_audio() -> Floats:
    return np.zeros((0, 0), dtype=np.float32)


class StopCondition(Protocol):
    """Follows one answer and tells when it has said enough; the engine knows ids, not text."""

    def push(self, token_id: int) -> bool:
        """Take the next token; True once the answer ends with it."""
        ...


class TokenConstraint(Protocol):
    """Follows one answer and tells which tokens may come next; the engine knows ids, not grammars."""

    def mask(self) -> NDArray[np.bool_]:
        """(N,) True at the ids that may come next; ids from N on may not. All False when it has failed."""
        ...

    def push(self, token_id: int) -> bool:
        """Take the next token; True once the answer is whole and nothing but its end may follow."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One unit of work.

    Attributes:
        request_id: the caller's id; unique among the requests that are waiting or running.
        prompt_ids: (L,) int64 with a placeholder at each audio position.
        token_type_ids: (L,) int64; 3 marks the audio positions, 0 all others.
        audio_embeddings: (A, W) float32; row a replaces the embedding at the a-th audio position.
        sampling: how tokens are chosen.
        deadline: time on the engine's clock after which the request ends with DEADLINE.
        priority: a `types.Priority`; higher goes first, equal ones go in the order of arrival.
        stop: ends the answer with STOP behind the token that meets it; follows this request only. It is the
            caller's reading of `sampling.stop`, which the engine checks but cannot look for in ids.
        constraint: what `sampling.constraint` says, in ids, likewise the caller's reading; the answer ends
            with STOP as soon as nothing may follow, with ERROR where nothing is allowed at all, and is not
            watched for loops: a form may ask for the same thing many times.
    """

    request_id: str
    prompt_ids: Ids
    token_type_ids: Ids
    audio_embeddings: Floats = field(default_factory=_no_audio)
    sampling: SamplingParams = field(default_factory=SamplingParams)
    deadline: float | None = None
    priority: int = Priority.DEFAULT
    stop: StopCondition | None = None
    constraint: TokenConstraint | None = None

    @property
    def num_prompt_tokens(self) -> int:
        """Length L of the prompt, audio positions counted."""
        return int(self.prompt_ids.shape[0])

    @property
    def audio_positions(self) -> Ids:
        """Indices (A,) of the prompt positions that hold audio."""
        return np.flatnonzero(self.token_type_ids == AUDIO_TOKEN_TYPE)

    @property
    def is_probe(self) -> bool:
        """Whether it may take the slots that are kept for health probes."""
        return self.priority >= Priority.PROBE


@dataclass(frozen=True, slots=True)
class Label:
    """One candidate of a closed set: its name and its tokens, without the end token."""

    name: str
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Delta:
    """New tokens of a request; the last delta, and only that, carries `ending` and `usage`.

    `logprobs` has one entry a new token where the request's sampling asks for them, else none.
    """

    token_ids: tuple[int, ...] = ()
    ending: Ending | None = None
    usage: Usage | None = None
    logprobs: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelScores:
    """How well each label continues the prompt.

    The length rule: a label's score is the plain sum of the log-probabilities of its tokens and of
    the end token, under the full vocabulary, without division by its length. The end token keeps a
    label from being favoured for being the beginning of another.

    Attributes:
        names: the labels, in the order given.
        log_probabilities: summed log-probability of each label, end token counted.
        usage: what the scoring cost.
    """

    names: tuple[str, ...]
    log_probabilities: tuple[float, ...]
    usage: Usage

    @property
    def probabilities(self) -> dict[str, float]:
        """Softmax of the summed log-probabilities over the labels; sums to 1."""
        logs = np.asarray(self.log_probabilities, dtype=np.float64)
        weights = np.exp(logs - logs.max())
        return dict(zip(self.names, (weights / weights.sum()).tolist(), strict=True))

    @property
    def best(self) -> str:
        """The most probable label; the first one given among equals."""
        return self.names[int(np.argmax(self.log_probabilities))]

    @property
    def best_probability(self) -> float:
        """Probability, under the full vocabulary, that the answer is exactly the best label.

        This is the abstain measure: it is low when the model would rather say something that is
        not in the set, which the probabilities among the labels cannot show.
        """
        return math.exp(max(self.log_probabilities))

    def choose(self, abstain_below: float | None = None) -> str | None:
        """The best label, or None when `best_probability` is under `abstain_below` (0 to 1)."""
        if abstain_below is not None and self.best_probability < abstain_below:
            return None
        return self.best


def check_request(request: Request, vocab_size: int, embedding_width: int) -> None:
    """Refuse a request that cannot be run, whatever the load.

    Raises:
        InvalidInputError: empty prompt, ids outside the vocabulary, in the prompt or banned, audio rows
            that do not match the audio positions, or sampling parameters outside their range.
    """
    ids, types = request.prompt_ids, request.token_type_ids
    if ids.ndim != 1 or ids.shape[0] == 0:
        raise InvalidInputError("the prompt is empty; it needs at least one token", reason="EMPTY_PROMPT")
    if types.shape != ids.shape:
        raise InvalidInputError(f"token_type_ids has shape {types.shape}, the prompt {ids.shape}")
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise InvalidInputError(f"prompt ids must lie in [0, {vocab_size})")
    if not all(0 <= token_id < vocab_size for token_id in request.sampling.ban_token_ids):
        raise InvalidInputError(f"ban_token_ids must lie in [0, {vocab_size})")
    _check_audio(request, embedding_width)
    check_sampling(request.sampling)


def _check_audio(request: Request, embedding_width: int) -> None:
    audio = request.audio_embeddings
    num_positions = request.audio_positions.shape[0]
    if audio.ndim != 2 or audio.shape[0] != num_positions:
        raise InvalidInputError(
            f"the prompt has {num_positions} audio positions, audio_embeddings has shape {audio.shape}"
        )
    if num_positions and audio.shape[1] != embedding_width:
        raise InvalidInputError(f"audio_embeddings is {audio.shape[1]} wide, the decoder {embedding_width}")
    if not np.isfinite(audio).all():
        raise InvalidInputError("audio_embeddings holds NaN or infinite values")


def check_sampling(params: SamplingParams) -> None:
    """Refuse sampling parameters outside their range.

    Raises:
        InvalidInputError: naming the field, its value and its range.
    """
    penalty = params.repetition_penalty
    rules = (
        ("max_new_tokens", params.max_new_tokens >= 1, "at least 1"),
        ("temperature", 0 <= params.temperature < math.inf, "at least 0 (0 is greedy)"),
        ("top_k", params.top_k >= 0, "at least 0 (0 switches it off)"),
        ("top_p", 0 < params.top_p <= 1, "in (0, 1] (1 switches it off)"),
        ("repetition_penalty", penalty is None or 0 < penalty < math.inf, "above 0 (1 switches it off)"),
        ("seed", params.seed >= 0, "at least 0"),
        ("top_logprobs", 0 <= params.top_logprobs <= MAX_TOP_LOGPROBS, f"in [0, {MAX_TOP_LOGPROBS}]"),
        ("stop", len(params.stop) <= MAX_STOP_STRINGS, f"at most {MAX_STOP_STRINGS} strings"),
        ("min_p", 0 <= params.min_p <= 1, "in [0, 1] (0 switches it off)"),
        ("presence_penalty", abs(params.presence_penalty) <= MAX_COUNT_PENALTY, _COUNT_PENALTY_RANGE),
        ("frequency_penalty", abs(params.frequency_penalty) <= MAX_COUNT_PENALTY, _COUNT_PENALTY_RANGE),
        ("stop", all(map(_may_stop, params.stop)), f"strings of 1 to {MAX_STOP_CHARACTERS} characters"),
    )
    for name, holds, wanted in rules:
        if not holds:
            raise InvalidInputError(f"{name} is {getattr(params, name)}; it must be {wanted}")
    if params.constraint is not None:
        check_constraint(params.constraint)


_COUNT_PENALTY_RANGE = f"in [{-MAX_COUNT_PENALTY:g}, {MAX_COUNT_PENALTY:g}] (0 switches it off)"


def check_constraint(constraint: Constraint) -> None:
    """Refuse a constraint beyond its bounds; whether its expression or schema can be read is not looked at.

    Raises:
        InvalidInputError: reason INVALID_CONSTRAINT, with the limit.
    """
    choices, regex, schema = constraint.choices, constraint.regex, constraint.json_schema
    num_characters = max(map(len, choices or ("",)))
    num_bytes = len((schema or "").encode(errors="surrogatepass"))
    rules = (
        ([choices, regex, schema].count(None) == 2, "give one of choices, regex and json_schema"),
        (choices is None or 1 <= len(choices) <= MAX_CHOICES, f"give 1 to {MAX_CHOICES} choices"),
        (
            all(choices or ("x",)) and num_characters <= MAX_CHOICE_CHARACTERS,
            f"a choice has 1 to {MAX_CHOICE_CHARACTERS} characters",
        ),
        (
            regex is None or 1 <= len(regex) <= MAX_REGEX_CHARACTERS,
            f"regex has 1 to {MAX_REGEX_CHARACTERS:,} characters",
        ),
        (
            num_bytes <= MAX_SCHEMA_BYTES,
            f"json_schema has at most {MAX_SCHEMA_BYTES:,} bytes, not {num_bytes:,}",
        ),
    )
    for holds, wanted in rules:
        if not holds:
            raise InvalidInputError(f"constraint: {wanted}", reason="INVALID_CONSTRAINT")


def _may_stop(string: str) -> bool:
    return 1 <= len(string) <= MAX_STOP_CHARACTERS


def check_labels(labels: tuple[Label, ...], vocab_size: int) -> None:
    """Refuse a closed set that cannot be scored.

    Raises:
        InvalidInputError: no label, a label twice, a label without tokens or with unknown ones.
    """
    if not labels:
        raise InvalidInputError("a closed set needs at least one label", reason="NO_LABELS")
    names = [label.name for label in labels]
    if len(set(names)) != len(names):
        raise InvalidInputError(f"labels must differ: {names}", reason="REPEATED_LABEL")
    for label in labels:
        if not label.token_ids or not all(0 <= i < vocab_size for i in label.token_ids):
            raise InvalidInputError(f"label {label.name!r} has no tokens in this vocabulary")
