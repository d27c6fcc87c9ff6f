from __future__ import annotations

import pytest

from eureka.engine.messages import error_text, parse_error
from eureka.errors import EurekaError, StageUnavailableError, error_classes


class _Renamed(StageUnavailableError):
    """A class outside the tree, built in another way, with a reason of the tree."""

    def __init__(self, part: str) -> None:
        super().__init__(f"{part} is away")


def test_error_classes_are_those_of_the_tree() -> None:
    assert EurekaError in error_classes() and StageUnavailableError in error_classes()
    assert _Renamed not in error_classes()
    reasons = [kind.default_reason for kind in error_classes()]
    assert len(set(reasons)) == len(reasons), "a reason names its class"


def test_error_of_a_class_outside_the_tree_comes_back_as_the_one_it_derives_from() -> None:
    parsed = parse_error(error_text(_Renamed("encoder")))
    assert type(parsed) is StageUnavailableError and parsed.message == "encoder is away"


@pytest.mark.parametrize("kind", error_classes())
def test_every_class_crosses_as_text(kind: type[EurekaError]) -> None:
    parsed = parse_error(error_text(kind("what was wrong")))
    assert type(parsed) is kind
