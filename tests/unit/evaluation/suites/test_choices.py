from __future__ import annotations

import pytest

from eureka.evaluation.suites.choices import parse_choice

ANIMALS = ("Dog", "Cat", "A barn owl", "An owl")


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(c)", "C"),
        ("B.", "B"),
        ("D) An owl", "D"),
        ("**B**", "B"),
        ("B: the cat", "B"),
        ("A. Dog\nBecause it barks like a cat would not.", "A"),
        ("The answer is C.", "C"),
        ("I think the correct option is (D), since it hoots.", "D"),
        ("Answer: B", "B"),
        ("cat", "B"),
        ("It is a dog.", "A"),
        ("A barn owl", "C"),  # not the letter A
        ("I hear a barn owl in the distance", "C"),  # holds "owl", but "an owl" nowhere
        ("It's an owl!", "D"),
        ("a dog or a cat", None),
        ("E", None),
        ("The answer is A or the answer is B", None),
        ("A wolf howls", None),
        ("I cannot tell", None),
        ("", None),
    ],
)
def test_choice_is_parsed_or_left_open(answer, letter):
    assert parse_choice(answer, ANIMALS) == letter


def test_option_inside_a_longer_one_does_not_make_it_ambiguous():
    options = ("piano", "electric piano", "violin")
    assert parse_choice("an electric piano plays", options) == "B"
    assert parse_choice("a piano plays", options) == "A"
    assert parse_choice("an electric piano, then a piano", options) is None


def test_options_that_are_numbers_are_told_apart():
    assert parse_choice("There are 12 beats", ("1", "2", "12", "21")) == "C"
