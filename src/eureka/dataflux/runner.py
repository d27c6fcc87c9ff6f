"""Takes all items through the stages, and says how far it is. Safe to kill, and to run twice at a time.

Records decide what is done; a run only chooses what to look at next. It works through its own part in an
order that differs from other runs, then through what others left, so that two meet seldom; where they do,
the first writer of a record wins and both go on with it.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from eureka.dataflux.stages import ItemPipeline, Outcome

BLOCK = 32
"""Items within which the order is drawn: weak categories stay near the front."""


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of the items is one's own: those whose number leaves `index` when divided by `of`."""

    index: int = 0
    of: int = 1


def run_items(
    pipeline: ItemPipeline,
    share: Share,
    on_item: Callable[[Outcome], None] = lambda _: None,
    is_stopped: Callable[[], bool] = lambda: False,
    num_threads: int = 1,
) -> None:
    """Do every item, `num_threads` at a time; `on_item` hears of each that is done, also of those that were.

    Raises:
        BudgetSpentError: no call fits the budget.
        EurekaError: a part is away.
    """
    numbers = order_of(pipeline.plan.count, share, random.SystemRandom())
    lock = threading.Lock()
    failed = threading.Event()

    def work() -> None:
        while not failed.is_set():
            with lock:
                number = None if is_stopped() else next(numbers, None)
            if number is None:
                return
            try:
                outcome = pipeline.run(number)
            except BaseException:
                failed.set()
                raise
            with lock:
                on_item(outcome)

    with ThreadPoolExecutor(num_threads) as pool:
        for worker in [pool.submit(work) for _ in range(num_threads)]:
            worker.result()


def order_of(count: int, share: Share, draw: random.Random) -> Iterator[int]:
    """Own numbers block by block, each block shuffled; then all others from the end."""
    own = list(range(share.index, count, share.of))
    for start in range(0, len(own), BLOCK):
        block = own[start : start + BLOCK]
        draw.shuffle(block)
        yield from block
    yield from (number for number in reversed(range(count)) if number % share.of != share.index)
