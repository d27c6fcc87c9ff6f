"""What every model.py does: parameters, start-up checks, tensors and errors in Triton's own classes.

`pb_utils` exists in model processes only, so it comes as an argument.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from eureka.engine.choice import GRAPHS, BackendChoice, BackendName, Numerics
from eureka.engine.messages import TRACEPARENT, ModelSpec, TensorSpec, delta_json, error_text
from eureka.engine.request import Delta, LabelScores
from eureka.errors import CancelledError, EurekaError, InvalidInputError, WrongStateError
from eureka.spans import NO_SPAN, NO_TRACER, Span, SpanKind, Tracer

_log = logging.getLogger(__name__)

VARIABLES = {
    "checkpoint": "EUREKA_CHECKPOINT",
    "backend": "EUREKA_BACKEND",
    "numerics": "EUREKA_NUMERICS",
    "dtype": "EUREKA_DTYPE",
    "device": "EUREKA_TRITON__DEVICE",
    "num_threads": "EUREKA_NUM_THREADS",
    "cache_folder": "EUREKA_CACHE_FOLDER",
    "batch_invariant": "EUREKA_BATCH_INVARIANT",
    "num_slots": "EUREKA_TRITON__NUM_SLOTS",
    "max_waiting": "EUREKA_TRITON__MAX_WAITING",
}
"""Parameter -> environment variable: names that `Settings` knows, so that all components may share them."""

_CALLER_GONE = "the request was cancelled before its turn"

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ModelParameters:
    """Parameters of a model, from config.pbtxt, a load with an override, or the environment.

    Attributes:
        checkpoint: folder; EUREKA_CHECKPOINT.
        choice: what computes; EUREKA_BACKEND, EUREKA_NUMERICS, EUREKA_DTYPE, EUREKA_TRITON__DEVICE,
            EUREKA_NUM_THREADS, EUREKA_BATCH_INVARIANT, and EUREKA_CACHE_FOLDER, below which graphs are kept.
        num_slots: requests decoded at once; EUREKA_TRITON__NUM_SLOTS.
        max_waiting: requests that may wait for a slot; EUREKA_TRITON__MAX_WAITING.
    """

    checkpoint: Path
    choice: BackendChoice
    num_slots: int
    max_waiting: int

    @classmethod
    def read(cls, args: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> ModelParameters:
        """Read `args` of initialize; a parameter left empty comes from the environment, then the default.

        Raises:
            WrongStateError: no checkpoint is named, or a value cannot be read.
        """
        config = json.loads(args["model_config"])
        given = {name: value["string_value"] for name, value in config.get("parameters", {}).items()}

        def find(name: str, default: str) -> str:
            return given.get(name) or environ.get(VARIABLES[name]) or default

        checkpoint = find("checkpoint", "")
        if not checkpoint:
            raise WrongStateError(
                "no checkpoint is named; set the model's parameter checkpoint or EUREKA_CHECKPOINT"
            )
        device = find("device", "auto")
        if device == "auto":
            device = "cuda" if args.get("model_instance_kind") == "GPU" else "cpu"
        if device == "cuda":
            device = f"cuda:{args.get('model_instance_device_id', '0')}"
        return cls(
            Path(checkpoint),
            _choice(find, device),
            _count("num_slots", find("num_slots", "8")),
            _count("max_waiting", find("max_waiting", "64")),
        )


def prepare_process(pb_utils: Any, args: Mapping[str, Any]) -> ModelParameters:
    """Threads, log and tensor check of a model process; its parameters.

    Raises:
        WrongStateError: as `ModelParameters.read`, or tensors do not come through.
    """
    # On the server's standard error, where its log is.
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    where = {"model": args["model_name"], "prefix": sys.prefix, "numpy": np.__version__}
    pb_utils.Logger.log_info("model process: " + json.dumps(where))
    check_round_trip(pb_utils)
    return ModelParameters.read(args)


def check_round_trip(pb_utils: Any) -> None:
    """Refuse to start where arrays come back empty, as with numpy 2 under servers built for numpy 1.

    Raises:
        WrongStateError: naming numpy's version.
    """
    sent = np.arange(3, dtype=np.float32)
    back = pb_utils.Tensor("trial", sent).as_numpy()
    if not np.array_equal(sent, back):
        raise WrongStateError(
            f"tensors do not come through this server with numpy {np.__version__}; install numpy < 2"
        )


def answer_each(
    pb_utils: Any,
    spec: ModelSpec,
    requests: Sequence[Any],
    answer: Callable[[Arrays], Arrays],
    tracer: Tracer = NO_TRACER,
) -> None:
    """One response a request: an error where `answer` raises, and where the caller has gone meanwhile.

    Each goes out as soon as it is there: what comes next begins with a batch's first, not behind its last.

    Args:
        pb_utils: Triton's.
        spec: names and ranks of tensors; the size of the batch, always 1, is taken off and put back.
        requests: as execute got them.
        answer: arrays by name in, arrays by name out, for one request.
        tracer: makes a span about each request that belongs to a trace.
    """
    final = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
    for request in requests:
        sender = request.get_response_sender()
        with request_span(tracer, spec, request) as span:
            response = _answer(pb_utils, spec, request, answer, span)
        sender.send(response, flags=final)


def request_span(tracer: Tracer, spec: ModelSpec, request: Any) -> AbstractContextManager[Span]:
    """A span about a request that belongs to a trace; else one that records nothing."""
    parent = trace_of(request) if tracer.is_on else ""
    if not parent:
        return NO_TRACER.span(spec.name)
    return tracer.span(f"model/{spec.name}", parent, SpanKind.SERVER)


def trace_of(request: Any) -> str:
    """The trace context that a request came with; empty without one."""
    given = json.loads(request.parameters() or "{}")
    return str(given.get(TRACEPARENT, ""))


def read_inputs(pb_utils: Any, spec: ModelSpec, request: Any) -> dict[str, NDArray[Any]]:
    """Arrays of a request by name, without the size of the batch; optional ones may be absent.

    Raises:
        InvalidInputError: several rows in one request.
    """
    found = {}
    for tensor in spec.inputs:
        given = pb_utils.get_input_tensor_by_name(request, tensor.name)
        if given is not None:
            array = _without_batch(given.as_numpy(), tensor, spec)
            # A decoupled request outlives execute, the server's memory behind its arrays does not.
            found[tensor.name] = array.copy() if spec.is_decoupled else array
    return found


def triton_error(pb_utils: Any, error: BaseException) -> Any:
    """A TritonError with our text and code."""
    code = error.triton_code if isinstance(error, EurekaError) else "INTERNAL"
    return pb_utils.TritonError(error_text(error), getattr(pb_utils.TritonError, code))


class TritonSender:
    """Sender of one decoupled request.

    Args:
        pb_utils: Triton's.
        response_sender: of the request.
        spec: names of the outputs: token ids, then the delta.
        span: about the request, entered here and left with the final; None without one.
    """

    def __init__(
        self,
        pb_utils: Any,
        response_sender: Any,
        spec: ModelSpec,
        span: AbstractContextManager[Span] | None = None,
    ) -> None:
        self._pb_utils = pb_utils
        self._ending = ExitStack()
        self._span = self._ending.enter_context(span) if span is not None else NO_SPAN
        self._response_sender = response_sender
        self._ids_name, self._delta_name = (tensor.name for tensor in spec.outputs)

    def send(self, delta: Delta, scores: LabelScores | None, is_final: bool) -> None:
        """Send new tokens, and the final flag with the last of them."""
        self._note(delta)
        pb_utils = self._pb_utils
        ids = np.array(delta.token_ids, dtype=np.int64)
        text = np.array([delta_json(delta, scores)], dtype=np.object_)
        tensors = [pb_utils.Tensor(self._ids_name, ids), pb_utils.Tensor(self._delta_name, text)]
        self._send(pb_utils.InferenceResponse(tensors), is_final)

    def fail(self, error: BaseException) -> None:
        """Send an error with the final flag."""
        self._span.set(failed=1)
        error_of_triton = triton_error(self._pb_utils, error)
        self._send(self._pb_utils.InferenceResponse(error=error_of_triton), True)

    def is_cancelled(self) -> bool:
        """Whether the client cancelled or went away."""
        return bool(self._response_sender.is_cancelled())

    def _send(self, response: Any, is_final: bool) -> None:
        flags = self._pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL if is_final else 0
        if is_final:
            self._ending.close()
        self._response_sender.send(response, flags=flags)

    def _note(self, delta: Delta) -> None:
        if delta.ending is not None:
            self._span.set(ending=delta.ending.value)
        if delta.usage is not None:
            usage = delta.usage
            self._span.set(prompt_tokens=usage.prompt_tokens, generated_tokens=usage.generated_tokens)
            self._span.set(**{f"{stage}_seconds": spent for stage, spent in usage.seconds.items()})


def _answer(
    pb_utils: Any, spec: ModelSpec, request: Any, answer: Callable[[Arrays], Arrays], span: Span
) -> Any:
    try:
        if request.is_cancelled():  # while those before it in the batch were computed, or it waited
            raise CancelledError(_CALLER_GONE)
        found = answer(read_inputs(pb_utils, spec, request))
        arrays = {name: array[None] if spec.is_batched else array for name, array in found.items()}
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in arrays.items()])
    except Exception as error:
        if not isinstance(error, EurekaError):
            _log.exception("inference_failed")
        span.set(failed=1)
        return pb_utils.InferenceResponse(error=triton_error(pb_utils, error))


def _without_batch(array: NDArray[Any], tensor: TensorSpec, spec: ModelSpec) -> NDArray[Any]:
    if not spec.is_batched:
        return array
    if len(array) != 1:
        raise InvalidInputError(
            f"{tensor.name} has {len(array)} rows; send one request for each", reason="INVALID_TENSOR"
        )
    row: NDArray[Any] = array[0]
    return row


def _choice(find: Callable[[str, str], str], device: str) -> BackendChoice:
    cache_folder = find("cache_folder", "")
    try:
        return BackendChoice(
            _one_of(get_args(BackendName), "backend", find("backend", "auto")),
            _one_of(get_args(Numerics), "numerics", find("numerics", "exact")),
            find("dtype", "float32"),
            device,
            _count("num_threads", find("num_threads", "1")),
            Path(cache_folder) / GRAPHS if cache_folder else None,
            _one_of(("false", "true"), "batch_invariant", find("batch_invariant", "false").lower()) == "true",
        )
    except InvalidInputError as error:
        raise WrongStateError(error.message) from error


def _one_of(allowed: tuple[Any, ...], name: str, value: str) -> Any:
    if value not in allowed:
        raise WrongStateError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    return value


def _count(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise WrongStateError(f"{name} must be a number of at least 1, not {text!r}")
    return int(text)
