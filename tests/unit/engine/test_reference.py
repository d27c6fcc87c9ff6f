from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from eureka.engine.backend import Prefill
from eureka.engine.reference import ReferenceBackend
from eureka.model.eureka_audio import EurekaAudio
from tests.helpers.requests import make_request
from tests.helpers.tiny_model import tiny_model

CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def prefill_of(seed: int, slot: int, length: int = 20) -> Prefill:
    request = make_request(seed, length)
    return Prefill(slot, request.prompt_ids, request.audio_positions, request.audio_embeddings)


@torch.inference_mode()
def uncached_logits(model: EurekaAudio, prefill: Prefill, generated: list[int]) -> np.ndarray:
    """Logits (L, V) of a whole sequence in one pass without a cache: splice, then forward."""
    ids = torch.tensor([*prefill.prompt_ids.tolist(), *generated])
    embeddings = model.backbone.embed(ids)
    for row, position in enumerate(prefill.audio_positions):
        embeddings[position] = torch.tensor(prefill.audio_embeddings[row])
    return model.backbone.logits(model.backbone(embeddings[None]))[0].numpy()


def test_prefill_of_ragged_prompts_equals_uncached_forward(model: EurekaAudio) -> None:
    backend = ReferenceBackend(model.backbone, num_slots=4, context_tokens=64)
    prefills = [prefill_of(0, 3, 30), prefill_of(1, 0, 9), prefill_of(2, 1, 17)]
    logits = backend.prefill(prefills)
    for row, prefill in enumerate(prefills):
        np.testing.assert_allclose(logits[row], uncached_logits(model, prefill, [])[-1], **CLOSE)


def test_prefill_puts_audio_embeddings_in_place_of_ids(model: EurekaAudio) -> None:
    backend = ReferenceBackend(model.backbone, num_slots=2, context_tokens=64)
    prefill = prefill_of(0, 0)
    other_ids = prefill.prompt_ids.copy()
    other_ids[prefill.audio_positions] = 11  # ids below audio play no part
    logits = backend.prefill(
        [prefill, Prefill(1, other_ids, prefill.audio_positions, prefill.audio_embeddings)]
    )
    np.testing.assert_array_equal(logits[0], logits[1])


@pytest.mark.parametrize("slots", [[0, 1, 2], [2, 0, 4], [4, 1], [0, 4]], ids=str)
def test_decode_of_ragged_slots_equals_uncached_forward(model: EurekaAudio, slots: list[int]) -> None:
    backend = ReferenceBackend(model.backbone, num_slots=5, context_tokens=64)
    prefills = [prefill_of(slot, slot, 8 + 5 * slot) for slot in slots]
    backend.prefill(prefills)
    generated = np.random.default_rng(0).integers(0, 640, (6, len(slots)))
    for step, token_ids in enumerate(generated):
        logits = backend.decode(slots, token_ids.tolist())
        for row, prefill in enumerate(prefills):
            expected = uncached_logits(model, prefill, generated[: step + 1, row].tolist())[-1]
            np.testing.assert_allclose(logits[row], expected, **CLOSE)


def test_decode_beside_a_free_slot_leaves_later_owner_alone(model: EurekaAudio) -> None:
    backend = ReferenceBackend(model.backbone, num_slots=3, context_tokens=64)
    backend.prefill([prefill_of(0, 0), prefill_of(1, 1), prefill_of(2, 2)])
    backend.release(1)
    backend.decode([0, 2], [7, 8])  # runs along slot 1
    late = prefill_of(3, 1, 8)
    backend.prefill([late])
    logits = backend.decode([0, 1, 2], [9, 9, 9])
    np.testing.assert_allclose(logits[1], uncached_logits(model, late, [9])[-1], **CLOSE)


@pytest.mark.parametrize("held", [10, 63], ids=["shorter", "longest"])
def test_decode_beside_a_half_prefilled_slot_leaves_its_prompt_alone(model: EurekaAudio, held: int) -> None:
    backend = ReferenceBackend(model.backbone, num_slots=3, context_tokens=64)
    outer = [prefill_of(0, 0), prefill_of(2, 2)]
    amid = prefill_of(1, 1, 64)
    backend.prefill([*outer, chunk_of(amid, 0, held)])
    logits = backend.decode([0, 2], [7, 8])  # runs along slot 1
    for row, prefill in enumerate(outer):
        np.testing.assert_allclose(logits[row], uncached_logits(model, prefill, [7 + row])[-1], **CLOSE)
    last = backend.prefill([chunk_of(amid, held, 64)])
    np.testing.assert_allclose(last[0], uncached_logits(model, amid, [])[-1], **CLOSE)
    backend.decode([0, 2], [9, 9])  # beside a full slot


def test_owner_after_one_that_gave_no_numbers_is_served_beside_a_longer_one() -> None:
    """In float16 audio rows may be too large; what they left behind is hidden, yet 0 times NaN is NaN."""
    model = tiny_model().to(torch.float16)
    spoilt, short, long = prefill_of(0, 0, 40), prefill_of(1, 0, 8), prefill_of(2, 1, 45)
    backend, fresh = (ReferenceBackend(model.backbone, num_slots=2, context_tokens=64) for _ in range(2))
    too_large = np.full_like(spoilt.audio_embeddings, 1e5)
    assert np.isnan(backend.prefill([replace(spoilt, audio_embeddings=too_large)])).any()
    backend.release(0)
    for each in (backend, fresh):
        each.prefill([short, long])
    np.testing.assert_array_equal(backend.decode([0, 1], [7, 8]), fresh.decode([0, 1], [7, 8]))


def test_decode_beyond_first_capacity_keeps_what_was_held(model: EurekaAudio) -> None:
    backend = ReferenceBackend(model.backbone, num_slots=2, context_tokens=700)
    prefill = prefill_of(0, 1, 510)
    backend.prefill([prefill])
    for token_id in (7, 8, 9):
        logits = backend.decode([1], [token_id])
    np.testing.assert_allclose(logits[0], uncached_logits(model, prefill, [7, 8, 9])[-1], **CLOSE)


def test_continuations_equal_uncached_forward_and_leave_the_slot(model: EurekaAudio) -> None:
    backend = ReferenceBackend(model.backbone, num_slots=2, context_tokens=64)
    prefill = prefill_of(0, 1)
    backend.prefill([prefill])
    rng = np.random.default_rng(1)
    continuations = [rng.integers(0, 640, n).tolist() for n in (1, 4, 2, 3, *[2] * 15)]
    scores = backend.continuation_log_probabilities(1, continuations)
    for ids, ours in zip(continuations, scores, strict=True):
        logits = torch.tensor(uncached_logits(model, prefill, ids)).double().log_softmax(-1).numpy()
        start = len(prefill.prompt_ids) - 1
        expected = [logits[start + t, ids[t]] for t in range(1, len(ids))]
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)
    after = backend.decode([1], [9])
    np.testing.assert_allclose(after[0], uncached_logits(model, prefill, [9])[-1], **CLOSE)


def test_context_of_backend_never_exceeds_that_of_the_checkpoint(model: EurekaAudio) -> None:
    limit = model.config.backbone.max_position_embeddings
    assert ReferenceBackend(model.backbone, 1, 10 * limit).context_tokens == limit


def chunk_of(prefill: Prefill, start: int, end: int) -> Prefill:
    inside = (prefill.audio_positions >= start) & (prefill.audio_positions < end)
    return Prefill(
        prefill.slot,
        prefill.prompt_ids[start:end],
        prefill.audio_positions[inside] - start,
        prefill.audio_embeddings[inside],
        start,
    )


@pytest.mark.parametrize("cuts", [(0, 1, 20), (0, 5, 6, 20), (0, 3, 4, 5, 19, 20)], ids=str)
def test_prefill_in_chunks_equals_uncached_forward(model: EurekaAudio, cuts: tuple[int, ...]) -> None:
    backend = ReferenceBackend(model.backbone, num_slots=3, context_tokens=64)
    whole, mate = prefill_of(0, 2), prefill_of(1, 0, 31)
    expected = uncached_logits(model, whole, [])
    for start, end in pairwise(cuts):
        beside = [chunk_of(mate, 0, 9)] if start == 0 else []
        logits = backend.prefill([chunk_of(whole, start, end), *beside])
        np.testing.assert_allclose(logits[0], expected[end - 1], **CLOSE)


def test_prefill_beside_a_chunk_that_fills_the_context_leaves_both_right(model: EurekaAudio) -> None:
    backend = ReferenceBackend(model.backbone, num_slots=2, context_tokens=64)
    full, other = prefill_of(0, 0, 64), prefill_of(1, 1, 50)
    backend.prefill([chunk_of(full, 0, 60)])
    logits = backend.prefill([chunk_of(full, 60, 64), other])  # 46 places of padding behind the last position
    np.testing.assert_allclose(logits[0], uncached_logits(model, full, [])[-1], **CLOSE)
    np.testing.assert_allclose(logits[1], uncached_logits(model, other, [])[-1], **CLOSE)


def test_prefix_saved_and_loaded_elsewhere_goes_on_as_if_never_moved(model: EurekaAudio) -> None:
    backend = ReferenceBackend(model.backbone, num_slots=3, context_tokens=700)
    prefill = prefill_of(0, 1)
    backend.prefill([prefill])
    backend.decode([1], [7])
    saved = backend.save_prefix(1, 21)
    short = backend.save_prefix(1, 12)
    backend.release(1)
    backend.prefill([prefill_of(2, 1, 600)])  # takes the slot, and makes the cache grow
    backend.load_prefix(0, saved)
    backend.load_prefix(2, short)
    logits = backend.decode([0], [8])
    np.testing.assert_allclose(logits[0], uncached_logits(model, prefill, [7, 8])[-1], **CLOSE)
    rest = chunk_of(replace(prefill, slot=2), 12, 20)
    np.testing.assert_allclose(backend.prefill([rest])[0], uncached_logits(model, prefill, [])[-1], **CLOSE)
    assert (saved.num_tokens, short.num_tokens) == (21, 12)
    assert saved.num_bytes == 21 * 2 * 2 * 64 * 4  # tokens, layers, keys and values, width of a head, float32
