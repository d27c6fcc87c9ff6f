"""Where the listening commands work: at a gateway, or in this process."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from eureka.errors import InvalidInputError
from eureka.runtime.settings import Settings
from eureka.runtime.stack_state import StackFolder

_IN_THIS_PROCESS = "no server is running; working in this process"
_OWN_CHECKPOINT = "--checkpoint is for this process; working in it"
_STACK_STARTS = "the local stack is not ready; working in this process"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to work.

    Attributes:
        gateway: host:port; None is this process.
        told: why, for stderr; empty where the user named it.
    """

    gateway: str | None
    told: str = ""


def choose_target(arguments: argparse.Namespace, settings: Settings) -> Target:
    """--local or --gateway, else EUREKA_TARGET, else the running local stack, else this process.

    A --checkpoint is for this process: it is taken before a stack that nobody named.

    Raises:
        InvalidInputError: reason CHECKPOINT_WITH_GATEWAY; a gateway has its own checkpoints.
    """
    target = _named(arguments) or _by_default(settings, arguments.checkpoint is not None)
    if target.gateway is not None and arguments.checkpoint is not None:
        message = f"--checkpoint is for this process; the gateway {target.gateway} has its own. Add --local"
        raise InvalidInputError(message, reason="CHECKPOINT_WITH_GATEWAY")
    return target


def _named(arguments: argparse.Namespace) -> Target | None:
    if arguments.local:
        return Target(None)
    return Target(arguments.gateway) if arguments.gateway is not None else None


def _by_default(settings: Settings, has_checkpoint: bool) -> Target:
    if settings.target:
        return Target(settings.target, f"working at the gateway {settings.target} (EUREKA_TARGET)")
    stack = StackFolder(settings.stack.folder).read()
    if stack is None:
        return Target(None, _IN_THIS_PROCESS)
    if has_checkpoint:
        return Target(None, _OWN_CHECKPOINT)
    if not stack.is_ready:
        return Target(None, _STACK_STARTS)
    return Target(stack.gateway, f"working at the local stack, {stack.gateway}")
