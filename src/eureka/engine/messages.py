"""What crosses the border of a Triton model: names and types of tensors, JSON of requests, errors.

The one place for all of it: the backends of `serving`, the config.pbtxt of `model_repo` (a contract test
compares) and the client of `clients` use these. They are strangers to each other on one floor, so it stands
below both. No torch here, no transport.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

from eureka.engine.request import Delta, Floats, Ids, Label, LabelScores, Request
from eureka.errors import EurekaError, InvalidInputError, error_classes
from eureka.types import Constraint, Ending, Priority, SamplingParams, TokenLogprobs, Usage


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor of a model: its name, Triton's name of its type, and its sizes (-1 is any).

    A model that batches has one size more in front, always 1 in one request.
    """

    name: str
    datatype: str
    dims: tuple[int, ...]
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The border of one model."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    is_batched: bool = True
    is_decoupled: bool = False


PCM = TensorSpec("pcm", "FP32", (-1,))
"""All items of a request joined, samples at 16 kHz."""

ITEM_LENGTHS = TensorSpec("item_lengths", "INT64", (-1,))
"""Samples of each item, in order; they sum to the length of pcm."""

ENCODER_FRAMES = TensorSpec("encoder_frames", "FP32", (-1, -1))
"""(T, D), 50 a second. Empty as an input it asks the adapter for a trial of its own: (0, W) comes back."""

AUDIO_EMBEDDINGS = TensorSpec("audio_embeddings", "FP32", (-1, -1))
"""(A, W), 12.5 a second."""

PROMPT_IDS = TensorSpec("prompt_ids", "INT64", (-1,))
TOKEN_TYPE_IDS = TensorSpec("token_type_ids", "INT64", (-1,))

PROMPT_AUDIO = TensorSpec("audio_embeddings", "FP32", (-1, -1), is_optional=True)
"""(A, W); left out where the prompt holds no audio."""

TRACEPARENT = "traceparent"
"""Parameter of a request that belongs to a trace: its W3C trace context."""

REQUEST = TensorSpec("request", "BYTES", (1,))
"""JSON of `request_json`."""

TOKEN_IDS = TensorSpec("token_ids", "INT64", (-1,))
"""New tokens since the last response, possibly none."""

DELTA = TensorSpec("delta", "BYTES", (1,))
"""JSON of `delta_json`; {} when there are only tokens, or none: a sign of life."""

AUDIO_ENCODER = ModelSpec("audio_encoder", (PCM, ITEM_LENGTHS), (ENCODER_FRAMES,))
MOE_ADAPTER = ModelSpec("moe_adapter", (ENCODER_FRAMES,), (AUDIO_EMBEDDINGS,))
AUDIO_FRONTEND = ModelSpec("audio_frontend", (PCM, ITEM_LENGTHS), (AUDIO_EMBEDDINGS,))
LLM_DECODER = ModelSpec(
    "llm_decoder",
    (PROMPT_IDS, TOKEN_TYPE_IDS, PROMPT_AUDIO, REQUEST),
    (TOKEN_IDS, DELTA),
    is_batched=False,
    is_decoupled=True,
)

MODELS = (AUDIO_ENCODER, MOE_ADAPTER, AUDIO_FRONTEND, LLM_DECODER)
"""All models; the ensemble after its members, as they have to be loaded."""

_TOKENS_ONLY = b"{}"
"""JSON of nearly every delta: written and read without a look at JSON."""

SIGN_OF_LIFE_SECONDS = 1.0
"""A decoder sends an empty response on a stream that was quiet for so long, also while the request waits."""


@dataclass(frozen=True, slots=True, eq=False)
class DecoderCall:
    """One request as it arrives at the decoder; `labels` is empty but for closed sets."""

    request: Request
    labels: tuple[Label, ...] = ()


def request_json(request: Request, labels: Sequence[Label], now: float) -> bytes:
    """All of a request but its tensors; its deadline becomes the seconds left at `now` on its clock."""
    timeout = None if request.deadline is None else max(0.0, request.deadline - now)
    plain = {
        "request_id": request.request_id,
        "sampling": asdict(request.sampling),
        "timeout_seconds": timeout,
        "priority": int(request.priority),
        "labels": [[label.name, list(label.token_ids)] for label in labels] or None,
    }
    return json.dumps(plain).encode()


def parse_request(
    text: bytes, prompt_ids: Ids, token_type_ids: Ids, audio: Floats, now: float
) -> DecoderCall:
    """The call that `request_json` wrote; its deadline is counted from `now`.

    Raises:
        InvalidInputError: no JSON object of that form (INVALID_MESSAGE).
    """
    try:
        plain: dict[str, Any] = json.loads(text)
        timeout = plain.get("timeout_seconds")
        request = Request(
            request_id=str(plain["request_id"]),
            prompt_ids=prompt_ids,
            token_type_ids=token_type_ids,
            audio_embeddings=audio,
            sampling=_sampling(plain.get("sampling") or {}),
            deadline=None if timeout is None else now + float(timeout),
            priority=int(plain.get("priority") or Priority.DEFAULT),
        )
        labels = tuple(Label(str(n), tuple(int(i) for i in ids)) for n, ids in plain.get("labels") or ())
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidInputError(f"unreadable request: {error}", reason="INVALID_MESSAGE") from error
    return DecoderCall(request, labels)


def delta_json(delta: Delta, scores: LabelScores | None = None) -> bytes:
    """What a delta holds beside its token ids."""
    if scores is None and delta == Delta(delta.token_ids):
        return _TOKENS_ONLY
    plain: dict[str, Any] = {}
    if delta.ending is not None:
        plain["ending"] = delta.ending.value
    if delta.usage is not None:
        plain["usage"] = asdict(delta.usage)
    if delta.logprobs:
        plain["logprobs"] = [list(astuple(one)) for one in delta.logprobs]
    if scores is not None:
        plain["scores"] = dict(zip(scores.names, scores.log_probabilities, strict=True))
    return json.dumps(plain).encode()


@dataclass(frozen=True, slots=True)
class DecoderAnswer:
    """One response of the decoder; `scores` comes with the ending of a closed set."""

    delta: Delta
    scores: LabelScores | None = None


def parse_delta(token_ids: Ids, text: bytes) -> DecoderAnswer:
    """The delta that `delta_json` wrote, with its token ids."""
    if text == _TOKENS_ONLY:
        return DecoderAnswer(Delta(tuple(token_ids.tolist())))
    plain: dict[str, Any] = json.loads(text)
    usage = Usage(**plain["usage"]) if "usage" in plain else None
    ending = Ending(plain["ending"]) if "ending" in plain else None
    logprobs = tuple(_token_logprobs(*row) for row in plain.get("logprobs", ()))
    delta = Delta(tuple(token_ids.tolist()), ending, usage, logprobs)
    if "scores" not in plain or usage is None:
        return DecoderAnswer(delta)
    scored = plain["scores"]
    return DecoderAnswer(delta, LabelScores(tuple(scored), tuple(scored.values()), usage))


def join_deltas(deltas: Sequence[Delta]) -> Delta:
    """Neighbouring deltas of one request as one."""
    ids = tuple(token_id for delta in deltas for token_id in delta.token_ids)
    logprobs = tuple(one for delta in deltas for one in delta.logprobs)
    return Delta(ids, deltas[-1].ending, deltas[-1].usage, logprobs)


def error_text(error: BaseException) -> str:
    """An error as one line: REASON: message, or KIND/REASON: message where the reason is narrower.

    KIND is the reason word of the error's class, by which `parse_error` finds the class again. What was not
    raised on purpose keeps its message to itself.
    """
    if not isinstance(error, EurekaError):
        return "INTERNAL: the model failed; the server's log says why"
    kind = type(error).default_reason
    head = kind if kind == error.reason else f"{kind}/{error.reason}"
    return f"{head}: {error.message}"


def parse_error(text: str) -> EurekaError | None:
    """The error that `error_text` wrote, also behind words that Triton put before it; None for other text."""
    for match in _ERROR.finditer(text):
        kind = next((k for k in error_classes() if k.default_reason == match[1]), None)
        if kind is not None:
            return kind(match[3], reason=match[2] or match[1])
    return None


_ERROR = re.compile(r"(?<![\w/])([A-Z][A-Z_]+)(?:/([A-Z][A-Z0-9_]*))?: (?s:(.*))")


def _token_logprobs(
    token_id: int, logprob: float, top_ids: list[int], top_logprobs: list[float]
) -> TokenLogprobs:
    return TokenLogprobs(token_id, logprob, tuple(top_ids), tuple(top_logprobs))


def _sampling(plain: dict[str, Any]) -> SamplingParams:
    """Sampling parameters from JSON, where tuples have become lists."""
    constraint = plain.get("constraint")
    read = None if constraint is None else Constraint(**_with_tuples(constraint))
    return SamplingParams(**{**_with_tuples(plain), "constraint": read})


def _with_tuples(plain: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
