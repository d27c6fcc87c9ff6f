"""Each published kind of instruction, with an answer that follows it and one that does not."""

from __future__ import annotations

import pytest

from eureka.errors import InvalidInputError
from eureka.evaluation.suites.instructions import CHECKS, count_sentences, followed, variants

CASES = (
    ("keywords:existence", {"keywords": ["river", "boat"]}, "A boat on the River.", "A boat on the lake."),
    (
        "keywords:frequency",
        {"keyword": "sea", "frequency": 2, "relation": "at least"},
        "Sea by sea.",
        "The sea.",
    ),
    (
        "keywords:frequency",
        {"keyword": "sea", "frequency": 2, "relation": "less than"},
        "The sea.",
        "Sea by sea.",
    ),
    ("keywords:forbidden_words", {"forbidden_words": ["car"]}, "A carpet.", "A Car."),
    (
        "keywords:letter_frequency",
        {"letter": "e", "let_frequency": 3, "let_relation": "at least"},
        "Every eel",
        "An eel",
    ),
    (
        "language:response_language",
        {"language": "de"},
        "Heute regnet es den ganzen Tag.",
        "It rains today.",
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 2, "relation": "at least"},
        "Dr. Lee came. She left.",
        "Dr. Lee came and left.",
    ),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "One.\n***\nTwo.", "One.\n\nTwo."),
    (
        "length_constraints:number_words",
        {"num_words": 3, "relation": "less than"},
        "Two words",
        "Here are three",
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Rain"},
        'Sun first.\n\n"rain, then.',
        "Rain first.\n\nSun then.",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name], [town]", "[name], town"),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.S."},
        "Bye.\nP. S. Write.",
        "Bye.\nPostscript.",
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.P.S"},
        "Bye.\nP.P.S write",
        "Bye.\nP.S. write",
    ),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* one\n- two", "* one\n* two\n* three"),
    ("detectable_format:constrained_response", {}, "Well. My answer is maybe.", "Perhaps."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 1}, "a *word*", "a * * word"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "SECTION", "num_sections": 2},
        "SECTION 1\na\nSECTION 2\nb",
        "SECTION 1\na\nsection two",
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": [1]}\n```', "{a: 1}"),
    ("detectable_format:title", {}, "<<Spring>>\nIt rains.", "<< >>\nIt rains."),
    ("combination:two_responses", {}, "One way.\n******\nThe other.", "Same.\n******\nSame."),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Why is it so?"}, "why is it so? Thus.", "It is so."),
    ("startend:end_checker", {"end_phrase": "That is all."}, 'Short. That is all."', "That is all. Or not."),
    ("startend:quotation", {}, ' "Every word." ', '"Every word.'),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        "GO THERE now",
        "GO there now",
    ),
    ("change_case:english_capital", {}, "THE BIRDS SING IN THE MORNING.", "The birds sing in the morning."),
    ("change_case:english_lowercase", {}, "the birds sing in the morning.", "The birds sing in the morning."),
    ("punctuation:no_comma", {}, "Milk and bread.", "Milk, bread."),
)


def test_all_published_kinds_have_a_case():
    assert {case[0] for case in CASES} == set(CHECKS)
    assert len(CHECKS) == 25


@pytest.mark.parametrize(("name", "arguments", "good", "bad"), CASES)
def test_rule_takes_what_follows_and_refuses_what_does_not(name, arguments, good, bad):
    assert followed([(name, arguments)], good, False) == [True]
    assert followed([(name, arguments)], bad, False) == [False]


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("detectable_format:json_format", {}, 'Here it is:\n{"a": 1}'),
        ("startend:end_checker", {"end_phrase": "done"}, "All is done\nAnything else?"),
        ("startend:quotation", {}, 'Sure!\n"Words."\nBye!'),
        ("length_constraints:number_words", {"num_words": 2, "relation": "less than"}, "Here you are:\nYes"),
        ("keywords:existence", {"keywords": ["blue sea"]}, "the **blue** sea"),
    ],
)
def test_loose_forgives_a_frame_that_strict_does_not(name, arguments, answer):
    assert followed([(name, arguments)], answer, False) == [False]
    assert followed([(name, arguments)], answer, True) == [True]


def test_empty_answer_follows_nothing():
    rules = [("punctuation:no_comma", {}), ("keywords:forbidden_words", {"forbidden_words": ["x"]})]
    assert followed(rules, " \n", False) == followed(rules, "", True) == [False, False]


def test_unpublished_kind_and_relation_are_refused():
    with pytest.raises(InvalidInputError, match="no instruction"):
        followed([("made:up", {})], "text", False)
    with pytest.raises(InvalidInputError, match="no relation"):
        followed([("length_constraints:number_words", {"num_words": 1, "relation": "about"})], "text", False)


def test_loose_looks_at_eight_texts():
    assert len(list(variants("a\nb\nc"))) == 8
    assert set(variants("a\n*b*\nc")) >= {"*b*", "b", "*b*\nc", "a\nb"}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three?", 3),
        ("It cost 3.5 pounds, e.g. last week. So do I.", 2),
        ("No mark at the end", 1),
        ("Title\n\nA sentence.", 2),
        ('He said "stop." Then he left...', 2),
        ("", 0),
        ("...", 0),
    ],
)
def test_sentences_are_counted(text, count):
    assert count_sentences(text) == count
