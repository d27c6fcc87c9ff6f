"""Two decoder services behind one gateway: they share the work, and one that dies takes no call with it."""

from __future__ import annotations

import os
import re
import signal
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from eureka.clients.gateway import GatewayClient
from eureka.clients.gateway_types import ChatTurn
from eureka.runtime.stack_state import StackFolder
from eureka.types import Ending, SamplingParams
from tests.helpers.stack_user import StackUser, until

NUM_REQUESTS, NUM_MORE, NUM_THREADS = 200, 60, 6
DECODERS = ("decoder", "decoder-2")
ENDED = {Ending.STOP, Ending.LENGTH, Ending.REPETITION}

TURNS = [ChatTurn("user", ("What do you hear?",))]
SHORT, ONE_TOKEN = SamplingParams(4), SamplingParams(1)
"""A whole answer is asked for again when its decoder dies. A stream is not, once it has begun, as what was
said cannot be taken back: it has one token here, so that it begins with its end."""


@pytest.fixture(scope="module")
def stack(user: StackUser) -> StackUser:
    user.run("up", "--detach", "--decoders", "2")
    return user


@pytest.fixture(scope="module")
def client(stack: StackUser) -> Iterator[GatewayClient]:
    with GatewayClient(stack.components()["gateway"]["address"], timeout_seconds=60) as client:
        yield client


def test_two_decoders_share_the_calls(stack: StackUser, client: GatewayClient) -> None:
    before = _served(stack)

    _ask_many(client, NUM_REQUESTS)

    # A call is counted when it has ended, a moment after its answer came.
    until(lambda: sum(_served(stack).values()) >= sum(before.values()) + NUM_REQUESTS, 5)
    served = {name: count - before[name] for name, count in _served(stack).items()}
    print(f"{NUM_REQUESTS} requests: {served}")
    total = sum(served.values())
    assert NUM_REQUESTS <= total < NUM_REQUESTS + 20, "the gateway's own probes are few"
    for count in served.values():
        assert 0.4 <= count / total <= 0.6
    assert _counted(stack, "gateway", "OK") == NUM_REQUESTS // 2
    assert _counted(stack, "gateway", "CANCELLED") == 0, "whoever reads an answer to its end did not leave"


def test_killed_decoder_fails_no_call(stack: StackUser, client: GatewayClient) -> None:
    pid = stack.components()["decoder-2"]["pid"]
    before = _served(stack)

    _ask_many(client, NUM_MORE, then=(NUM_MORE // 3, lambda: os.kill(pid, signal.SIGKILL)))

    served = _served(stack, "decoder")["decoder"] - before["decoder"]
    print(f"{NUM_MORE} requests: the decoder that stayed answered {served}")
    assert served > NUM_MORE / 2
    until(lambda: stack.components()["decoder-2"]["pid"] not in (None, pid))


def _ask_many(client: GatewayClient, count: int, then: tuple[int, Callable[[], None]] | None = None) -> None:
    """So many answers by several threads, half of them streams; each must have its end.

    `then` is a number of answers, and what is done once so many have come.
    """
    num_done, lock = 0, threading.Lock()

    def ask(number: int) -> None:
        nonlocal num_done
        if number % 2:
            assert client.ask(TURNS, sampling=SHORT).ending in ENDED
        else:
            ends = [delta.end for delta in client.generate(TURNS, sampling=ONE_TOKEN) if delta.end]
            assert len(ends) == 1 and ends[0].ending in ENDED
        with lock:
            num_done += 1
            is_time = then is not None and num_done == then[0]
        if then is not None and is_time:
            then[1]()

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        assert len(list(pool.map(ask, range(count)))) == count


def _served(stack: StackUser, *names: str) -> dict[str, int]:
    """Answers that each decoder service has given since its start."""
    return {name: _counted(stack, name, "OK") for name in names or DECODERS}


def _counted(stack: StackUser, name: str, code: str) -> int:
    """Calls of Generate at a component that ended with `code`."""
    state = StackFolder(stack.folder).read()
    assert state is not None
    with urllib.request.urlopen(f"http://{state.component(name).metrics}/metrics", timeout=5) as reply:
        text = reply.read().decode()
    line = rf'^eureka_requests_total{{code="{code}",[^}}]*/Generate"}} (\S+)$'
    return round(sum(map(float, re.findall(line, text, re.MULTILINE))))
