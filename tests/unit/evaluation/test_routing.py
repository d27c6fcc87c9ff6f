import numpy as np
import pytest
import torch

from eureka.engine.backend import Prefill
from eureka.engine.reference import ReferenceBackend
from eureka.engine.reference_parts import reference_embedder
from eureka.engine.scoring import log_softmax
from eureka.evaluation import routing
from eureka.evaluation.hearing import Heard
from eureka.evaluation.suite import SetSizes, Suite
from tests.helpers.small_pack import write_small_pack
from tests.helpers.tiny_checkpoint import write_tiny_checkpoint


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    return routing.WatchedModel.from_folder(write_tiny_checkpoint(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def lessons(tmp_path_factory, watched):
    folder = write_small_pack(tmp_path_factory.mktemp("pack"))
    nothing = Suite(folder, "dev", lambda clips, q: [Heard("")] * len(clips), 3, SetSizes())
    return routing.mixed_lessons(nothing, watched)


def test_mixed_lessons_hold_every_kind_and_end(watched, lessons):
    # Three of each kind: digits, wake words and sentences told; words and sounds labelled; scenes;
    # and both orders.
    assert len(lessons) == 3 * 3 + 3 * 3 + 3 + 2
    assert all(lesson.answer_ids[-1] == watched.tokenizer.end_id for lesson in lessons)
    timed = [
        i
        for lesson in lessons
        for i in lesson.answer_ids
        if watched.tokenizer.time_token_seconds(i) is not None
    ]
    assert timed


def test_expert_shares_sum_to_one_and_match_the_router(watched, lessons):
    shares = routing.expert_shares(watched, lessons)
    assert shares.sum() == pytest.approx(1)
    with routing.watched_routers() as seen:
        reference_embedder(watched.model).embed([lessons[0].pcm])
    assert len(seen) == 1
    assert seen[0].shares.sum(axis=1) == pytest.approx(np.ones(len(seen[0].selected)), rel=1e-5)
    assert ((seen[0].shares > 0).sum(axis=1) == 2).all()


def test_mean_loss_equals_what_the_engine_scores(watched, lessons):
    lesson = lessons[0]
    backend = ReferenceBackend(watched.model.backbone, num_slots=1)
    audio = reference_embedder(watched.model).embed([lesson.pcm])
    places = np.flatnonzero(lesson.prompt.token_type_ids)
    first = log_softmax(backend.prefill([Prefill(0, lesson.prompt.prompt_ids, places, audio)])[0])
    rest = backend.continuation_log_probabilities(0, [lesson.answer_ids])[0]
    expected = -(first[lesson.answer_ids[0]] + rest.sum()) / len(lesson.answer_ids)
    assert routing.mean_loss(watched, lesson) == pytest.approx(expected, rel=1e-4)


def test_random_router_changes_the_loss_and_leaves_no_trace(watched, lessons):
    before = routing.mean_loss(watched, lessons[0])
    router = watched.model.audio_moe_adaptor.router
    with routing.random_router(router, seed=1), torch.inference_mode():
        gates, selected, _ = router(torch.randn(50, router.weight.shape[1]))
        assert (gates == 0.5).all()
        assert (selected[:, 0] != selected[:, 1]).all()
        assert set(selected.unique().tolist()) == {0, 1, 2, 3}
        assert routing.mean_loss(watched, lessons[0]) != before
    assert routing.mean_loss(watched, lessons[0]) == before


def test_routing_rows_take_their_bars_from_the_number_of_experts(watched, lessons, tmp_path):
    folder = write_small_pack(tmp_path)
    rows = routing.routing_rows(Suite(folder, "dev", lambda clips, q: [], 1, SetSizes()), watched)
    assert [row.bar for row in rows] == [pytest.approx(1 / 12), pytest.approx(3 / 4), 0.05]
    assert rows[0].value <= rows[1].value
