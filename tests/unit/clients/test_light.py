"""The wheel of a client needs gRPC and numpy; nothing that only servers have."""

from __future__ import annotations

import subprocess
import sys

MODULES = ["status", "channels", "metadata", "tensors"]
ABSENT = ["prometheus_client", "grpc_health", "grpc_reflection", "grpc_status", "tritonclient", "torch", "av"]


def test_border_modules_import_without_what_only_servers_have() -> None:
    code = f"import sys\nfor name in {ABSENT!r}: sys.modules[name] = None\n"
    code += "".join(f"import eureka.clients.{module}\n" for module in MODULES)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
