"""Generates the Python code of all protos into src: `python protos/generate.py`, or `--check` to compare.

The generated files are committed, so that nobody needs the compiler to install; `make lint` holds them
against the protos.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
TARGET = ROOT.parent / "src"


def generate(target: Path) -> list[Path]:
    """Write modules, types and stubs of every proto below `target`; the paths relative to it.

    Raises:
        SystemExit: the compiler refused.
    """
    sources = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.proto"))
    include = str(files("grpc_tools") / "_proto")
    out = [f"--{kind}={target}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    if protoc.main(["protoc", f"-I{ROOT}", f"-I{include}", *out, *sources]):
        raise SystemExit("the proto compiler failed")
    return sorted(p.relative_to(target) for p in target.rglob("*_pb2*.py*") if "__pycache__" not in p.parts)


def stale_files() -> list[str]:
    """Generated files that differ from what the protos give now, are missing or are left over."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = generate(Path(folder))
        known = {p.relative_to(TARGET) for p in TARGET.rglob("*_pb2*.py*") if "__pycache__" not in p.parts}
        differing = [
            path
            for path in fresh
            if path in known and (TARGET / path).read_bytes() != (Path(folder) / path).read_bytes()
        ]
        return sorted(map(str, {*known.symmetric_difference(fresh), *differing}))


def main(arguments: list[str]) -> int:
    """Generate, or with --check say which files are stale and give 1."""
    if arguments == ["--check"]:
        stale = stale_files()
        for path in stale:
            print(f"stale: src/{path}; run python protos/generate.py", file=sys.stderr)
        return 1 if stale else 0
    print(f"{len(generate(TARGET))} files")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
