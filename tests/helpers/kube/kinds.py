"""Which kinds the look-alike knows, and how their addresses are built."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of objects.

    Attributes:
        api_version: group/version, or v1.
        name: as it stands in manifests.
        plural: as it stands in addresses.
        is_namespaced: whether it lies in a namespace.
    """

    api_version: str
    name: str
    plural: str
    is_namespaced: bool = True

    @property
    def group(self) -> str:
        """Empty for the core."""
        return self.api_version.rpartition("/")[0]

    @property
    def root(self) -> str:
        """First part of its addresses."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"


_NAMESPACED = {
    "v1": "Pod Service Secret ConfigMap ServiceAccount PersistentVolumeClaim ResourceQuota LimitRange Event",
    "apps/v1": "Deployment StatefulSet ReplicaSet DaemonSet ControllerRevision",
    "batch/v1": "Job CronJob",
    "autoscaling/v2": "HorizontalPodAutoscaler",
    "policy/v1": "PodDisruptionBudget",
    "networking.k8s.io/v1": "NetworkPolicy Ingress",
    "rbac.authorization.k8s.io/v1": "Role RoleBinding",
    "coordination.k8s.io/v1": "Lease",
    "keda.sh/v1alpha1": "ScaledObject TriggerAuthentication",
    "monitoring.coreos.com/v1": "ServiceMonitor PodMonitor PrometheusRule",
    "cert-manager.io/v1": "Certificate Issuer",
    "gateway.networking.k8s.io/v1": "GRPCRoute",
}
_OF_CLUSTER = {
    "v1": "Namespace Node PersistentVolume",
    "scheduling.k8s.io/v1": "PriorityClass",
    "storage.k8s.io/v1": "StorageClass",
    "rbac.authorization.k8s.io/v1": "ClusterRole ClusterRoleBinding",
}


def _plural(name: str) -> str:
    lower = name.lower()
    if lower.endswith("y"):
        return f"{lower[:-1]}ies"
    return f"{lower}es" if lower.endswith(("s", "ch")) else f"{lower}s"


KINDS = tuple(
    Kind(api_version, name, _plural(name), is_namespaced)
    for table, is_namespaced in ((_NAMESPACED, True), (_OF_CLUSTER, False))
    for api_version, names in table.items()
    for name in names.split()
)


def kind_of(api_version: str, name: str) -> Kind | None:
    """The kind with this name; None when nobody knows it."""
    return next((kind for kind in KINDS if (kind.api_version, kind.name) == (api_version, name)), None)


@dataclass(frozen=True, slots=True)
class Address:
    """What a path names: a collection, an object in it, or a part of that (status, scale)."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    part: str = ""


def address_of(path: str) -> Address | None:
    """What `path` names; None when it is no object's."""
    for kind in KINDS:
        if not path.startswith(f"{kind.root}/"):
            continue
        words = path[len(kind.root) + 1 :].split("/")
        namespace = ""
        if kind.is_namespaced and len(words) > 2 and words[0] == "namespaces":
            namespace, words = words[1], words[2:]
        if (
            words[0] == kind.plural
            and len(words) <= 3
            and (namespace or len(words) == 1 or not kind.is_namespaced)
        ):
            return Address(kind, namespace, *words[1:])
    return None
