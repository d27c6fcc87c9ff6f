import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from eureka.engine.backend import Prefill
from eureka.engine.engine import Engine
from eureka.engine.reference import ReferenceBackend
from eureka.engine.request import Floats, Label, LabelScores, check_labels
from eureka.errors import EurekaError, InvalidInputError
from eureka.model.eureka_audio import EurekaAudio
from eureka.types import Usage
from tests.helpers.requests import END_TOKEN, make_request

LABELS = (Label("long", (7, 8, 9)), Label("short", (7,)), Label("other", (30, 31)))


def scores_of(**log_probabilities: float) -> LabelScores:
    return LabelScores(tuple(log_probabilities), tuple(log_probabilities.values()), Usage())


@torch.inference_mode()
def slow_score(model: EurekaAudio, seed: int, label: Label) -> float:
    """Sum of log-probabilities of label and end token, by one uncached forward pass."""
    request = make_request(seed)
    ids = [*label.token_ids, END_TOKEN]
    embeddings = model.backbone.embed(torch.tensor([*request.prompt_ids.tolist(), *ids]))
    embeddings[torch.tensor(request.audio_positions)] = torch.tensor(request.audio_embeddings)
    logs = model.backbone.logits(model.backbone(embeddings[None]))[0].double().log_softmax(-1)
    start = request.num_prompt_tokens - 1
    return sum(float(logs[start + t, token_id]) for t, token_id in enumerate(ids))


def test_score_equals_uncached_sum_with_the_end_token(model: EurekaAudio) -> None:
    engine = Engine(ReferenceBackend(model.backbone, 2, 64), END_TOKEN)
    scores = engine.score(make_request(3), LABELS)
    expected = [slow_score(model, 3, label) for label in LABELS]
    np.testing.assert_allclose(scores.log_probabilities, expected, rtol=1e-5)
    assert engine.stats().prefilled_tokens == 20  # once for all labels


class SpoiledBackend(ReferenceBackend):
    """Gives no numbers after a prompt, as half precision does when it overflows."""

    def prefill(self, prefills: Sequence[Prefill]) -> Floats:
        return np.full_like(super().prefill(prefills), np.nan)


def test_score_over_no_numbers_ends_with_error(model: EurekaAudio) -> None:
    engine = Engine(SpoiledBackend(model.backbone, 2, 64), END_TOKEN)
    with pytest.raises(EurekaError, match="scoring failed"):
        engine.score(make_request(3), LABELS)


def test_probabilities_are_the_softmax_of_the_sums() -> None:
    scores = scores_of(a=-1000.0, b=-1000.0 + math.log(3))
    assert scores.probabilities == pytest.approx({"a": 0.25, "b": 0.75})
    assert scores.best == "b"


def test_choose_below_the_threshold_abstains() -> None:
    scores = scores_of(a=math.log(0.2), b=math.log(0.01))
    assert scores.best_probability == pytest.approx(0.2)
    assert scores.choose() == "a"
    assert scores.choose(abstain_below=0.19) == "a"
    assert scores.choose(abstain_below=0.21) is None


@pytest.mark.parametrize(
    "labels",
    [(), (Label("a", (1,)), Label("a", (2,))), (Label("a", ()),), (Label("a", (640,)),)],
    ids=["none", "twice", "no tokens", "unknown token"],
)
def test_check_labels_of_a_bad_set_refuses(labels: tuple[Label, ...]) -> None:
    with pytest.raises(InvalidInputError):
        check_labels(labels, 640)
