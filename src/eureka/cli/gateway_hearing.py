"""Hears files at a gateway; imports neither torch nor a decoder of audio."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from eureka.cli.listening import HearPath, hear_file, options_of
from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_types import ServedModels
from eureka.errors import StageUnavailableError, UnauthenticatedError
from eureka.pipeline.options import ListenOptions
from eureka.runtime.settings import Settings
from eureka.runtime.tls import channel_tls
from eureka.types import HearingResult

CALL_SECONDS = 3_600.0
"""Time of one file, its upload included; a gateway that went away is noticed by keepalive long before."""


@contextmanager
def open_gateway_hearing(
    target: str, settings: Settings, arguments: argparse.Namespace
) -> Iterator[HearPath]:
    """A gateway, as a function from path to outcome.

    Raises:
        StageUnavailableError: reason GATEWAY_UNREACHABLE.
        EurekaError: it refuses us, or `target` is none.
    """
    key = settings.api_key.get_secret_value() or None
    tls = channel_tls(settings.tls)
    with GatewayClient(target, key=key, tls=tls, timeout_seconds=CALL_SECONDS) as client:
        served = _greeted(client, target)
        options = options_of(arguments, served.default.time_step_seconds is not None)
        hear = _HEAR[arguments.command]
        yield lambda path: hear_file(path, lambda: hear(client, path, options, arguments))


def _greeted(client: GatewayClient, target: str) -> ServedModels:
    """What the gateway serves; asked first, so that one message tells of a gateway that is away."""
    try:
        return client.models(timeout_seconds=30)
    except StageUnavailableError as error:
        message = f"no gateway answers at {target}: {error.message}"
        raise StageUnavailableError(message, reason="GATEWAY_UNREACHABLE") from error
    except UnauthenticatedError as error:
        message = f"{error.message}; commands take it from EUREKA_API_KEY"
        raise UnauthenticatedError(message, reason=error.reason) from error


Hear = Callable[[GatewayClient, str, ListenOptions, argparse.Namespace], HearingResult]


def _transcribe(
    client: GatewayClient, path: str, options: ListenOptions, arguments: argparse.Namespace
) -> HearingResult:
    return client.transcribe(
        path,
        language=arguments.language or "",
        sampling=options.sampling,
        max_window_seconds=options.max_window_seconds,
    )


def _caption(
    client: GatewayClient, path: str, options: ListenOptions, arguments: argparse.Namespace
) -> HearingResult:
    return client.caption(path, sampling=options.sampling, max_window_seconds=options.max_window_seconds)


def _ask(
    client: GatewayClient, path: str, options: ListenOptions, arguments: argparse.Namespace
) -> HearingResult:
    return client.ask(arguments.question, path, sampling=options.sampling)


def _classify(
    client: GatewayClient, path: str, options: ListenOptions, arguments: argparse.Namespace
) -> HearingResult:
    return client.classify(path, arguments.labels, abstain_below=arguments.abstain_below)


_HEAR: dict[str, Hear] = {
    "transcribe": _transcribe,
    "caption": _caption,
    "ask": _ask,
    "classify": _classify,
}
