"""What interceptors decide without a server; the rest is in tests/integration/test_grpc_scaffold.py."""

from __future__ import annotations

import grpc

from eureka.runtime.interceptors import AwayLines

OK, AWAY = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE


def test_lines_of_a_model_that_is_away_are_the_first_and_one_in_ten_seconds_until_it_answers() -> None:
    now = 100.0
    lines = AwayLines(lambda: now)
    assert [lines.admits("Embed", AWAY) for _ in range(3)] == [True, False, False]
    assert lines.admits("Encode", AWAY)
    now = 110.0
    assert [lines.admits("Embed", AWAY) for _ in range(2)] == [True, False]
    assert lines.admits("Embed", OK) and lines.admits("Embed", OK)
    assert lines.admits("Embed", AWAY)
