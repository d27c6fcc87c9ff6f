import pytest

from eureka.training.word_lists import participle, past, plural, present, word_lists


def test_word_lists_are_wide_and_plain() -> None:
    words = word_lists().every
    assert len(words) > 5000
    assert all(set(word) <= set("abcdefghijklmnopqrstuvwxyz'") for word in words)


@pytest.mark.parametrize(
    ("noun", "expected"), [("dog", "dogs"), ("box", "boxes"), ("baby", "babies"), ("boy", "boys")]
)
def test_plural_follows_the_spelling(noun: str, expected: str) -> None:
    assert plural(noun) == expected


@pytest.mark.parametrize(
    ("verb", "third", "before", "going"),
    [
        ("stop", "stops", "stopped", "stopping"),
        ("carry", "carries", "carried", "carrying"),
        ("bake", "bakes", "baked", "baking"),
        ("lie", "lies", "lay", "lying"),
        ("agree", "agrees", "agreed", "agreeing"),
        ("go", "goes", "went", "going"),
        ("clean", "cleans", "cleaned", "cleaning"),
    ],
)
def test_verb_forms_follow_the_spelling(verb: str, third: str, before: str, going: str) -> None:
    assert (present(verb), past(verb), participle(verb)) == (third, before, going)
