"""Jobs over the tone model and a folder of the test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from eureka.text.tokenizer import Tokenizer
from tests.helpers.job_rig import JobRig, WatchedStore, tone_model
from tests.helpers.tokenizers import small_nano_tokenizer
from tests.helpers.tone_model import Fault

MakeRig = Callable[..., JobRig]


@pytest.fixture(scope="session")
def tone_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_nano_tokenizer(tmp_path_factory.mktemp("tone"))


@pytest.fixture
def make_rig(tone_tokenizer: Tokenizer, tmp_path: Path) -> MakeRig:
    def make(
        fault: Fault = lambda request, number: None, folder: str = "store", **settings: object
    ) -> JobRig:
        return JobRig(WatchedStore(tmp_path / folder), tone_model(tone_tokenizer, fault, **settings))

    return make
