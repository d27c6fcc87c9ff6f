from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from eureka.errors import InvalidInputError
from eureka.text.prompts import AUDIO_TYPE
from eureka.text.tokenizer import Tokenizer
from eureka.training.decoder_batches import DecoderBatch, DecoderBatchMaker, lay_out
from eureka.training.encoder_cache import EncoderCache, EncoderCacheWriter
from eureka.training.events import Event
from eureka.training.injected_texts import InjectedTexts
from eureka.training.lexicon import Lexicon
from eureka.training.losses import IGNORED
from eureka.training.phones import SILENCE
from eureka.training.recipe import BatchConfig, Recipe
from eureka.training.samples import Truth
from eureka.training.tasks import TaskWriter
from tests.helpers.tokenizers import small_nano_tokenizer
from tests.helpers.training_packs import WORDS

WIDTH = 6
TEXTS = ("badi kelo", "mane", "kelo mane badi", "badi badi one")


class FixedTexts:
    """Draws one of four texts."""

    def __init__(self, texts: tuple[str, ...] = TEXTS) -> None:
        self._texts = texts

    def draw(self, rng: np.random.Generator) -> tuple[str, dict[str, str] | None]:
        return self._texts[int(rng.integers(len(self._texts)))], None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache whose frames name their phone, of clips that say every word, and a tokenizer."""
    folder = tmp_path_factory.mktemp("cache")
    small_nano_tokenizer(folder)
    rng = np.random.default_rng(0)
    writer = EncoderCacheWriter(folder, total_frames=20_000, width=WIDTH)
    for _ in range(24):
        words = [str(word) for word in rng.choice(list(WORDS), 2)]
        frames, rows = _spoken_frames(words, rng)
        truth = Truth("speechocean762", " ".join(words))
        writer.add(frames.astype(np.float16), truth, np.array(rows))
    for word in WORDS:
        frames, rows = _spoken_frames([word], rng)
        writer.add(frames.astype(np.float16), Truth("fsdd", word), np.array(rows))
    dog = Truth("sounds", "", (Event("dog bark", 0.2, 0.6),), "dog bark")
    for _ in range(6):
        writer.add(np.full((40, WIDTH), -1, np.float16), dog, None)
    writer.close()
    return folder


@pytest.fixture(scope="module")
def lexicon(folder: Path) -> Lexicon:
    return _lexicon(folder)


def _lexicon(folder: Path) -> Lexicon:
    path = folder / "lexicon.json"
    path.write_text(json.dumps(WORDS))
    return Lexicon(path)


def _spoken_frames(words: list[str], rng: np.random.Generator) -> tuple[np.ndarray, list[list[int]]]:
    rows, at = [], 0
    phones = [SILENCE, *(phone for word in words for phone in (*WORDS[word], SILENCE))]
    for phone in phones:
        length = int(rng.integers(2, 7))
        rows.append([phone, at, at + length])
        at += length
    rows[-1][2] += -at % 4
    labels = np.concatenate([np.full(end - start, phone) for phone, start, end in rows])
    return labels[:, None].repeat(WIDTH, axis=1), rows


def _recipe(**mix: float) -> Recipe:
    batch = BatchConfig(buckets=(32, 48, 64, 96), rows=384)
    return Recipe(stage="decoder", name="second", mix=mix, batch=batch)


def _texts(folder: Path, lexicon: Lexicon, texts: tuple[str, ...] = TEXTS) -> InjectedTexts:
    pieces = EncoderCache(folder).pieces()
    return InjectedTexts(1, pieces, [], num_texts=20, generator=FixedTexts(texts), lexicon=lexicon)


def _batches(
    folder: Path, count: int = 6, texts: InjectedTexts | None = None, **mix: float
) -> list[DecoderBatch]:
    maker = DecoderBatchMaker(_recipe(**mix), folder, folder, texts=texts)
    return [maker.make(number) for number in range(count)]


def _split_audio(batch: DecoderBatch) -> list[np.ndarray]:
    """Stacked frames of each row."""
    counts = batch.is_audio.sum(axis=1)
    assert counts.sum() == len(batch.frames)
    return np.split(batch.frames, np.cumsum(counts)[:-1])


def test_lay_out_gives_targets_to_answers_only(folder: Path) -> None:
    writer = TaskWriter(folder)
    rng = np.random.default_rng(0)
    rows = [writer.write(Truth("fsdd", words), 3, rng) for words in ("badi", "kelo mane")]
    ids, is_audio, targets = lay_out(rows, 64, writer.pad_id)
    for number, row in enumerate(rows):
        start, end = len(row.prompt.prompt_ids), row.length
        assert ids[number, :end].tolist() == [*row.prompt.prompt_ids, *row.answer_ids]
        assert (ids[number, end:] == writer.pad_id).all()
        np.testing.assert_array_equal(is_audio[number, :start], row.prompt.token_type_ids == AUDIO_TYPE)
        for place in range(64):  # position p predicts the id at p + 1
            wanted = ids[number, place + 1] if start - 1 <= place < end - 1 else IGNORED
            assert targets[number, place] == wanted


def test_decoder_batches_have_the_shapes_of_the_recipe(folder: Path) -> None:
    for batch in _batches(folder, 12, speechocean762=1.0, fsdd=1.0, sounds=1.0):
        rows, length = batch.input_ids.shape
        assert length in (32, 48, 64, 96) and rows == 384 // length
        assert batch.frames.shape == (int(batch.is_audio.sum()), 4 * WIDTH)
        assert ((batch.targets != IGNORED).sum(axis=1) >= 1).all()


def test_decoder_batch_of_a_number_is_always_the_same(folder: Path) -> None:
    first, again = (_batches(folder, 3, speechocean762=1.0, sounds=0.5) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.input_ids, other.input_ids)
        np.testing.assert_array_equal(one.frames, other.frames)


def test_decoder_batch_frames_belong_to_their_row(folder: Path) -> None:
    tokenizer = Tokenizer.from_folder(folder)
    found = set()
    for batch in _batches(folder, 8, fsdd=1.0, sounds=1.0):
        for row, audio in enumerate(_split_audio(batch)):
            answer = batch.targets[row][batch.targets[row] != IGNORED]
            is_a_word = tokenizer.decode(answer[:-1].tolist()) in WORDS
            is_a_sound = bool(np.median(audio) < 0)  # sounds are -1 all over, phones 0 and above
            found.add((is_a_word, is_a_sound))
    assert found == {(True, False), (False, True)}


def test_decoder_batches_inject_texts_whose_audio_says_their_words(folder: Path, lexicon: Lexicon) -> None:
    tokenizer = Tokenizer.from_folder(folder)
    texts = _texts(folder, lexicon)
    seen = set()
    for batch in _batches(folder, 16, texts, injected=1.0):
        for row, audio in enumerate(_split_audio(batch)):
            answer = batch.targets[row][batch.targets[row] != IGNORED]
            text = tokenizer.decode(answer.tolist())
            seen.add(text)
            wanted = [phone for word in text.split() for phone in WORDS[word]]
            heard = np.rint(np.median(audio.reshape(-1, WIDTH), axis=1)).astype(int).tolist()
            assert [phone for phone, _ in groupby(heard) if phone != SILENCE] == wanted, text
    assert seen == set(TEXTS)


def test_decoder_batches_without_injected_share_need_no_texts(folder: Path) -> None:
    maker = DecoderBatchMaker(_recipe(fsdd=1.0), folder, folder)
    assert maker.make(0).input_ids.size == 384


def test_injected_texts_draw_ranges_of_exactly_their_phones(folder: Path, lexicon: Lexicon) -> None:
    cache, texts = EncoderCache(folder), _texts(folder, lexicon)
    for number in range(20):
        ranges, truth = texts.draw(number, np.random.default_rng(number))
        assert truth.words is not None and truth.kind == "injected"
        said = [int(cache.frames[start, 0]) for start, _ in ranges]
        assert [p for p in said if p != SILENCE] == [p for w in truth.words.split() for p in WORDS[w]]


def test_injected_texts_estimate_their_length(folder: Path, lexicon: Lexicon) -> None:
    texts = _texts(folder, lexicon, ("mane",))
    assert texts.num_tokens.tolist() == [int((18 + 4.6 * 4) / 4)] * 20
    assert texts.num_characters.tolist() == [4] * 20


def test_injected_texts_that_nobody_can_say_end_in_an_error(folder: Path, tmp_path: Path) -> None:
    lexicon = _lexicon(tmp_path)
    lexicon._known["zoo"] = (40, 16)  # phones that no clip has
    texts = _texts(folder, lexicon, ("zoo",))
    with pytest.raises(InvalidInputError, match="no cached clip") as caught:
        texts.draw(0, np.random.default_rng(0))
    assert caught.value.reason == "TEXTS_CANNOT_BE_SAID"


def test_injected_text_that_cannot_be_said_is_replaced(folder: Path, tmp_path: Path) -> None:
    lexicon = _lexicon(tmp_path)
    lexicon._known["zoo"] = (40, 16)
    texts = _texts(folder, lexicon, ("zoo", "mane"))
    assert {texts.draw(n, np.random.default_rng(n))[1].words for n in range(20)} == {"mane"}


def test_cache_read_texts_are_the_distinct_read_sentences(folder: Path) -> None:
    read = EncoderCache(folder).read_texts()
    assert len(read) == len(set(read)) > 4
    assert all(len(text.split()) == 2 for text in read)  # and no single word of fsdd


def test_cache_not_closed_is_no_cache(tmp_path: Path) -> None:
    EncoderCacheWriter(tmp_path, 10, WIDTH).add(np.zeros((4, WIDTH), np.float16), Truth("fsdd", "one"), None)
    with pytest.raises(FileNotFoundError):
        EncoderCache(tmp_path)
