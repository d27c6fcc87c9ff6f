"""A service of a stack, small enough to start in a moment: health at a port, and ways to misbehave.

    python -m tests.helpers.small_service PORT [--fail] [--fail-if FILE] [--deaf]

--fail ends at once with a reason, --fail-if where the file exists; --deaf ignores SIGTERM. The port is shared
with others of its kind.
"""

from __future__ import annotations

import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


def main(arguments: list[str]) -> int:
    if "--fail" in arguments or ("--fail-if" in arguments and Path(arguments[-1]).exists()):
        print("NO_LUCK: this service never starts", file=sys.stderr)
        return 3
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "--deaf" in arguments else lambda *_: stopping.set())
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(f"127.0.0.1:{arguments[0]}")
    server.start()
    print("small_service_started", flush=True)
    stopping.wait()
    server.stop(None).wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
