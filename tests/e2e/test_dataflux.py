"""A run of DataFlux by its commands: killed three times, then two at once; the export is the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eureka.training.data_stage import build_flux_pack
from eureka.training.feature_pack import FeaturePack
from tests.helpers.flux_pack import write_flux_pack

RECIPE = """
name = "small"
folder = "{folder}"
num_processes = 1
[clips.subsets]
esc10 = 4
speechocean762 = 3
[scenes]
count = 9
[questions]
per_item = 3
[checks]
blind = false
"""
NUM_ITEMS = 16


class Flux:
    """The command over one folder of records."""

    def __init__(self, folder: Path, pack: Path) -> None:
        self.folder = folder
        self.recipe = folder / "small.toml"
        folder.mkdir()
        self.recipe.write_text(RECIPE.format(folder=folder / "runs"), encoding="utf-8")
        state = {"EUREKA_DATA_FOLDER": str(pack), "EUREKA_STACK__FOLDER": str(folder / "state")}
        self._environment = {**os.environ, **state}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "eureka.cli.main", "dataflux", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self._environment, stdout=pipe, stderr=pipe, text=True)

    def do(self, *arguments: str) -> str:
        with self.start(*arguments) as process:
            out, told = process.communicate(timeout=110)
        assert process.returncode == 0, told
        return out

    def run(self) -> list[str]:
        return ["run", str(self.recipe), "--local"]

    def num_records(self) -> int:
        folder = self.folder / "runs" / "records" / "dataflux" / "small"
        return sum(path.is_file() for path in folder.rglob("*") if "verdicts" in path.parts)

    def export(self) -> dict[str, bytes]:
        self.do("export", str(self.recipe))
        folder = self.folder / "runs" / "small" / "export"
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_flux_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, pack: Path
) -> Iterator[tuple[Flux, dict[str, bytes]]]:
    flux = Flux(tmp_path_factory.mktemp("flux") / "one", pack)
    flux.do(*flux.run())
    yield flux, flux.export()


def killed_after(flux: Flux, num_records: int) -> None:
    """Start a run, and kill it with -9 once so many items are through."""
    with flux.start(*flux.run()) as process:
        deadline = time.monotonic() + 100
        while flux.num_records() < num_records:
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)


@pytest.mark.timeout(400)
def test_run_that_is_killed_three_times_exports_the_same_bytes(
    undisturbed: tuple[Flux, dict[str, bytes]], pack: Path, tmp_path: Path
) -> None:
    flux = Flux(tmp_path / "two", pack)
    for num_records in (2, 6, 10):
        killed_after(flux, num_records)
    assert 10 <= flux.num_records() < NUM_ITEMS
    refused = flux.start("export", str(flux.recipe))
    assert refused.wait(timeout=100) == 2 and "RUN_NOT_COMPLETE" in refused.communicate()[1]
    with flux.start(*flux.run()) as one, flux.start(*flux.run()) as other:  # two at once
        assert [one.wait(timeout=100), other.wait(timeout=100)] == [0, 0]
    assert flux.num_records() == NUM_ITEMS
    assert flux.export() == undisturbed[1]


def test_status_and_report_tell_what_the_export_holds(undisturbed: tuple[Flux, dict[str, bytes]]) -> None:
    flux, exported = undisturbed
    status = json.loads(flux.do("status", "--format", "json"))  # of the last run
    rows = exported["questions.jsonl"].decode().splitlines()
    assert status["kept"] == len(rows) > 0
    written = status["stages"]["questions"]["written"]
    assert status["kept"] + status["discarded"] == written and status["complete"]
    page = Path(flux.do("report", str(flux.recipe), "--sample", "2").strip()).read_text(encoding="utf-8")
    assert page.count("<audio") == page.count("</article>") > 0 and "$" not in page.split("<script>")[0]


def test_shards_are_read_by_training(undisturbed: tuple[Flux, dict[str, bytes]], tmp_path: Path) -> None:
    flux, exported = undisturbed
    build_flux_pack([str(flux.folder / "runs" / "small" / "export")], tmp_path / "dataflux")
    packed = FeaturePack(tmp_path / "dataflux").clips
    rows = [json.loads(line) for line in exported["questions.jsonl"].decode().splitlines()]
    assert sum(len(clip.about["questions"]) for clip in packed) == len(rows)
    assert {row["split"] for row in rows} == {"train"}
    assert not any(part.startswith("esc10/13") for row in rows for part in row["parts"])  # the dev clip
