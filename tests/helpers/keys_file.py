"""A keys file with keys of all kinds."""

from __future__ import annotations

from pathlib import Path

from eureka.runtime.keys import Scope, new_key


class Keys:
    """A keys file with a reader, a writer and a revoked key."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "keys.jsonl"
        self.reader, reader = new_key("acme", frozenset({Scope.READ}))
        self.writer, writer = new_key("acme", frozenset({Scope.WRITE}))
        self.admin, admin = new_key("root", frozenset({Scope.ADMIN}))
        self.revoked, revoked = new_key("acme", frozenset({Scope.READ}))
        lines = [key.to_line() for key in (reader, writer, admin)]
        lines.append(revoked.to_line().replace("}", ', "revoked": true}'))
        self.path.write_text("# keys of the test\n\n" + "\n".join(lines) + "\n")
