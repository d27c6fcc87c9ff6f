"""Real Helm over a look-alike of an API server, and the chart rendered with each of its values files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.chart_cluster import make_secrets, operated
from tests.helpers.helm import Helm, Release, helm_python
from tests.helpers.kube_api import KubeApi

READY_MADE = ("dev", "gpu", "production")


@pytest.fixture(scope="module")
def kube() -> Iterator[KubeApi]:
    """A cluster in which cert-manager makes Secrets later, so what dangles is looked at afterwards."""
    helm_python()
    with KubeApi(refuses_dangling=False) as api:
        make_secrets(api)
        yield api


@pytest.fixture(scope="module")
def helm(kube: KubeApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helm]:
    with Helm(kube, tmp_path_factory.mktemp("helm")) as running:
        yield running


@pytest.fixture(scope="module")
def ready_made(helm: Helm) -> dict[str, Release]:
    """The chart with each of its values files."""
    return {name: helm.rendered(operated(name)) for name in READY_MADE}
