"""The documents name what is there: the tree of the README, links, decisions."""

from __future__ import annotations

import re
from pathlib import Path

TREE_LINE = re.compile(r"^(?P<indent> *)(?P<name>[\w.\-]+/?)(?:\s{2,}\S.*)?$")
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)[^)]*\)")


def _tree_paths(readme: str) -> list[str]:
    block = readme.split("```tree\n", 1)[1].split("```", 1)[0]
    paths: list[str] = []
    parents: list[str] = []
    for line in block.splitlines():
        match = TREE_LINE.match(line)
        assert match, f"not a line of the tree: {line!r}"
        depth = len(match["indent"]) // 4
        parents = [*parents[:depth], match["name"].rstrip("/")]
        paths.append("/".join(parents))
    return paths


def test_readme_tree_names_what_exists(repo_root: Path) -> None:
    readme = (repo_root / "README.md").read_text(encoding="utf-8")
    for path in _tree_paths(readme):
        assert (repo_root / path).exists(), f"README names {path}, which is not there"


def test_readme_tree_leaves_no_package_out(repo_root: Path) -> None:
    named = set(_tree_paths((repo_root / "README.md").read_text(encoding="utf-8")))
    packages = {f"src/eureka/{p.parent.name}" for p in (repo_root / "src" / "eureka").glob("*/__init__.py")}
    assert packages <= named


def test_relative_links_lead_somewhere(repo_root: Path) -> None:
    documents = [*repo_root.glob("*.md"), *(repo_root / "docs").rglob("*.md")]
    assert documents
    for document in documents:
        for target in LINK.findall(document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_decisions_are_numbered_without_gaps_and_have_three_parts(repo_root: Path) -> None:
    decisions = sorted((repo_root / "docs" / "adr").glob("*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        headings = re.findall(r"^## (\w+)", text, re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences"], path.name
