"""Jobs over a bucket of a real S3 server: files go and results come by links, and lists stay cheap."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eureka.clients.gateway_async import AsyncGatewayClient
from eureka.clients.gateway_job_types import JobState, StoredObject
from eureka.errors import NotFoundError
from eureka.storage.s3 import S3ObjectStore
from eureka.storage.s3_bucket import prepare_bucket
from eureka.storage.s3_client import S3Config
from services.gateway.jobs.service import JobLimits
from tests.helpers.job_gateway import SPOKEN, CountedStore, JobGateway, ended, job_gateway, put
from tests.helpers.job_rig import tone_model
from tests.helpers.radosgw import S3Server
from tests.helpers.tokenizers import small_nano_tokenizer


@pytest.fixture(scope="module")
def served(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobGateway]:
    config = S3Config(
        endpoint=s3_server.endpoint,
        bucket=f"jobs-{uuid.uuid4().hex[:12]}",
        access_key=s3_server.access_key,
        secret_key=s3_server.secret_key,
    )
    prepare_bucket(config, creates=True)
    tokenizer = small_nano_tokenizer(tmp_path_factory.mktemp("tone"))
    folder = tmp_path_factory.mktemp("jobs")
    store = CountedStore(S3ObjectStore(config))
    limits = JobLimits(max_inline_result_bytes=100)
    with job_gateway(folder, lambda: tone_model(tokenizer), lambda _: store, limits=limits) as gateway:
        yield gateway


def test_file_goes_by_a_link_and_its_result_comes_by_one(served: JobGateway, tmp_path: Path) -> None:
    (tmp_path / "words.wav").write_bytes(SPOKEN)
    with served.client() as client:
        upload = client.upload_for_job(tmp_path / "words.wav")
        assert served.objects.exists(f"acme/{upload.name}")
        job = client.create_job(upload)
        assert ended(client, job).state is JobState.SUCCEEDED
        assert not served.objects.exists(f"acme/{upload.name}")
        served.objects.calls.clear()
        info = client.download_result(job.name, tmp_path / "out.json")
        assert info.url.startswith("http") and served.objects.calls["presign_get"] == 1
        assert json.loads((tmp_path / "out.json").read_bytes())["state"] == "SUCCEEDED"
        client.delete_job(job.name)
        assert not served.objects.list_objects(f"acme/{job.name}/").objects


def test_request_raced_by_many_clients_makes_one_job(served: JobGateway) -> None:
    source = put(served, "race/a.wav")

    def create(_: int) -> str:
        with served.client() as client:
            return client.create_job(source, request_id="race").name

    with ThreadPoolExecutor(8) as threads, served.client() as client:
        [name] = set(threads.map(create, range(8)))
        assert [job.name for job in client.all_jobs() if job.options.display_name == "a.wav"] == [name]
        assert ended(client, client.get_job(name)).state is JobState.SUCCEEDED


async def test_jobs_by_asyncio(served: JobGateway, tmp_path: Path) -> None:
    (tmp_path / "words.wav").write_bytes(SPOKEN)
    async with AsyncGatewayClient(served.target, key=served.keys["acme"]) as client:
        job = await client.create_job(tmp_path / "words.wav")
        async with client.watch_job(job.name) as updates:
            states = [update.job.state async for update in updates]
        assert states[-1] is JobState.SUCCEEDED
        assert job.name in [one.name async for one in client.all_jobs()]
        await client.download_result(job.name, tmp_path / "words.txt", "txt")
        assert "alpha" in (tmp_path / "words.txt").read_text()
        info, content = await client.get_result(job.name, "vtt")
        assert info.size_bytes == len(content)
        await client.delete_job(job.name)
        with pytest.raises(NotFoundError):
            await client.get_job(job.name)
        with pytest.raises(NotFoundError):
            await client.create_job(StoredObject("no/such.wav"))
