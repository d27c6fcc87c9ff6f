"""Prints the third-party notices of an image: docker/NOTICES.md, then every package with its licence texts.

Run with the Python of the image's environment, as docker/install.sh does.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

_LICENCE_FILE = re.compile(r"^(licen[cs]e|copying|notice|authors)", re.IGNORECASE)
_OWN = "eureka"


def licence_of(package: Distribution) -> str:
    """What the package says of its licence: an expression, classifiers, or a short text."""
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    classifiers = metadata.get_all("Classifier") or []
    named = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License ::")]
    first_line = (metadata.get("License") or "").strip().partition("\n")[0]
    return ", ".join(named) or first_line or "see its licence texts"


def licence_texts(package: Distribution) -> Iterator[tuple[str, str]]:
    """Name and content of each licence file that came with the package."""
    for file in sorted(package.files or [], key=str):
        is_metadata = ".dist-info" in str(file)
        if is_metadata and (_LICENCE_FILE.match(file.name) or "licenses" in file.parts):
            path = Path(str(file.locate()))
            if path.is_file():
                yield file.name, path.read_text(encoding="utf-8", errors="replace").strip()


def describe(package: Distribution) -> Iterator[str]:
    """The lines of one package."""
    metadata = package.metadata
    yield f"## {metadata['Name']} {package.version}"
    yield ""
    yield f"Licence: {licence_of(package)}"
    for name, text in licence_texts(package):
        yield from ("", f"### {name}", "", "```", text, "```")
    yield ""


def main() -> int:
    """Print all."""
    sys.stdout.reconfigure(encoding="utf-8")
    print((Path(__file__).parent / "NOTICES.md").read_text(encoding="utf-8"))
    for package in sorted(distributions(), key=lambda package: package.metadata["Name"].lower()):
        if package.metadata["Name"] != _OWN:
            print("\n".join(describe(package)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
