import pytest

from eureka.errors import InvalidInputError
from eureka.model.config import EurekaConfig
from eureka.text.answers import AnswerWriter, check_instruction, instruction_prompt, label_ids
from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.types import (
    AudioPart,
    Ending,
    Instruction,
    Logprobs,
    Phrase,
    Task,
    TextDelta,
    TextPart,
    TokenLogprob,
    TokenLogprobs,
    Turn,
    Usage,
)
from tests.helpers.tokenizers import small_nano_tokenizer

CONFIG = EurekaConfig(
    prompts={"transcribe_system": "<|transcribe|>", "caption": "<|caption|>", "classify": "<|classify|>"},
    thinking="none",
    languages={"en": "English"},
)


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_nano_tokenizer(tmp_path_factory.mktemp("nano"))


@pytest.fixture(scope="module")
def prompts(nano: Tokenizer) -> PromptBuilder:
    return PromptBuilder(nano, CONFIG)


def written(
    tokenizer: Tokenizer, answer: str, ending: Ending = Ending.STOP, stop: tuple[str, ...] = ()
) -> list[TextDelta]:
    writer = AnswerWriter(tokenizer, stop)
    deltas = [writer.write([token_id]) for token_id in tokenizer.encode(answer)]
    return [*deltas, writer.write([], ending=ending, usage=Usage(3, 4))]


def text_of(deltas: list[TextDelta]) -> str:
    return "".join(delta.text for delta in deltas)


def test_writer_last_delta_and_only_that_has_the_ending(nano: Tokenizer) -> None:
    *deltas, last = written(nano, "<|0.4|>dog bark<|1.2|>rain \u00e9")
    assert all((d.ending, d.usage, d.phrases) == (None, None, ()) for d in deltas)
    assert (last.ending, last.usage) == (Ending.STOP, Usage(3, 4))
    assert last.phrases == (Phrase("dog bark", 0.4, 1.2), Phrase("rain \u00e9", 1.2))
    assert text_of([*deltas, last]) == "dog bark, rain \u00e9"
    assert [d.token_ids for d in deltas] == [(i,) for i in nano.encode("<|0.4|>dog bark<|1.2|>rain \u00e9")]


def test_writer_takes_tokens_and_ending_together(nano: Tokenizer) -> None:
    ids = nano.encode("rain")
    (delta,) = [AnswerWriter(nano).write(ids, ending=Ending.LENGTH)]
    assert (delta.text, delta.token_ids, delta.phrases) == ("rain", tuple(ids), (Phrase("rain"),))
    assert delta.usage == Usage()


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (Ending.REPETITION, "so ba"),
        (Ending.LENGTH, "so ba"),
        (Ending.STOP, "so ba ba ba ba"),
        (Ending.CANCELLED, "so ba ba ba ba"),
    ],
)
def test_writer_phrases_say_a_loop_once_where_the_answer_did_not_stop(
    nano: Tokenizer, ending: Ending, said: str
) -> None:
    deltas = written(nano, "so ba ba ba ba", ending)
    assert text_of(deltas) == "so ba ba ba ba"
    assert deltas[-1].phrases == (Phrase(said),)
    assert deltas[-1].ending is ending


def test_writer_stop_string_is_cut_and_what_follows_left_out(nano: Tokenizer) -> None:
    ids = nano.encode("rain zztop snow")
    writer = AnswerWriter(nano, ["zztop"])
    deltas = [writer.write([i]) for i in ids]
    assert writer.is_stopped
    deltas.append(writer.write([], ending=Ending.CANCELLED))
    assert text_of(deltas) == "rain"
    assert (deltas[-1].ending, deltas[-1].phrases) == (Ending.STOP, (Phrase("rain"),))
    given = [i for delta in deltas for i in delta.token_ids]
    assert given == ids[: len(given)] and nano.decode(given).strip() == "rain zztop"


def test_writer_beginning_of_a_stop_string_comes_out_at_the_end(nano: Tokenizer) -> None:
    deltas = written(nano, "rain zzt", stop=("zztop",))
    assert text_of(deltas[:-1]) == "rain"
    assert deltas[-1].text == " zzt"
    assert deltas[-1].phrases == (Phrase("rain zzt"),)


def test_writer_stop_string_at_the_start_of_a_phrase_leaves_no_comma(nano: Tokenizer) -> None:
    deltas = written(nano, "<|0.4|>dog<|1.0|>rain<|2.0|>", stop=("rain",))
    assert text_of(deltas) == "dog"
    assert deltas[-1].phrases == (Phrase("dog", 0.4, 1.0),)


def test_writer_names_the_tokens_of_logprobs(nano: Tokenizer) -> None:
    first, mark = nano.encode("b<|0.4|>")
    delta = AnswerWriter(nano).write([first], [TokenLogprobs(first, -0.5, (mark, first), (-0.25, -0.5))])
    best = (TokenLogprob("", -0.25), TokenLogprob(" b", -0.5))
    assert delta.logprobs == (Logprobs(TokenLogprob(" b", -0.5), best),)


@pytest.mark.parametrize("task", [Task.TRANSCRIBE, Task.CAPTION, Task.CLASSIFY])
def test_instruction_prompt_all_rows_are_one_item(prompts: PromptBuilder, task: Task) -> None:
    prompt = instruction_prompt(prompts, Instruction(task), 7)
    assert prompt.num_audio_tokens == 7
    expected = getattr(prompts, task.value)(7)
    assert prompt.prompt_ids.tolist() == expected.prompt_ids.tolist()


def test_instruction_prompt_language_is_hinted(prompts: PromptBuilder) -> None:
    plain, hinted = (
        instruction_prompt(prompts, Instruction(Task.TRANSCRIBE, language), 2) for language in (None, "en")
    )
    assert len(hinted.prompt_ids) > len(plain.prompt_ids)


def test_instruction_prompt_audio_parts_divide_the_rows(prompts: PromptBuilder) -> None:
    turns = (Turn("user", (AudioPart(3), AudioPart(4), TextPart("Which?"))),)
    prompt = instruction_prompt(prompts, Instruction(Task.ASK, turns=turns), 7)
    assert prompt.prompt_ids.tolist() == prompts.ask("Which?", [3, 4]).prompt_ids.tolist()
    for num_rows in (0, 6, 8):
        with pytest.raises(InvalidInputError, match=f"take 7 rows, audio_embeddings holds {num_rows}"):
            instruction_prompt(prompts, Instruction(Task.ASK, turns=turns), num_rows)


def test_instruction_prompt_of_text_alone_takes_no_rows(prompts: PromptBuilder) -> None:
    instruction = Instruction(Task.ASK, turns=(Turn("user", (TextPart("Hello?"),)),))
    assert instruction_prompt(prompts, instruction, 0).num_audio_tokens == 0


@pytest.mark.parametrize(
    ("instruction", "reason"),
    [
        (Instruction(Task.TRANSCRIBE, "xx"), "UNSUPPORTED_LANGUAGE"),
        (Instruction(Task.ASK), "INVALID_INPUT"),
        (Instruction(Task.ASK, turns=(Turn("tool", (TextPart("x"),)),)), "UNKNOWN_ROLE"),
        (Instruction(Task.ASK, turns=(Turn("user", ()),)), "EMPTY_TURN"),
        (Instruction(Task.ASK, turns=(Turn("user", (AudioPart(1), TextPart(" "))),)), "EMPTY_QUESTION"),
        (Instruction(Task.ASK, turns=(Turn("user", (AudioPart(0), TextPart("x"))),)), "EMPTY_AUDIO"),
    ],
)
def test_check_instruction_refuses_what_cannot_be_laid_out(
    prompts: PromptBuilder, instruction: Instruction, reason: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_instruction(prompts, instruction)
    assert caught.value.reason == reason


def test_check_instruction_a_spoken_question_and_a_blank_system_turn_pass(prompts: PromptBuilder) -> None:
    turns = (Turn("system", (TextPart(""),)), Turn("user", (AudioPart(1),)))
    check_instruction(prompts, Instruction(Task.ASK, turns=turns))
    for task in (Task.TRANSCRIBE, Task.CAPTION, Task.CLASSIFY):
        check_instruction(prompts, Instruction(task))


def test_label_ids_are_those_of_its_words(nano: Tokenizer) -> None:
    assert label_ids(nano, "dog__bark ") == nano.encode_plain("dog bark")
