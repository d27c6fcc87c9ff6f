"""Listening questions as one more kind of sample: from shards to rows of training."""

from __future__ import annotations

import json
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from eureka.errors import InvalidInputError, NotFoundError
from eureka.text.tokenizer import Tokenizer
from eureka.training.data_stage import build_flux_pack
from eureka.training.feature_pack import FeaturePack
from eureka.training.manifest import ChoiceQuestion, parse_row
from eureka.training.samples import Truth
from eureka.training.tasks import TaskWriter, listed_question, possible_tasks

ASKED = {
    "question": "Which sound comes first?",
    "options": ["rain", "dog bark", "birds"],
    "answer": "birds",
    "category": "sound/first",
}


def row(**about: Any) -> dict[str, Any]:
    plain = {
        "path": "0.flac",
        "subset": "dataflux",
        "split": "train",
        "duration_s": 1.0,
        "sample_rate": 16000,
        "license": "CC0-1.0",
        "source": "generated",
    }
    return plain | about


def write_shard(path: Path, questions: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = BytesIO()
    soundfile.write(sound, np.sin(np.arange(16_000) / 20).astype(np.float32) * 0.3, 16_000, format="FLAC")
    with tarfile.open(path, "w") as shard:
        for name, content in (
            ("0.json", json.dumps(row(questions=questions)).encode()),
            ("0.flac", sound.getvalue()),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, BytesIO(content))


def test_pack_of_an_export_holds_its_questions_and_is_made_anew_for_another(tmp_path: Path) -> None:
    write_shard(tmp_path / "export" / "a.tar", [ASKED])
    build_flux_pack([str(tmp_path / "export")], tmp_path / "dataflux")
    clip = FeaturePack(tmp_path / "dataflux").clips[0]
    assert clip.kind == "dataflux" and clip.about["questions"] == [ASKED]
    write_shard(tmp_path / "export" / "a.tar", [ASKED, ASKED | {"answer": "rain"}])
    build_flux_pack([str(tmp_path / "export")], tmp_path / "dataflux")
    assert len(FeaturePack(tmp_path / "dataflux").clips[0].about["questions"]) == 2


def test_export_without_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="dataflux export"):
        build_flux_pack([str(tmp_path)], tmp_path / "dataflux")


def test_no_export_makes_no_pack(tmp_path: Path) -> None:
    build_flux_pack([], tmp_path / "dataflux")
    assert not (tmp_path / "dataflux").exists()


@pytest.mark.parametrize(
    "wrong",
    [{"answer": "storm"}, {"options": ["rain", "rain", "birds"]}, {"options": ["birds"]}, {"options": None}],
)
def test_question_whose_answer_is_no_option_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=r"line:7"):
        parse_row(json.dumps(row(questions=[ASKED | wrong])), "line:7")


def test_truth_with_questions_survives_the_cache() -> None:
    truth = Truth(kind="dataflux", questions=(ChoiceQuestion.of_plain(ASKED, "here"),))
    assert Truth.from_dict(json.loads(json.dumps(truth.to_dict()))) == truth


def test_question_is_asked_with_and_without_options_and_answered_by_the_right_one(
    checkpoint_folder: Path,
) -> None:
    truth = Truth(kind="dataflux", questions=(ChoiceQuestion.of_plain(ASKED, "here"),))
    assert possible_tasks(truth) == {"choose": 1.0}
    writer, tokenizer = TaskWriter(checkpoint_folder), Tokenizer.from_folder(checkpoint_folder)
    rows = [writer.write(truth, 5, np.random.default_rng(seed)) for seed in range(40)]
    answers = {tokenizer.decode(list(row.answer_ids[:-1])) for row in rows}
    assert answers == {"birds"}
    listed = sum(
        "rain, dog bark or birds" in tokenizer.decode(row.prompt.prompt_ids.tolist()) for row in rows
    )
    assert 8 < listed < 32
    assert max(row.length for row in rows) <= 22 + 5 + writer.longest_answer(truth)


def test_listed_question_names_every_option() -> None:
    asked = ChoiceQuestion.of_plain(ASKED, "here")
    assert listed_question(asked) == "which sound comes first: rain, dog bark or birds"
