"""What a bucket needs before it is used: to be there, rules of expiry, and that the first writer wins."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.error import S3Error
from minio.lifecycleconfig import (
    AbortIncompleteMultipartUpload,
    Expiration,
    LifecycleConfig,
    NoncurrentVersionExpiration,
    Rule,
)

from eureka.errors import WrongStateError
from eureka.storage.s3_client import S3Config, open_client
from eureka.storage.s3_errors import translated_errors
from eureka.storage.store import ObjectStore

RULE_PREFIX = "eureka-"
"""Begins the ids of our rules; those of others in the same bucket are kept."""

UNFINISHED_DAYS = 1
"""Days after which parts of an upload that never ended are removed."""

PROBE_FOLDER = "eureka-probe/"
"""Where the conditional write is tried."""

_OURS_ALREADY = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


@dataclass(frozen=True, slots=True)
class Expiry:
    """Objects below `prefix` are removed by the store some `days` after they were put."""

    prefix: str
    days: int


def prepare_bucket(config: S3Config, *, creates: bool, expiries: Iterable[Expiry] = ()) -> None:
    """Make the bucket where it is missing and we may, and set its rules where it has others.

    Args:
        config: how the store is reached.
        creates: a missing bucket is made, and rules are set; else both are the operator's.
        expiries: rules besides that for unfinished uploads.

    Raises:
        WrongStateError: reason BUCKET_NOT_FOUND, STORE_DENIED or STORE_UNTRUSTED.
        StageUnavailableError: reason STORE_UNAVAILABLE.
    """
    client = open_client(config)
    with translated_errors(config.bucket, ""):
        is_there = client.bucket_exists(config.bucket)
        if not is_there and creates:
            _create(client, config)
    if not is_there and not creates:
        message = (
            f"there is no bucket {config.bucket!r}; create it, or set EUREKA_STORAGE__CREATE_BUCKET=true"
        )
        raise WrongStateError(message, reason="BUCKET_NOT_FOUND")
    if creates:
        with translated_errors(config.bucket, ""):
            _set_rules(client, config.bucket, [_unfinished_rule(), *map(_rule, expiries)])


def check_first_writer_wins(store: ObjectStore) -> None:
    """Try that a second conditional write is refused: jobs rest on it.

    Raises:
        WrongStateError: reason CONDITIONAL_PUT_IGNORED.
    """
    key = f"{PROBE_FOLDER}{secrets.token_hex(8)}"
    try:
        wins = store.put_if_absent(key, b"first"), store.put_if_absent(key, b"second")
    finally:
        store.delete(key)
    if wins != (True, False):
        message = (
            "the store overwrites objects in spite of If-None-Match, and jobs would lose results; take one "
            "that refuses, or switch off the versioning of the bucket (Ceph before 2025 ignores it there)"
        )
        raise WrongStateError(message, reason="CONDITIONAL_PUT_IGNORED")


def _create(client: Minio, config: S3Config) -> None:
    try:
        client.make_bucket(config.bucket, config.region)
    except S3Error as error:  # somebody was faster
        if error.code not in _OURS_ALREADY:
            raise


def _set_rules(client: Minio, bucket: str, ours: list[Rule]) -> None:
    present = client.get_bucket_lifecycle(bucket)
    rules = present.rules if present else []
    others = [rule for rule in rules if not (rule.rule_id or "").startswith(RULE_PREFIX)]
    if _by_id(rules) != _by_id([*others, *ours]):
        client.set_bucket_lifecycle(bucket, LifecycleConfig([*others, *ours]))


def _by_id(rules: list[Rule]) -> dict[str | None, Rule]:
    return {rule.rule_id: rule for rule in rules}


def _unfinished_rule() -> Rule:
    return Rule(
        status=ENABLED,
        rule_filter=Filter(prefix=""),
        rule_id=f"{RULE_PREFIX}unfinished",
        abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(UNFINISHED_DAYS),
    )


def _rule(expiry: Expiry) -> Rule:
    return Rule(
        status=ENABLED,
        rule_filter=Filter(prefix=expiry.prefix),
        rule_id=f"{RULE_PREFIX}expire-{expiry.prefix}",
        expiration=Expiration(days=expiry.days),
        noncurrent_version_expiration=NoncurrentVersionExpiration(noncurrent_days=1),
    )
