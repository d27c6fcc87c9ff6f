"""The keys file: what stands in it, what is refused, when it is read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eureka.errors import InvalidInputError, UnauthenticatedError
from eureka.runtime.keys import ApiKey, KeyFile, Scope, bearer_token, hash_of, main, new_key, read_keys


def test_new_key_prints_the_key_once_and_a_line_that_admits_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "--tenant", "acme", "--scopes", "read,write", "--name", "ci"]) == 0
    token, line = capsys.readouterr().out.splitlines()
    assert token not in line
    path = tmp_path / "keys.jsonl"
    path.write_text(line + "\n")
    key = KeyFile(path).authenticate(token)
    assert (key.tenant, key.name, key.scopes) == ("acme", "ci", {Scope.READ, Scope.WRITE})


@pytest.mark.parametrize("arguments", [["--tenant", "A/B"], ["--tenant", "a", "--scopes", "all"], []])
def test_new_key_with_wrong_arguments_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(["new", *arguments])


def test_keys_differ_and_are_long() -> None:
    tokens = {new_key("t", frozenset())[0] for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 43


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        "{}",
        json.dumps({"sha256": "x", "tenant": "t", "scopes": ["read"]}),
        json.dumps({"sha256": "0" * 64, "tenant": "../t", "scopes": ["read"]}),
        json.dumps({"sha256": "0" * 64, "tenant": "t", "scopes": ["all"]}),
        json.dumps({"sha256": "0" * 64, "tenant": "t", "scopes": None}),
    ],
)
def test_wrong_line_is_named_without_its_content(tmp_path: Path, line: str) -> None:
    path = tmp_path / "keys.jsonl"
    path.write_text("# comment\n" + line + "\n")
    with pytest.raises(InvalidInputError, match=r"keys\.jsonl:2") as caught:
        read_keys(path)
    assert caught.value.reason == "INVALID_KEYS_FILE"
    assert line not in caught.value.message.removeprefix(str(path))


def test_missing_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"none\.jsonl"):
        KeyFile(tmp_path / "none.jsonl")


def test_file_that_breaks_leaves_the_last_good_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    token, key = new_key("t", frozenset({Scope.READ}))
    path.write_text(key.to_line())
    keys = KeyFile(path)
    path.write_text("broken")
    assert keys.authenticate(token).tenant == "t"
    path.unlink()
    assert keys.authenticate(token).tenant == "t"
    other, new = new_key("u", frozenset({Scope.READ}))
    path.write_text(new.to_line() + "\n")
    assert keys.authenticate(other).tenant == "u"
    with pytest.raises(UnauthenticatedError):
        keys.authenticate(token)


def test_admin_holds_every_scope_and_others_their_own() -> None:
    admin = ApiKey("", "t", frozenset({Scope.ADMIN}))
    writer = ApiKey("", "t", frozenset({Scope.WRITE}))
    assert all(admin.has(scope) for scope in Scope)
    assert [scope for scope in Scope if writer.has(scope)] == [Scope.WRITE]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("abc", ""),
        ("Basic abc", ""),
        (None, ""),
        (b"Bearer x", ""),
    ],
)
def test_bearer_token_is_taken_from_its_scheme(given: object, wanted: str) -> None:
    assert bearer_token(given) == wanted


def test_hash_is_sha256() -> None:
    assert hash_of("abc").startswith("ba7816bf8f01cfea")
