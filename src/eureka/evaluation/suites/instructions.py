"""Instructions whose following a program can check: the 25 kinds of IFEval (Zhou et al. 2023).

Kinds, arguments and rules are those that were published, under the published ids. Three things are done by
other means than there: sentences are counted by a rule of our own, words in capitals by one expression, and
the language of an answer is told by py3langid. `strict` looks at the answer as it is; `loose` also at what
is left without its first line, its last line, both, and without asterisks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from eureka.errors import InvalidInputError

Arguments = Mapping[str, Any]
"""Of one instruction, as published."""

Check = Callable[[str, Arguments], bool]

CONSTRAINED_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")

_ABBREVIATION = re.compile(
    r"\b(?:mr|mrs|ms|dr|prof|st|sr|jr|vs|etc|inc|ltd|co|no|e\.g|i\.e|a\.m|p\.m|u\.s|[a-hj-z])\.$",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?…]+[\"')\]]*(?=\s|$)|\n{2,}|[\u3002\uff01\uff1f]")
_WORD = re.compile(r"\w+")
_WORD_WITH_MARKS = re.compile(r"\w[\w'\u2019-]*")


def followed(rules: Sequence[tuple[str, Arguments]], answer: str, is_loose: bool) -> list[bool]:
    """Whether each instruction was followed; an empty answer follows none.

    Raises:
        InvalidInputError: an id that was not published.
    """
    texts = [text for text in (variants(answer) if is_loose else [answer]) if text.strip()]
    return [any(check_of(name)(text, arguments) for text in texts) for name, arguments in rules]


def check_of(name: str) -> Check:
    """The rule of an instruction, by its id."""
    try:
        return CHECKS[name]
    except KeyError:
        raise InvalidInputError(f"{name!r} is no instruction of IFEval", reason="BAD_DATASET") from None


def variants(answer: str) -> Iterator[str]:
    """The texts that the loose rule looks at."""
    lines = answer.split("\n")
    for part in (lines, lines[1:], lines[:-1], lines[1:-1]):
        text = "\n".join(part)
        whole = text if part is lines else text.strip()
        yield whole
        yield whole.replace("*", "")


def _relates(count: int, relation: str, bound: int) -> bool:
    if relation not in ("less than", "at least"):
        raise InvalidInputError(f"{relation!r} is no relation of IFEval", reason="BAD_DATASET")
    return count < bound if relation == "less than" else count >= bound


def count_sentences(text: str) -> int:
    """Sentences: runs up to a mark before a blank, an empty line, or the end; abbreviations end none."""
    sentences, start = 0, 0
    for end in _SENTENCE_END.finditer(text):
        if _ABBREVIATION.search(text[start : end.end()].rstrip("\"')]")):
            continue
        sentences += bool(_WORD.search(text[start : end.end()]))
        start = end.end()
    return sentences + bool(_WORD.search(text[start:]))


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_pickled_model(MODEL_FILE)


def language_of(text: str) -> str:
    """Code of the language in which the text is most probably written."""
    code: str = _identifier().classify(text)[0]
    return code


def _keywords_exist(text: str, given: Arguments) -> bool:
    return all(_count(keyword, text) for keyword in given["keywords"])


def _count(keyword: str, text: str) -> int:
    return len(re.findall(re.escape(keyword), text, re.IGNORECASE))


def _keyword_frequency(text: str, given: Arguments) -> bool:
    return _relates(_count(given["keyword"], text), given["relation"], given["frequency"])


def _no_forbidden_words(text: str, given: Arguments) -> bool:
    words = (re.escape(word) for word in given["forbidden_words"])
    return not any(re.search(rf"\b{word}\b", text, re.IGNORECASE) for word in words)


def _letter_frequency(text: str, given: Arguments) -> bool:
    count = text.lower().count(given["letter"].lower())
    return _relates(count, given["let_relation"], given["let_frequency"])


def _response_language(text: str, given: Arguments) -> bool:
    return language_of(text) == str(given["language"])


def _number_sentences(text: str, given: Arguments) -> bool:
    return _relates(count_sentences(text), given["relation"], given["num_sentences"])


def _number_paragraphs(text: str, given: Arguments) -> bool:
    """Between lines of three asterisks; only the first and the last piece may be empty."""
    pieces = [bool(piece.strip()) for piece in re.split(r"\s?\*\*\*\s?", text)]
    return all(pieces[1:-1]) and sum(pieces) == int(given["num_paragraphs"])


def _number_words(text: str, given: Arguments) -> bool:
    return _relates(len(_WORD.findall(text)), given["relation"], given["num_words"])


def _nth_paragraph_first_word(text: str, given: Arguments) -> bool:
    """The n-th of all pieces between empty lines, of which just so many are not empty."""
    pieces, place = re.split(r"\n\n", text), given["nth_paragraph"]
    num_filled = sum(bool(piece.strip()) for piece in pieces)
    if place > num_filled or not pieces[place - 1].strip():
        return False
    first = pieces[place - 1].split()[0].lstrip("'\"")
    word = re.split(r"[.,?!'\"]", first, maxsplit=1)[0].lower()
    return num_filled == int(given["num_paragraphs"]) and word == str(given["first_word"]).lower()


def _number_placeholders(text: str, given: Arguments) -> bool:
    return len(re.findall(r"\[.*?\]", text)) >= int(given["num_placeholders"])


def _postscript(text: str, given: Arguments) -> bool:
    marker = given["postscript_marker"]
    shapes = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    return bool(re.search(shapes.get(marker, re.escape(marker.lower())), text.lower()))


def _number_bullets(text: str, given: Arguments) -> bool:
    starred = re.findall(r"^\s*\*[^*].*$", text, re.MULTILINE)
    dashed = re.findall(r"^\s*-.*$", text, re.MULTILINE)
    return len(starred) + len(dashed) == int(given["num_bullets"])


def _constrained_response(text: str, given: Arguments) -> bool:
    return any(answer in text for answer in CONSTRAINED_ANSWERS)


def _highlighted_sections(text: str, given: Arguments) -> bool:
    single = [part for part in re.findall(r"\*[^\n*]*\*", text) if part.strip("*").strip()]
    double = [part for part in re.findall(r"\*\*[^\n*]*\*\*", text) if part[2:-2].strip()]
    return len(single) + len(double) >= int(given["num_highlights"])


def _multiple_sections(text: str, given: Arguments) -> bool:
    marker = re.escape(given["section_spliter"].strip())
    return len(re.split(rf"\s?{marker}\s?\d+\s?", text)) - 1 >= int(given["num_sections"])


def _json_format(text: str, given: Arguments) -> bool:
    bare = re.sub(r"^```(?:json)?", "", text.strip(), flags=re.IGNORECASE).removesuffix("```").strip()
    try:
        json.loads(bare)
    except ValueError:
        return False
    return True


def _title(text: str, given: Arguments) -> bool:
    return any(title.lstrip("<").rstrip(">").strip() for title in re.findall(r"<<[^\n]+>>", text))


def _two_responses(text: str, given: Arguments) -> bool:
    """Two that differ, between six asterisks; only the first and the last piece may be empty."""
    pieces = [piece.strip() for piece in text.split("******")]
    filled = [piece for piece in pieces if piece]
    return all(pieces[1:-1]) and len(filled) == 2 and filled[0] != filled[1]


def _repeat_prompt(text: str, given: Arguments) -> bool:
    return text.strip().lower().startswith(str(given["prompt_to_repeat"]).strip().lower())


def _end_checker(text: str, given: Arguments) -> bool:
    return text.strip().strip('"').lower().endswith(str(given["end_phrase"]).strip().lower())


def _quotation(text: str, given: Arguments) -> bool:
    plain = text.strip()
    return len(plain) > 1 and plain.startswith('"') and plain.endswith('"')


def _capital_words(text: str, given: Arguments) -> bool:
    count = sum(word.isupper() for word in _WORD_WITH_MARKS.findall(text))
    return _relates(count, given["capital_relation"], given["capital_frequency"])


def _all_capital(text: str, given: Arguments) -> bool:
    return text.isupper() and language_of(text.lower()) == "en"


def _all_lowercase(text: str, given: Arguments) -> bool:
    return text.islower() and language_of(text) == "en"


def _no_comma(text: str, given: Arguments) -> bool:
    return "," not in text


CHECKS: dict[str, Check] = {
    "keywords:existence": _keywords_exist,
    "keywords:frequency": _keyword_frequency,
    "keywords:forbidden_words": _no_forbidden_words,
    "keywords:letter_frequency": _letter_frequency,
    "language:response_language": _response_language,
    "length_constraints:number_sentences": _number_sentences,
    "length_constraints:number_paragraphs": _number_paragraphs,
    "length_constraints:number_words": _number_words,
    "length_constraints:nth_paragraph_first_word": _nth_paragraph_first_word,
    "detectable_content:number_placeholders": _number_placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _number_bullets,
    "detectable_format:constrained_response": _constrained_response,
    "detectable_format:number_highlighted_sections": _highlighted_sections,
    "detectable_format:multiple_sections": _multiple_sections,
    "detectable_format:json_format": _json_format,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeat_prompt,
    "startend:end_checker": _end_checker,
    "startend:quotation": _quotation,
    "change_case:capital_word_frequency": _capital_words,
    "change_case:english_capital": _all_capital,
    "change_case:english_lowercase": _all_lowercase,
    "punctuation:no_comma": _no_comma,
}
"""Published id -> rule."""
