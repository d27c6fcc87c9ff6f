"""Values that turn on what the development values leave off, one thing or a few that go together."""

from __future__ import annotations

from tests.helpers.helm import Values, merged_values

CA = {"tls": {"enabled": True, "source": "secret", "existingSecret": "outer-tls"}}
KEYS = {"gateway": {"open": False, "keys": {"existingSecret": "eureka-keys"}}}
SCALED = {"autoscaling": {"kind": "keda", "prometheus": {"serverAddress": "http://prometheus:9090"}}}
S3 = {
    "endpoint": "https://s3.example.com",
    "bucket": "models",
    "prefix": "instruct/",
    "existingSecret": "outer-storage",
}
OCI = {"image": "registry.example.com/checkpoints:1.7"}
CLAIM = {"source": "claim", "path": "", "claim": {"existingClaim": "eureka-checkpoints"}}
INGRESS = {"enabled": True, "host": "eureka.example.com", "className": "nginx", "tlsSecret": "outer-tls"}
ROUTE = {"enabled": True, "hostnames": ["eureka.example.com"], "parentRefs": [{"name": "shared"}]}
ALL_METRICS = {
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "rules": {"enabled": True},
    "dashboards": {"enabled": True},
}

TOGGLES: dict[str, Values] = {
    "burst": {"burst": {"enabled": True}, "networkPolicy": {"enabled": True}},
    "fused": {"embeddingPath": "fused", "networkPolicy": {"enabled": True}, **SCALED},
    "keda": {**SCALED, "metrics": ALL_METRICS, "decoder": {"autoscaling": {"min": 0}}},
    "hpa": {"autoscaling": {"kind": "hpa"}},
    "hpa-external": {"autoscaling": {"kind": "hpa", "hpa": {"externalMetrics": True}}},
    "tls": merged_values(CA, {"burst": {"enabled": True}}),
    "tls-mutual": merged_values(CA, {"tls": {"mutual": True}, "networkPolicy": {"enabled": True}}),
    "canary": {
        "canary": {"enabled": True, "percent": 10, "checkpoint": CLAIM},
        "networkPolicy": {"enabled": True},
    },
    "checkpoint-s3": {"checkpoint": {"source": "s3", "s3": S3, "sha256": "ab" * 32}},
    "checkpoint-oci": {"checkpoint": {"source": "oci", "oci": OCI, "sha256": "ab" * 32}},
    "checkpoint-claim": {"checkpoint": CLAIM},
    "ingress": {**KEYS, "ingress": INGRESS},
    "gateway-api": {**KEYS, "gatewayApi": ROUTE},
    "outer-parts": {
        "queue": {"bundled": {"enabled": False}, "existingSecret": "outer-queue"},
        "storage": {
            "bundled": {"enabled": False},
            "endpoint": "https://s3.example.com",
            "existingSecret": "outer-storage",
        },
        "networkPolicy": {"enabled": True, "gatewayFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
        "webhooks": {"existingSecret": "webhooks"},
        "tracing": {"endpoint": "http://collector:4317"},
    },
    "all-pools": {
        "workers": {lane: {"enabled": True, "pdb": {"enabled": True}} for lane in ("default", "bulk")},
        "gateway": {"pdb": {"enabled": True, "maxUnavailable": "50%"}},
        "images": {"registry": "mirror.example.com", "service": {"digest": f"sha256:{'0' * 64}"}},
        "podLabels": {"team": "audio"},
        "podAnnotations": {"example.com/why": "test"},
    },
}
"""What is laid over the development values, by name."""
