import pytest

from eureka.pipeline.stitching import stitch_words


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        ("one two three four", "three four five six", "one two three four five six"),
        ("one two three fo", "ree four five six", "one two three four five six"),
        ("one two three fo", "two three four five", "one two three four five"),
        ("one two three xy", "three four five", "one two three four five"),
        ("five six five six", "six five six seven", "five six five six seven"),
        ("one two", "three four", "one two three four"),
        ("one two three three", "three three four", "one two three three four"),
        ("so it goes. On", "goes on and on", "so it goes. On and on"),
        ("One, two!", "two three", "One, two! three"),
        ("", "one two", "one two"),
        ("one two", "", "one two"),
        ("one two", "two", "one two"),
        ("- one", "- two", "- one - two"),
        ("by the river", "rivers run", "by the rivers run"),
        ("we walked by mount", "alked by mountain roads", "we walked by mountain roads"),
        ("a stop sig", "op signal here", "a stop signal here"),
    ],
)
def test_stitch_words_shared_words_are_said_once(earlier: str, later: str, expected: str) -> None:
    left, right = stitch_words(earlier, later, overlap_seconds=1.0)
    assert f"{left} {right}".split() == expected.split()


def test_stitch_words_far_repetition_is_no_seam() -> None:
    earlier = "the dog saw a cat and ran home to sleep well"
    later = "then the dog saw a bird"
    assert stitch_words(earlier, later, overlap_seconds=0.5) == (earlier, later)


def test_stitch_words_every_cut_of_a_text_joins_to_the_text() -> None:
    text = "we walked by the sea, and the wind was cold, but the sun was out"
    words = text.split()
    for seam in range(3, len(words) - 3):
        earlier = [*words[:seam], words[seam][:1] + "x"]  # the last word is cut
        later = ["x" + words[seam - 3][-1:], *words[seam - 2 :]]  # the first word is cut
        left, right = stitch_words(" ".join(earlier), " ".join(later), overlap_seconds=1.0)
        assert f"{left} {right}".split() == words, seam
