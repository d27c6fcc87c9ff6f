"""API keys: a file of their hashes, and the helper that makes one.

    python -m eureka.runtime.keys new --tenant TENANT --scopes read,write [--name NAME]

prints the key once, and the line for the file. The file holds one JSON object a line: sha256 (of the key,
hex), tenant, scopes, name, and `"revoked": true` for a key that must no longer work. It is read again when
it changes. Keys are 32 random bytes, so that a plain hash hides them. Neither keys nor hashes are logged.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import logging
import secrets
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from eureka.clients.metadata import is_tenant
from eureka.errors import InvalidInputError, UnauthenticatedError

logger = logging.getLogger(__name__)

KEY_PREFIX = "eureka_"
"""So that scanners for leaked secrets find keys."""

NUM_KEY_BYTES = 32
"""256 bits: nobody guesses it, so its hash needs no salt and no slow function."""

_HASH_DIGITS = 64


class Scope(StrEnum):
    """What a key allows; each is given on its own, admin holds all."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key, without the key.

    Attributes:
        sha256: hash of the key, hex.
        tenant: whose calls it makes.
        scopes: what it allows.
        name: for people.
        is_revoked: it must no longer work.
    """

    sha256: str
    tenant: str
    scopes: frozenset[Scope]
    name: str = ""
    is_revoked: bool = False

    def has(self, scope: Scope) -> bool:
        """Whether the key allows `scope`."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    @property
    def shown_scopes(self) -> str:
        """Its scopes for a message."""
        return ", ".join(sorted(self.scopes)) or "none"

    def to_line(self) -> str:
        """The line of the file."""
        plain: dict[str, Any] = {"sha256": self.sha256, "tenant": self.tenant, "scopes": sorted(self.scopes)}
        plain |= {"name": self.name} if self.name else {}
        return json.dumps(plain | ({"revoked": True} if self.is_revoked else {}))


class KeyFile:
    """The keys of a file, read again when it changes; a file that breaks leaves the last good ones.

    Args:
        path: the file.

    Raises:
        InvalidInputError: reason INVALID_KEYS_FILE; it cannot be read at the start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._stamp_now()
        self._keys = read_keys(path)

    def authenticate(self, token: str) -> ApiKey:
        """The key that `token` is.

        Every hash is compared, each in constant time, so that time tells nothing about any.

        Raises:
            UnauthenticatedError: reason MISSING_KEY, UNKNOWN_KEY or REVOKED_KEY.
        """
        if not token:
            message = "this call needs a key: metadata `authorization: Bearer KEY`"
            raise UnauthenticatedError(message, reason="MISSING_KEY")
        self._refresh()
        digest = hash_of(token)
        found = [key for key in self._keys if hmac.compare_digest(key.sha256, digest)]
        if not found:
            raise UnauthenticatedError("the key is not known here", reason="UNKNOWN_KEY")
        if any(key.is_revoked for key in found):
            raise UnauthenticatedError("the key has been revoked", reason="REVOKED_KEY")
        return found[0]

    def _refresh(self) -> None:
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = read_keys(self._path)
            logger.info("keys_file_read", extra={"num_keys": len(self._keys)})
        except InvalidInputError as error:
            logger.error("keys_file_unreadable", extra={"error": error.message})

    def _stamp_now(self) -> tuple[int, int, int]:
        try:
            stat = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """All keys of a file; empty lines and lines that begin with # are passed over.

    Raises:
        InvalidInputError: reason INVALID_KEYS_FILE; names the line, never its content.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(f"cannot read the keys of {path}: {type(error).__name__}") from error
    numbered = [(i, line.strip()) for i, line in enumerate(lines, 1)]
    return tuple(_parsed(line, f"{path}:{i}") for i, line in numbered if line and not line.startswith("#"))


def bearer_token(authorization: object) -> str:
    """The key in the value of `authorization`; empty where there is none."""
    if not isinstance(authorization, str):
        return ""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def hash_of(token: str) -> str:
    """SHA-256 of a key, hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_key(tenant: str, scopes: frozenset[Scope], name: str = "") -> tuple[str, ApiKey]:
    """A fresh key, and what the file holds of it."""
    token = KEY_PREFIX + secrets.token_urlsafe(NUM_KEY_BYTES)
    return token, ApiKey(hash_of(token), tenant, scopes, name)


def _parsed(line: str, place: str) -> ApiKey:
    try:
        plain = json.loads(line)
        key = ApiKey(
            sha256=str(plain["sha256"]).lower(),
            tenant=str(plain["tenant"]),
            scopes=frozenset(Scope(scope) for scope in plain["scopes"]),
            name=str(plain.get("name", "")),
            is_revoked=bool(plain.get("revoked", False)),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _invalid(
            f"{place}: not an object with sha256, tenant and scopes (read, write, admin)"
        ) from error
    if len(key.sha256) != _HASH_DIGITS or not set(key.sha256) <= set("0123456789abcdef"):
        raise _invalid(f"{place}: sha256 is not {_HASH_DIGITS} hex digits")
    if not is_tenant(key.tenant):
        raise _invalid(f"{place}: a tenant is 1 to 63 of a-z, 0-9 and -, not beginning with -")
    return key


def _invalid(message: str) -> InvalidInputError:
    return InvalidInputError(message, reason="INVALID_KEYS_FILE")


def _tenant(text: str) -> str:
    if not is_tenant(text):
        raise argparse.ArgumentTypeError("1 to 63 of a-z, 0-9 and -, not beginning with -")
    return text


def _scopes(text: str) -> frozenset[Scope]:
    try:
        return frozenset(Scope(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError("one or more of read,write,admin with commas") from error


def main(arguments: list[str] | None = None) -> int:
    """Make a key."""
    parser = argparse.ArgumentParser(prog="python -m eureka.runtime.keys", description="API keys")
    new = parser.add_subparsers(dest="command", required=True).add_parser("new", help="make a key")
    new.add_argument("--tenant", required=True, type=_tenant, help="whose calls it makes")
    new.add_argument("--scopes", type=_scopes, default=frozenset({Scope.READ}), help="read,write,admin")
    new.add_argument("--name", default="", help="for people")
    given = parser.parse_args(arguments)
    token, key = new_key(given.tenant, given.scopes, given.name)
    print(token)
    print(key.to_line())
    print("The first line is the key, shown only now; append the second to the keys file.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
