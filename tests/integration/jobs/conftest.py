"""A gateway with jobs for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eureka.clients.gateway import GatewayClient
from tests.helpers.job_gateway import CountedStore, Faults, JobGateway, job_gateway
from tests.helpers.job_rig import tone_model
from tests.helpers.tokenizers import small_nano_tokenizer


@pytest.fixture(scope="module")
def faults() -> Faults:
    return Faults()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, faults: Faults) -> Iterator[JobGateway]:
    folder = tmp_path_factory.mktemp("jobs")
    tokenizer = small_nano_tokenizer(tmp_path_factory.mktemp("tone"))
    with job_gateway(folder, lambda: tone_model(tokenizer, faults), CountedStore) as gateway:
        yield gateway


@pytest.fixture
def client(served: JobGateway) -> Iterator[GatewayClient]:
    with served.client() as client:
        yield client
