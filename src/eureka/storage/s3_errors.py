"""The border of the S3 client: what minio and urllib3 raise becomes our errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from minio.deleteobjects import DeleteError
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError

from eureka.errors import EurekaError, NotFoundError, StageUnavailableError, WrongStateError

CONDITION_FAILED = "PreconditionFailed"
"""Code of a refused If-Match or If-None-Match."""

NOT_FOUND = frozenset({"NoSuchKey", "NoSuchVersion"})

DENIED = frozenset(
    {
        "AccessDenied",
        "AccountProblem",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)

AWAY = frozenset(
    {
        "ConditionalRequestConflict",
        "InternalError",
        "OperationAborted",
        "QuotaExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "TooManyRequests",
        "XMinioStorageFull",
    }
)

AWAY_STATUS = (429, 500, 502, 503, 504, 507)
"""Answers of a store that is busy, restarting or full, whatever code stands in them."""


@contextmanager
def translated_errors(bucket: str, key: str) -> Iterator[None]:
    """Raise the errors of `eureka.storage.store` for those of the client; the original is chained."""
    try:
        yield
    except (MinioException, HTTPError) as exc:
        raise error_of(exc, bucket, key) from exc


def error_of(error: Exception, bucket: str, key: str) -> EurekaError:
    """Our error for one of the client's; it names bucket and key, never credentials."""
    place = f"{key[:80]!r} in bucket {bucket!r}"
    if isinstance(error, S3Error):
        is_away = error.response.status in AWAY_STATUS
        return _away(f"{error.code} at {place}") if is_away else _of_code(error.code or "", place, bucket)
    if isinstance(error, MaxRetryError) and isinstance(error.reason, SSLError):
        message = f"the store's certificate is not trusted; check EUREKA_STORAGE__CA_FILE ({error.reason})"
        return WrongStateError(message, reason="STORE_UNTRUSTED")
    if isinstance(error, HTTPError | ServerError | InvalidResponseError):
        return _away(f"{type(error).__name__} at {place}")
    return EurekaError(f"the store failed: {type(error).__name__} at {place}", reason="STORE_FAILED")


def delete_error(error: DeleteError, bucket: str) -> EurekaError:
    """Our error for one object that could not be deleted with the others."""
    place = f"{(error.name or '')[:80]!r} in bucket {bucket!r}"
    return _of_code(error.code or "", place, bucket)


def is_condition_failed(error: Exception) -> bool:
    """Whether a condition of the request did not hold."""
    return isinstance(error, S3Error) and error.code == CONDITION_FAILED


def _of_code(code: str, place: str, bucket: str) -> EurekaError:
    if code in NOT_FOUND:
        return NotFoundError(f"there is no object {place}", reason="OBJECT_NOT_FOUND")
    if code == "NoSuchBucket":
        message = f"there is no bucket {bucket!r}; create it, or set EUREKA_STORAGE__CREATE_BUCKET=true"
        return WrongStateError(message, reason="BUCKET_NOT_FOUND")
    if code in DENIED:
        message = f"the store refuses our access key or its rights ({code} at {place})"
        return WrongStateError(message, reason="STORE_DENIED")
    if code == CONDITION_FAILED:
        return WrongStateError(f"{place} was replaced while it was read", reason="OBJECT_CHANGED")
    if code in AWAY:
        return _away(f"{code} at {place}")
    return EurekaError(f"the store failed: {code} at {place}", reason="STORE_FAILED")


def _away(what: str) -> StageUnavailableError:
    return StageUnavailableError(f"the store is away or full ({what}); try again", reason="STORE_UNAVAILABLE")
