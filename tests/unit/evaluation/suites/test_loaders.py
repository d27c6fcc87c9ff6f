"""Each loader against a tiny set in the published layout."""

from __future__ import annotations

import json

import numpy as np
import pytest

from eureka.errors import InvalidInputError, NotFoundError
from eureka.evaluation.arguments import PUBLIC_SUITES
from eureka.evaluation.metrics import TimedEvent
from eureka.evaluation.suites import wenetspeech
from eureka.evaluation.suites.items import ItemAudio
from eureka.evaluation.suites.registry import SUITES, suite_named
from eureka.types import SAMPLE_RATE_HZ
from tests.helpers import public_sets
from tests.helpers.small_pack import write_small_pack


def load(name, folder, split=None):
    public_sets.WRITERS[name](folder)
    return SUITES[name].items(folder, split)[1]


def strongest_hertz(pcm):
    spectrum = np.abs(np.fft.rfft(pcm))
    return float(np.argmax(spectrum) * SAMPLE_RATE_HZ / len(pcm))


def test_command_line_names_all_suites_of_the_registry():
    assert tuple(SUITES) == PUBLIC_SUITES == tuple(public_sets.WRITERS)


@pytest.mark.parametrize("name", PUBLIC_SUITES)
def test_tiny_set_loads_twice_the_same_and_its_audio_reads(name, tmp_path):
    items = load(name, tmp_path)
    assert items == SUITES[name].items(tmp_path)[1]
    assert len({item.item_id for item in items}) == len(items) >= 2
    for item in items:
        assert len(item.audio.read()) >= 0.45 * SAMPLE_RATE_HZ
        assert SUITES[name].ask(item)


@pytest.mark.parametrize("name", PUBLIC_SUITES)
def test_missing_data_say_where_they_come_from(name, tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(NotFoundError, match="comes from") as caught:
            SUITES[name].items(folder)
        assert caught.value.reason == "DATASET_NOT_FOUND"
        assert SUITES[name].layout in caught.value.message


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("librispeech", "LibriSpeech/test-clean/61/70968/61-70968.trans.txt", b"\xff\xfe"),
        ("fleurs-en", "data/en_us/test.tsv", b"1\ta.wav\tonly three\n"),
        ("wenetspeech", "WenetSpeech.json", b'{"audios": [{"aid": "x", "segments": [{}]}]}'),
        ("mmau", "mmau-test-mini.json", b'[{"id": 1}]'),
        ("mmau", "mmau-test-mini.json", b"{}"),
        ("mmar", "MMAR-meta.json", b"no json"),
        ("mmsu", "mmsu/biology-00000-of-00001.parquet", b"no parquet"),
        ("ravdess", "Actor_12/03-01-99-01-02-01-12.wav", b""),
        ("crema-d", "AudioWAV/1001_DFA_XXX_XX.wav", b""),
        ("esc50", "meta/esc50.csv", b"name\na.wav\n"),
        (
            "desed",
            "dataset/metadata/eval/public.tsv",
            b"filename\tonset\toffset\tevent_label\na\tx\t1\tDog\n",
        ),
        ("questions", "made-00000.tar", b"no archive"),
    ],
)
def test_file_in_another_format_is_refused(name, file, content, tmp_path):
    public_sets.WRITERS[name](tmp_path)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(InvalidInputError) as caught:
        SUITES[name].items(tmp_path)
    assert caught.value.reason == "BAD_DATASET"


def test_unknown_split_and_suite_name_those_that_there_are(tmp_path):
    with pytest.raises(InvalidInputError, match="test-clean, test-other"):
        SUITES["librispeech"].items(tmp_path, "test")
    with pytest.raises(NotFoundError, match="librispeech"):
        suite_named("nothing")


def test_librispeech_reads_texts_beside_their_audio(tmp_path):
    items = load("librispeech", tmp_path)
    assert [item.item_id for item in items] == ["61-70968-0000", "61-70968-0001"]
    assert items[1].reference == "NOBODY CAME TO TEA"
    assert len(items[1].audio.read()) == 0.8 * SAMPLE_RATE_HZ


def test_fleurs_takes_the_plain_transcription_and_leaves_quotes_alone(tmp_path):
    items = load("fleurs-en", tmp_path)
    assert [item.reference for item in items] == ["the old harbour froze", "boats waited for spring"]


def test_wenetspeech_takes_segments_of_its_subset_only(tmp_path):
    items = load("wenetspeech", tmp_path)
    assert [item.reference for item in items] == ["\u4f60\u597d", "\u518d\u89c1"]
    first, second = (item.audio.read() for item in items)
    assert (len(first), len(second)) == (1.0 * SAMPLE_RATE_HZ, 1.5 * SAMPLE_RATE_HZ)
    assert strongest_hertz(first) == pytest.approx(300, abs=3)
    assert strongest_hertz(second) == pytest.approx(900, abs=3)
    meeting = SUITES["wenetspeech"].items(tmp_path, "test-meeting")[1]
    assert {item.item_id[:12] for item in meeting} == {"TEST_MEETING"}


def test_wenetspeech_manifest_in_small_blocks_reads_the_same(tmp_path):
    items = load("wenetspeech", tmp_path)
    split = SUITES["wenetspeech"].items(tmp_path)[0]
    assert wenetspeech.load(tmp_path, split, block_chars=7) == items


def test_wenetspeech_manifest_that_is_cut_off_is_refused(tmp_path):
    public_sets.write_wenetspeech(tmp_path)
    path = tmp_path / "WenetSpeech.json"
    path.write_text(path.read_text()[:-200])
    with pytest.raises(InvalidInputError, match="ends before"):
        SUITES["wenetspeech"].items(tmp_path)


def test_mmau_and_mmar_keep_options_answers_and_categories(tmp_path):
    items = load("mmau", tmp_path)
    assert [item.right_letter for item in items] == ["A", "C", "B"]
    assert items[0].groups[:2] == ("task: sound", "difficulty: easy")
    asked = SUITES["mmau"].ask(items[0])[0].text
    assert asked == "Which animal is heard?\nA. Dog\nB. Cat\nC. Owl\nD. Cow"
    assert load("mmar", tmp_path)[1].groups[0] == "modality: mix-sound-speech"


def test_mmau_without_answers_is_refused(tmp_path):
    public_sets.write_mmau(tmp_path)
    rows = json.loads((tmp_path / "mmau-test-mini.json").read_text())
    (tmp_path / "mmau-test.json").write_text(json.dumps([row | {"answer": ""} for row in rows]))
    with pytest.raises(InvalidInputError, match="scored by its makers") as caught:
        SUITES["mmau"].items(tmp_path, "test")
    assert caught.value.reason == "NO_ANSWERS"


def test_answer_that_is_no_option_is_refused_by_name(tmp_path):
    public_sets.write_mmar(tmp_path)
    rows = json.loads((tmp_path / "MMAR-meta.json").read_text())
    (tmp_path / "MMAR-meta.json").write_text(json.dumps([rows[0] | {"answer": "snow"}]))
    with pytest.raises(InvalidInputError, match="'snow' is none of"):
        _ = SUITES["mmar"].items(tmp_path)[1][0].right_letter


def test_voicebench_asks_by_audio_alone_and_knows_the_right_option(tmp_path):
    items = load("mmsu", tmp_path)
    assert [(item.right_letter, item.reference) for item in items] == [("A", "yeast"), ("B", "the moon")]
    assert [item.groups for item in items] == [("category: biology",), ("category: physics",)]
    assert {inquiry.text for item in items for inquiry in SUITES["mmsu"].ask(item)} == {""}


def test_voicebench_audio_is_that_of_its_row_and_few_groups_are_held(tmp_path):
    rows = [{"prompt": "say something", "key": number} for number in range(5)]
    public_sets.write_parquet(tmp_path / "advbench" / "test-00000-of-00001.parquet", rows)
    items = SUITES["advbench"].items(tmp_path)[1]
    heard = [strongest_hertz(item.audio.read()) for item in (*items, items[0])]
    assert heard == pytest.approx([200, 270, 340, 410, 480, 200], abs=2)
    assert len(items[0].audio.source.table._groups) == 2


def test_ifeval_rules_lose_the_nulls_that_parquet_adds(tmp_path):
    items = load("ifeval", tmp_path)
    assert items[0].rules == (
        ("length_constraints:number_words", {"num_words": 3, "relation": "less than"}),
        ("punctuation:no_comma", {}),
    )
    assert items[1].rules == (("keywords:existence", {"keywords": ["river"]}),)


def test_emotions_are_read_from_file_names(tmp_path):
    speech = load("ravdess", tmp_path / "r")
    assert sorted(item.reference for item in speech) == ["angry", "happy"]
    song = SUITES["ravdess"].items(tmp_path / "r", "song")[1]
    assert [item.reference for item in song] == ["sad"]
    assert [item.reference for item in load("crema-d", tmp_path / "c")] == ["angry", "sad"]


def test_esc50_small_set_has_ten_classes_to_choose_from(tmp_path):
    assert len(load("esc50", tmp_path)[0].options) == 50
    small = SUITES["esc50"].items(tmp_path, "esc10")[1]
    assert [item.reference for item in small] == ["dog", "rain", "clock tick"]
    assert len(small[0].options) == 10
    assert [item.reference for item in SUITES["esc50"].items(tmp_path, "fold3")[1]] == ["siren"]


def test_desed_keeps_recordings_without_events(tmp_path):
    items = load("desed", tmp_path)
    assert items[0].events == (TimedEvent("Dog", 0.5, 1.5), TimedEvent("Speech", 1.0, 2.0))
    assert items[1].events == ()


def test_questions_of_one_recording_are_items_of_their_own(tmp_path):
    items = load("questions", tmp_path / "shards")
    assert [item.item_id for item in items] == ["0000000.flac/0", "0000000.flac/1", "0000001.flac/0"]
    asked = SUITES["questions"].ask(items[1])
    assert asked[0].text == "what comes first"
    assert asked[1].text == "what comes first: rain, dog bark, siren or rooster"
    assert asked[0].labels == items[1].options
    with pytest.raises(NotFoundError, match="no item of dev"):
        SUITES["questions"].items(tmp_path / "shards", "dev")


def test_questions_are_read_from_a_pack_too(tmp_path):
    write_small_pack(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    question = {"question": "What is it?", "options": ["rain", "dog bark"], "answer": "dog bark"}
    rows[0]["questions"] = [question]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (item,) = SUITES["questions"].items(tmp_path, "dev")[1]
    assert (item.item_id, item.right_letter, item.groups) == (f"{rows[0]['path']}/0", "B", ())


def test_audio_that_is_not_there_is_named(tmp_path):
    with pytest.raises(NotFoundError, match=r"gone\.wav"):
        ItemAudio(tmp_path / "gone.wav").read()


def test_span_behind_the_end_of_the_audio_is_refused(tmp_path):
    public_sets.write_aishell2(tmp_path)
    path = next(tmp_path.glob("**/*.wav"))
    with pytest.raises(InvalidInputError, match=r"no audio|ends before"):
        ItemAudio(path, 7.0, 8.0).read()
