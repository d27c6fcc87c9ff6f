"""A connection to a Kubernetes API server, and the one border between its errors and the error tree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eureka.errors import (
    EurekaError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    QueueFullError,
    StageUnavailableError,
)

REQUEST_SECONDS = 5.0
"""Until the API server has answered; a caller of the gateway may wait meanwhile."""

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its service account."""

_NOT_SENT_AGAIN = 0
"""Retries of urllib3: who asks decides what may be asked twice."""

_OF_CODE: dict[int, tuple[type[EurekaError], str]] = {
    400: (InvalidInputError, "CLUSTER_REFUSED"),
    401: (PermissionDeniedError, "CLUSTER_DENIED"),
    403: (PermissionDeniedError, "CLUSTER_DENIED"),
    404: (NotFoundError, "NOT_IN_CLUSTER"),
    422: (InvalidInputError, "CLUSTER_REFUSED"),
}


def open_cluster(kubeconfig: Path | None = None, context: str | None = None) -> Any:
    """A `kubernetes.client.ApiClient`: by a kubeconfig, else by the service account of this pod.

    Args:
        kubeconfig: None takes the pod's own account, or the user's own file outside of a cluster.
        context: of the kubeconfig; None takes its current one.

    Raises:
        StageUnavailableError: reason NOT_INSTALLED, or NO_CLUSTER: neither is there.
        InvalidInputError: reason INVALID_KUBECONFIG.
    """
    kubernetes = _kubernetes()
    configuration = kubernetes.client.Configuration()
    try:
        if kubeconfig is None and context is None and _is_in_cluster():
            kubernetes.config.load_incluster_config(client_configuration=configuration)
        else:
            file = None if kubeconfig is None else str(kubeconfig)
            kubernetes.config.load_kube_config(file, context, client_configuration=configuration)
    except kubernetes.config.ConfigException as error:
        raise _no_cluster(kubeconfig, error) from error
    configuration.retries = _NOT_SENT_AGAIN
    return kubernetes.client.ApiClient(configuration)


def default_namespace(kubeconfig: Path | None = None, context: str | None = None) -> str:
    """The namespace of the pod that this runs in, else that of a context of the kubeconfig."""
    if kubeconfig is None and context is None and _is_in_cluster():
        return (_ACCOUNT / "namespace").read_text().strip()
    kubernetes = _kubernetes()
    contexts, current = kubernetes.config.list_kube_config_contexts(str(kubeconfig) if kubeconfig else None)
    chosen = current if context is None else next(one for one in contexts if one["name"] == context)
    return str(chosen["context"].get("namespace") or "default")


@contextmanager
def cluster_errors(what: str) -> Iterator[None]:
    """Errors of the client as ours.

    Args:
        what: is done, for the message: "create jobs in namespace eureka".

    Raises:
        EurekaError: CLUSTER_DENIED (no right), CLUSTER_QUOTA, CLUSTER_REFUSED (the object is wrong),
            NOT_IN_CLUSTER, CLUSTER_UNAVAILABLE.
    """
    kubernetes = _kubernetes()
    import urllib3

    try:
        yield
    except kubernetes.client.ApiException as error:
        raise _error_of(error, what) from error
    except ValueError as error:  # the client checks what it sends, by pydantic
        message = f"cannot {what}: {' '.join(str(error).split())}"
        raise InvalidInputError(message, reason="CLUSTER_REFUSED") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        message = f"cannot {what}: the API server of the cluster is away ({type(error).__name__})"
        raise StageUnavailableError(message, reason="CLUSTER_UNAVAILABLE") from error


def _error_of(error: Any, what: str) -> EurekaError:
    said = _said(error)
    if error.status == 403 and "exceeded quota" in said:
        return QueueFullError(f"cannot {what}: {said}", reason="CLUSTER_QUOTA")
    if error.status in _OF_CODE:
        kind, reason = _OF_CODE[error.status]
        way_out = "; the service account needs a Role with that right" if error.status == 403 else ""
        return kind(f"cannot {what}: {said}{way_out}", reason=reason)
    return StageUnavailableError(f"cannot {what}: {error.status} {said}", reason="CLUSTER_UNAVAILABLE")


def _said(error: Any) -> str:
    """The sentence of Kubernetes' Status object; the plain reason where there is none."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)


def _no_cluster(kubeconfig: Path | None, error: Exception) -> EurekaError:
    if kubeconfig is not None:
        message = f"{kubeconfig} is no kubeconfig that can be used: {error}"
        return InvalidInputError(message, reason="INVALID_KUBECONFIG")
    message = f"no cluster is known here, neither by a service account nor by a kubeconfig: {error}"
    return StageUnavailableError(message, reason="NO_CLUSTER")


def _is_in_cluster() -> bool:
    return (_ACCOUNT / "token").is_file()


def _kubernetes() -> Any:
    try:
        import kubernetes
    except ModuleNotFoundError as error:
        message = f"the cluster needs the package {error.name}; pip install 'eureka[cluster]'"
        raise StageUnavailableError(message, reason="NOT_INSTALLED") from error
    return kubernetes
