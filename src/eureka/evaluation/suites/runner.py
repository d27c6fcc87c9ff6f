"""A suite run over its items: every inquiry answered once, kept at once, scored at the end.

What was answered is in the record file before the next item counts, so a run that was killed asks only what
is missing; scores are worked out from the replies when all are there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace

from eureka.errors import InvalidInputError
from eureka.evaluation.counts import ClassTally
from eureka.evaluation.report import Row
from eureka.evaluation.suites.captions import JUDGED
from eureka.evaluation.suites.items import Item, Reply
from eureka.evaluation.suites.judge import Judge
from eureka.evaluation.suites.records import Record, RecordFile, group_row
from eureka.evaluation.suites.responders import Responder
from eureka.evaluation.suites.suite import Metric, PublicSuite
from eureka.types import Pcm

Progress = Callable[[str], None]
"""Told in a few words how far the run is."""


def answer_items(
    suite: PublicSuite,
    items: Sequence[Item],
    responder: Responder,
    file: RecordFile,
    judge: Judge | None = None,
    progress: Progress = lambda _: None,
) -> list[Record]:
    """Records of all items, in their order, scored; those that the file knows are not asked again.

    An item whose audio cannot be used, or whose inquiry is refused for what it holds, has replies with an
    error, which count as wrong. Audio that is not there stops the run, and so does a responder or judge
    that is away.

    Raises:
        NotFoundError: reason AUDIO_NOT_FOUND.
        InvalidInputError: two items of one name, or a judge is needed and there is none.
        EurekaError: what answers has failed; what was answered until then is kept.
    """
    _check(suite, items, judge)
    known = file.known
    missing = [item for item in items if item.item_id not in known]
    done = [len(items) - len(missing)]

    def answer(item: Item) -> Record:
        record = _answered(suite, item, responder, judge)
        file.add(record)
        done[0] += 1
        progress(f"{suite.name}: {done[0]}/{len(items)}")
        return record

    fresh = {record.item_id: record for record in _in_threads(answer, missing, responder.num_at_once)}
    records = [scored(suite, item, known.get(item.item_id) or fresh[item.item_id]) for item in items]
    file.finish(records)
    return records


def _check(suite: PublicSuite, items: Sequence[Item], judge: Judge | None) -> None:
    if suite.judge_prompt is not None and judge is None:
        message = (
            f"{suite.name} is scored by a judge: name its endpoint by --judge and its model by --judge-model"
        )
        raise InvalidInputError(message, reason="JUDGE_MISSING")
    if len({item.item_id for item in items}) < len(items):
        raise InvalidInputError(f"two items of {suite.name} have one name", reason="BAD_DATASET")


def _in_threads(answer: Callable[[Item], Record], items: Sequence[Item], num_at_once: int) -> list[Record]:
    """Answers in any order; the first failure leaves undone what has not begun."""
    pool = ThreadPoolExecutor(max(1, num_at_once))
    try:
        futures = [pool.submit(answer, item) for item in items]
        wait(futures, return_when=FIRST_EXCEPTION)
        failed = [future for future in futures if future.done() and future.exception()]
        return [future.result() for future in failed or futures]
    finally:
        pool.shutdown(cancel_futures=True)


def _answered(suite: PublicSuite, item: Item, responder: Responder, judge: Judge | None) -> Record:
    replies = _replies(suite, item, responder)
    if suite.judge_prompt is not None and judge is not None:
        failed = next((reply for reply in replies.values() if reply.error), None)
        replies[JUDGED] = failed or Reply(judge.ask(suite.judge_prompt(item, replies)))
    return Record(item.item_id, replies, item.reference, item.groups)


def _replies(suite: PublicSuite, item: Item, responder: Responder) -> dict[str, Reply]:
    inquiries = suite.ask(item)
    try:
        pcm = item.audio.read()
    except InvalidInputError as error:
        return {inquiry.name: Reply.failed(error) for inquiry in inquiries}

    def reply(pcm: Pcm, place: int) -> Reply:
        try:
            return responder.answer(pcm, inquiries[place])
        except InvalidInputError as error:
            return Reply.failed(error)

    return {inquiry.name: reply(pcm, place) for place, inquiry in enumerate(inquiries)}


def scored(suite: PublicSuite, item: Item, record: Record) -> Record:
    """The record with what its item contributes to each metric."""
    scores = {metric.name: metric.count(item, record.replies) for metric in suite.metrics}
    return replace(record, scores=scores)


def rows_of(suite: PublicSuite, split: str, records: Sequence[Record]) -> list[Row]:
    """A row for each metric over the whole set, then over each group."""
    groups = sorted({group for record in records for group in record.groups})
    rows = [_row(suite, split, metric, records) for metric in suite.metrics]
    for group in groups:
        part = [record for record in records if group in record.groups]
        rows += [_row(suite, split, metric, part, group) for metric in suite.metrics]
    return rows


def _row(suite: PublicSuite, split: str, metric: Metric, records: Sequence[Record], group: str = "") -> Row:
    tally = ClassTally.of([record.scores[metric.name] for record in records])
    num_failed = sum(record.error is not None for record in records)
    return Row(
        name=group_row(metric.name, group) if group else metric.name,
        title=f"{suite.title}, {split}, {metric.title}",
        value=tally.value,
        num_clips=tally.num_items,
        interval=tally.interval(),
        higher_is_better=metric.higher_is_better,
        note=f"{num_failed} items could not be asked and count as wrong" if num_failed else "",
        group=group,
        unit=metric.unit,
        paper=None if group else suite.figure(split, metric.name),
    )
