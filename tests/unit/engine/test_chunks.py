from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eureka.engine.chunks import Chunk, batches_of, plan_chunks
from eureka.engine.handle import RequestHandle
from eureka.engine.limits import EngineLimits
from eureka.engine.live import LiveRequest, accept
from tests.helpers.sum_backend import small_request


def live_of(length: int, num_prefilled: int = 0, audio: int | None = None) -> LiveRequest:
    request = small_request(length, length, audio)
    handle = RequestHandle(request.request_id, lambda _: None, lambda _: False)
    live = accept(request, (), handle, EngineLimits(), 0.0)
    live.num_prefilled = num_prefilled
    return live


def tokens_of(chunks: list[Chunk], live: LiveRequest) -> int:
    return sum(chunk.num_tokens for chunk in chunks if chunk.live is live)


def test_plan_with_one_long_prompt_gives_it_the_whole_budget() -> None:
    live = live_of(100, 10)
    (chunk,) = plan_chunks([[live]], budget=16)
    assert (chunk.start, chunk.end, chunk.is_last) == (10, 26, False)


def test_plan_lets_short_prompts_pass_a_long_one_that_goes_on_nevertheless() -> None:
    long, short, shorter = live_of(100), live_of(6), live_of(3)
    chunks = plan_chunks([[long, short, shorter]], budget=16)
    assert [tokens_of(chunks, live) for live in (long, short, shorter)] == [8, 5, 3]


def test_plan_gives_an_old_short_prompt_what_it_needs_and_the_rest_to_a_long_one() -> None:
    short, long = live_of(4), live_of(100)
    chunks = plan_chunks([[short, long]], budget=16)
    assert [tokens_of(chunks, live) for live in (short, long)] == [4, 12]


def test_plan_serves_the_first_group_before_the_second() -> None:
    urgent, bulk = live_of(10), live_of(50)
    chunks = plan_chunks([[urgent], [bulk]], budget=16)
    assert [tokens_of(chunks, live) for live in (urgent, bulk)] == [10, 6]
    assert plan_chunks([[live_of(50)], [bulk]], budget=16)[0].live is not bulk


@pytest.mark.parametrize("position", [0, 2, 4, 6, 8])
def test_chunk_holds_the_audio_rows_of_its_own_tokens(position: int) -> None:
    live = live_of(10, audio=1)  # audio at 2 to 5
    prefill = Chunk(live, position, position + 2).to_prefill()
    placed = dict(zip((prefill.audio_positions + position).tolist(), prefill.audio_embeddings, strict=True))
    expected = [p for p in range(position, position + 2) if 2 <= p < 6]
    assert sorted(placed) == expected and prefill.start == position
    for place, row in placed.items():
        np.testing.assert_array_equal(row, live.request.audio_embeddings[place - 2])


sizes = st.lists(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 59)), min_size=1, max_size=4), max_size=3
)


@given(sizes=sizes, budget=st.integers(1, 40), is_cut=st.booleans())
def test_any_plan_stays_within_the_budget_wastes_nothing_and_moves_the_oldest(
    sizes: list[list[tuple[int, int]]], budget: int, is_cut: bool
) -> None:
    cut = max(1, budget // 2) if is_cut else None
    multiple = cut or 1
    groups = [
        [live_of(length, min(done, length - 1) // multiple * multiple) for length, done in group]
        for group in sizes
    ]
    lives = [live for group in groups for live in group]
    chunks = plan_chunks(groups, budget, cut)
    used = sum(chunk.num_tokens for chunk in chunks)
    wanted = sum(live.num_left_tokens for live in lives)
    assert used <= budget
    if not is_cut:
        assert used == min(budget, wanted)
    for live in lives:
        edges = [live.num_prefilled]
        for chunk in chunks:
            if chunk.live is live:
                assert chunk.start == edges[-1] < chunk.end
                assert chunk.is_last or chunk.end % multiple == 0
                edges.append(chunk.end)
        assert not is_cut or all(end - start <= multiple for start, end in pairwise(edges))
    if lives:
        oldest = groups[0][0]
        assert tokens_of(chunks, oldest) >= min(oldest.num_left_tokens, multiple if is_cut else budget // 2)


@given(lengths=st.lists(st.integers(1, 50), max_size=12), most=st.integers(1, 60))
def test_any_batches_hold_each_chunk_once_and_little_padding(lengths: list[int], most: int) -> None:
    chunks = [Chunk(live_of(length), 0, length) for length in lengths]
    batches = list(batches_of(chunks, most, one_by_one=False))
    assert sorted(c.num_tokens for batch in batches for c in batch) == sorted(lengths)
    for batch in batches:
        assert len(batch) == 1 or max(c.num_tokens for c in batch) * len(batch) <= most
    assert list(batches_of(chunks, most, one_by_one=True)) == [[chunk] for chunk in chunks]
