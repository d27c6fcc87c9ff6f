from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eureka.engine.prefix_cache import PrefixCache, audio_prefix
from tests.helpers.sum_backend import SumPrefix, small_request


def prefix_of(num_tokens: int) -> SumPrefix:
    return SumPrefix((0,) * num_tokens)  # 4 bytes a token


def test_prefix_reaches_to_the_last_audio_position() -> None:
    prefix = audio_prefix(small_request(0, 12, audio=1))
    assert prefix is not None and prefix.num_tokens == 6


def test_prefix_of_other_question_on_the_same_audio_is_equal() -> None:
    assert audio_prefix(small_request(0, 12, audio=1)) == audio_prefix(small_request(1, 30, audio=1))


def test_prefix_of_a_prompt_that_ends_in_audio_leaves_a_token() -> None:
    prefix = audio_prefix(small_request(0, 6, audio=1))
    assert prefix is not None and prefix.num_tokens == 5


def test_prefix_without_audio_is_none() -> None:
    assert audio_prefix(small_request(0, 12)) is None


@pytest.mark.parametrize(("multiple", "num_tokens"), [(1, 6), (4, 4), (5, 5), (6, 6), (3, 6)])
def test_prefix_is_cut_to_the_multiple(multiple: int, num_tokens: int) -> None:
    prefix = audio_prefix(small_request(0, 12, audio=1), multiple)
    assert prefix is not None and prefix.num_tokens == num_tokens


@pytest.mark.parametrize("multiple", [2, 7])
def test_prefix_that_would_hold_no_audio_is_none(multiple: int) -> None:
    assert audio_prefix(small_request(0, 12, audio=1, num_audio=1), multiple) is None


@pytest.mark.parametrize("what", ["id", "type", "embedding", "row order"])
def test_prefix_that_differs_in_anything_has_another_digest(what: str) -> None:
    request = small_request(0, 12, audio=1)
    ids, types = request.prompt_ids.copy(), request.token_type_ids.copy()
    rows = request.audio_embeddings.copy()
    if what == "id":
        ids[5] += 1
    elif what == "type":
        types[3], rows = 0, np.delete(rows, 1, axis=0)
    elif what == "embedding":
        rows[3, 1] = np.nextafter(rows[3, 1], np.float32(9))
    else:
        rows = rows[::-1]
    other = replace(request, prompt_ids=ids, token_type_ids=types, audio_embeddings=rows)
    assert audio_prefix(request) != audio_prefix(other)


def test_cache_over_its_budget_drops_the_least_recently_used() -> None:
    cache = PrefixCache(40)
    cache.add(b"a", prefix_of(4))
    cache.add(b"b", prefix_of(4))
    assert cache.get(b"a") is not None
    cache.add(b"c", prefix_of(6))
    assert [key in cache for key in (b"a", b"b", b"c")] == [True, False, True]
    assert cache.num_bytes == 40


def test_cache_drops_what_exceeds_the_whole_budget_and_keeps_the_rest() -> None:
    cache = PrefixCache(40)
    cache.add(b"a", prefix_of(4))
    cache.add(b"b", prefix_of(11))
    assert b"a" in cache and b"b" not in cache


def test_cache_without_budget_keeps_nothing() -> None:
    cache = PrefixCache(0)
    cache.add(b"a", prefix_of(1))
    assert cache.get(b"a") is None and cache.num_bytes == 0


@given(uses=st.lists(st.tuples(st.integers(0, 6), st.integers(1, 8)), max_size=40), budget=st.integers(0, 80))
def test_any_use_keeps_count_and_equals_a_slow_cache(uses: list[tuple[int, int]], budget: int) -> None:
    cache, slow = PrefixCache(budget), []  # slow: (key, bytes), least recently used first
    for key, num_tokens in uses:
        known = [pair for pair in slow if pair[0] == key]
        assert (cache.get(bytes([key])) is not None) == bool(known)
        if known:
            slow.remove(known[0])
            slow.append(known[0])
        else:
            cache.add(bytes([key]), prefix_of(num_tokens))
            if 4 * num_tokens <= budget:
                slow.append((key, 4 * num_tokens))
                while sum(size for _, size in slow) > budget:
                    slow.pop(0)
        cache.check()
        assert cache.num_bytes == sum(size for _, size in slow)
