"""What an S3 store does when its server is away, refuses, lies, cuts answers or keeps versions."""

from __future__ import annotations

import io
import os
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3
from minio.commonconfig import ENABLED, Filter
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule
from minio.versioningconfig import VersioningConfig
from pydantic import SecretStr

from eureka.errors import (
    DataLossError,
    EurekaError,
    InvalidInputError,
    NotFoundError,
    StageUnavailableError,
    WrongStateError,
)
from eureka.runtime.settings_sections import StorageSettings
from eureka.runtime.storage import open_store
from eureka.storage.s3 import S3ObjectStore
from eureka.storage.s3_bucket import Expiry, check_first_writer_wins, prepare_bucket
from eureka.storage.s3_client import S3Config, open_client
from tests.helpers.radosgw import S3Server
from tests.helpers.tcp_proxy import TcpProxy

AWAY_SECONDS = 2.5
MIB = 1 << 20


@pytest.fixture(scope="module")
def config(s3_server: S3Server) -> S3Config:
    return _new_bucket(s3_server)


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[TcpProxy]:
    with TcpProxy(_address(s3_server)) as proxy:
        yield proxy


@pytest.fixture
def store(config: S3Config, proxy: TcpProxy) -> S3ObjectStore:
    """A store whose server is reached through the proxy."""
    return S3ObjectStore(_by_way_of(proxy, config))


def _new_bucket(server: S3Server) -> S3Config:
    config = S3Config(
        server.endpoint,
        f"tests-{uuid.uuid4().hex[:12]}",
        server.access_key,
        server.secret_key,
        part_bytes=5 * MIB,
    )
    prepare_bucket(config, creates=True)
    return config


def _by_way_of(proxy: TcpProxy, config: S3Config) -> S3Config:
    return replace(
        config, endpoint=f"http://127.0.0.1:{proxy.port}", connect_timeout_seconds=1.0, backoff_seconds=0.2
    )


def _address(server: S3Server) -> tuple[str, int]:
    parts = urlsplit(server.endpoint)
    assert parts.hostname is not None
    return parts.hostname, parts.port or 80


def test_server_that_is_away_for_seconds_is_waited_for(store: S3ObjectStore, proxy: TcpProxy) -> None:
    store.put("a", b"content")
    proxy.go_away()
    back = threading.Timer(AWAY_SECONDS, proxy.come_back)
    back.start()
    begin = time.monotonic()
    assert store.get("a") == b"content"
    assert time.monotonic() - begin > AWAY_SECONDS - 1
    assert store.put_if_absent("away/b", b"later")
    back.join()


def test_server_that_stays_away_is_unavailable_soon(config: S3Config, proxy: TcpProxy) -> None:
    store = S3ObjectStore(replace(_by_way_of(proxy, config), max_attempts=2))
    proxy.go_away()
    calls = [
        lambda: store.put("a", b""),
        lambda: store.put_if_absent("a", b""),
        lambda: store.get("a"),
        lambda: store.open("a"),
        lambda: store.exists("a"),
        lambda: store.list_objects(),
        lambda: store.delete("a"),
        lambda: store.delete_prefix("a/"),
        lambda: store.copy("a", "b"),
    ]
    begin = time.monotonic()
    for call in calls:
        with pytest.raises(StageUnavailableError) as caught:
            call()
        assert caught.value.reason == "STORE_UNAVAILABLE" and caught.value.is_retryable
    assert time.monotonic() - begin < 10


def test_server_that_says_nothing_is_unavailable(config: S3Config) -> None:
    with TcpProxy(("127.0.0.1", 0), is_mute=True) as mute:
        silent = replace(_by_way_of(mute, config), read_timeout_seconds=0.3, max_attempts=2)
        with pytest.raises(StageUnavailableError):
            S3ObjectStore(silent).get("a")


def test_answer_that_was_cut_is_read_again(store: S3ObjectStore, proxy: TcpProxy) -> None:
    content = os.urandom(3 * MIB)
    store.put("cut", content)
    proxy.cut_next_answer(after_bytes=500_000)
    assert store.get("cut") == content
    proxy.cut_next_answer(after_bytes=100_000)
    with store.open("cut") as reader:
        assert reader.read() == content
    assert proxy.num_cuts == 2


def test_writer_whose_answer_was_lost_knows_that_it_won(store: S3ObjectStore, proxy: TcpProxy) -> None:
    proxy.cut_next_answer(after_bytes=0)
    assert store.put_if_absent("lost/answer", b"mine")
    assert proxy.num_cuts == 1 and store.get("lost/answer") == b"mine"
    proxy.cut_next_answer(after_bytes=0)
    assert not store.put_if_absent("lost/answer", b"other")
    assert store.get("lost/answer") == b"mine"


def test_upload_that_breaks_off_leaves_the_older_object(store: S3ObjectStore) -> None:
    class Breaking(io.BytesIO):
        num_reads = 0

        def read(self, size: int | None = -1) -> bytes:
            self.num_reads += 1
            if self.num_reads > 15:  # the first time through is for the sha256
                raise RuntimeError("the stream broke")
            return super().read(size)

    store.put("broken", b"older")
    with pytest.raises(RuntimeError, match="the stream broke"):
        store.put("broken", Breaking(bytes(12 * MIB)))
    assert store.get("broken") == b"older"


def test_object_that_is_not_what_was_put_is_found_out(store: S3ObjectStore, config: S3Config) -> None:
    metadata = {"sha256": "0" * 64}
    open_client(config).put_object(config.bucket, "short", io.BytesIO(b"conte"), 5, metadata=metadata)
    with pytest.raises(DataLossError) as caught:
        store.get("short")
    assert caught.value.reason == "CHECKSUM_MISMATCH"


def test_object_replaced_under_a_reader_is_found_out(store: S3ObjectStore) -> None:
    store.put("changing", bytes(3 * MIB))
    with store.open("changing") as reader:
        reader.read(10)
        store.put("changing", b"\1" * 3 * MIB)
        reader.seek(2 * MIB)
        with pytest.raises(WrongStateError) as caught:
            reader.read(10)
    assert caught.value.reason == "OBJECT_CHANGED"


@pytest.mark.parametrize("wrong", [{"secret_key": "wrong"}, {"access_key": "nobody"}])
def test_wrong_credentials_are_denied_without_telling_them(config: S3Config, wrong: dict[str, str]) -> None:
    store = S3ObjectStore(replace(config, **wrong))  # type: ignore[arg-type]
    for call in (lambda: store.put("a", b""), lambda: store.get("a"), lambda: store.list_objects()):
        with pytest.raises(WrongStateError) as caught:
            call()
        assert caught.value.reason == "STORE_DENIED"
        assert config.secret_key not in caught.value.message and "wrong" not in caught.value.message


def test_missing_bucket_is_named(config: S3Config) -> None:
    store = S3ObjectStore(replace(config, bucket="not-there"))
    for call in (lambda: store.put("a", b""), lambda: store.list_objects()):
        with pytest.raises(WrongStateError, match="not-there") as caught:
            call()
        assert caught.value.reason == "BUCKET_NOT_FOUND"
    with pytest.raises(WrongStateError, match="EUREKA_STORAGE__CREATE_BUCKET"):
        prepare_bucket(replace(config, bucket="not-there"), creates=False)


def test_links_put_and_get_one_object_until_they_expire(store: S3ObjectStore, config: S3Config) -> None:
    public = S3ObjectStore(replace(config, public_endpoint=config.endpoint, endpoint="http://127.0.0.1:9"))
    with urllib3.PoolManager(retries=False) as http:
        key = "links/a b+ß"
        link = public.presign_put(key, 60)
        assert http.request("PUT", link, body=b"by link").status == 200
        assert store.get(key) == b"by link" and store.stat(key).sha256 is None
        assert http.request("GET", public.presign_get(key, 60)).data == b"by link"
        assert http.request("GET", link).status == 403, "a link is for one method"
        other = public.presign_get(key, 60).replace("/links/", "/link/")
        assert http.request("GET", other).status == 403, "and for one object"
        short = public.presign_get(key, 1)
        time.sleep(2.1)
        assert http.request("GET", short).status == 403
    for seconds in (0, -1, 604_801):
        with pytest.raises(InvalidInputError):
            store.presign_get(key, seconds)


def test_link_names_the_public_endpoint_and_region(config: S3Config) -> None:
    public = replace(config, public_endpoint="https://objects.example", public_region="eu-1")
    link = urlsplit(S3ObjectStore(public).presign_get("a/b", 60))
    assert (link.scheme, link.netloc, link.path) == ("https", "objects.example", f"/{config.bucket}/a/b")
    assert "%2Feu-1%2Fs3%2F" in link.query and config.secret_key not in link.query


def test_versions_are_deleted_too(s3_server: S3Server) -> None:
    config = _new_bucket(s3_server)
    client, store = open_client(config), S3ObjectStore(config)
    client.set_bucket_versioning(config.bucket, VersioningConfig(ENABLED))
    for key in ("a", "a", "a.b", "jobs/1/a", "jobs/1/a", "jobs/1/b", "jobs/10/a"):
        store.put(key, os.urandom(4))
    client.remove_object(config.bucket, "jobs/1/b")  # leaves a marker and the version below
    store.delete("a")
    assert store.delete_prefix("jobs/1/") == 2
    left = client.list_objects(config.bucket, recursive=True, include_version=True)
    assert [one.object_name for one in left] == ["a.b", "jobs/10/a"]
    with pytest.raises(NotFoundError):
        store.get("a")


def test_store_that_ignores_conditions_is_refused_at_start(s3_server: S3Server) -> None:
    config = _new_bucket(s3_server)
    store = S3ObjectStore(config)
    check_first_writer_wins(store)
    open_client(config).set_bucket_versioning(config.bucket, VersioningConfig(ENABLED))
    store.put_if_absent("a", b"first")
    if not store.put_if_absent("a", b"second"):
        pytest.skip("this server keeps to conditions on versioned buckets, too")
    with pytest.raises(WrongStateError) as caught:
        check_first_writer_wins(store)
    assert caught.value.reason == "CONDITIONAL_PUT_IGNORED"
    assert not store.list_objects("eureka-probe/").objects


def test_rules_of_expiry_are_set_beside_those_of_others(s3_server: S3Server) -> None:
    config = _new_bucket(s3_server)
    client = open_client(config)
    foreign = Rule(ENABLED, Filter(prefix="theirs/"), rule_id="theirs", expiration=Expiration(days=9))
    client.set_bucket_lifecycle(config.bucket, LifecycleConfig([foreign]))
    prepare_bucket(config, creates=True, expiries=[Expiry("uploads/", 7), Expiry("old/", 1)])
    prepare_bucket(config, creates=True, expiries=[Expiry("uploads/", 8)])
    found = client.get_bucket_lifecycle(config.bucket)
    assert found is not None
    rules = {rule.rule_id: rule for rule in found.rules}
    assert set(rules) == {"theirs", "eureka-unfinished", "eureka-expire-uploads/"}
    expiration = rules["eureka-expire-uploads/"].expiration
    assert expiration is not None and expiration.days == 8


def test_store_of_the_settings_makes_its_bucket(s3_server: S3Server) -> None:
    settings = StorageSettings(
        kind="s3",
        endpoint=s3_server.endpoint,
        bucket=f"tests-{uuid.uuid4().hex[:12]}",
        access_key=s3_server.access_key,
        secret_key=SecretStr(s3_server.secret_key),
        create_bucket=True,
        expire_days="uploads/=7",
    )
    assert open_store(settings).put_if_absent("a", b"")
    again = open_store(settings.model_copy(update={"create_bucket": False}))
    assert not again.put_if_absent("a", b"") and [one.key for one in again.list_objects().objects] == ["a"]


def test_certificate_is_checked(s3_server: S3Server, config: S3Config, certificates: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    with TcpProxy(_address(s3_server), context) as proxy:
        endpoint = f"https://localhost:{proxy.port}"
        trusting = replace(config, endpoint=endpoint, ca_file=certificates / "ca.pem")
        store = S3ObjectStore(trusting)
        store.put("tls/a", b"content")
        assert store.get("tls/a") == b"content" and not store.put_if_absent("tls/a", b"")
        stranger = replace(trusting, ca_file=certificates / "stranger.pem", max_attempts=2)
        with pytest.raises(WrongStateError) as caught:
            S3ObjectStore(stranger).get("tls/a")
        assert caught.value.reason == "STORE_UNTRUSTED"


@pytest.mark.parametrize("endpoint", ["", "127.0.0.1:9000", "ftp://a", "http://a/path", "http://id:key@a"])
def test_endpoint_that_is_none_is_refused(config: S3Config, endpoint: str) -> None:
    with pytest.raises(EurekaError) as caught:
        S3ObjectStore(replace(config, endpoint=endpoint))
    assert caught.value.reason == "INVALID_ENDPOINT"
