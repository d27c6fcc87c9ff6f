import numpy as np
import pytest

from eureka.engine.engine import Engine
from eureka.engine.logprobs import token_logprobs
from eureka.engine.reference import ReferenceBackend
from eureka.engine.request import Delta
from eureka.model.eureka_audio import EurekaAudio
from tests.helpers.requests import END_TOKEN, make_request


@pytest.mark.parametrize("num_top", [1, 5, 96, 97, 200])
def test_token_logprobs_equal_the_slow_rule(num_top: int) -> None:
    logits = np.random.default_rng(0).normal(scale=4, size=97).astype(np.float32)
    slow = [float(x) for x in np.log(np.exp(logits.astype(np.float64)) / np.exp(logits.astype(float)).sum())]
    order = sorted(range(97), key=lambda i: -slow[i])[:num_top]
    entry = token_logprobs(logits, 11, num_top)
    assert (entry.token_id, entry.top_ids) == (11, tuple(order))
    assert entry.logprob == pytest.approx(slow[11])
    assert entry.top_logprobs == pytest.approx([slow[i] for i in order])


def test_token_logprobs_among_equals_lower_ids_come_first() -> None:
    logits = np.array([0, 1, 1, 1, 0], dtype=np.float32)
    assert token_logprobs(logits, 0, 2).top_ids == (1, 2)


def collect(model: EurekaAudio, num_asking: int) -> list[list[Delta]]:
    """Deltas of three sampled requests decoded together, the first of which ask for log-probabilities."""
    engine = Engine(ReferenceBackend(model.backbone, 3, 64), END_TOKEN)
    options = {"temperature": 0.9, "repetition_penalty": 1.3}
    handles = [
        engine.submit(make_request(seed, top_logprobs=4 * (seed < num_asking), **options))
        for seed in range(3)
    ]
    return [list(handle) for handle in handles]


def test_engine_gives_logprobs_only_to_requests_that_ask(model: EurekaAudio) -> None:
    asking, *others = collect(model, num_asking=1)
    for delta in asking:
        assert [entry.token_id for entry in delta.logprobs] == list(delta.token_ids)
        assert all(len(entry.top_ids) == 4 for entry in delta.logprobs)
        assert all(list(e.top_logprobs) == sorted(e.top_logprobs, reverse=True) for e in delta.logprobs)
    assert all(delta.logprobs == () for deltas in others for delta in deltas)


def test_engine_logprobs_change_no_token_and_are_before_penalties(model: EurekaAudio) -> None:
    asked, free = collect(model, num_asking=3), collect(model, num_asking=0)
    assert [[d.token_ids for d in deltas] for deltas in asked] == [
        [d.token_ids for d in deltas] for deltas in free
    ]
    plain = make_request(0, max_new_tokens=1, top_logprobs=2, repetition_penalty=1.0)
    engine = Engine(ReferenceBackend(model.backbone, 1, 64), END_TOKEN)
    (delta,) = engine.submit(plain)
    assert delta.logprobs[0].top_ids == asked[0][0].logprobs[0].top_ids[:2]
    assert delta.logprobs[0].top_logprobs == pytest.approx(asked[0][0].logprobs[0].top_logprobs[:2], abs=1e-5)
    assert delta.token_ids == delta.logprobs[0].top_ids[:1]
