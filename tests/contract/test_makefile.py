"""make: what a newcomer types first."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def _make(root: Path, *arguments: str) -> str:
    done = subprocess.run(["make", *arguments], cwd=root, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_lists_every_target(repo_root: Path) -> None:
    makefile = (repo_root / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    inner = {"speech-engines", "queue-server", "s3-server", "alert-tools", "buf", "helm", "kernel-tools"}
    inner.add("image-tools")
    listed = set(re.findall(r"^  make ([a-z-]+)", _make(repo_root, "help"), re.MULTILINE))
    assert listed == set(phony.group(1).split()) - inner


def test_demo_passes_seed_and_audio_on(repo_root: Path) -> None:
    planned = _make(repo_root, "--dry-run", "demo", "SEED=7", "AUDIO=a b.wav")
    assert '-m eureka.cli.demo --seed 7 --audio "a b.wav"' in planned
